# The programs that the tests of the mount use: one per file, except
# fscompare, which is compare_*.c too.
MOUNT_DIR      := $(BUILD)/tests/mount
MOUNT_COMPARE  := $(patsubst %.c,$(BUILD)/%.o,tests/mount/fscompare.c \
                  $(wildcard tests/mount/compare_*.c))
MOUNT_SINGLE   := $(filter-out tests/mount/fscompare.c \
                  tests/mount/compare_%.c,$(wildcard tests/mount/*.c))
MOUNT_PROGRAMS := $(MOUNT_SINGLE:%.c=$(BUILD)/%) \
                  $(if $(wildcard tests/mount/fscompare.c),$(MOUNT_DIR)/fscompare)

$(MOUNT_DIR)/fscompare: $(MOUNT_COMPARE)
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lpthread
$(MOUNT_DIR)/%: $(MOUNT_DIR)/%.o
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lpthread

check-mount: $(MOUNT_PROGRAMS)
-include $(MOUNT_COMPARE:.o=.d) $(MOUNT_SINGLE:%.c=$(BUILD)/%.d)

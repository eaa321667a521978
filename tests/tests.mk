# Every test target.  `check` is all of them; each can be run alone.
UNIT_SRCS := $(wildcard tests/unit/test_*.c)
UNIT      := $(UNIT_SRCS:%.c=$(BUILD)/%)
# Their child is forked from a process that has threads, Criterion's: it can
# find the allocator of AddressSanitizer locked for ever (seen).  The mount
# tests reach the same code, with the sanitizers.
UNIT_FORKS := test_fs_mounted test_fs_wait test_fs_watch
ifneq ($(findstring address,$(SAN)),)
UNIT := $(filter-out $(UNIT_FORKS:%=$(BUILD)/tests/unit/%),$(UNIT))
endif
RAFT      := $(BUILD)/tests/raft/runner

# Criterion reports success when LeakSanitizer does not: believe the reports.
SAN_LOG  := $(CURDIR)/$(BUILD)/san
SAN_OPTS := log_path=$(SAN_LOG)/report:detect_leaks=1:abort_on_error=1

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(LIBOBJS)
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS) -lcriterion
# zkfs(1) waits for signals in its only thread, and nng, where it is linked,
# brings threads along: these tests get what the program gets.
$(BUILD)/tests/unit/test_ctl_%: $(BUILD)/tests/unit/test_ctl_%.o \
    $(filter $(BUILD)/base/%,$(OBJS))
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcriterion -lpthread
$(BUILD)/tests/raft/runner: $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/raft/*.c)) $(LIBOBJS)
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

check-deps:
	$(Q)APT=$(APT) dist/deps.sh test
check: check-deps
	$(Q)$(MAKE) --no-print-directory all check-unit check-raft check-fault \
	    check-mount check-ctl check-transport check-cluster

check-unit: $(UNIT)
	$(Q)rm -rf $(SAN_LOG) && mkdir -p $(SAN_LOG)
	$(Q)ASAN_OPTIONS=$(SAN_OPTS) \
	    UBSAN_OPTIONS=$(SAN_OPTS):print_stacktrace=1 \
	    tests/unit/run.sh $(SAN_LOG) $^
check-raft: $(RAFT)
	$(Q)$(RAFT) tests/raft/*.txt
-include $(sort $(wildcard tests/*/*.mk))
check-mount: all
	$(Q)BUILD=$(abspath $(BUILD)) tests/mount/run.sh $(MOUNT_TESTS)

# The simulator under the sanitizers costs ten times as much: fewer seeds.
check-asan:
	$(Q)$(MAKE) --no-print-directory SAN=address,undefined SEEDS=20 \
	    all check-unit check-raft check-mount
# Only what has threads.
check-tsan:
	$(Q)$(MAKE) --no-print-directory SAN=thread all check-transport \
	    check-mount

.PHONY: check-deps check check-unit check-raft check-mount check-asan check-tsan
-include $(UNIT:=.d) $(patsubst %.c,$(BUILD)/%.d,$(wildcard tests/raft/*.c))

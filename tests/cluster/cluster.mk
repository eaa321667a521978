# Several daemons on one machine, as one ensemble.
CLUSTER_DIR      := $(BUILD)/tests/cluster
CLUSTER_PROGRAMS := $(patsubst %,$(CLUSTER_DIR)/%,proxy load audit topicload)
# These have the house in them.
CLUSTER_HOUSE    := $(patsubst %,$(CLUSTER_DIR)/%,stranger alter)
CLUSTER_DISK     := $(CLUSTER_DIR)/disk.so
CLUSTER_CLOCK    := $(CLUSTER_DIR)/clock.so

$(CLUSTER_DIR)/%: $(CLUSTER_DIR)/%.o
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^
$(CLUSTER_HOUSE): $(CLUSTER_DIR)/%: $(CLUSTER_DIR)/%.o $(LIBOBJS)
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)
# Not sanitized: it is loaded before the sanitizers' own library.
$(CLUSTER_DISK) $(CLUSTER_CLOCK): $(CLUSTER_DIR)/%.so: tests/cluster/%.c
	@mkdir -p $(@D)
	@echo "  LD      $@"
	$(Q)$(CC) -std=c17 -D_GNU_SOURCE $(WARN) $(CFLAGS) -fPIC -shared -o $@ $<

check-cluster: all $(CLUSTER_PROGRAMS) $(CLUSTER_HOUSE) $(CLUSTER_DISK) $(CLUSTER_CLOCK) \
    $(BUILD)/tests/lib/history $(BUILD)/tests/mount/waitfor \
    $(BUILD)/tests/mount/worker_append $(BUILD)/tests/mount/watcher \
    $(BUILD)/tests/mount/worker_watch
	$(Q)BUILD=$(abspath $(BUILD)) tests/cluster/run.sh $(CLUSTER_TESTS)
.PHONY: check-cluster
-include $(CLUSTER_PROGRAMS:=.d) $(CLUSTER_HOUSE:=.d)

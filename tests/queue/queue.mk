# The simulator of the queue: `make sim-queue SEED=first QUEUE_SEEDS=count`.
QUEUE_SEEDS ?= 40
QUEUE_SIM   := $(BUILD)/tests/queue/sim
QUEUE_SIM_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/queue/*.c))
# The production code from the broker down; no network or thread.
QUEUE_HOUSE := base/% queue/% store/% consensus/raft% consensus/msg_codec.o

$(QUEUE_SIM): $(QUEUE_SIM_OBJS) $(filter $(QUEUE_HOUSE:%=$(BUILD)/%),$(OBJS))
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -Wl,--wrap=zk_group_on_raft -o $@ $^ $(LDLIBS)

sim-queue: $(QUEUE_SIM)
	$(Q)$(QUEUE_SIM) -r 1 2
	$(Q)$(QUEUE_SIM) $(or $(SEED),1) $(QUEUE_SEEDS)
check-raft: sim-queue

# What the engine does without a mount around it; DIR is on the disk that is
# to be measured.  bench-queue-size: whether appends get slower while a
# partition grows to MIB.
QUEUE_BENCH := $(BUILD)/tests/queue/bench/engine
$(QUEUE_BENCH): $(QUEUE_BENCH).o $(LIBOBJS)
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)
bench-queue: $(QUEUE_BENCH)
	$(Q)$(QUEUE_BENCH) $(or $(DIR),/var/tmp)
bench-queue-size: $(QUEUE_BENCH)
	$(Q)$(QUEUE_BENCH) $(or $(DIR),/var/tmp) $(or $(MIB),4096)

.PHONY: sim-queue bench-queue bench-queue-size
-include $(QUEUE_BENCH).d
-include $(QUEUE_SIM_OBJS:.o=.d)

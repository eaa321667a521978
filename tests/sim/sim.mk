# The simulator: `make sim SEED=first SEEDS=count`; `make check` runs some.
SEED  ?= 1
SEEDS ?= 500
SIM   := $(BUILD)/tests/sim/sim
SIM_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/sim/*.c)) \
            $(patsubst %,$(BUILD)/tests/lib/%.o,history history_linear)
# The production code from the member down; no mount, network or thread.
SIM_HOUSE := base/% store/% consensus/raft% consensus/msg_codec.o \
             daemon/member% daemon/replica% daemon/inbox.o daemon/news.o \
             daemon/recent.o
# See tests/sim/disk.c.
SIM_WRAP  := zk_store_commit zk_store_commit_ahead zk_store_commit_later \
             zk_store_flush zk_store_has_room zk_answer_get zk_replica_propose

$(SIM): $(SIM_OBJS) $(filter $(SIM_HOUSE:%=$(BUILD)/%),$(OBJS))
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_LDFLAGS) $(SIM_WRAP:%=-Wl,--wrap=%) -o $@ $^ $(LDLIBS)

# First what failed once; then that a run repeats; then the seeds asked for.
# So many as `make check` has must see every rare event.
sim: $(SIM)
	$(Q)sed 's/ .*//; /^#/d' tests/sim/seeds | \
	    while read -r seed; do $(SIM) $$seed >$(SIM).out || \
	    { cat $(SIM).out; exit 1; }; done
	$(Q)$(SIM) -r 1 5
	$(Q)$(SIM) $(if $(filter 1:500,$(SEED):$(SEEDS)),-m) $(SEED) $(SEEDS)
check-raft: sim

.PHONY: sim
-include $(SIM_OBJS:.o=.d)

# The simulator: `make sim SEED=first SEEDS=count`; `make check` runs some.
SEED  ?= 1
SEEDS ?= 200
SIM   := $(BUILD)/tests/sim/sim
SIM_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/sim/*.c))
# The production code from the member down; no mount, network or thread.
SIM_HOUSE := base/% store/% consensus/raft% consensus/msg_codec.o \
             daemon/member% daemon/replica% daemon/inbox.o daemon/news.o

$(SIM): $(SIM_OBJS) $(filter $(SIM_HOUSE:%=$(BUILD)/%),$(OBJS))
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

# First what failed once; then that a run repeats; then the seeds asked for.
sim: $(SIM)
	$(Q)sed 's/ .*//; /^#/d' tests/sim/seeds | \
	    while read -r seed; do $(SIM) $$seed 1 >$(SIM).out || \
	    { cat $(SIM).out; exit 1; }; done
	$(Q)$(SIM) -r 1 5
	$(Q)$(SIM) $(SEED) $(SEEDS)
check-raft: sim

.PHONY: sim
-include $(SIM_OBJS:.o=.d)

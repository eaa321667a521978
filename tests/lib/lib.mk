# What tests share.  The checker of histories is itself fed good and bad ones,
# made by hand: of each line of histories/bad, the history named must fail.
HISTORY      := $(BUILD)/tests/lib/history
HISTORY_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/lib/history*.c))

$(HISTORY): $(HISTORY_OBJS) $(filter $(BUILD)/base/%,$(OBJS))
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^

check-history: $(HISTORY)
	$(Q)tests/lib/check-histories.sh $(HISTORY)
check-raft: check-history

.PHONY: check-history
-include $(HISTORY_OBJS:.o=.d)
$(BUILD)/tests/unit/test_history: $(filter-out %/history_main.o,$(HISTORY_OBJS))

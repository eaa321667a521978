# Power failures and failing calls, under the store and the queue.
FAULT_OBJS := $(patsubst %,$(BUILD)/tests/fault/%.o,fault tree topics replay inject)
FAULT_HOUSE := base/% queue/% store/% consensus/raft% consensus/msg_codec.o
FAULT_DEPS := $(FAULT_OBJS) $(filter $(FAULT_HOUSE:%=$(BUILD)/%),$(OBJS))
FAULT_SHIM := $(BUILD)/tests/fault/shim.so

$(BUILD)/tests/fault/fault: $(FAULT_DEPS)
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS_LMDB) -lpthread
# Not sanitized: it is loaded before the sanitizers' own library.
$(FAULT_SHIM): tests/fault/shim.c tests/fault/record.h
	@mkdir -p $(@D)
	@echo "  LD      $@"
	$(Q)$(CC) -std=c17 -D_GNU_SOURCE $(WARN) $(CFLAGS) -fPIC -shared -o $@ $<

check-fault: $(BUILD)/tests/fault/fault $(FAULT_SHIM)
	$(Q)timeout 600 $(abspath $<) $(abspath $(FAULT_SHIM))

.PHONY: check-fault
-include $(FAULT_OBJS:.o=.d)

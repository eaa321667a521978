# The transport between members as plain programs, which ThreadSanitizer can
# start: `make SAN=thread check-transport`.  `make bench-transport`: figures.
TRANSPORT          := $(BUILD)/tests/transport
TRANSPORT_OBJS     := $(patsubst %.c,$(BUILD)/%.o,$(wildcard base/*.c \
                      consensus/frame.c consensus/auth.c consensus/transport*.c))
TRANSPORT_PROGRAMS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/transport/*.c))
TRANSPORT_TSAN     := suppressions=$(CURDIR)/tests/transport/tsan.supp

$(TRANSPORT)/%: $(TRANSPORT)/%.o $(TRANSPORT_OBJS)
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS_NNG) -lmbedcrypto -lpthread

check-transport: $(TRANSPORT)/stress $(TRANSPORT)/abuse $(TRANSPORT)/silent
	$(Q)TSAN_OPTIONS=$(TRANSPORT_TSAN) timeout 120 $(TRANSPORT)/stress
	$(Q)TSAN_OPTIONS=$(TRANSPORT_TSAN) timeout 120 $(TRANSPORT)/abuse
	$(Q)TSAN_OPTIONS=$(TRANSPORT_TSAN) timeout 120 $(TRANSPORT)/silent
bench-transport: $(TRANSPORT)/latency
	$(Q)$(TRANSPORT)/latency

.PHONY: check-transport bench-transport
-include $(TRANSPORT_PROGRAMS:=.d)

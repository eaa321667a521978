# `make fuzz`: each tests/fuzz/fuzz_*.c for FUZZ_SECONDS, by libFuzzer, which
# comes with clang.  `make fuzz FUZZ_SECONDS=3600 FUZZERS=frame` looks longer
# at one; what it finds stays in $(BUILD)/fuzz/NAME.
FUZZ_SECONDS ?= 10
FUZZERS      ?= $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_CC      ?= clang
FUZZ         := $(BUILD)/fuzz
FUZZ_CFLAGS   = -std=c17 -D_GNU_SOURCE -I. -DZK_VERSION='"$(VERSION)"' \
                -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all \
                $(FUSE_CFLAGS)
FUZZ_OBJS    := $(LIBOBJS:$(BUILD)/%=$(FUZZ)/%)

$(FUZZ)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  FUZZCC  $<"
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link,address,undefined \
	    -MMD -MP -c -o $@ $<
# An archive, so that each fuzzer takes only what it needs.
$(FUZZ)/house.a: $(FUZZ_OBJS)
	$(Q)rm -f $@ && ar rcs $@ $^
$(FUZZ)/fuzz_%: $(FUZZ)/tests/fuzz/fuzz_%.o $(FUZZ)/house.a
	@echo "  LD      $@"
	$(Q)$(FUZZ_CC) -fsanitize=fuzzer,address,undefined -o $@ $^ $(LDLIBS)

fuzz: $(FUZZERS:%=$(FUZZ)/fuzz_%)
	$(Q)for name in $(FUZZERS); do \
		mkdir -p $(FUZZ)/$$name && \
		if $(FUZZ)/fuzz_$$name -max_total_time=$(FUZZ_SECONDS) \
		    -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
		    -artifact_prefix=$(FUZZ)/$$name/ $(FUZZ)/$$name \
		    >$(FUZZ)/$$name.log 2>&1; then \
			printf '  FUZZ    %s: %s inputs\n' $$name $$(sed -n \
			    's/.*number_of_executed_units: *//p' \
			    $(FUZZ)/$$name.log); \
		else \
			tail -n 40 $(FUZZ)/$$name.log; \
			exit 1; \
		fi; \
	done

.PHONY: fuzz
.PRECIOUS: $(FUZZ)/%.o
-include $(FUZZ_OBJS:.o=.d)

# Figures.  `make bench QUICK=1` is shorter, `make bench PARTS="write read"`
# is part of it, DIR= measures a directory that is mounted already.
# `make bench-peers PEERS="etcd nats"` measures what others would use instead,
# as far as their packages are installed; `make bench` ends with that.
# PEERS=queue: topics beside NATS and Redis, in turn, with their goals.
BENCH      := $(BUILD)/tests/bench
BENCH_SRCS := $(wildcard tests/bench/*.c tests/bench/*/*.c)
BENCH_OBJS := $(BENCH_SRCS:%.c=$(BUILD)/%.o)
BENCH_BASE := $(BUILD)/base/assert.o

$(BENCH)/bench: $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/bench/*.c)) \
    $(BENCH_BASE)
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS_LMDB) -lpthread

bench: all $(BENCH)/bench $(BUILD)/tests/mount/waitfor
	$(Q)BUILD=$(BUILD) tests/bench/run.sh $(PARTS)
	$(if $(PARTS)$(DIR),,$(Q)$(MAKE) --no-print-directory bench-ensemble)
	$(if $(PARTS)$(DIR),,$(Q)$(MAKE) --no-print-directory bench-peers)

# Three members on this machine: `make bench-ensemble ENSEMBLE="start behind"`.
$(BENCH)/ensemble/steady: $(BENCH)/ensemble/steady.o $(BENCH)/table.o \
    $(BENCH_BASE)
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lpthread
bench-ensemble: all $(BENCH)/ensemble/steady $(BENCH)/peers/zkfs \
    $(BUILD)/tests/mount/waitfor
	$(Q)BUILD=$(BUILD) tests/bench/ensemble/run.sh $(ENSEMBLE)

# Between hosts: an ensemble of three on this machine.
bench-watch: all $(BUILD)/tests/mount/bench_watch $(BUILD)/tests/mount/waitfor
	$(Q)$(MAKE) --no-print-directory $(BUILD)/tests/mount/watcher \
	    $(call has_header,zookeeper/zookeeper.h,$(BENCH)/peers/zookeeper) \
	    $(call has_header,nghttp2/nghttp2.h,$(BENCH)/peers/etcd)
	$(Q)BUILD=$(BUILD) tests/bench/watch.sh

PEER_BASE := $(BENCH)/table.o $(BENCH)/peers/peer.o $(BENCH_BASE)
PEER_WIRE := $(PEER_BASE) $(BENCH)/peers/wire.o
$(BENCH)/peers/zkfs $(BENCH)/peers/queue: $(BENCH)/peers/%: \
    $(BENCH)/peers/%.o $(PEER_BASE)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lpthread
$(BENCH)/peers/zookeeper: $(BENCH)/peers/zookeeper.o $(PEER_BASE)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lzookeeper_mt -lpthread
$(BENCH)/peers/etcd: $(BENCH)/peers/etcd.o $(BENCH)/peers/grpc.o $(PEER_WIRE)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lnghttp2 -lpthread
$(BENCH)/peers/nats: $(BENCH)/peers/nats.o $(PEER_WIRE)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lpthread

# A generator whose library is missing is left out, and its script says so.
HASH := \#
has_header = $(shell echo '$(HASH)include <$(1)>' | $(CC) -E - >/dev/null 2>&1 && \
             echo $(2))
bench-peers: all $(BENCH)/peers/zkfs $(BENCH)/peers/queue $(BENCH)/peers/nats \
    $(BUILD)/tests/mount/waitfor
	$(Q)$(MAKE) --no-print-directory $(BENCH)/peers/nats \
	    $(call has_header,zookeeper/zookeeper.h,$(BENCH)/peers/zookeeper) \
	    $(call has_header,nghttp2/nghttp2.h,$(BENCH)/peers/etcd)
	$(Q)BUILD=$(BUILD) tests/bench/peers/run.sh $(PEERS)

.PHONY: bench bench-ensemble bench-watch bench-peers
-include $(BENCH_OBJS:.o=.d)

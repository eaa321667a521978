/*
 * Load generator for etcd 3: gRPC over clear HTTP/2 (its JSON gateway would
 * cost it half of its speed), with the few protobuf messages written by hand.
 *
 *   etcd load NAME put|get|sget|cd HOSTS CONNS DEPTH SECONDS
 *             get asks the leader, sget the member itself, cd puts and deletes
 *   etcd watch NAME HOSTS COUNT         put on host 1, watch on host 2
 *   etcd owners NAME HOSTS TTL_S COUNT
 *   etcd failover SURVIVORS PID         prints milliseconds
 *   etcd first HOSTS                    exits 0 when a write is accepted
 *   etcd fill NAME HOSTS COUNT
 *
 * Connection i is bound to host i mod N and keeps DEPTH calls outstanding.
 */
#include "tests/bench/peers/grpc.h"
#include "tests/bench/peers/peer.h"

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILL_WINDOW    200
#define EVENT_FIELD    11 /* of a WatchResponse */
#define FAILOVER_US    20e3
#define CALL_TIMEOUT_S 10

static struct zk_wires wires;
static struct zk_load load;

static void
pass(double us)
{
	double end_us = zk_bench_now_us() + us;

	while (zk_bench_now_us() < end_us)
		zk_wires_turn(&wires, 5);
}

static void
put(struct zk_call *call, const char *key, uint64_t lease)
{
	zk_call_begin(call);
	zk_call_bytes(call, 1, key, strlen(key));
	zk_call_bytes(call, 2, zk_peer_value, ZK_PEER_VALUE_BYTES);
	if (lease != 0)
		zk_call_number(call, 3, lease);
	zk_call_send(call, "/etcdserverpb.KV/Put");
}

static void
get(struct zk_call *call, const char *key, bool serializable)
{
	zk_call_begin(call);
	zk_call_bytes(call, 1, key, strlen(key));
	if (serializable)
		zk_call_number(call, 7, 1);
	zk_call_send(call, "/etcdserverpb.KV/Range");
}

static void delete (struct zk_call *call, const char *key)
{
	zk_call_begin(call);
	zk_call_bytes(call, 1, key, strlen(key));
	zk_call_send(call, "/etcdserverpb.KV/DeleteRange");
}

/* Every event under `key` (up to `end`, when given) reaches on_message. */
static void
watch(struct zk_call *call, const char *key, const char *end)
{
	struct zk_call create = {0};

	zk_call_begin(&create);
	zk_call_bytes(&create, 1, key, strlen(key));
	if (end != NULL)
		zk_call_bytes(&create, 2, end, strlen(end));
	call->stays_open = true;
	zk_call_begin(call);
	zk_call_nested(call, 1, &create);
	zk_call_send(call, "/etcdserverpb.Watch/Watch");
}

static void
await(struct zk_call *call)
{
	double end_us = zk_bench_now_us() + CALL_TIMEOUT_S * 1e6;

	while (!call->finished && call->wire->fd >= 0 &&
	    zk_bench_now_us() < end_us)
		zk_wires_turn(&wires, 50);
}

static void
must(struct zk_call *call, const char *what)
{
	await(call);
	if (!call->finished || call->status != 0)
		errx(1, "%s: status %d", what, call->status);
}

static void
start(char *hosts, size_t count)
{
	zk_grpc_setup(&wires);
	zk_wires_open(&wires, hosts, count);
}

/* --- load --------------------------------------------------------------- */

struct slot {
	struct zk_call call;
	const char *op;
	bool exists;
	char key[32];
};

static void
ask(struct slot *slot)
{
	if (slot->op[0] == 'p' || (slot->op[0] == 'c' && !slot->exists))
		put(&slot->call, slot->key, 0);
	else if (slot->op[0] == 'c')
		delete (&slot->call, slot->key);
	else
		get(&slot->call, slot->key, slot->op[0] == 's');
}

static void
on_answer(struct zk_call *call)
{
	struct slot *slot = call->arg;
	bool reads = slot->op[0] == 'g' || slot->op[0] == 's';

	slot->exists = !slot->exists;
	if (zk_load_answer(&load, call->sent_us,
	        call->status == 0 &&
	            (!reads || call->got_len > ZK_PEER_VALUE_BYTES)))
		ask(slot);
}

static void
run_load(char **args)
{
	size_t conns = strtoul(args[3], NULL, 10);
	size_t count = conns * strtoul(args[4], NULL, 10);
	struct slot *slots = calloc(count, sizeof(*slots));

	if (slots == NULL)
		err(1, "slots");
	start(args[2], conns);
	for (size_t i = 0; i < count; i++) {
		slots[i].op = args[1];
		slots[i].call.wire = &wires.wire[i % conns];
		slots[i].call.arg = &slots[i];
		(void)snprintf(slots[i].key, sizeof(slots[i].key),
		    "/load/%c%zu", args[1][0] == 'c' ? 't' : 'n', i);
		if (args[1][0] != 'c') {
			put(&slots[i].call, slots[i].key, 0);
			must(&slots[i].call, "put");
		}
		slots[i].call.on_end = on_answer;
	}
	/* Members may lag: every one of them shall have the keys. */
	pass(300e3);
	zk_load_begin(&load, count);
	for (size_t i = 0; i < count; i++)
		ask(&slots[i]);
	pass(strtod(args[5], NULL) * 1e6);
	zk_load_end(&load);
	for (int i = 0; zk_load_inflight(&load) > 0 && i < 1000; i++)
		zk_wires_turn(&wires, 10);
	zk_load_print(&load, args[0], count == 1);
}

/* --- watch -------------------------------------------------------------- */

static double event_us; /* 0: none yet */

static void
on_event(struct zk_call *call)
{
	struct zk_pb response = zk_call_message(call), field;

	while (zk_pb_next(&response, &field))
		if (field.number == EVENT_FIELD)
			event_us = zk_bench_now_us();
}

/* The first message says that the watch exists. */
static void
on_watching(struct zk_call *call)
{
	call->on_message = on_event;
}

static void
run_watch(char **args)
{
	struct zk_call watcher = {.on_message = on_watching}, putter = {0};
	size_t count = strtoul(args[2], NULL, 10);
	struct zk_samples took_us = {0};

	start(args[1], 0);
	putter.wire = &wires.wire[0];
	watcher.wire = &wires.wire[wires.count > 1];
	watch(&watcher, "/watched", NULL);
	while (watcher.on_message != on_event)
		zk_wires_turn(&wires, 50);
	for (size_t i = 0; i < count; i++) {
		event_us = 0;
		put(&putter, "/watched", 0);
		while (event_us == 0 || !putter.finished)
			zk_wires_turn(&wires, 50);
		if (i >= count / 10)
			zk_samples_add(&took_us, event_us - putter.sent_us);
	}
	zk_peer_print_latency(args[0], &took_us);
}

/* --- owners ------------------------------------------------------------- */

struct ownership {
	char *hosts;
	uint64_t ttl_s;
};

static struct zk_owner *owners;

static void
own(size_t self, void *arg)
{
	const struct ownership *ownership = arg;
	uint64_t lease = 0x5a000000u + (uint64_t)getpid();
	struct zk_call call = {0};
	char key[32];

	start(ownership->hosts, 0);
	call.wire = &wires.wire[self % wires.count];
	zk_call_begin(&call);
	zk_call_number(&call, 1, ownership->ttl_s);
	zk_call_number(&call, 2, lease);
	zk_call_send(&call, "/etcdserverpb.Lease/LeaseGrant");
	must(&call, "grant");
	(void)snprintf(key, sizeof(key), "/owned/%03zu", self);
	put(&call, key, lease);
	must(&call, key);
	for (;;) {
		zk_peer_pause((double)ownership->ttl_s * 1e6 / 3);
		zk_call_begin(&call);
		zk_call_number(&call, 1, lease);
		zk_call_send(&call, "/etcdserverpb.Lease/LeaseKeepAlive");
		must(&call, "keep alive");
	}
}

/* Event: type 1 (1: delete), kv 2; KeyValue: key 1, "/owned/NNN". */
static void
on_owner_event(struct zk_call *call)
{
	struct zk_pb response = zk_call_message(call), event, field, key;
	bool deleted;
	long self;

	while (zk_pb_next(&response, &event)) {
		if (event.number != EVENT_FIELD)
			continue;
		deleted = false;
		self = -1;
		while (zk_pb_next(&event, &field)) {
			if (field.number == 1)
				deleted = field.value == 1;
			while (field.number == 2 && zk_pb_next(&field, &key))
				if (key.number == 1)
					self = strtol((const char *)key.bytes +
					        strlen("/owned/"),
					    NULL, 10);
		}
		if (deleted && self >= 0)
			atomic_store(&owners[self].gone_us, zk_bench_now_us());
	}
}

static void
on_owner_watching(struct zk_call *call)
{
	call->on_message = on_owner_event;
}

static void
run_owners(char **args)
{
	struct zk_call watcher = {.on_message = on_owner_watching};
	size_t count = strtoul(args[3], NULL, 10);
	struct ownership ownership = {args[1], strtoul(args[2], NULL, 10)};

	owners = calloc(count, sizeof(*owners));
	if (owners == NULL)
		err(1, "owners");
	zk_owners_fork(owners, count, own, &ownership);
	start(args[1], 0);
	watcher.wire = &wires.wire[0];
	watch(&watcher, "/owned/", "/owned0");
	zk_owners_kill(owners, count, (double)ownership.ttl_s, pass, args[0]);
}

/* --- the rest ----------------------------------------------------------- */

static size_t accepted;

static void
on_put(struct zk_call *call)
{
	accepted += call->status == 0;
}

/* A new put to each survivor every 20 ms: the best that a client could see. */
static void
run_failover(char **args)
{
	struct zk_call *call;
	double start_us, next_us;

	start(args[0], 0);
	start_us = zk_bench_now_us();
	(void)kill((pid_t)strtol(args[1], NULL, 10), SIGKILL);
	while (accepted == 0) {
		for (size_t i = 0; i < wires.count; i++) {
			/* Freed by the end of the process. */
			call = calloc(1, sizeof(*call));
			if (call == NULL)
				err(1, "call");
			call->wire = &wires.wire[i];
			call->on_end = on_put;
			put(call, "/failover", 0);
		}
		next_us = zk_bench_now_us() + FAILOVER_US;
		while (accepted == 0 && zk_bench_now_us() < next_us)
			zk_wires_turn(&wires, 5);
	}
	(void)printf("%.1f\n", (zk_bench_now_us() - start_us) / 1e3);
}

static void
run_first(char **args)
{
	struct zk_call call = {.wire = &wires.wire[0]};

	zk_grpc_setup(&wires);
	if (!zk_wire_open(&wires, args[0]))
		exit(1);
	put(&call, "/first", 0);
	must(&call, "put");
}

static size_t fill_next, fill_end;

static void
fill(struct zk_call *call)
{
	char key[32];

	(void)snprintf(key, sizeof(key), "/fill/%07zu", fill_next++);
	put(call, key, 0);
}

static void
on_filled(struct zk_call *call)
{
	if (call->status != 0)
		errx(1, "fill: status %d", call->status);
	accepted++;
	if (fill_next < fill_end)
		fill(call);
}

static void
run_fill(char **args)
{
	struct zk_call *calls = calloc(FILL_WINDOW, sizeof(*calls));
	double start_us;

	if (calls == NULL)
		err(1, "calls");
	fill_end = strtoul(args[2], NULL, 10);
	start(args[1], 0);
	start_us = zk_bench_now_us();
	for (size_t i = 0; i < FILL_WINDOW; i++) {
		calls[i].wire = &wires.wire[i % wires.count];
		calls[i].on_end = on_filled;
		fill(&calls[i]);
	}
	while (accepted < fill_end)
		zk_wires_turn(&wires, 50);
	zk_bench_single(args[0],
	    (double)fill_end * 1e6 / (zk_bench_now_us() - start_us), "/s",
	    ZK_GOAL_NONE, 0);
}

int
main(int argc, char **argv)
{
	static const struct zk_verb verbs[] = {
	    {"load", 6, run_load},
	    {"watch", 3, run_watch},
	    {"owners", 4, run_owners},
	    {"failover", 2, run_failover},
	    {"first", 1, run_first},
	    {"fill", 3, run_fill},
	};

	return zk_peer_main(argc, argv, verbs, 6);
}

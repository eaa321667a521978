/*
 * Load generator for ZooKeeper, through its own C client.
 *
 *   zookeeper load NAME set|get|cd HOSTS SESSIONS DEPTH SECONDS
 *   zookeeper watch NAME HOSTS COUNT       set on host 1, watcher on host 2
 *   zookeeper owners NAME HOSTS TIMEOUT_S COUNT
 *   zookeeper failover HOSTS PID           prints milliseconds
 *   zookeeper first HOSTS                  exits 0 when a write is accepted
 *   zookeeper fill NAME HOSTS COUNT
 *
 * Session i is bound to host i mod N and keeps DEPTH requests outstanding.
 */
#define THREADED /* declares the synchronous calls */
#include "tests/bench/peers/peer.h"

#include <err.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

#define SESSION_MS  30000
#define FILL_WINDOW 200

static struct zk_load load;

static void
on_session(zhandle_t *zh, int type, int state, const char *path, void *arg)
{
	(void)zh;
	(void)path;
	if (type == ZOO_SESSION_EVENT && state == ZOO_CONNECTED_STATE)
		(void)sem_post(arg);
}

/* NULL when there is no session after wait_s seconds. */
static zhandle_t *
try_session(const char *hosts, int timeout_ms, int wait_s)
{
	/* Lives as long as the session, which is as long as the process. */
	sem_t *connected = malloc(sizeof(*connected));
	struct timespec end;
	zhandle_t *zh;

	if (connected == NULL || sem_init(connected, 0, 0) < 0)
		err(1, "semaphore");
	zh = zookeeper_init(hosts, on_session, timeout_ms, NULL, connected, 0);
	if (zh == NULL)
		err(1, "zookeeper_init");
	(void)clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += wait_s;
	if (sem_timedwait(connected, &end) < 0) {
		(void)zookeeper_close(zh);
		return NULL;
	}
	return zh;
}

static zhandle_t *
open_session(const char *hosts, int timeout_ms)
{
	zhandle_t *zh = try_session(hosts, timeout_ms, 20);

	if (zh == NULL)
		errx(1, "no session with %s", hosts);
	return zh;
}

static int
create(zhandle_t *zh, const char *path, int flags)
{
	return zoo_create(zh, path, zk_peer_value, ZK_PEER_VALUE_BYTES,
	    &ZOO_OPEN_ACL_UNSAFE, flags, NULL, 0);
}

static void
ensure(zhandle_t *zh, const char *path)
{
	int rc = create(zh, path, 0);

	if (rc != ZOK && rc != ZNODEEXISTS)
		errx(1, "%s: %s", path, zerror(rc));
}

/* --- load: every slot asks again from its own answer -------------------- */

struct slot {
	zhandle_t *zh;
	char op;
	bool exists;
	double asked_us;
	char path[40];
};

static void ask(struct slot *slot);

static void
answered(const void *data, bool ok)
{
	struct slot *slot = (struct slot *)(uintptr_t)data;

	slot->exists = !slot->exists;
	if (zk_load_answer(&load, slot->asked_us, ok))
		ask(slot);
}

static void
on_stat(int rc, const struct Stat *stat, const void *data)
{
	(void)stat;
	answered(data, rc == ZOK);
}

static void
on_done(int rc, const void *data)
{
	answered(data, rc == ZOK);
}

static void
on_name(int rc, const char *name, const void *data)
{
	(void)name;
	answered(data, rc == ZOK);
}

static void
on_value(int rc, const char *value, int len, const struct Stat *stat,
    const void *data)
{
	(void)value;
	(void)stat;
	answered(data, rc == ZOK && len == ZK_PEER_VALUE_BYTES);
}

static void
ask(struct slot *slot)
{
	int rc;

	slot->asked_us = zk_bench_now_us();
	if (slot->op == 's')
		rc = zoo_aset(slot->zh, slot->path, zk_peer_value,
		    ZK_PEER_VALUE_BYTES, -1, on_stat, slot);
	else if (slot->op == 'g')
		rc = zoo_aget(slot->zh, slot->path, 0, on_value, slot);
	else if (slot->exists)
		rc = zoo_adelete(slot->zh, slot->path, -1, on_done, slot);
	else
		rc = zoo_acreate(slot->zh, slot->path, zk_peer_value,
		    ZK_PEER_VALUE_BYTES, &ZOO_OPEN_ACL_UNSAFE, 0, on_name,
		    slot);
	if (rc != ZOK)
		errx(1, "%s: %s", slot->path, zerror(rc));
}

static void
run_load(char **args)
{
	const char *name = args[0], *op = args[1];
	char *hosts[ZK_PEER_HOSTS_MAX];
	size_t host_count = zk_peer_split(args[2], hosts);
	size_t sessions = strtoul(args[3], NULL, 10);
	size_t depth = strtoul(args[4], NULL, 10);
	struct slot *slots = calloc(sessions * depth, sizeof(*slots));
	zhandle_t *zh = NULL, *first = NULL;

	if (slots == NULL)
		err(1, "slots");
	for (size_t i = 0; i < sessions * depth; i++) {
		if (i % depth == 0)
			zh = open_session(hosts[i / depth % host_count],
			    SESSION_MS);
		if (first == NULL) {
			first = zh;
			ensure(first, "/load");
		}
		slots[i].zh = zh;
		slots[i].op = op[0];
		(void)snprintf(slots[i].path, sizeof(slots[i].path),
		    "/load/%c%zu", op[0] == 'c' ? 't' : 'n', i);
		if (op[0] != 'c')
			ensure(first, slots[i].path);
		else
			(void)zoo_delete(first, slots[i].path, -1);
	}
	/* Followers may lag: every one of them shall have the nodes. */
	zk_peer_pause(300e3);
	zk_load_begin(&load, sessions * depth);
	for (size_t i = 0; i < sessions * depth; i++)
		ask(&slots[i]);
	zk_peer_pause(strtod(args[5], NULL) * 1e6);
	zk_load_end(&load);
	for (int i = 0; zk_load_inflight(&load) > 0 && i < 1000; i++)
		zk_peer_pause(10e3);
	for (size_t i = 0; i < sessions; i++)
		(void)zookeeper_close(slots[i * depth].zh);
	zk_load_print(&load, name, sessions * depth == 1);
}

/* --- watch -------------------------------------------------------------- */

static sem_t fired;
static _Atomic double fired_us;

static void
on_change(zhandle_t *zh, int type, int state, const char *path, void *arg)
{
	(void)zh;
	(void)state;
	(void)path;
	(void)arg;
	if (type == ZOO_CHANGED_EVENT) {
		atomic_store(&fired_us, zk_bench_now_us());
		(void)sem_post(&fired);
	}
}

static void
on_set(int rc, const struct Stat *stat, const void *data)
{
	(void)stat;
	(void)data;
	if (rc != ZOK)
		errx(1, "set: %s", zerror(rc));
}

static void
run_watch(char **args)
{
	char *hosts[ZK_PEER_HOSTS_MAX], bytes[ZK_PEER_VALUE_BYTES];
	size_t host_count = zk_peer_split(args[1], hosts);
	zhandle_t *setter = open_session(hosts[0], SESSION_MS);
	zhandle_t *watcher = open_session(hosts[host_count > 1], SESSION_MS);
	size_t count = strtoul(args[2], NULL, 10);
	struct zk_samples took_us = {0};
	double asked_us;
	int len, rc;

	ensure(setter, "/watched");
	(void)sem_init(&fired, 0, 0);
	for (size_t i = 0; i < count; i++) {
		len = sizeof(bytes);
		rc = zoo_wget(watcher, "/watched", on_change, NULL, bytes, &len,
		    NULL);
		if (rc != ZOK)
			errx(1, "watch: %s", zerror(rc));
		asked_us = zk_bench_now_us();
		rc = zoo_aset(setter, "/watched", zk_peer_value,
		    ZK_PEER_VALUE_BYTES, -1, on_set, NULL);
		if (rc != ZOK || sem_wait(&fired) < 0)
			errx(1, "set: %s", zerror(rc));
		/* The first tenth warms up. */
		if (i >= count / 10)
			zk_samples_add(&took_us,
			    atomic_load(&fired_us) - asked_us);
	}
	zk_peer_print_latency(args[0], &took_us);
}

/* --- owners ------------------------------------------------------------- */

struct ownership {
	const char *hosts;
	int timeout_ms;
};

static void
own(size_t self, void *arg)
{
	const struct ownership *ownership = arg;
	zhandle_t *zh = open_session(ownership->hosts, ownership->timeout_ms);
	char path[40];

	(void)snprintf(path, sizeof(path), "/owned-%zu", self);
	if (create(zh, path, ZOO_EPHEMERAL) != ZOK)
		errx(1, "%s", path);
	for (;;)
		(void)pause();
}

static void
on_gone(zhandle_t *zh, int type, int state, const char *path, void *arg)
{
	struct zk_owner *owner = arg;

	(void)zh;
	(void)state;
	(void)path;
	if (type == ZOO_DELETED_EVENT)
		atomic_store(&owner->gone_us, zk_bench_now_us());
}

static void
run_owners(char **args)
{
	double timeout_s = strtod(args[2], NULL);
	size_t count = strtoul(args[3], NULL, 10);
	struct zk_owner *owners = calloc(count, sizeof(*owners));
	struct ownership ownership = {args[1], (int)(timeout_s * 1e3)};
	zhandle_t *watcher;
	char path[40];

	if (owners == NULL)
		err(1, "owners");
	zk_owners_fork(owners, count, own, &ownership);
	watcher = open_session(args[1], SESSION_MS);
	for (size_t i = 0; i < count; i++) {
		(void)snprintf(path, sizeof(path), "/owned-%zu", i);
		while (zoo_wexists(watcher, path, on_gone, &owners[i], NULL) ==
		    ZNONODE)
			zk_peer_pause(50e3);
	}
	zk_owners_kill(owners, count, timeout_s, zk_peer_pause, args[0]);
}

/* --- the rest ----------------------------------------------------------- */

static void
run_failover(char **args)
{
	zhandle_t *zh = open_session(args[0], 4000);
	double start_us;
	int rc;

	ensure(zh, "/failover");
	start_us = zk_bench_now_us();
	(void)kill((pid_t)strtol(args[1], NULL, 10), SIGKILL);
	/* Asked after the kill: success means that a new leader took it. */
	do {
		rc = zoo_set(zh, "/failover", zk_peer_value,
		    ZK_PEER_VALUE_BYTES, -1);
		if (rc != ZOK)
			zk_peer_pause(1e3);
		if (is_unrecoverable(zh))
			errx(1, "session lost");
	} while (rc != ZOK);
	(void)printf("%.1f\n", (zk_bench_now_us() - start_us) / 1e3);
}

static void
run_first(char **args)
{
	zhandle_t *zh = try_session(args[0], 10000, 2);

	if (zh == NULL)
		exit(1);
	ensure(zh, "/first");
	(void)zookeeper_close(zh);
}

static void
on_filled(int rc, const char *name, const void *data)
{
	(void)name;
	if (rc != ZOK)
		errx(1, "fill: %s", zerror(rc));
	(void)sem_post((sem_t *)(uintptr_t)data);
}

static void
run_fill(char **args)
{
	zhandle_t *zh = open_session(args[1], SESSION_MS);
	size_t count = strtoul(args[2], NULL, 10);
	double start_us;
	char path[40];
	sem_t window;

	ensure(zh, "/fill");
	(void)sem_init(&window, 0, FILL_WINDOW);
	start_us = zk_bench_now_us();
	for (size_t i = 0; i < count; i++) {
		(void)sem_wait(&window);
		(void)snprintf(path, sizeof(path), "/fill/%07zu", i);
		(void)zoo_acreate(zh, path, zk_peer_value, ZK_PEER_VALUE_BYTES,
		    &ZOO_OPEN_ACL_UNSAFE, 0, on_filled, &window);
	}
	for (int i = 0; i < FILL_WINDOW; i++)
		(void)sem_wait(&window);
	zk_bench_single(args[0],
	    (double)count * 1e6 / (zk_bench_now_us() - start_us), "/s",
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

	zoo_set_debug_level(0);
	return zk_peer_main(argc, argv, verbs, 6);
}

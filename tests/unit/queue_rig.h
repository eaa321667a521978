#ifndef ZK_TESTS_UNIT_QUEUE_RIG_H
#define ZK_TESTS_UNIT_QUEUE_RIG_H

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "queue/broker.h"
#include "store/datadir.h"

/*
 * Some brokers under one virtual clock, with a network that loses nothing
 * unless it is told to.  One per test: each test is its own process.
 */

#define RIG __attribute__((unused)) static

#define RIG_HOSTS_MAX 4u
#define RIG_PART      77u
#define RIG_LEASE_MS  1000ull

struct rig_frame {
	struct rig_frame *next;
	unsigned from, to;
	size_t len;
	uint8_t bytes[];
};

struct rig_host {
	struct zk_broker *broker; /* NULL: down */
	char dir[80];
	uint64_t boots;
	bool cut;  /* from and to all others */
	bool held; /* what it sends arrives when it is not any more */
	uint64_t changes;
	struct zk_partition_info info; /* told last */
	struct zk_request_list list;   /* for the next turn */
	uint64_t frames, bytes;        /* sent */
	size_t map_bytes;              /* 0: 256 MiB */
	uint64_t session;              /* of the tree; 0: it has none */
	uint64_t over;                 /* known here to be over, up to this */
};

static struct rig {
	char dir[64];
	pid_t cleaner;
	int alive_fd; /* its other end tells the cleaner that we are gone */
	unsigned count;
	uint64_t now_ms;
	uint32_t op_timeout_ms, linger_ms;
	struct rig_host hosts[RIG_HOSTS_MAX];
	struct rig_frame *wire, **wire_last;
} rig;

static void
rig_sleepless_cleaner(int fd)
{
	char byte;

	while (read(fd, &byte, 1) < 0 && errno == EINTR)
		;
	(void)execlp("rm", "rm", "-rf", rig.dir, (char *)NULL);
	_exit(1);
}

/* Criterion ends a failing test on the spot: a child removes the files. */
RIG void
rig_init(unsigned count)
{
	int fds[2];

	(void)snprintf(rig.dir, sizeof(rig.dir), "/tmp/zkfs-queue-XXXXXX");
	cr_assert_not_null(mkdtemp(rig.dir));
	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	rig.cleaner = fork();
	if (rig.cleaner == 0) {
		(void)close(fds[1]);
		rig_sleepless_cleaner(fds[0]);
	}
	(void)close(fds[0]);
	rig.alive_fd = fds[1];
	rig.count = count;
	rig.now_ms = 1000000;
	rig.op_timeout_ms = 10000;
	rig.wire_last = &rig.wire;
	for (unsigned i = 0; i < count; i++) {
		struct rig_host *host = &rig.hosts[i];

		zk_request_list_init(&host->list);
		(void)snprintf(host->dir, sizeof(host->dir), "%s/%u", rig.dir,
		    i);
		cr_assert_eq(mkdir(host->dir, 0700), 0);
	}
}

RIG void
rig_fini(void)
{
	for (unsigned i = 0; i < rig.count; i++)
		zk_broker_close(rig.hosts[i].broker);
	(void)close(rig.alive_fd);
	while (waitpid(rig.cleaner, NULL, 0) < 0 && errno == EINTR)
		;
}

RIG struct zk_broker_time
rig_time(void)
{
	return (struct zk_broker_time){
	    .wall = {(int64_t)(rig.now_ms / 1000),
	        (uint32_t)(rig.now_ms % 1000) * 1000000u},
	    .mono_ms = rig.now_ms,
	};
}

RIG uint64_t
rig_node(unsigned host)
{
	return host + 1;
}

RIG void
rig_send(void *arg, uint64_t to, unsigned lane, const void *bytes, size_t len)
{
	struct rig_host *host = arg;
	const unsigned from = (unsigned)(host - rig.hosts);
	struct rig_frame *frame;

	(void)lane;
	host->frames++;
	host->bytes += len;
	if (to > rig.count || host->cut || rig.hosts[to - 1].cut)
		return;
	frame = malloc(sizeof(*frame) + len);
	cr_assert_not_null(frame);
	*frame = (struct rig_frame){
	    .from = from,
	    .to = (unsigned)to - 1,
	    .len = len,
	};
	memcpy(frame->bytes, bytes, len);
	*rig.wire_last = frame;
	rig.wire_last = &frame->next;
}

RIG void
rig_changed(void *arg, const struct zk_partition_info *info)
{
	struct rig_host *host = arg;

	host->changes++;
	host->info = *info;
}

RIG uint64_t
rig_own_session(void *arg, uint64_t *ret_left_ms)
{
	const struct rig_host *host = arg;

	*ret_left_ms = RIG_LEASE_MS;
	return host->session;
}

RIG int
rig_is_over(void *arg, uint64_t session)
{
	const struct rig_host *host = arg;

	return session <= host->over;
}

RIG int
rig_open_code(unsigned id)
{
	struct rig_host *host = &rig.hosts[id];
	const struct zk_broker_options options = {
	    .dir = host->dir,
	    .self = rig_node(id),
	    .map_bytes =
	        host->map_bytes != 0 ? host->map_bytes : (size_t)256 << 20,
	    .seed = 1000 * ++host->boots + id,
	    .election_ms = 300,
	    .heartbeat_ms = 60,
	    .op_timeout_ms = rig.op_timeout_ms,
	    .linger_ms = rig.linger_ms,
	    .sink = {.arg = host, .send = rig_send, .changed = rig_changed},
	    .sessions = {host, rig_own_session, rig_is_over},
	};
	const struct zk_broker_time now = rig_time();

	return zk_broker_open(&options, &now, &host->broker);
}

RIG void
rig_open(unsigned id)
{
	const int rc = rig_open_code(id);

	cr_assert_eq(rc, 0, "host %u: %s", id, zk_err_text(rc));
}

/* As by power loss: what is not committed is gone. */
RIG void
rig_crash(unsigned id)
{
	struct rig_frame **at = &rig.wire;

	zk_broker_close(rig.hosts[id].broker);
	rig.hosts[id].broker = NULL;
	while (*at != NULL) {
		struct rig_frame *frame = *at;

		if (frame->to != id && frame->from != id) {
			at = &frame->next;
			continue;
		}
		*at = frame->next;
		free(frame);
	}
	rig.wire_last = at;
}

RIG void
rig_turn(unsigned id)
{
	struct rig_host *host = &rig.hosts[id];
	const struct zk_broker_time now = rig_time();
	struct rig_frame *wire = rig.wire;
	uint32_t wait_ms;
	int rc;

	if (host->broker == NULL)
		return;
	rig.wire = NULL;
	rig.wire_last = &rig.wire;
	zk_broker_begin(host->broker, &now);
	while (wire != NULL) {
		struct rig_frame *frame = wire;

		wire = frame->next;
		frame->next = NULL;
		if (frame->to != id || rig.hosts[frame->from].held) {
			*rig.wire_last = frame;
			rig.wire_last = &frame->next;
			continue;
		}
		rc = zk_broker_receive(host->broker, rig_node(frame->from),
		    frame->bytes, frame->len);
		cr_assert_eq(rc, 0, "host %u refuses a frame of %u", id,
		    frame->from);
		free(frame);
	}
	zk_broker_submit(host->broker, &host->list);
	rc = zk_broker_end(host->broker, &wait_ms);
	cr_assert_eq(rc, 0, "host %u: turn: %s", id, zk_err_text(rc));
}

/* All take turns for so long. */
RIG void
rig_run(uint64_t ms)
{
	const uint64_t end_ms = rig.now_ms + ms;

	while (rig.now_ms < end_ms) {
		rig.now_ms += 5;
		for (unsigned id = 0; id < rig.count; id++)
			rig_turn(id);
	}
}

/* --- requests ------------------------------------------------------------- */

struct rig_done {
	bool done;
	int rc;
	uint64_t offset;
	size_t len;
	char bytes[4096];
	struct zk_partition_info info;
};

RIG void
rig_done(void *arg, const struct zk_reply *reply)
{
	struct rig_done *done = arg;

	cr_assert_not(done->done, "answered twice");
	done->done = true;
	done->rc = reply->rc;
	done->offset = reply->offset;
	done->info = reply->info;
	done->len =
	    reply->len < sizeof(done->bytes) ? reply->len : sizeof(done->bytes);
	if (done->len > 0)
		memcpy(done->bytes, reply->bytes, done->len);
}

RIG void
rig_submit(unsigned id, const struct zk_request *what, const void *bytes,
    size_t len, struct rig_done *done)
{
	struct zk_request copy = *what;
	struct zk_request *request;

	if (done != NULL) {
		*done = (struct rig_done){.done = false};
		copy.done = rig_done;
		copy.arg = done;
	}
	cr_assert_eq(zk_request_new(&copy, bytes, len, &request), 0);
	zk_request_list_add(&rig.hosts[id].list, request);
}

/* In the session that the host has. */
RIG void
rig_append(unsigned id, const char *text, struct rig_done *done)
{
	const struct zk_request what = {
	    .kind = ZK_REQUEST_APPEND,
	    .partition = RIG_PART,
	    .holder = rig.hosts[id].session,
	};

	rig_submit(id, &what, text, strlen(text), done);
}

/* Runs until it is answered. */
RIG void
rig_wait(const struct rig_done *done)
{
	for (unsigned i = 0; i < 20000 && !done->done; i++)
		rig_run(5);
	cr_assert(done->done, "no answer");
}

RIG uint64_t
rig_append_ok(unsigned id, const char *text)
{
	struct rig_done done;

	rig_append(id, text, &done);
	rig_wait(&done);
	cr_assert_eq(done.rc, 0, "%s", zk_err_text(done.rc));
	return done.offset;
}

/* Who leads the partition, by its own word; waits for it. */
RIG unsigned
rig_leader(void)
{
	struct zk_partition_info info;

	for (unsigned i = 0; i < 4000; i++) {
		for (unsigned id = 0; id < rig.count; id++)
			if (rig.hosts[id].broker != NULL &&
			    !rig.hosts[id].cut &&
			    zk_broker_info(rig.hosts[id].broker, RIG_PART,
			        &info) == 0 &&
			    info.leader == rig_node(id))
				return id;
		rig_run(5);
	}
	cr_assert(false, "no leader");
	return 0;
}

RIG void
rig_spec(struct zk_partition_spec *spec, unsigned founders, unsigned replicas)
{
	*spec = (struct zk_partition_spec){.id = RIG_PART};
	for (unsigned i = 0; i < rig.count; i++) {
		if ((founders >> i & 1) != 0)
			spec->founders[spec->founder_count++] = rig_node(i);
		if ((replicas >> i & 1) != 0)
			spec->replicas[spec->replica_count++] = rig_node(i);
	}
}

RIG void
rig_set_on(unsigned id, const struct zk_partition_spec *spec)
{
	struct zk_partition_spec copy = *spec;
	const struct zk_request what = {
	    .kind = ZK_REQUEST_SET,
	    .partition = spec->id,
	    .spec = &copy,
	};

	rig_submit(id, &what, NULL, 0, NULL);
}

RIG void
rig_set(const struct zk_partition_spec *spec)
{
	for (unsigned id = 0; id < rig.count; id++)
		if (rig.hosts[id].broker != NULL)
			rig_set_on(id, spec);
}

/* Three replicas and a host without one, some time later. */
RIG void
rig_four(struct zk_partition_spec *spec, unsigned ms)
{
	rig_init(4);
	for (unsigned id = 0; id < 4; id++)
		rig_open(id);
	rig_spec(spec, 7, 7);
	rig_set(spec);
	rig_run(ms);
}

/* All that host `id` has, as text. */
RIG const char *
rig_content(unsigned id)
{
	static char text[1 << 16];
	struct zk_partition_info info;
	size_t len;
	int rc;

	cr_assert_eq(zk_broker_info(rig.hosts[id].broker, RIG_PART, &info), 0);
	rc = zk_broker_read(rig.hosts[id].broker, RIG_PART, info.start, text,
	    sizeof(text) - 1, &len);
	cr_assert_eq(rc, 0, "read: %s", zk_err_text(rc));
	text[len] = '\0';
	return text;
}

#endif

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/err.h"
#include "base/hash.h"
#include "store/datadir.h"
#include "tests/queue/sim.h"

/*
 * One host: a broker on a directory of its own, its writers, and its network.
 * A crash loses what is not flushed; what was sent before the flush is under
 * way all the same.
 */

#define ELECTION_MS   300u
#define HEARTBEAT_MS  60u
#define OP_TIMEOUT_MS 4000u

/* --- the network ---------------------------------------------------------- */

void
sim_send(struct sim *sim, unsigned from, unsigned to, const void *bytes,
    size_t len)
{
	struct sim_message *msg, **at = &sim->wire;

	msg = malloc(sizeof(*msg) + len);
	if (msg == NULL)
		abort();
	*msg = (struct sim_message){
	    .at_us = sim->now_us + 50 + sim_random(sim, sim->delay_us),
	    .from = from,
	    .to = to,
	    .boot = sim->hosts[from].boots,
	    .boot_to = sim->hosts[to].boots,
	    .len = len,
	};
	if (msg->at_us < sim->stall_us[from][to])
		msg->at_us = sim->stall_us[from][to];
	memcpy(msg->bytes, bytes, len);
	sim->trace =
	    zk_mix64(sim->trace + sim->now_us + zk_crc32c(0, bytes, len));
	while (*at != NULL && (*at)->at_us <= msg->at_us)
		at = &(*at)->next;
	msg->next = *at;
	*at = msg;
}

static void
on_send(void *arg, uint64_t to, unsigned lane, const void *bytes, size_t len)
{
	struct sim_host *host = arg;
	struct sim *sim = host->sim;

	(void)lane;
	/* Of a flush that did not happen nobody hears. */
	if (host->dying &&
	    zk_broker_counts(host->broker)->flushes > host->flushes)
		return;
	if (to == 0 || to > sim->count || sim->cut[host->id][to - 1] ||
	    sim_chance(sim, sim->drop_percent))
		return;
	sim_send(sim, host->id, (unsigned)to - 1, bytes, len);
}

void
sim_deliver_due(struct sim *sim)
{
	while (sim->wire != NULL && sim->wire->at_us <= sim->now_us) {
		struct sim_message *msg = sim->wire;
		struct sim_host *to = &sim->hosts[msg->to];

		sim->wire = msg->next;
		msg->next = NULL;
		if (to->broker == NULL || msg->boot_to != to->boots ||
		    msg->boot != sim->hosts[msg->from].boots ||
		    sim->cut[msg->from][msg->to]) {
			free(msg);
			continue;
		}
		*to->mail_last = msg;
		to->mail_last = &msg->next;
		to->wake_us = sim->now_us;
	}
}

void
sim_wire_clear(struct sim *sim, unsigned id)
{
	struct sim_message **at = &sim->wire;

	while (*at != NULL) {
		struct sim_message *msg = *at;

		if (msg->to != id) {
			at = &msg->next;
			continue;
		}
		*at = msg->next;
		free(msg);
	}
}

/* --- writers -------------------------------------------------------------- */

static void
on_done(void *arg, const struct zk_reply *reply)
{
	struct sim_batch *batch = arg;
	struct sim *sim = batch->sim;
	struct sim_host *host = &sim->hosts[batch->host];

	if (host->dying || batch->boot != host->boots)
		return; /* there is nobody to hear it */
	if (batch->done)
		sim_fail(sim, "batch %" PRIu64 " is answered twice",
		    batch->number);
	host->batch[batch->part][batch->writer] = NULL;
	if (reply->rc == -ESTALE)
		return;
	batch->done = true;
	batch->rc = reply->rc;
	batch->offset = reply->offset;
	if (reply->rc == -ETIMEDOUT)
		sim_mark(sim, MARK_UNKNOWN);
	else if (reply->rc == -ENOSPC)
		sim_mark(sim, MARK_FULL);
	else if (reply->rc != 0 && reply->rc != -EROFS)
		sim_fail(sim, "batch %" PRIu64 ": %s", batch->number,
		    zk_err_text(reply->rc));
	sim_check_answer(sim, batch);
}

static struct sim_batch *
batch_new(struct sim *sim, unsigned id, unsigned part, unsigned writer)
{
	struct sim_batch *batch = calloc(1, sizeof(*batch));
	const uint64_t pieces = 1 + sim_random(sim, 3);

	if (batch == NULL)
		abort();
	*batch = (struct sim_batch){
	    .sim = sim,
	    .host = id,
	    .part = part,
	    .writer = writer,
	    .boot = sim->hosts[id].boots,
	    .number = ++sim->next_number,
	    .session = sim->hosts[id].own,
	};
	batch->text = malloc(SIM_TEXT_MAX);
	if (batch->text == NULL)
		abort();
	for (uint64_t piece = 1; piece <= pieces; piece++) {
		size_t pad = sim_random(sim, 60);

		if (sim_chance(sim, 3))
			pad = sim_random(sim, 7000);
		batch->len += (size_t)snprintf(batch->text + batch->len,
		    SIM_TEXT_MAX - batch->len, "%" PRIu64 ".%" PRIu64 " ",
		    batch->number, piece);
		memset(batch->text + batch->len,
		    'a' + (int)(batch->number % 26), pad);
		batch->len += pad;
		batch->text[batch->len++] = '\n';
	}
	sim->batches[sim->batch_count++] = batch;
	return batch;
}

static void
act(struct sim *sim, struct sim_host *host, unsigned part, unsigned writer)
{
	struct zk_request what = {
	    .kind = ZK_REQUEST_APPEND,
	    .partition = sim->specs[part].id,
	    .done = on_done,
	};
	struct zk_request *request;
	struct sim_batch *batch;
	uint64_t left_ms;

	if (host->batch[part][writer] != NULL || sim->quiet ||
	    host->next_us[part][writer] > sim->now_us ||
	    sim_tree_own(host, &left_ms) == 0 ||
	    sim->batch_count == SIM_BATCHES)
		return;
	host->next_us[part][writer] =
	    sim->now_us + 1000 + sim_random(sim, 40000);
	batch = batch_new(sim, host->id, part, writer);
	host->batch[part][writer] = batch;
	what.arg = batch;
	what.holder = batch->session;
	if (zk_request_new(&what, batch->text, batch->len, &request) < 0)
		abort();
	zk_request_list_add(&host->list, request);
}

/* Hosts hear of the tree's changes, each in its time. */
static void
tell(struct sim *sim, struct sim_host *host)
{
	for (unsigned part = 0; part < SIM_PARTS; part++) {
		struct zk_request what = {
		    .kind = ZK_REQUEST_SET,
		    .partition = sim->specs[part].id,
		    .spec = &sim->specs[part],
		};
		struct zk_request *request;

		if (host->told[part] || sim_chance(sim, 90))
			continue;
		if (zk_request_new(&what, NULL, 0, &request) < 0)
			abort();
		zk_request_list_add(&host->list, request);
		what.kind = ZK_REQUEST_FOLLOW;
		if (zk_request_new(&what, NULL, 0, &request) < 0)
			abort();
		zk_request_list_add(&host->list, request);
		host->told[part] = true;
	}
}

/* --- life and turns ------------------------------------------------------- */

static struct zk_broker_time
time_of(const struct sim *sim)
{
	return (struct zk_broker_time){
	    .wall = {(int64_t)(1000 + sim->now_us / 1000000),
	        (uint32_t)(sim->now_us % 1000000 * 1000)},
	    .mono_ms = 1 + sim->now_us / 1000,
	};
}

static void
on_changed(void *arg, const struct zk_partition_info *info)
{
	(void)arg;
	(void)info;
}

void
sim_host_start(struct sim *sim, unsigned id)
{
	struct sim_host *host = &sim->hosts[id];
	const struct zk_broker_options options = {
	    .dir = host->dir,
	    .self = id + 1,
	    .map_bytes = host->map_bytes,
	    /* No two runs of any hosts have the same. */
	    .seed = zk_mix64(sim->seed * 31 + 1000ull * id + ++host->boots) | 1,
	    .election_ms = ELECTION_MS,
	    .heartbeat_ms = HEARTBEAT_MS,
	    .op_timeout_ms = OP_TIMEOUT_MS,
	    .settle_ms = sim->settle_ms,
	    .linger_ms = sim->linger_ms,
	    .sink = {.arg = host, .send = on_send, .changed = on_changed},
	    .sessions = {host, sim_tree_own, sim_tree_is_over},
	};
	const struct zk_broker_time now = time_of(sim);
	int rc;

	host->dying = false;
	host->counts = (struct zk_broker_counts){0};
	host->mail = NULL;
	host->mail_last = &host->mail;
	host->busy_us = host->wake_us = sim->now_us;
	zk_request_list_init(&host->list);
	sim_tree_start(host);
	memset(host->told, 0, sizeof(host->told));
	memset(host->local, 0, sizeof(host->local));
	memset(host->batch, 0, sizeof(host->batch));
	memset(host->syncs, 0, sizeof(host->syncs));
	rc = zk_broker_open(&options, &now, &host->broker);
	if (rc < 0)
		sim_fail(sim, "host %u does not start: %s", id,
		    zk_err_text(rc));
}

void
sim_host_stop(struct sim *sim, unsigned id)
{
	struct sim_host *host = &sim->hosts[id];
	struct zk_request *request;
	struct sim_message *msg;

	if (host->broker == NULL)
		return;
	host->dying = true;
	zk_broker_close(host->broker);
	host->broker = NULL;
	while ((request = zk_request_list_pop(&host->list)) != NULL)
		zk_request_free(request);
	while ((msg = host->mail) != NULL) {
		host->mail = msg->next;
		free(msg);
	}
	sim_wire_clear(sim, id);
	host->restart_us = sim->now_us + sim_random(sim, 3000000);
	/* Connections end on both sides. */
	for (unsigned other = 0; other < sim->count; other++)
		if (sim->hosts[other].broker != NULL && sim_chance(sim, 70)) {
			const struct zk_broker_time now = time_of(sim);
			uint32_t wait_ms;

			zk_broker_begin(sim->hosts[other].broker, &now);
			zk_broker_peer(sim->hosts[other].broker, id + 1, false);
			if (zk_broker_end(sim->hosts[other].broker, &wait_ms) <
			    0)
				sim_fail(sim, "host %u: turn", other);
			sim_check_host(sim, other);
		}
}

const char *const sim_files[SIM_FILES] = {
    ZK_DATADIR_TOPICS,
    ZK_DATADIR_TOPICS_JOURNAL,
};

/* A file as it is before a flush that will not happen. */
struct saved {
	uint8_t *bytes;
	size_t len;
};

static int
open_file(const struct sim_host *host, size_t i, int flags)
{
	char path[160];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", host->dir, sim_files[i]);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		abort();
	return fd;
}

static void
save_file(const struct sim_host *host, size_t i, struct saved *saved)
{
	const int fd = open_file(host, i, O_RDONLY);
	struct zk_broker_usage usage;
	struct stat st;

	/* Of the first the rest is room for later. */
	zk_broker_usage(host->broker, &usage);
	if (fstat(fd, &st) != 0)
		abort();
	saved->len = i == 0 ? usage.file_bytes : (size_t)st.st_size;
	saved->bytes = malloc(saved->len);
	if (saved->bytes == NULL ||
	    pread(fd, saved->bytes, saved->len, 0) != (ssize_t)saved->len)
		abort();
	(void)close(fd);
}

static void
restore_file(const struct sim_host *host, size_t i, struct saved *saved)
{
	const int fd = open_file(host, i, O_WRONLY);

	if (pwrite(fd, saved->bytes, saved->len, 0) != (ssize_t)saved->len)
		abort();
	(void)close(fd);
	free(saved->bytes);
}

static void
mark_counts(struct sim *sim, struct sim_host *host)
{
	const struct zk_broker_counts *now = zk_broker_counts(host->broker);
	const struct zk_broker_counts *seen = &host->counts;
	const struct {
		uint64_t now, seen;
		enum sim_mark mark;
	} counts[] = {
	    {now->elections, seen->elections, MARK_ELECTION},
	    {now->truncations, seen->truncations, MARK_TRUNCATION},
	    {now->repeated, seen->repeated, MARK_REPEATED},
	    {now->resent, seen->resent, MARK_RESENT},
	    {now->moved_in, seen->moved_in, MARK_MOVED_IN},
	    {now->moved_out, seen->moved_out, MARK_MOVED_OUT},
	    {now->snapshots, seen->snapshots, MARK_SNAPSHOT},
	    {now->retained, seen->retained, MARK_RETAINED},
	    {now->late, seen->late, MARK_LATE},
	};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		if (counts[i].now > counts[i].seen)
			sim_mark(sim, counts[i].mark);
	/* Has one come (back) that has nothing yet?  It is asked at once. */
	for (unsigned part = 0;
	     part < SIM_PARTS && !sim->quiet && now->moved_in > seen->moved_in;
	     part++)
		sim_ask_stale(sim, part, (unsigned)sim_random(sim, sim->count),
		    host->id);
	host->counts = *now;
}

static void
read_mail(struct sim *sim, struct sim_host *host)
{
	struct sim_message *msg;

	while ((msg = host->mail) != NULL) {
		host->mail = msg->next;
		if (zk_broker_receive(host->broker, msg->from + 1, msg->bytes,
		        msg->len) == -EPROTO)
			sim_fail(sim, "host %u refuses a frame of %u", host->id,
			    msg->from);
		free(msg);
	}
	host->mail_last = &host->mail;
}

static void
end_turn(struct sim *sim, struct sim_host *host)
{
	struct saved saved[SIM_FILES];
	uint32_t wait_ms = 0;
	bool crash = false;
	int rc;

	if (!sim->quiet && sim_random(sim, 1500) == 0) {
		crash = true;
		for (size_t i = 0; i < SIM_FILES; i++)
			save_file(host, i, &saved[i]);
		host->flushes = zk_broker_counts(host->broker)->flushes;
		host->dying = true;
	}
	rc = zk_broker_end(host->broker, &wait_ms);
	if (rc < 0) {
		sim_fail(sim, "host %u: turn: %s", host->id, zk_err_text(rc));
		return;
	}
	if (crash) {
		sim_mark(sim, MARK_CRASH_AT_FLUSH);
		sim_host_stop(sim, host->id);
		for (size_t i = 0; i < SIM_FILES; i++)
			restore_file(host, i, &saved[i]);
		return;
	}
	mark_counts(sim, host);
	host->busy_us = sim->now_us + 100 + sim_random(sim, 2000);
	if (!sim->quiet && sim_random(sim, 3000) == 0) {
		sim_mark(sim, MARK_SLOW_FLUSH);
		host->busy_us += sim_random(sim, 1500000);
	}
	host->wake_us = wait_ms > 1000 ? sim->now_us + 1000000
	                               : sim->now_us + wait_ms * 1000ull;
	if (host->wake_us < host->busy_us)
		host->wake_us = host->busy_us;
	sim_check_host(sim, host->id);
}

void
sim_host_turn(struct sim *sim, unsigned id)
{
	struct sim_host *host = &sim->hosts[id];
	const struct zk_broker_time now = time_of(sim);

	zk_broker_begin(host->broker, &now);
	read_mail(sim, host);
	tell(sim, host);
	for (unsigned part = 0; part < SIM_PARTS; part++)
		for (unsigned writer = 0; writer < SIM_WRITERS; writer++)
			if (host->told[part])
				act(sim, host, part, writer);
	for (unsigned part = 0; part < SIM_PARTS; part++)
		if (host->told[part])
			sim_sync(sim, host, part);
	zk_broker_submit(host->broker, &host->list);
	end_turn(sim, host);
}

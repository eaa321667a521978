#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/hash.h"
#include "tests/sim/sim.h"

/*
 * One host: a store in a directory of its own and a member on it.  A crash is
 * the loss of everything that is not committed; what the member sent before
 * its flush is on its way nevertheless.
 */

#define SESSION_MS   4000u
#define ELECTION_MS  300u
#define HEARTBEAT_MS 60u

/* Set in what a session is called while it is being opened. */
#define NO_SESSION (1ull << 63)

static struct zk_member_time
time_of(const struct sim_member *host)
{
	const struct sim *sim = host->sim;
	const uint64_t true_us = sim->now_us - host->boot_us;
	const uint64_t local_us = (uint64_t)((int64_t)true_us +
	    (int64_t)true_us * host->rate_ppm / 1000000);

	return (struct zk_member_time){
	    .wall = {(int64_t)(1000 + sim->now_us / 1000000),
	        (uint32_t)(sim->now_us % 1000000 * 1000)},
	    .mono_ms = 5 + local_us / 1000,
	};
}

static void
on_send(void *arg, uint64_t to, unsigned lane, const void *bytes, size_t len)
{
	struct sim_member *host = arg;

	(void)lane;
	sim_send(host->sim, host->id, to, bytes, len);
}

static void
on_changed(void *arg, const struct zk_change *change)
{
	struct sim_member *host = arg;

	sim_trace(host->sim, &change->ino, sizeof(change->ino));
	sim_trace(host->sim, change->name, change->name_len);
	sim_trace(host->sim, change->name2, change->name2_len);
	/* Only the end of a session removes a name for no client. */
	if (change->kind == ZK_CHANGE_DELETE &&
	    (change->session == 0 || (change->session & NO_SESSION) != 0))
		sim_mark(host->sim, MARK_EPHEMERAL_ENDED);
}

static void
on_replaced(void *arg)
{
	struct sim_member *host = arg;

	sim_trace(host->sim, &host->id, sizeof(host->id));
}

static void
on_state(void *arg, enum zk_member_state state)
{
	struct sim_member *host = arg;

	host->state = state;
	if (state == ZK_STATE_LOST)
		sim_mark(host->sim, MARK_SESSION_LOST);
}

static void
founders_of(const struct sim *sim, struct zk_conf *ret_conf)
{
	*ret_conf = (struct zk_conf){.count = sim->count};
	for (unsigned i = 0; i < sim->count; i++) {
		ret_conf->ids[i] = sim->members[i].node;
		ret_conf->voter_bits |= 1u << i;
	}
}

void
sim_host_start(struct sim *sim, unsigned id)
{
	static const uint8_t ensemble[16] = "a test ensemble";
	struct sim_member *host = &sim->members[id];
	struct zk_store_options store_options = {
	    .dir = host->dir,
	    .member = host->dir + strlen(host->dir) - 2,
	    .map_bytes = (size_t)256 * ZK_MIB,
	    .seed = id + 1,
	};
	struct zk_conf founders;
	struct zk_member_options options = {
	    .seed = zk_mix64(sim->seed + 77ull * id + host->boots) | 1,
	    .session_timeout_ms = SESSION_MS,
	    .election_ms = ELECTION_MS,
	    .heartbeat_ms = HEARTBEAT_MS,
	    .founders = &founders,
	    .ensemble = ensemble,
	    .log_keep = sim->log_keep,
	    .snapshot_part = sim->log_keep != 0 ? 500 : 0,
	    .sink =
	        {
	            .arg = host,
	            .send = on_send,
	            .changed = on_changed,
	            .state_changed = on_state,
	            .replaced = on_replaced,
	        },
	};
	struct zk_member_time now;
	char *why = NULL;
	int rc;

	host->boots++;
	host->replica_counts = (struct zk_replica_counts){0};
	host->member_counts = (struct zk_member_counts){0};
	host->boot_us = sim->now_us;
	host->busy_us = host->wake_us = sim->now_us;
	host->mail = NULL;
	host->mail_last = &host->mail;
	host->state = ZK_STATE_SUSPENDED;
	zk_item_list_init(&host->items);
	rc = zk_store_open(&store_options, &why, &host->store);
	if (rc < 0) {
		sim_fail(sim, "host %u: store: %s", id,
		    why != NULL ? why : zk_err_text(rc));
		free(why);
		return;
	}
	host->node = zk_store_ident(host->store)->node;
	founders_of(sim, &founders);
	options.store = host->store;
	now = time_of(host);
	rc = zk_member_open(&options, &now, &host->member);
	if (rc < 0) {
		sim_fail(sim, "host %u: member: %s", id, zk_err_text(rc));
		return;
	}
	host->up = true;
	sim_clients_reset(sim, id);
}

void
sim_host_stop(struct sim *sim, unsigned id)
{
	struct sim_member *host = &sim->members[id];
	struct sim_message *msg;

	if (!host->up)
		return;
	host->up = false;
	while ((msg = host->mail) != NULL) {
		host->mail = msg->next;
		free(msg);
	}
	host->mail_last = &host->mail;
	/* Its clients die with it: what they asked for stays unknown. */
	zk_member_close(host->member);
	host->member = NULL;
	zk_store_close(host->store);
	host->store = NULL;
	for (struct zk_item *item; (item = zk_item_list_pop(&host->items));)
		free(item);
	sim_wire_clear(sim, id);
}

/* The directory, when the run is over. */
void
sim_host_forget(struct sim *sim, unsigned id)
{
	static const char *const files[] = {"tree.mdb", "tree.mdb-lock"};
	char path[192];

	sim_host_stop(sim, id);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s",
		    sim->members[id].dir, files[i]);
		(void)unlink(path);
	}
	(void)rmdir(sim->members[id].dir);
}

static void
read_mail(struct sim *sim, struct sim_member *host)
{
	struct sim_message *msg;

	while ((msg = host->mail) != NULL) {
		const uint64_t from = sim->members[msg->from].node;
		int rc;

		host->mail = msg->next;
		rc =
		    zk_member_receive(host->member, from, msg->bytes, msg->len);
		if (rc == -EPROTO)
			sim_fail(sim, "host %u: refused a message of %u",
			    host->id, msg->from);
		free(msg);
	}
	host->mail_last = &host->mail;
}

/* Marks what the member has counted since the last look. */
static void
mark_counts(struct sim *sim, struct sim_member *host)
{
	const struct zk_replica_counts *r =
	    zk_replica_counts(zk_member_replica(host->member));
	const struct zk_member_counts *m = zk_member_counts(host->member);
	const struct zk_replica_counts *r_seen = &host->replica_counts;
	const struct zk_member_counts *m_seen = &host->member_counts;
	const struct {
		uint64_t now, seen;
		enum sim_mark mark;
	} counts[] = {
	    {r->truncations, r_seen->truncations, MARK_TRUNCATION},
	    {r->snapshots_sent, r_seen->snapshots_sent, MARK_SNAPSHOT_SENT},
	    {r->snapshots_installed, r_seen->snapshots_installed,
	        MARK_SNAPSHOT_INSTALLED},
	    {r->snapshot_resends, r_seen->snapshot_resends,
	        MARK_SNAPSHOT_RESENT},
	    {r->snapshots_failed, r_seen->snapshots_failed,
	        MARK_SNAPSHOT_FAILED},
	    {m->locks_waited, m_seen->locks_waited, MARK_LOCK_WAITED},
	    {m->sessions_ended, m_seen->sessions_ended, MARK_SESSION_ENDED},
	};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		if (counts[i].now > counts[i].seen)
			sim_mark(sim, counts[i].mark);
	host->replica_counts = *r;
	host->member_counts = *m;
}

/* Power fails before the flush: anywhere, and where it is most delicate. */
static bool
fails_in_turn(struct sim *sim, const struct sim_member *host)
{
	const struct zk_replica_counts *counts =
	    zk_replica_counts(zk_member_replica(host->member));

	if (sim->quiet)
		return false;
	if (counts->snapshots_installed >
	        host->replica_counts.snapshots_installed &&
	    sim_chance(sim, 20)) {
		sim_mark(sim, MARK_CRASH_IN_INSTALL);
		return true;
	}
	if (sim_random(sim, 4000) != 0)
		return false;
	sim_mark(sim, MARK_CRASH_IN_TURN);
	return true;
}

void
sim_host_turn(struct sim *sim, unsigned id)
{
	struct sim_member *host = &sim->members[id];
	const struct zk_member_time now = time_of(host);
	const struct zk_replica_counts *counts =
	    zk_replica_counts(zk_member_replica(host->member));
	const uint64_t seen = host->replica_counts.snapshots_installed;
	uint32_t wait_ms = 0;
	int rc;

	zk_member_begin(host->member, &now);
	sim_clients_act(sim, id);
	read_mail(sim, host);
	zk_member_submit(host->member, &host->items);
	if (fails_in_turn(sim, host)) {
		sim_host_stop(sim, id);
		return;
	}
	rc = zk_member_end(host->member, &wait_ms);
	if (rc < 0) {
		sim_fail(sim, "host %u: turn: %s", id, zk_err_text(rc));
		return;
	}
	if (counts->snapshots_installed > seen && !sim->quiet &&
	    sim_chance(sim, 30)) {
		/* What was committed last is all that there is. */
		sim_mark(sim, MARK_CRASH_AFTER_INSTALL);
		sim_host_stop(sim, id);
		return;
	}
	mark_counts(sim, host);
	/* The flush takes its time; messages for it wait. */
	host->busy_us = sim->now_us + 100 + sim_random(sim, 2000);
	if (!sim->quiet && sim_random(sim, 3000) == 0) {
		sim_mark(sim, MARK_SLOW_FLUSH);
		host->busy_us += sim_random(sim, 2000000);
	}
	host->wake_us = wait_ms >= 1000000 ? sim->now_us + 1000000
	                                   : sim->now_us + wait_ms * 1000ull;
	if (host->wake_us < host->busy_us)
		host->wake_us = host->busy_us;
	sim_check_host(sim, id);
}

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/hash.h"
#include "tests/sim/disk.h"
#include "tests/sim/sim.h"

/*
 * One host: a store in a directory of its own and a member on it.  A crash is
 * the loss of everything that is not committed; what the member sent before
 * its flush is on its way nevertheless.
 */

#define SESSION_MS   2000u
#define ELECTION_MS  300u
#define HEARTBEAT_MS 60u

/* Whether somebody looks at a host may change so often. */
#define CARES_US 3000000u
/* For that long after a start. */
#define HOLD_US 300000u

/* Set in what a session is called while it is being opened. */
#define NO_SESSION (1ull << 63)

static struct zk_member_time
time_of(const struct sim_host *host)
{
	const struct sim *sim = host->sim;
	const uint64_t true_us = sim->now_us - host->boot_us;
	const uint64_t local_us = (uint64_t)((int64_t)true_us +
	    (int64_t)true_us * host->rate_ppm / 1000000);

	return (struct zk_member_time){
	    .wall = {(int64_t)(1000000 + sim->now_us / 1000000) + host->wall_s,
	        (uint32_t)(sim->now_us % 1000000 * 1000)},
	    .mono_ms = 5 + local_us / 1000,
	};
}

/* --- what the member says ------------------------------------------------- */

static void
on_send(void *arg, uint64_t to, unsigned lane, const void *bytes, size_t len)
{
	(void)lane;
	sim_send(arg, to, bytes, len);
}

static void
on_changed(void *arg, const struct zk_change *change)
{
	struct sim_host *host = arg;

	sim_trace(host->sim, &change->ino, sizeof(change->ino));
	sim_trace(host->sim, change->name, change->name_len);
	sim_trace(host->sim, change->name2, change->name2_len);
	/* Only the end of a session removes a name for no client. */
	if (change->kind == ZK_CHANGE_DELETE &&
	    (change->session == 0 || (change->session & NO_SESSION) != 0))
		sim_mark(host->sim, MARK_EPHEMERAL_ENDED);
}

/* On some hosts somebody looks, now and then. */
static bool
on_cares(void *arg)
{
	const struct sim_host *host = arg;

	return (host->id + host->sim->now_us / CARES_US) % 3 == 0;
}

/* Some that have just started cannot take another tree yet. */
static bool
on_replacing(void *arg, bool now)
{
	const struct sim_host *host = arg;

	if (now || host->boots % 2 == 0 ||
	    host->sim->now_us - host->boot_us > HOLD_US)
		return true;
	sim_mark(host->sim, MARK_SNAPSHOT_HELD);
	return false;
}

static void
on_replaced(void *arg)
{
	struct sim_host *host = arg;

	sim_trace(host->sim, &host->id, sizeof(host->id));
}

static void
on_state(void *arg, enum zk_member_state state)
{
	struct sim_host *host = arg;

	if (state == ZK_STATE_LOST)
		sim_mark(host->sim, MARK_SESSION_LOST);
}

static void
on_barrier(void *arg, uint64_t ctx, bool reached)
{
	sim_client_read(arg, ctx, reached);
}

/* --- life and death ------------------------------------------------------- */

static void
founders_of(const struct sim *sim, const struct sim_host *host,
    struct zk_conf *ret_conf)
{
	*ret_conf = (struct zk_conf){.count = 0};
	if (!host->founder || host->lives > 1)
		return;
	for (unsigned i = 0; i < sim->count; i++) {
		if (!sim->hosts[i].founder)
			continue;
		ret_conf->ids[ret_conf->count] = sim->hosts[i].node;
		ret_conf->voter_bits |= 1u << ret_conf->count++;
	}
}

static int
open_store(struct sim_host *host)
{
	const struct zk_store_options options = {
	    .dir = host->dir,
	    .member = host->dir + strlen(host->dir) - 2,
	    .map_bytes = (size_t)256 * ZK_MIB,
	    .seed = host->id + 1 + 100 * host->lives,
	    /* Small, and differently so: checkpoints come early and late. */
	    .journal_bytes = (size_t)1 << (17 + host->id % 4),
	};
	char *why = NULL;
	int rc = zk_store_open(&options, &why, &host->store);

	if (rc < 0)
		sim_fail(host->sim, "host %u: store: %s", host->id,
		    why != NULL ? why : zk_err_text(rc));
	free(why);
	return rc;
}

/* Makes the disk, to know its id, which its founders must before it starts. */
void
sim_host_name(struct sim_host *host, const char *base)
{
	host->lives++;
	if (base != NULL)
		(void)snprintf(host->dir, sizeof(host->dir), "%s/m%u", base,
		    host->id);
	if (open_store(host) < 0)
		return;
	host->node = zk_store_ident(host->store)->node;
	zk_store_abandon(host->store);
	host->store = NULL;
}

static int
open_member(struct sim_host *host)
{
	static const uint8_t ensemble[16] = "a test ensemble";
	struct sim *sim = host->sim;
	const struct zk_member_time now = time_of(host);
	struct zk_roster *roster = NULL;
	struct zk_conf founders;
	int rc;
	struct zk_member_options options = {
	    .store = host->store,
	    .seed = zk_mix64(zk_prng_next(&host->rng)) | 1,
	    .session_timeout_ms = SESSION_MS,
	    .election_ms = ELECTION_MS,
	    .heartbeat_ms = HEARTBEAT_MS,
	    .founders = &founders,
	    .ensemble = ensemble,
	    .log_keep = sim->log_keep,
	    .snapshot_part = sim->log_keep != 0 ? 500 : 0,
	    .uncommitted_max = sim->uncommitted_max,
	    .stream_length = 1,
	    .sink =
	        {
	            .arg = host,
	            .send = on_send,
	            .changed = on_changed,
	            .state_changed = on_state,
	            .replacing = on_replacing,
	            .replaced = on_replaced,
	            .barrier = on_barrier,
	            .cares = on_cares,
	        },
	};

	founders_of(sim, host, &founders);
	if (sim->has_roster && founders.count > 0) {
		roster = malloc(sizeof(*roster));
		if (roster == NULL)
			abort();
		sim_roster_founders(sim, roster);
		options.roster = roster;
	}
	rc = zk_member_open(&options, &now, &host->member);
	free(roster);
	return rc;
}

static void
meet_others(struct sim_host *host)
{
	struct sim *sim = host->sim;

	for (unsigned i = 0; i < sim->count; i++) {
		if (i == host->id || !sim->hosts[i].up)
			continue;
		host->found |= 1u << i;
		sim->hosts[i].found |= 1u << host->id;
	}
}

void
sim_host_start(struct sim_host *host)
{
	struct sim *sim = host->sim;
	int rc;

	host->boots++;
	host->restart_us = 0;
	host->replica_counts = (struct zk_replica_counts){0};
	host->member_counts = (struct zk_member_counts){0};
	host->role = ZK_FOLLOWER;
	host->boot_us = host->busy_us = host->wake_us = sim->now_us;
	host->mail = NULL;
	host->mail_last = &host->mail;
	host->applied = host->conf_index = host->conf_newest = 0;
	host->session = 0;
	host->lost = host->found = 0;
	host->dying = host->deaf = false;
	host->lag_us = 0;
	zk_item_list_init(&host->items);
	if (open_store(host) < 0)
		return;
	sim_disk_use(host);
	rc = open_member(host);
	sim_disk_use(NULL);
	if (rc < 0 || host->dying) {
		if (!host->dying && !host->disk_full)
			sim_fail(sim, "host %u: member: %s", host->id,
			    zk_err_text(rc));
		if (rc == 0)
			zk_member_close(host->member);
		host->member = NULL;
		zk_store_abandon(host->store);
		host->store = NULL;
		host->arm = ARM_NONE;
		host->restart_us = sim->now_us + 300000;
		return;
	}
	host->up = true;
	sim_check_start(host);
	sim_clients_reset(host);
	meet_others(host);
}

void
sim_host_stop(struct sim_host *host, bool silent)
{
	struct sim *sim = host->sim;
	struct sim_message *msg;

	if (!host->up)
		return;
	host->up = false;
	host->dying = true;
	host->arm = ARM_NONE;
	while ((msg = host->mail) != NULL) {
		host->mail = msg->next;
		free(msg);
	}
	/* Its clients die with it: what they asked for stays unknown. */
	zk_member_close(host->member);
	host->member = NULL;
	zk_store_abandon(host->store);
	host->store = NULL;
	for (struct zk_item *item; (item = zk_item_list_pop(&host->items));)
		free(item);
	sim_wire_drop(sim, host->id, host->id);
	for (unsigned i = 0; i < sim->count && !silent; i++)
		sim->hosts[i].lost |= 1u << host->id;
}

void
sim_host_wipe(struct sim_host *host)
{
	struct dirent *entry;
	DIR *dir;

	sim_host_stop(host, false);
	dir = opendir(host->dir);
	while (dir != NULL && (entry = readdir(dir)) != NULL)
		(void)unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir != NULL)
		(void)closedir(dir);
	(void)rmdir(host->dir);
	host->restart_us = 0;
	host->term = host->vote = 0;
	memset(host->versions, 0, sizeof(host->versions));
	if (!host->sim->failed)
		sim_host_name(host, NULL);
}

/* --- a turn --------------------------------------------------------------- */

bool
sim_host_due(const struct sim_host *host)
{
	const uint64_t now_us = host->sim->now_us;

	return host->up && host->busy_us <= now_us &&
	    (host->wake_us <= now_us || host->mail != NULL ||
	        sim_clients_next_us(host) <= now_us);
}

static void
read_mail(struct sim *sim, struct sim_host *host)
{
	struct sim_message *msg;

	if (host->deaf) {
		/* It has woken, and its mail is not there yet. */
		host->deaf = false;
		return;
	}
	while ((msg = host->mail) != NULL) {
		int rc;

		host->mail = msg->next;
		rc = zk_member_receive(host->member, msg->node_from, msg->bytes,
		    msg->len);
		if (rc == -EPROTO)
			sim_fail(sim,
			    "host %u: refused a message of %u, "
			    "kind %u.%u",
			    host->id, msg->from, msg->bytes[0], msg->bytes[1]);
		free(msg);
	}
	host->mail_last = &host->mail;
}

static void
hear_of_peers(struct sim_host *host)
{
	struct sim *sim = host->sim;

	for (unsigned i = 0; i < sim->count; i++) {
		const uint64_t node = sim->hosts[i].node;

		if (i == host->id)
			continue;
		if ((host->lost >> i & 1) != 0)
			zk_member_peer(host->member, node, false);
		if ((host->found >> i & 1) != 0)
			zk_member_peer(host->member, node, true);
	}
	host->lost = host->found = 0;
}

/* Marks what the member has counted since the last look. */
static void
mark_counts(struct sim *sim, struct sim_host *host)
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
	    {m->commits_late, m_seen->commits_late, MARK_COMMIT_LATE},
	    {m->applied_late, m_seen->applied_late, MARK_APPLIED_LATE},
	    {m->sessions_ended, m_seen->sessions_ended, MARK_SESSION_ENDED},
	};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		if (counts[i].now > counts[i].seen)
			sim_mark(sim, counts[i].mark);
	if (m->sessions_ended > m_seen->sessions_ended)
		sim_tell(sim, "host %u: ends a session", host->id);
	host->replica_counts = *r;
	host->member_counts = *m;
}

/* How the turn ended; false: the host is down. */
static bool
outlive(struct sim_host *host, int rc)
{
	struct sim *sim = host->sim;

	if (rc == 0 && !host->dying)
		return true;
	if (!host->dying)
		sim_fail(sim, "host %u: turn: %s", host->id, zk_err_text(rc));
	host->restart_us = sim->now_us + host->arm_down_us;
	sim_host_stop(host, (host->arm_down_us & 1) != 0);
	return false;
}

void
sim_host_turn(struct sim_host *host)
{
	struct sim *sim = host->sim;
	const struct zk_member_time now = time_of(host);
	uint32_t wait_ms = 0;
	int rc;

	host->lag_us = 20;
	sim_disk_use(host);
	zk_member_begin(host->member, &now);
	hear_of_peers(host);
	sim_operator_turn(sim, host);
	sim_clients_act(host);
	read_mail(sim, host);
	zk_member_submit(host->member, &host->items);
	rc = zk_member_end(host->member, &wait_ms);
	sim_disk_use(NULL);
	if (!outlive(host, rc))
		return;
	sim_trace(sim, &host->lag_us, sizeof(host->lag_us));
	host->busy_us = sim->now_us + host->lag_us;
	host->wake_us =
	    sim->now_us + (wait_ms < 1000 ? wait_ms * 1000ull : 1000000ull);
	mark_counts(sim, host);
	sim_clients_look(host);
	sim_check_host(host);
	sim_check_leases(sim);
}

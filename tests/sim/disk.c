#include <errno.h>

#include "store/answer.h"
#include "store/store.h"
#include "tests/sim/disk.h"
#include "tests/sim/sim.h"

/*
 * The disk, and other places where a run looks into the production code.  The
 * linker puts these in place of the functions they call (ld(1), --wrap).
 * A crash before a flush loses the whole turn, since a turn is one
 * transaction; what LMDB itself does without its flushes is shown by
 * tests/fault.
 */

#define REAL(name) __asm__("__real_" name)
#define WRAP(name) __asm__("__wrap_" name)

int real_commit(struct zk_tx *tx) REAL("zk_store_commit");
int real_commit_ahead(struct zk_tx *tx) REAL("zk_store_commit_ahead");
int real_commit_later(struct zk_tx *tx) REAL("zk_store_commit_later");
int real_flush(struct zk_store *store) REAL("zk_store_flush");
int real_answer_get(struct zk_tx *tx, uint64_t session, uint64_t number,
    struct zk_outcome *ret_outcome) REAL("zk_answer_get");
int real_propose(struct zk_replica *replica, const struct zk_bytes *commands,
    size_t count) REAL("zk_replica_propose");

int wrap_commit(struct zk_tx *tx) WRAP("zk_store_commit");
int wrap_commit_ahead(struct zk_tx *tx) WRAP("zk_store_commit_ahead");
int wrap_commit_later(struct zk_tx *tx) WRAP("zk_store_commit_later");
int wrap_flush(struct zk_store *store) WRAP("zk_store_flush");
bool wrap_has_room(struct zk_store *store, uint64_t now_ms)
    WRAP("zk_store_has_room");
int wrap_answer_get(struct zk_tx *tx, uint64_t session, uint64_t number,
    struct zk_outcome *ret_outcome) WRAP("zk_answer_get");
int wrap_propose(struct zk_replica *replica, const struct zk_bytes *commands,
    size_t count) WRAP("zk_replica_propose");

static struct sim_host *running;

void
sim_disk_use(struct sim_host *host)
{
	running = host;
}

/* A snapshot is being installed by this turn. */
static bool
installs(const struct sim_host *host)
{
	return host->member != NULL &&
	    zk_replica_counts(zk_member_replica(host->member))
	        ->snapshots_installed >
	    host->replica_counts.snapshots_installed;
}

static void
take_time(struct sim_host *host)
{
	const uint64_t flush_us = host->flush_us;

	host->lag_us += 100 + sim_random(&host->rng, 1500);
	if (flush_us == 0)
		return;
	host->lag_us += flush_us / 2 + sim_random(&host->rng, flush_us);
	sim_mark(host->sim, MARK_SLOW_DISK);
}

static bool
is_armed(const struct sim_host *host, bool before)
{
	if (host->arm == ARM_INSTALL)
		return installs(host) && (host->boots & 1) == before;
	return host->arm == (before ? ARM_BEFORE : ARM_AFTER);
}

static void
die(struct sim_host *host, bool before)
{
	sim_mark(host->sim,
	    host->arm == ARM_INSTALL ? MARK_CRASH_IN_INSTALL
	        : before             ? MARK_CRASH_BEFORE_FLUSH
	                             : MARK_CRASH_AFTER_FLUSH);
	host->dying = true;
}

/* A snapshot is what needs the most room. */
static bool
is_full(struct sim_host *host)
{
	const struct sim *sim = host->sim;

	if (sim->disks_fill && !sim->quiet && installs(host) &&
	    sim_chance(&host->rng, 40)) {
		sim_mark(host->sim, MARK_FULL_INSTALL);
		return true;
	}
	return host->disk_full && sim_chance(&host->rng, host->full_percent);
}

static int
commit(struct zk_tx *tx, int (*really)(struct zk_tx *tx))
{
	struct sim_host *host = running;
	int rc;

	if (host == NULL)
		return really(tx);
	take_time(host);
	if (is_armed(host, true)) {
		die(host, true);
		zk_store_abort(tx);
		return -EIO;
	}
	if (is_full(host)) {
		sim_mark(host->sim, MARK_FULL_TURN);
		zk_store_abort(tx);
		return -ENOSPC;
	}
	rc = really(tx);
	if (is_armed(host, false))
		die(host, false);
	return rc;
}

int
wrap_commit(struct zk_tx *tx)
{
	return commit(tx, real_commit);
}

/* The disk takes its time, and may be the end, where the flush is. */
int
wrap_commit_ahead(struct zk_tx *tx)
{
	struct sim_host *host = running;
	int rc;

	if (host != NULL && is_full(host)) {
		sim_mark(host->sim, MARK_FULL_TURN);
		zk_store_abort(tx);
		return -ENOSPC;
	}
	rc = real_commit_ahead(tx);
	if (host == NULL || rc < 0)
		return rc;
	if (!zk_store_is_ahead(host->store)) {
		take_time(host);
		if (is_armed(host, false))
			die(host, false);
	}
	return rc;
}

int
wrap_flush(struct zk_store *store)
{
	struct sim_host *host = running;
	int rc;

	if (host == NULL)
		return real_flush(store);
	take_time(host);
	if (is_armed(host, true)) {
		sim_mark(host->sim, MARK_CRASH_AHEAD);
		die(host, true);
		return -EIO;
	}
	rc = real_flush(store);
	if (is_armed(host, false))
		die(host, false);
	return rc;
}

int
wrap_commit_later(struct zk_tx *tx)
{
	return commit(tx, real_commit_later);
}

bool
wrap_has_room(struct zk_store *store, uint64_t now_ms)
{
	(void)store;
	(void)now_ms;
	return running == NULL || !running->disk_full;
}

int
wrap_answer_get(struct zk_tx *tx, uint64_t session, uint64_t number,
    struct zk_outcome *ret_outcome)
{
	const int rc = real_answer_get(tx, session, number, ret_outcome);

	if (running != NULL && rc == 0 && tx->write)
		sim_mark(running->sim, MARK_DEDUPED);
	return rc;
}

int
wrap_propose(struct zk_replica *replica, const struct zk_bytes *commands,
    size_t count)
{
	const int rc = real_propose(replica, commands, count);

	if (running != NULL && rc == -EAGAIN)
		sim_mark(running->sim, MARK_QUEUE_FULL);
	return rc;
}

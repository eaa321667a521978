#ifndef ZK_DAEMON_REPLICA_H
#define ZK_DAEMON_REPLICA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/change.h"
#include "base/command.h"
#include "consensus/raft.h"
#include "store/store.h"

/*
 * One member of the group: Raft, the log and the state machine put together.
 * It has no thread, no clock and no network: time comes in, messages go out
 * through callbacks, so that the simulator runs the same code as the daemon.
 *
 * It works in turns.  Between zk_replica_begin() and zk_replica_end() any
 * number of events are fed; _end() applies what is committed, makes all of it
 * durable with one flush, and only then sends what had to wait, tells the
 * changes and gives the answers.
 *
 * One thread at a time.  Callbacks come from within these functions and must
 * not call back.
 */
struct zk_replica;

struct zk_replica_sink {
	void *arg;
	/*
	 * A message for member `to`; bytes are borrowed.  bulk: it carries
	 * entries.  May be dropped: Raft sends again.
	 */
	void (*send)(void *arg, uint64_t to, bool bulk, const void *bytes,
	    size_t len);
	/*
	 * What was sent in this turn until now must not wait for the rest, in
	 * which there may be a flush.  May be NULL.
	 */
	void (*push)(void *arg);
	/*
	 * A message that only tells `to` what is committed may be late.  May
	 * be NULL: it may not.
	 */
	bool (*put_off_commit)(void *arg, uint64_t to);
	/* Of what the turn applied, durable now. */
	void (*changed)(void *arg, const struct zk_change *change);
	void (*answered)(void *arg, uint64_t session, uint64_t number,
	    const struct zk_outcome *outcome);
	/* A lock request was applied and waits; an answer comes later. */
	void (*waits)(void *arg, uint64_t session, uint64_t number);
	/*
	 * now: a snapshot is about to become the tree, in this turn: the last
	 * time that the old one can be read.  Else one is offered; false: not
	 * yet, it comes again.  May be NULL.
	 */
	bool (*replacing)(void *arg, bool now);
	/*
	 * A snapshot has become the tree: anything may have changed, and
	 * commands may have been answered without our hearing of it.
	 */
	void (*replaced)(void *arg);
	/*
	 * Who the members are has changed, in the roster or in the group; or
	 * lead, not 0, is the node id of the one that is to lead.  Told with
	 * the turn's changes, and after replaced().
	 */
	void (*members)(void *arg, uint64_t lead);
	/*
	 * What was told in this turn until now need not wait for its end, which
	 * is a flush away.
	 */
	void (*told)(void *arg);
	/* A read barrier: everything agreed before it is applied; or not. */
	void (*barrier)(void *arg, uint64_t ctx, bool reached);
};

struct zk_replica_options {
	struct zk_store *store; /* must outlive the replica */
	/*
	 * For a store without an entry; not looked at otherwise.  founders:
	 * the first members of the ensemble, the same on each of them; no
	 * members: this one was added later and waits to be told; NULL: this
	 * member alone.
	 */
	const struct zk_conf *founders;
	const uint8_t *ensemble; /* 16 bytes; NULL: the store's own */
	uint64_t seed;           /* fresh at each start; see consensus/raft.h */
	uint32_t election_ms, heartbeat_ms;
	uint32_t log_keep;      /* entries kept for those who lag; 0: default */
	uint32_t snapshot_part; /* bytes of one, about; 0: default */
	uint32_t uncommitted_max; /* bytes proposed, not committed; the same */
	struct zk_replica_sink sink;
};

/* Take up what the store holds.  0, or a code after which it is not used. */
int zk_replica_open(const struct zk_replica_options *options,
    struct zk_stamp now, struct zk_replica **ret_replica);
void zk_replica_close(struct zk_replica *replica); /* NULL is fine */

/* Begin a turn at this time of the wall clock. */
void zk_replica_begin(struct zk_replica *replica, struct zk_stamp now);

/*
 * The events of a turn.  0; a code that refuses the event and changes
 * nothing; or a fatal code, which _end() returns again.
 */
int zk_replica_tick(struct zk_replica *replica, uint32_t elapsed_ms);
/* From member `from`.  -EPROTO: no correct member sends this. */
int zk_replica_receive(struct zk_replica *replica, uint64_t from,
    const void *bytes, size_t len);
/* Encoded commands; at most ZK_TURN_COMMANDS_MAX.  -ZK_ENOTLEADER, -EAGAIN. */
struct zk_bytes {
	const void *data;
	size_t len;
};
int zk_replica_propose(struct zk_replica *replica,
    const struct zk_bytes *commands, size_t count);
int zk_replica_barrier(struct zk_replica *replica, uint64_t ctx);
/* There is a connection to this member now, or no more. */
int zk_replica_peer_met(struct zk_replica *replica, uint64_t peer);
int zk_replica_peer_lost(struct zk_replica *replica, uint64_t peer);
/*
 * Change the members, or hand leadership over: to the member `to`, or 0: to
 * who is furthest.  Codes as of ZK_EV_CONF and ZK_EV_TRANSFER.
 */
int zk_replica_change(struct zk_replica *replica, enum zk_conf_op op,
    uint64_t peer);
int zk_replica_transfer(struct zk_replica *replica, uint64_t to);

/*
 * Messages that were put off: how many there are, and send them.  They are
 * forgotten as soon as their member is told the same by another.
 */
size_t zk_replica_late_commits(const struct zk_replica *replica);
void zk_replica_send_late(struct zk_replica *replica);

/* Whether this turn leaves what is committed to a later one. */
void zk_replica_apply_later(struct zk_replica *replica, bool later);

/*
 * End the turn.  0; -ENOSPC: the disk is full and the turn has not happened,
 * only that a leader of several members leads no more, and what it proposed may
 * be with them; any other code is fatal: the process must end.  *ret_more: there is more to
 * apply, so have another turn at once.
 */
int zk_replica_end(struct zk_replica *replica, bool *ret_more);

/* The core, for what it tells; see there. */
const struct zk_raft *zk_replica_raft(const struct zk_replica *replica);
uint64_t zk_replica_applied(const struct zk_replica *replica);

/* The tree's digest as of an index; false: not known, or not any more. */
bool zk_replica_digest(const struct zk_replica *replica, uint64_t index,
    uint64_t *ret_digest);

/* Since the start; for status reports. */
struct zk_replica_counts {
	uint64_t truncations;         /* of the log: a follower's conflict */
	uint64_t snapshots_sent;      /* and confirmed */
	uint64_t snapshots_failed;    /* given up by the sender */
	uint64_t snapshots_installed; /* here */
	uint64_t snapshot_resends;    /* parts lost on the way, or late */
	uint64_t disk_full;           /* turns that found no room */
	/* Entries that changed them, or may have. */
	uint64_t locks, sessions;
};
const struct zk_replica_counts *zk_replica_counts(
    const struct zk_replica *replica);

#endif

#ifndef ZK_CONSENSUS_RAFT_H
#define ZK_CONSENSUS_RAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The Raft algorithm of one replica of one group, as a value: no I/O, clock,
 * thread, heap or random source.  The driver feeds events and carries out
 * the effects.  Citations are of D. Ongaro, "Consensus: Bridging Theory and
 * Practice" (2014), unless another source is named.
 *
 * Not thread-safe: one thread at a time owns a struct zk_raft.  Nothing is
 * allocated: copying the struct copies the replica, forgetting it frees it.
 *
 * The core never sees a payload.  It knows the log as indexes (from 1) and,
 * in runs, their terms; the driver owns the entries.  Members are named by
 * 64-bit ids which the driver draws at random for each new data directory
 * and never uses again: a member that lost its disk is another member.
 *
 * The driver's duties:
 *  - After each step, before the next step of this group, do the effects in
 *    the order of the fields of struct zk_effects.  Steps and their effects
 *    may be batched into one flush; what a message with `after_flush` says
 *    must be durable, with the effects of all earlier steps, before it goes.
 *  - A message ZK_MSG_APPEND with last > index asks for entries.  Before the
 *    next event but SENT, read them from the log (entries appended by this very turn
 *    included), at least one and not more than max_bytes unless one alone
 *    is larger; lower msg.last when not all fit; send; then feed
 *    ZK_EV_SENT.  Nothing could be sent: ZK_EV_SENT with index = msg.index.
 *    The core then asks for the next part when the window has room.
 *  - All entries of one APPEND have one term, msg.entry_term.  The receiver
 *    decodes the entries that are configurations (ZK_ENTRY_CONF) and hands
 *    them in with the event.
 *  - ZK_EV_STORED after each flush.  A failed flush ends the process.
 */

#define ZK_VOTERS_MAX   7u
#define ZK_LEARNERS_MAX 25u
#define ZK_MEMBERS_MAX  (ZK_VOTERS_MAX + ZK_LEARNERS_MAX)

/*
 * Changes of term that the core remembers.  When one more comes, the oldest
 * run is forgotten, and its terms are looked up in the driver's log when they
 * are needed, which is next to never: see zk_raft_start.term_of.
 */
#define ZK_RUNS_MAX 48u
_Static_assert(ZK_RUNS_MAX >= 2, "the newest stays when the oldest goes");

#define ZK_RAFT_READS_MAX   32u /* unanswered reads, own and forwarded */
#define ZK_RAFT_WINDOW_MSGS 8u  /* APPENDs in flight to one follower */
#define ZK_OUTBOX_MAX       128u

/* Most entries that one APPEND may carry. */
#define ZK_APPEND_ENTRIES_MAX 65536u

/* Indexes, terms and attempts stay below this, so that sums cannot wrap. */
#define ZK_INDEX_MAX (UINT64_MAX / 4)

/* A learner may be promoted when it lacks no more entries than this. */
#define ZK_RAFT_PROMOTE_LAG_MAX 256u

_Static_assert(ZK_VOTERS_MAX % 2 == 1, "an even quorum tolerates no more");
_Static_assert(ZK_OUTBOX_MAX >= 2 * ZK_MEMBERS_MAX + ZK_RAFT_READS_MAX + 2,
    "a first commit tells all, asks all, and answers every read");
_Static_assert(ZK_MEMBERS_MAX <= 32, "sets of members are bits of a uint32_t");

enum zk_role { ZK_FOLLOWER, ZK_PRECANDIDATE, ZK_CANDIDATE, ZK_LEADER };

/* The members of a group; voters are those whose bit i is set. */
struct zk_conf {
	uint32_t count;
	uint32_t voter_bits;
	uint64_t ids[ZK_MEMBERS_MAX];
};

/* The configuration that the entry at `index` puts in force. */
struct zk_conf_entry {
	uint64_t index;
	struct zk_conf conf;
};

enum zk_conf_op {
	ZK_CONF_ADD_LEARNER, /* a new member without a vote */
	ZK_CONF_ADD_VOTER,   /* a new member with one: only while it is empty */
	ZK_CONF_PROMOTE,     /* a learner that has caught up becomes a voter */
	ZK_CONF_DEMOTE,      /* a voter becomes a learner */
	ZK_CONF_REMOVE,
};

enum zk_msg_type {
	ZK_MSG_PREVOTE = 1,   /* section 9.6; term is the one after ours */
	ZK_MSG_PREVOTE_REPLY, /* granted: echoes that term, else our own */
	ZK_MSG_VOTE,
	ZK_MSG_VOTE_REPLY,
	ZK_MSG_APPEND,
	ZK_MSG_APPEND_REPLY,
	ZK_MSG_HEARTBEAT,
	ZK_MSG_HEARTBEAT_REPLY,
	ZK_MSG_COMMIT, /* a heartbeat that wants no reply */
	ZK_MSG_TIMEOUT_NOW,
	ZK_MSG_READ,
	ZK_MSG_READ_REPLY,
};
#define ZK_MSG_TYPE_LAST ZK_MSG_READ_REPLY

/* Fields that a type does not name are zero. */
struct zk_msg {
	enum zk_msg_type type;
	bool reject;   /* the replies: no */
	bool transfer; /* VOTE: the leader asked for this election */
	/*
	 * Not on the wire.  Hold the message until everything that was to be
	 * made durable up to and including this step is.  When false it may
	 * go at once, and for APPEND and HEARTBEAT it should.
	 */
	bool after_flush;
	uint32_t max_bytes; /* APPEND; not on the wire */
	uint64_t from, to, term;
	/*
	 * PREVOTE, VOTE: index and term of the candidate's last entry.
	 * APPEND: the entry before the first one sent.
	 * APPEND_REPLY: all up to index is durable and equal to the leader's
	 * log; rejected: the index of the APPEND refused, with hint_index and
	 * log_term naming the last entry that might be equal.
	 * READ_REPLY: the read index.
	 */
	uint64_t index, log_term;
	uint64_t last;       /* APPEND: last entry sent; == index: none */
	uint64_t entry_term; /* APPEND with entries: the term of them all */
	uint64_t hint_index;
	uint64_t commit; /* APPEND, HEARTBEAT, COMMIT */
	uint64_t ctx;    /* HEARTBEAT, READ and replies: an attempt */
};

enum zk_event_type {
	ZK_EV_TICK,
	ZK_EV_MSG,
	ZK_EV_PROPOSE,
	ZK_EV_CONF,
	ZK_EV_STORED,
	ZK_EV_SENT,
	ZK_EV_READ,
	ZK_EV_TRANSFER,
	ZK_EV_RESIGN,
	ZK_EV_PEER_LOST,
	ZK_EV_PEER_MET,
	ZK_EV_SNAPSHOT_DONE,
	ZK_EV_SNAPSHOT_FAILED,
	ZK_EV_INSTALL,
	ZK_EV_COMPACTED,
};

/*
 * Pointers are only read during the call.
 *
 * TICK      elapsed_ms since the last one; about every heartbeat_ms / 2.
 * MSG       msg, with the ids and bounds that zk_msg_decode() checked; for
 *           APPEND confs[] holds the configurations among its entries, in
 *           the order of their indexes.
 * PROPOSE   count entries of together `bytes`; they get the indexes
 *           append_first..append_last of the effects, and append_term.
 *           -ZK_ENOTLEADER, or -EAGAIN: too much is uncommitted, or
 *           leadership is being handed over; try again after a commit.
 * CONF      conf_op on member `peer`; one entry, append_first, holding the
 *           struct zk_conf of zk_raft_conf().  -ZK_ENOTLEADER; -EAGAIN:
 *           another change, or the first entry of this term, is not yet
 *           committed, or a learner to be promoted lags; -EINVAL: no such
 *           change; -ENOSPC: too many members.
 * STORED    a flush is over: entries up to (index, term) and the hard state
 *           of durable_term are on disk, and every effect of the steps before
 *           the flush began.  A log that is empty names the snapshot.
 * SENT      the APPEND asked for was handed to the transport: entries up to
 *           index, of together `bytes`, to `peer`.
 * READ      ctx, chosen by the driver, comes back in reads[] (serve it when
 *           applied to `index`) or in failed[] (unknown: ask again).
 *           -ZK_ENOTLEADER: no leader is known; -EAGAIN: too many.
 * TRANSFER  hand leadership to `peer`, 0: the member that is furthest.
 *           -ZK_ENOTLEADER, or -EINVAL: not another voter.
 * RESIGN    lead no more, nor stand for election in this term: for a driver
 *           that has taken back *r as it was before some steps because it
 *           could not store them.  Entries of the steps that were undone may
 *           be with others: their indexes must not be used again in this term.
 * PEER_LOST the connection to `peer` broke.  A hint.
 * PEER_MET  there is a connection to `peer` now.  A hint.
 * SNAPSHOT_DONE, SNAPSHOT_FAILED  of the snapshot (at index) for `peer`.
 * INSTALL   a whole, checked snapshot of (index, term) with the committed
 *           configuration conf, put in force by conf_index, lies ready here.
 *           0: make it the state as the effects say; -EALREADY: older than
 *           what is here, throw it away.
 * COMPACTED the driver has deleted all entries before `index`; everything
 *           deleted was committed.  term is that of entry index - 1, which
 *           the next zk_raft_start.base_term will be (0: not at hand).
 */
struct zk_event {
	enum zk_event_type type;
	enum zk_conf_op conf_op;
	uint32_t elapsed_ms;
	uint32_t count;
	uint64_t bytes;
	uint64_t peer;
	uint64_t index, term, durable_term;
	uint64_t ctx;
	const struct zk_msg *msg;
	const struct zk_conf_entry *confs;
	size_t conf_count;
	const struct zk_conf *conf;
	uint64_t conf_index;
};

enum zk_entry_kind {
	ZK_ENTRY_DATA, /* the driver's: the proposal's, or of the message */
	ZK_ENTRY_NOOP, /* starts a term; applying it does nothing */
	/*
	 * zk_raft_conf(), to be encoded by the driver.  Entry 1 of every group
	 * is one, with the members it was founded with.
	 */
	ZK_ENTRY_CONF,
};

struct zk_read {
	uint64_t ctx, index;
};

/* To be done in this order. */
struct zk_effects {
	bool hard_state; /* 1. make zk_raft.term and zk_raft.vote durable */
	/*
	 * 2. INSTALL only: the snapshot becomes the state and the log up to
	 * its index is deleted; with log_reset the rest of the log, too.
	 */
	bool install, log_reset;
	uint64_t truncate_from; /* 3. delete entries from here on; 0: none */
	/*
	 * 4. Append these, of append_term; append_first 0: none.  If the event
	 * is an APPEND they are the entries of those indexes of the message,
	 * whatever their kind; else (a vote that made us leader, say) they are
	 * ours, and append_kind says what to write.
	 */
	uint64_t append_first, append_last, append_term;
	enum zk_entry_kind append_kind;
	/* 5. Send, see after_flush. */
	size_t msg_count;
	struct zk_msg msgs[ZK_OUTBOX_MAX];
	/*
	 * 6. Apply up to here, always set.  A leader may be told before its own
	 * flush: apply in the same transaction as the append, or later.
	 */
	uint64_t commit_index;
	/* 7. Answer. */
	size_t read_count, failed_count;
	struct zk_read reads[ZK_RAFT_READS_MAX];
	uint64_t failed[ZK_RAFT_READS_MAX];
	/* 8. Stream a snapshot to each; report DONE or FAILED, once. */
	size_t snapshot_count;
	uint64_t snapshot_to[ZK_MEMBERS_MAX];
	bool role_changed; /* role, term or leader differ from before */
	bool conf_changed; /* zk_raft_conf() differs: (dis)connect */
};

enum zk_progress_state { ZK_PROBE, ZK_REPLICATE, ZK_SNAPSHOT };

/* What a leader knows of one member.  Private to consensus/raft*.c. */
struct zk_progress {
	uint64_t next, match;
	uint64_t read_acked;  /* newest read attempt it has confirmed */
	uint64_t commit_sent; /* highest commit index it was told */
	uint32_t contact_ms;  /* since its last message */
	uint32_t window_bytes;
	uint8_t state;
	uint8_t window_head, window_count;
	bool active;  /* heard since the last check of the quorum */
	bool asked;   /* an APPEND is with the driver, SENT is due */
	bool probing; /* PROBE: wait for an answer; SNAPSHOT: retry later */
	uint32_t retry_ms;
	uint32_t sizes[ZK_RAFT_WINDOW_MSGS];
	uint64_t lasts[ZK_RAFT_WINDOW_MSGS];
};

struct zk_run {
	uint64_t first_index, term;
};

/*
 * What the driver found on disk.  Zero it, fill in the first part, then call
 * zk_raft_start_entry() for each entry of the log in order.
 */
struct zk_raft_start {
	uint64_t self;
	/*
	 * Fresh for every start of the process: timeouts and the names of
	 * read attempts come from it.
	 */
	uint64_t seed;
	uint32_t election_ms;           /* T: timeouts are drawn from [T, 2T) */
	uint32_t heartbeat_ms;          /* well below T */
	uint32_t append_bytes_max;      /* of one APPEND */
	uint32_t window_bytes_max;      /* in flight to one follower */
	uint64_t uncommitted_bytes_max; /* proposed and not yet committed */
	uint64_t term, vote;
	/* The entry before the first in the log (snapshot or compaction). */
	uint64_t base_index, base_term;
	uint64_t commit_index; /* applied and durable */
	/*
	 * The term of an entry of the driver's log, 0 for one that is no
	 * longer there.  It reads the log as the effects of all steps before
	 * have left it; zk_raft_step() calls it, with term_arg.
	 *
	 * NULL: a follower that needs what was forgotten gets a snapshot, and
	 * a member whose oldest run is not known to be committed neither
	 * stands for election nor accepts another term, until it is.  That
	 * can be for ever if all members lost their applied index
	 * ZK_RUNS_MAX times: fit only for logs that do not outlive a process.
	 */
	uint64_t (*term_of)(void *arg, uint64_t index);
	void *term_arg;
	/* In force at commit_index; index 0: at the group's beginning. */
	struct zk_conf_entry conf;
	/* Configurations in entries after commit_index, in order. */
	const struct zk_conf_entry *confs;
	size_t conf_count;
	/* Set by zk_raft_start_entry(). */
	uint64_t last_index;
	uint64_t forgot_index, forgot_term;
	uint32_t run_count;
	struct zk_run runs[ZK_RUNS_MAX];
};

/* A read that is not answered yet.  Private. */
struct zk_read_wait {
	uint64_t ctx;     /* the driver's, or the asking member's attempt */
	uint64_t attempt; /* ours; 0: free slot */
	uint64_t index;   /* leader: 0 until its term has a commit */
	uint64_t from;    /* who asked */
	uint32_t age_ms;
};

/* Read term, vote, role, leader, last_index, commit_index; touch nothing. */
struct zk_raft {
	uint64_t self;
	uint64_t term, vote; /* vote 0: nobody */
	uint64_t leader;     /* 0: not known */
	enum zk_role role;
	uint32_t election_ms, heartbeat_ms;
	uint32_t append_bytes_max, window_bytes_max;
	uint64_t uncommitted_bytes_max;
	uint64_t seed;

	/*
	 * The log: base_index | forgotten | runs; forgot_index is the last
	 * entry before the runs, and base_index if nothing is forgotten.
	 */
	uint64_t base_index, base_term;
	uint64_t forgot_index, forgot_term;
	uint64_t (*term_of)(void *arg, uint64_t index);
	void *term_arg;
	uint64_t last_index;
	uint64_t stored_index; /* durable here */
	uint64_t durable_term; /* hard state on disk is of this term */
	uint64_t commit_index;
	struct zk_run runs[ZK_RUNS_MAX];
	uint32_t run_count;

	/* Timers, all counting up. */
	uint32_t election_elapsed_ms, election_limit_ms;
	uint32_t heartbeat_elapsed_ms, quorum_elapsed_ms;
	uint32_t stall_ms; /* leader: without progress of its own disk */

	/* Candidates: bits of conf.ids. */
	uint32_t granted, refused;

	/* Leader: hand-over in progress, and what is proposed, coarsely. */
	uint64_t transfer_to;
	uint32_t transfer_ms;
	bool transfer_sent;
	struct {
		uint64_t last_index, bytes;
	} pending[2];

	uint64_t read_attempt; /* last one used */
	struct zk_read_wait reads[ZK_RAFT_READS_MAX];

	/* The newest configuration in the log, and the one it replaced. */
	uint64_t conf_index, conf_before_index;
	struct zk_conf conf, conf_before;
	struct zk_progress progress[ZK_MEMBERS_MAX]; /* of conf.ids[] */
};

_Static_assert(sizeof(struct zk_raft) <= 8192, "thousands fit in memory");

/*
 * Records one entry found on disk.  0, or -ZK_ECORRUPT: indexes must follow
 * each other from base_index + 1 on, terms must not fall.
 */
int zk_raft_start_entry(struct zk_raft_start *start, uint64_t index,
    uint64_t term);

/*
 * The same for entries first..last, all of one term, for logs too long to be
 * read through.
 */
int zk_raft_start_run(struct zk_raft_start *start, uint64_t first,
    uint64_t last, uint64_t term);

/*
 * Makes *r a follower with what is in *start.  0; -EINVAL: a parameter out of
 * range; -ZK_ECORRUPT: what was found on disk contradicts itself.  *start is
 * not needed afterwards.  commit_index may come out higher than given: apply
 * up to it.
 */
int zk_raft_init(struct zk_raft *r, const struct zk_raft_start *start);

/*
 * Advances by one event.  Returns 0; -EPROTO for a message that no correct
 * peer sends; or what the event's comment says.  On error neither *r nor the
 * peers' view of it has changed and *ret_fx asks for nothing.  *ret_fx is
 * large: keep one per thread.
 */
int zk_raft_step(struct zk_raft *r, const struct zk_event *ev,
    struct zk_effects *ret_fx);

/*
 * Takes back the steps since *before was copied from *r, none of whose effects
 * on the disk have come to pass.  Reads that wait are in ret_fx->failed; the
 * rest of *ret_fx is empty.  Messages may have gone: see ZK_EV_RESIGN.
 */
void zk_raft_undo(struct zk_raft *r, const struct zk_raft *before,
    struct zk_effects *ret_fx);

/* The newest configuration in the log, in force from its append on. */
const struct zk_conf *zk_raft_conf(const struct zk_raft *r);

/*
 * The term of the entry at index, 0 when it is not known: beyond the log or
 * before base_index.
 */
uint64_t zk_raft_term_at(const struct zk_raft *r, uint64_t index);
/*
 * Milliseconds until a TICK that makes it stand for election, unless it hears
 * of somebody; 0: none is to be expected.  Those who tick in steps would all
 * stand at once, however their time-outs were drawn.
 */
uint32_t zk_raft_election_in(const struct zk_raft *r);

/* Whether a snapshot at index is worth receiving. */
bool zk_raft_wants_snapshot(const struct zk_raft *r, uint64_t index);

/*
 * Leader: the highest index that all members (with learners) have; keeping
 * the log from there on spares them a snapshot.  Others: commit_index.
 */
uint64_t zk_raft_all_have(const struct zk_raft *r);

/* What a leader knows of conf.ids[slot], for status reports. */
struct zk_member_status {
	uint64_t id, match;
	bool voter, active;
	enum zk_progress_state state;
	uint32_t contact_ms;
};
/* 0, -EINVAL: no such slot, -ZK_ENOTLEADER. */
int zk_raft_member_status(const struct zk_raft *r, uint32_t slot,
    struct zk_member_status *ret_status);

/* Position of id in conf->ids, or -1. */
int zk_raft_conf_slot(const struct zk_conf *conf, uint64_t id);
bool zk_raft_conf_is_voter(const struct zk_conf *conf, uint64_t id);

/*
 * 0 when counts are in bounds, ids are unique and not 0, and bits are of
 * members; else -EINVAL.  A configuration without voters is a member's that
 * waits to be told.
 */
int zk_raft_conf_check(const struct zk_conf *conf);

#endif

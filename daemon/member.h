#ifndef ZK_DAEMON_MEMBER_H
#define ZK_DAEMON_MEMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/inbox.h"
#include "daemon/legacy.h"
#include "daemon/replica.h"
#include "store/roster.h"

/*
 * One host's share in the ensemble: its replica, its session and its commands
 * on their way.  Like the replica it has no thread, clock or network of its
 * own and works in turns, so that the simulator runs the same code.
 *
 * Commands: numbered in the session and kept until they are applied *here*.
 * The leader proposes them; others forward them to the leader and, when the
 * leader changes or may have lost them, forward them again: apply recognises
 * what it has seen (store/answer.h).
 *
 * Session: opened through the log like any command.  Its holder asks the
 * leader for a lease and gives up `session_timeout` after it *sent* the last
 * question that was answered; the leader ends the session that long after it
 * *received* the last question (Gray and Cheriton, "Leases" (1989)).  A new
 * leader starts every lease anew, in full.
 */
struct zk_member;

enum zk_member_state {
	ZK_STATE_CONNECTED,
	ZK_STATE_SUSPENDED, /* no leader, or it does not answer */
	ZK_STATE_LOST,      /* the session is over; a new one is being opened */
};

/* Lanes of the network: what is small and urgent, and what carries data. */
enum { ZK_MEMBER_FAST, ZK_MEMBER_BULK };

struct zk_member_sink {
	void *arg;
	/* May drop; bytes are borrowed. */
	void (*send)(void *arg, uint64_t to, unsigned lane, const void *bytes,
	    size_t len);
	/*
	 * What was sent in this turn until now must not wait any longer.  May
	 * be NULL: it does not.
	 */
	void (*push)(void *arg);
	void (*changed)(void *arg, const struct zk_change *change);
	void (*state_changed)(void *arg, enum zk_member_state state);
	/* A snapshot will become the tree; as in replica.h.  May be NULL. */
	bool (*replacing)(void *arg, bool now);
	/*
	 * A snapshot has become the tree: forget all that was read.  Comes
	 * before the turn's changes.  NULL: nothing is kept.
	 */
	void (*replaced)(void *arg);
	/* Who the members are, or what they are, has changed.  May be NULL. */
	void (*members)(void *arg);
	/*
	 * Somebody on this host may be waiting for changes: none is put off
	 * then.  Any turn.  NULL: there always may.
	 */
	bool (*cares)(void *arg);
	/* Of zk_member_barrier().  NULL: nobody asks. */
	void (*barrier)(void *arg, uint64_t ctx, bool reached);
	/*
	 * What is answered at the end of a turn; it may take items over, and
	 * sees to their done functions and to free(3) then.  May be NULL.
	 */
	void (*answer)(void *arg, struct zk_item_list *answered);
};

struct zk_member_options {
	struct zk_store *store; /* must outlive the member */
	uint64_t seed;          /* random, fresh at each start, not 0 */
	uint32_t session_timeout_ms;
	uint32_t election_ms, heartbeat_ms;
	/* As for the replica. */
	uint32_t log_keep, snapshot_part, uncommitted_max;
	uint32_t stream_length; /* entries, see member_pace.c; 0: default */
	const struct zk_conf *founders; /* as for the replica */
	const uint8_t *ensemble;
	/*
	 * The founders with their names, for the first leader to put into the
	 * roster; copied.  NULL: nobody knows them, and there is no roster.
	 */
	const struct zk_roster *roster;
	const struct zk_member_legacy *legacy; /* NULL: begin a session */
	/*
	 * This host keeps what others have to take over before it may be let
	 * go.  NULL: it never does.
	 */
	const _Atomic bool *keeps;
	struct zk_member_sink sink;
};

/*
 * Time of a turn: of the wall, for the log; and of a clock that nobody sets,
 * for leases, which goes on while the host is suspended.
 */
struct zk_member_time {
	struct zk_stamp wall;
	uint64_t mono_ms;
};

int zk_member_open(const struct zk_member_options *options,
    const struct zk_member_time *now, struct zk_member **ret_member);

/* Answers what is left with -ZK_ESESSION.  NULL is fine. */
void zk_member_close(struct zk_member *member);

/*
 * What zk_member_options.legacy wants.  Nothing should be under way; what is
 * will not be heard of again.
 */
void zk_member_leave(const struct zk_member *member,
    struct zk_member_legacy *ret_legacy);

/* Begin a turn. */
void zk_member_begin(struct zk_member *member,
    const struct zk_member_time *now);

/* Takes over the items; their done functions are called in some _end(). */
void zk_member_submit(struct zk_member *member, struct zk_item_list *items);

/* -EPROTO: nothing a correct member sends. */
int zk_member_receive(struct zk_member *member, uint64_t from,
    const void *bytes, size_t len);

/* The connection to a member is up, or lost. */
void zk_member_peer(struct zk_member *member, uint64_t peer, bool up);

/*
 * In a turn: as of zk_replica_barrier(), _change() and _transfer(); ctx is
 * below 1 << 63.
 */
int zk_member_barrier(struct zk_member *member, uint64_t ctx);
int zk_member_change(struct zk_member *member, enum zk_conf_op op,
    uint64_t peer);
int zk_member_transfer(struct zk_member *member, uint64_t to);

/*
 * End the turn; codes as of zk_replica_end().  *ret_wait_ms: have the next
 * turn after this long at the latest; UINT32_MAX: when something comes.
 */
int zk_member_end(struct zk_member *member, uint32_t *ret_wait_ms);

enum zk_member_state zk_member_state(const struct zk_member *member);
const char *zk_member_state_text(enum zk_member_state state);
const char *zk_member_role_text(enum zk_role role);
uint64_t zk_member_session(const struct zk_member *member); /* 0: none */
/*
 * When, in mono_ms, the session is over unless a turn before then says
 * otherwise; whoever cannot have a turn has lost it.
 */
uint64_t zk_member_lease_end(const struct zk_member *member);

/*
 * What is known of a member of the group: by the leader itself, by others for
 * as long as its last word is not older than a session's time-out.
 */
struct zk_member_view {
	uint64_t node;
	uint64_t lag;        /* entries that it lacks */
	uint32_t contact_ms; /* since the leader has heard of it */
	/* Its digest and the leader's, compared as of that index; 0: never. */
	uint64_t compared;
	bool differs;
};
/* False: nothing is known. */
bool zk_member_view(const struct zk_member *member, uint64_t node,
    struct zk_member_view *ret_view);

/* Since the start; for status reports. */
struct zk_member_counts {
	uint64_t locks_waited;    /* requests of this member that had to wait */
	uint64_t sessions_ended;  /* proposed as leader: a lease ran out */
	uint64_t members_changed; /* changes of the group, begun as leader */
	uint64_t commits_late;    /* messages put off, as leader */
	uint64_t applied_late;    /* turns that put off what was committed */
};
const struct zk_member_counts *zk_member_counts(const struct zk_member *member);
const struct zk_replica *zk_member_replica(const struct zk_member *member);

#endif

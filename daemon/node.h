#ifndef ZK_DAEMON_NODE_H
#define ZK_DAEMON_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/change.h"
#include "daemon/legacy.h"
#include "fs/port.h"
#include "store/store.h"

/*
 * The node: one thread around a member (daemon/member.h), with queues for
 * commands and frames in front, and the clock beside it.  A turn takes everything that waits, steps
 * Raft, puts log entries, hard state and the changes of newly committed
 * entries into one transaction, commits it (one flush for all) and then
 * answers.  Load makes turns bigger, not flushes more.
 */
struct zk_node;
struct zk_conf;
struct zk_roster;

/* The way to the other members; daemon/cluster.c.  Node thread. */
struct zk_node_network {
	void *arg;
	/* May drop; bytes are borrowed. */
	void (*send)(void *arg, uint64_t to, bool bulk, const void *bytes,
	    size_t len);
	/*
	 * send() may keep it until this is called for the same member and
	 * kind.  NULL: it does not.
	 */
	void (*push)(void *arg, uint64_t to, bool bulk);
	/* What zk_node_receive() had no room for may be offered again. */
	void (*resume)(void *arg);
	/* This member sends what no correct one does. */
	void (*bad_frame)(void *arg, uint64_t peer);
};

enum {
	ZK_NODE_NEWS_STATE = 1u << 0,
	ZK_NODE_NEWS_LEADER = 1u << 1,
	ZK_NODE_NEWS_MEMBERS = 1u << 2,
	ZK_NODE_NEWS_SESSION = 1u << 3,
	ZK_NODE_NEWS_SESSIONS = 1u << 4,
	ZK_NODE_NEWS_LOCKS = 1u << 5,
};

struct zk_node_options {
	struct zk_store *store; /* must outlive the node */
	uint64_t seed;          /* random, fresh at each start, not 0 */
	uint32_t session_timeout_ms;
	/*
	 * The ensemble's first members, and the way to them.  Borrowed.
	 * NULL: a group of one.
	 */
	const struct zk_conf *founders;
	const struct zk_node_network *network;
	/* The founders with their names; NULL: others know them. */
	const struct zk_roster *roster;
	/* As for the member; borrowed.  NULL: a new session. */
	const struct zk_member_legacy *legacy;
	/* The session came or went, or the way to the leader.  Node thread. */
	void (*state_changed)(void *arg);
	/* The roster changed, or the group.  Node thread; may be NULL. */
	void (*members_changed)(void *arg);
	/*
	 * What files of .zkfs say has changed: ZK_NODE_NEWS_*.
	 * Node thread; may be NULL.
	 */
	void (*news)(void *arg, unsigned news);
	/*
	 * Told of every applied change, in order, before the answers of the
	 * same turn.  Node thread.
	 */
	void (*changed)(void *arg, const struct zk_change *change);
	/* As for the member.  Node thread. */
	bool (*cares)(void *arg);
	const _Atomic bool *keeps; /* as for the member */
	/*
	 * A snapshot will become the tree in this turn (now; else one is
	 * offered: whether it may), and has become it; the latter comes
	 * before the turn's changes.  May be NULL.
	 */
	bool (*replacing)(void *arg, bool now);
	void (*replaced)(void *arg);
	/*
	 * The store failed in a way after which nothing may be acknowledged:
	 * say why and end the process.  Does not return.
	 */
	void (*fatal)(void *arg, int rc, const char *what);
	void *arg;
};

/*
 * Recover what the store holds, start a new session for this host and the
 * thread.  In a group of one the tree can be read and written when it returns
 * 0; else when zk_node_session() is not 0.
 */
int zk_node_open(const struct zk_node_options *options,
    struct zk_node **ret_node);

/*
 * As zk_fs_port.submit.  *ret_ticket (may be NULL) names the command for
 * ZK_OP_LOCK_CANCEL, whose `off` is a ticket.  Any thread.
 */
int zk_node_submit(struct zk_node *node, const struct zk_command *cmd,
    zk_done_fn done, void *arg, uint64_t *ret_ticket);

/* A frame of another member; false: no room.  Any thread. */
bool zk_node_receive(struct zk_node *node, uint64_t peer, bool bulk,
    const void *bytes, size_t len);

/* The connection to another member is up, or lost.  Any thread. */
void zk_node_peer(struct zk_node *node, uint64_t peer, bool up);

/*
 * End the session (its ephemerals and locks go), answer what is queued, stop
 * the thread.  Without a majority the session is left to its time-out.
 * Further submissions get -ESTALE.
 */
void zk_node_stop(struct zk_node *node);
void zk_node_close(struct zk_node *node); /* after stop; NULL is fine */

/* The session is over, and there is no new one yet.  Any thread. */
bool zk_node_is_lost(const struct zk_node *node);

/*
 * Stop without ending the session, for a program that takes it over.  Nobody
 * may wait for an answer.
 */
void zk_node_leave(struct zk_node *node, struct zk_member_legacy *ret_legacy);

/*
 * The session of this host; 0 while there is none.  It certainly lasts for so
 * long: nobody ends it before, but for its host.
 */
uint64_t zk_node_lease(const struct zk_node *node, uint64_t *ret_left_ms);

static inline uint64_t
zk_node_session(const struct zk_node *node)
{
	uint64_t left_ms;

	return zk_node_lease(node, &left_ms);
}

#define ZK_NODE_MEMBERS_MAX 32u

/* One member as this one sees it. */
struct zk_node_member {
	uint64_t node;
	const char *role;    /* "leader", "voter" or "observer"; static */
	bool known;          /* what follows is */
	uint64_t lag;        /* entries that it lacks */
	uint32_t contact_ms; /* since the leader has heard of it */
	uint64_t compared;   /* index as of which its digest was; 0: never */
	bool differs;        /* from the leader's */
};

struct zk_node_status {
	const char *role;  /* "leader", ...; static */
	const char *state; /* "connected", "suspended", "lost"; static */
	uint64_t leader;   /* node id; 0: none known */
	uint64_t term, commit_index, last_index, applied_index;
	uint64_t first_index; /* the log's oldest */
	uint64_t session;
	uint64_t turns, commands, frames, refused, queued;
	uint64_t snapshots_installed;
	uint64_t locks, sessions; /* how often they changed */
	size_t member_count;
	struct zk_node_member members[ZK_NODE_MEMBERS_MAX];
};
/* Any thread; a recent picture. */
void zk_node_status(struct zk_node *node, struct zk_node_status *ret_status);

#endif

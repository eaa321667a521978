#ifndef ZK_TESTS_SIM_SIM_H
#define ZK_TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/member.h"

/*
 * The simulator: members of one ensemble, with the production code from the
 * member down to the store, under a virtual clock and network.  Everything
 * random comes from one seed, so a run can be repeated exactly.
 */

#define SIM_MEMBERS_MAX 5u
#define SIM_CLIENTS     3u /* at each member */
#define SIM_FILES       3u
#define SIM_OPS_MAX     4096u

/* Files with sequential names begin with this. */
#define SIM_SEQUENCE "s-"

/* Rare events that a set of runs must have seen; see sim.c for the names. */
enum sim_mark {
	MARK_ELECTION,
	MARK_CRASH,
	MARK_CRASH_IN_TURN,
	MARK_PARTITION,
	MARK_ONE_WAY,
	MARK_ALONE,
	MARK_TRUNCATION,
	MARK_SESSION_LOST,
	MARK_SESSION_ENDED,
	MARK_UNKNOWN,
	MARK_CAS_WON,
	MARK_CAS_LOST,
	MARK_LOCK_WAITED,
	MARK_EPHEMERAL_ENDED,
	MARK_SNAPSHOT_SENT,
	MARK_SNAPSHOT_INSTALLED,
	MARK_SNAPSHOT_RESENT,
	MARK_SNAPSHOT_FAILED,
	MARK_CRASH_IN_INSTALL,
	MARK_CRASH_AFTER_INSTALL,
	MARK_SLOW_FLUSH,
	MARK_SEQUENTIAL,
	MARK_COUNT
};

/* What a client did, for the checkers. */
enum sim_op_kind {
	SIM_CREATE,
	SIM_APPEND,
	SIM_CAS,
	SIM_LOCK,
	SIM_EPHEMERAL,
	SIM_RELEASE,
	SIM_SEQUENTIAL,
};
struct sim_op {
	enum sim_op_kind kind;
	uint32_t file;
	uint64_t expect; /* CAS */
	uint64_t value;  /* APPEND: the record */
	uint64_t invoked_us, returned_us;
	bool done;
	int rc;
	struct zk_outcome out;
};

struct sim_client {
	struct sim *sim;
	unsigned member;
	struct sim_op *op; /* under way */
	uint64_t next_us;  /* when to do something again */
	unsigned index;
	uint64_t boot;    /* of its host */
	uint64_t session; /* in which it holds something; 0: it does not */
	uint32_t held;    /* which file */
	enum sim_op_kind held_by;
	uint64_t handle;
};

struct sim_member {
	struct sim *sim;
	unsigned id;
	bool up;
	char dir[128];
	struct zk_store *store;
	struct zk_member *member;
	uint64_t node;    /* its id */
	uint64_t busy_us; /* in a turn until then */
	uint64_t wake_us; /* next turn at the latest */
	uint64_t boots;
	int64_t rate_ppm; /* its clock against the true one */
	uint64_t boot_us;
	/* As seen last, since the start. */
	struct zk_replica_counts replica_counts;
	struct zk_member_counts member_counts;
	struct zk_item_list items; /* for the next turn */
	struct sim_message *mail;  /* for the next turn, in order */
	struct sim_message **mail_last;
	enum zk_member_state state;
	struct sim_client clients[SIM_CLIENTS];
};

struct sim_message {
	struct sim_message *next;
	uint64_t at_us;
	unsigned from, to;
	uint64_t boot; /* of the sender and the receiver: a connection */
	uint64_t boot_to;
	size_t len;
	uint8_t bytes[];
};

struct sim {
	uint64_t seed, rng;
	uint64_t now_us;
	unsigned count;
	bool verbose, quiet; /* quiet: no more faults */
	uint32_t log_keep;   /* short: members soon lag behind; 0: not */
	struct sim_member members[SIM_MEMBERS_MAX];
	bool cut[SIM_MEMBERS_MAX][SIM_MEMBERS_MAX]; /* from, to */
	uint64_t join_us;                           /* of who is alone; 0 */
	struct sim_message *wire;                   /* sorted by at_us */
	uint32_t drop_percent;
	uint64_t delay_us;
	uint64_t trace; /* a hash of everything that happened */
	uint64_t marks[MARK_COUNT];
	struct sim_op ops[SIM_OPS_MAX];
	size_t op_count;
	uint64_t next_value;
	/* The checkers' memory. */
	struct {
		uint64_t term, leader;
	} leaders[256];
	size_t leader_count;
	struct {
		uint64_t index, digest;
	} digests[1024];
	uint64_t fences[SIM_FILES];
	bool failed;
	char failure[256];
};

uint64_t sim_random(struct sim *sim, uint64_t below);
bool sim_chance(struct sim *sim, uint32_t percent);
void sim_fail(struct sim *sim, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void sim_mark(struct sim *sim, enum sim_mark mark);
void sim_trace(struct sim *sim, const void *bytes, size_t len);

/* net.c */
void sim_send(struct sim *sim, unsigned from, uint64_t to_node,
    const void *bytes, size_t len);
void sim_deliver_due(struct sim *sim);
uint64_t sim_next_message_us(const struct sim *sim);
void sim_wire_clear(struct sim *sim, unsigned member);

/* host.c */
void sim_host_start(struct sim *sim, unsigned id);
void sim_host_stop(struct sim *sim, unsigned id); /* a crash */
void sim_host_turn(struct sim *sim, unsigned id);
void sim_host_forget(struct sim *sim, unsigned id);

/* client.c */
void sim_clients_act(struct sim *sim, unsigned id);
void sim_clients_reset(struct sim *sim, unsigned id);
bool sim_clients_idle(const struct sim *sim);

/* True when another client holds what this one has just been given. */
bool sim_is_held(const struct sim *sim, const struct sim_client *client);

/* check.c */
void sim_check_host(struct sim *sim, unsigned id);
bool sim_has_converged(const struct sim *sim);
void sim_check_end(struct sim *sim);

#endif

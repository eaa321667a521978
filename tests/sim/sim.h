#ifndef ZK_TESTS_SIM_SIM_H
#define ZK_TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/member.h"

/*
 * The simulator: members of one ensemble, with the production code from the
 * member down to the store, under a virtual clock, network and disk.
 * Everything random comes from one seed, in streams of their own for the
 * plan of the faults, the network, and each host and its clients, so that a
 * run can be repeated exactly, and that leaving out one fault changes little
 * before it would have come.
 */

#define SIM_HOSTS_MAX  5u
#define SIM_CLIENTS    4u /* at each host */
#define SIM_FILES      3u
#define SIM_OPS_MAX    4096u
#define SIM_FAULTS_MAX 64u

/* Files with sequential names begin with this. */
#define SIM_SEQUENCE "s-"

/* Rare events that a set of runs must have seen; names in main.c. */
enum sim_mark {
	MARK_ELECTION,
	MARK_PREVOTE_REFUSED,
	MARK_VOTE_REFUSED,
	MARK_APPEND_REFUSED,
	MARK_STEPPED_DOWN,
	MARK_TRUNCATION,
	MARK_CRASH,
	MARK_CRASH_BEFORE_FLUSH,
	MARK_CRASH_AFTER_FLUSH,
	MARK_CRASH_AHEAD,
	MARK_CRASH_ALL,
	MARK_CRASH_IN_INSTALL,
	MARK_CUT,
	MARK_CUT_ONE_WAY,
	MARK_CUT_BRIDGE,
	MARK_MESSAGE_LOST,
	MARK_MESSAGE_TWICE,
	MARK_MESSAGE_LATE,
	MARK_PAUSE,
	MARK_SLOW_DISK,
	MARK_FULL_DISK,
	MARK_FULL_TURN,
	MARK_FULL_INSTALL,
	MARK_CLOCK_JUMP,
	MARK_LINK_LOST,
	MARK_SESSION_LOST,
	MARK_SESSION_ENDED,
	MARK_UNKNOWN,
	MARK_REFUSED,
	MARK_DEDUPED,
	MARK_QUEUE_FULL,
	MARK_READS_FULL,
	MARK_READ,
	MARK_READ_FAILED,
	MARK_CAS_WON,
	MARK_CAS_LOST,
	MARK_SEQUENTIAL,
	MARK_LOCK_WAITED,
	MARK_LOCK_CANCELLED,
	MARK_COMMIT_LATE,
	MARK_APPLIED_LATE,
	MARK_EPHEMERAL_ENDED,
	MARK_SNAPSHOT_SENT,
	MARK_SNAPSHOT_INSTALLED,
	MARK_SNAPSHOT_RESENT,
	MARK_SNAPSHOT_HELD,
	MARK_SNAPSHOT_FAILED,
	MARK_MEMBER_ADDED,
	MARK_MEMBER_PROMOTED,
	MARK_MEMBER_DEMOTED,
	MARK_MEMBER_REMOVED,
	MARK_CHANGE_TRUNCATED,
	MARK_TRANSFER,
	MARK_ROSTER_CHANGED,
	MARK_COUNT
};

/* --- what clients do ------------------------------------------------------ */

enum sim_op_kind {
	SIM_READ,
	SIM_WRITE,
	SIM_CAS,
	SIM_APPEND,
	SIM_MAKE,   /* a name that must not be there */
	SIM_REMOVE, /* and takes it away */
	SIM_LOOK,   /* whether it is there */
	SIM_SEQUENTIAL,
	SIM_LOCK,
	SIM_EPHEMERAL,
	SIM_PREPARE, /* make a file that everybody needs */
	SIM_RELEASE,
};

/* One thing that a client did, for the checkers. */
struct sim_op {
	enum sim_op_kind kind;
	unsigned host;
	uint32_t file;
	uint64_t expect; /* CAS: the version */
	uint64_t value;  /* written, or read; HISTORY_NONE */
	uint64_t version;
	uint64_t invoked_us, returned_us;
	uint64_t held_us; /* LOCK, EPHEMERAL: until then; 0: not at all */
	bool done;
	int rc;
	struct zk_outcome out;
};

struct sim_client {
	struct sim *sim;
	unsigned host, index;
	struct sim_op *op;   /* under way */
	uint64_t ticket;     /* of the lock request under way */
	uint64_t next_us;    /* when to do something again */
	uint64_t cancel_us;  /* when to give up waiting for a lock */
	struct sim_op *hold; /* what it holds, */
	uint64_t session;    /* and in which session */
	uint64_t handle, ino;
	bool probed; /* has shown, when all was healed, that it can write */
};

/* --- hosts ---------------------------------------------------------------- */

enum sim_arm { ARM_NONE, ARM_BEFORE, ARM_AFTER, ARM_INSTALL };

struct sim_message {
	struct sim_message *next;
	uint64_t at_us;
	unsigned from, to;
	uint64_t boot_to; /* the process at the other end of the connection */
	uint64_t node_from;
	size_t len;
	uint8_t bytes[];
};

struct sim_host {
	struct sim *sim;
	unsigned id;
	uint64_t rng;
	bool up;
	char dir[128];
	struct zk_store *store;
	struct zk_member *member;
	uint64_t node;  /* its id */
	uint64_t lives; /* how often its disk was made */
	uint64_t boots;
	uint64_t boot_us;
	uint64_t busy_us;    /* in a turn, or paused, until then */
	uint64_t wake_us;    /* next turn at the latest */
	uint64_t restart_us; /* when it is down; 0: it stays so */
	int64_t rate_ppm;    /* its monotonic clock against the true one */
	int64_t wall_s;      /* its wall clock is ahead by this */
	/* Of the turn under way. */
	uint64_t lag_us; /* what is said now, is said that much later */
	bool dying;      /* nothing it says gets out any more */
	/* Faults. */
	enum sim_arm arm;
	uint64_t arm_down_us;
	uint64_t flush_us; /* of its disk; 0: a good one */
	bool disk_full, deaf;
	uint32_t full_percent; /* of the flushes fail */
	/* Members. */
	bool founder, joined;
	uint64_t joined_index; /* the last configuration it is known to be in */
	uint64_t wipe_us;      /* it was removed: its disk is made anew */
	/* As seen last, since the start. */
	struct zk_replica_counts replica_counts;
	struct zk_member_counts member_counts;
	enum zk_role role;
	uint64_t term, vote, applied;
	uint64_t conf_index; /* the last one that was committed */
	uint64_t conf_newest;
	uint64_t session;
	uint64_t versions[SIM_FILES]; /* of the registers, read here */
	struct zk_item_list items;    /* for the next turn */
	struct sim_message *mail;     /* for the next turn, in order */
	struct sim_message **mail_last;
	uint32_t lost, found; /* connections, by the other host's bit */
	struct sim_client clients[SIM_CLIENTS];
};

/* --- faults --------------------------------------------------------------- */

enum sim_fault_kind {
	FAULT_CRASH,
	FAULT_CRASH_BEFORE, /* the next flush */
	FAULT_CRASH_AFTER,
	FAULT_CRASH_INSTALL,
	FAULT_CRASH_ALL,
	FAULT_CUT,
	FAULT_DROP,
	FAULT_DELAY,
	FAULT_REPEAT,
	FAULT_PAUSE,
	FAULT_SLOW,
	FAULT_FULL,
	FAULT_JUMP,
	FAULT_LINK,
	FAULT_CHANGE,
	FAULT_TRANSFER,
	FAULT_KINDS
};

#define SIM_LEADER UINT32_MAX /* as a host: whoever leads then */

struct sim_fault {
	enum sim_fault_kind kind;
	uint64_t at_us, end_us; /* end: of what lasts */
	unsigned host;
	uint64_t arg;
	bool skipped, begun, ended;
	unsigned target; /* whom it met */
};

/* What an operator asks of the leader; one thing at a time. */
struct sim_order {
	bool wanted, transfer;
	unsigned verb; /* to the roster, and not answered yet; 0: none */
	unsigned host;
	uint64_t arg, until_us;
};

struct sim_options {
	uint64_t seed;
	bool verbose;
	uint64_t skip;    /* faults not to have, as bits */
	uint64_t ops_max; /* clients begin no more */
};

struct sim {
	struct sim_options options;
	uint64_t rng_net;
	uint64_t now_us;
	unsigned count;           /* hosts */
	bool quiet;               /* no more faults */
	bool changing;            /* members come and go */
	bool has_roster;          /* by commands, not by a word to the leader */
	bool disks_fill;          /* some time */
	uint32_t log_keep;        /* short: members soon lag behind; 0: not */
	uint32_t uncommitted_max; /* little; 0: not */
	struct sim_host hosts[SIM_HOSTS_MAX];
	struct sim_host *running; /* whose turn it is */
	struct sim_fault faults[SIM_FAULTS_MAX];
	unsigned fault_count;
	uint64_t faults_us; /* so long they last */
	struct sim_order order;
	uint32_t cut[SIM_HOSTS_MAX]; /* by sender: receivers, as bits */
	struct sim_message *wire;    /* sorted by at_us */
	uint32_t drop_percent, late_percent;
	uint64_t delay_us, good_delay_us;
	uint64_t trace; /* a hash of everything that happened */
	uint64_t marks[MARK_COUNT];
	struct sim_op ops[SIM_OPS_MAX];
	size_t op_count;
	uint64_t next_value;
	uint64_t heal_us, heal_commit;
	/* The checkers' memory. */
	uint64_t leaders[1024]; /* by term */
	struct {
		uint64_t index, digest;
	} digests[1024];
	struct {
		uint64_t stream, index;
	} snapshots[64]; /* on their way */
	bool ended;      /* what is not as it should be is so for ever */
	bool failed;
	char failure[256];
};

/* Draws from a stream: 0 up to, not including, `below`. */
uint64_t sim_random(uint64_t *rng, uint64_t below);
bool sim_chance(uint64_t *rng, uint32_t percent);
void sim_fail(struct sim *sim, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void sim_mark(struct sim *sim, enum sim_mark mark);
void sim_trace(struct sim *sim, const void *bytes, size_t len);
void sim_tell(const struct sim *sim, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* sim.c: a run, in directories beneath `base`. */
void sim_run(struct sim *sim, const char *base);

/* plan.c */
void sim_plan(struct sim *sim);
void sim_plan_act(struct sim *sim);
uint64_t sim_plan_next_us(const struct sim *sim);
void sim_heal(struct sim *sim);
void sim_fault_print(const struct sim *sim, unsigned number);

/* operator.c: members come and go */
struct sim_host *sim_leader(struct sim *sim);
void sim_operator_watch(struct sim *sim);
void sim_operator_turn(struct sim *sim, struct sim_host *host);
bool sim_is_member(struct sim *sim, const struct sim_host *host);

/* roster.c: by way of the roster */
void sim_roster_founders(const struct sim *sim, struct zk_roster *ret_roster);
void sim_roster_turn(struct sim *sim, struct sim_host *via);
bool sim_roster_is_met(struct sim *sim, struct sim_host *host);

/* net.c */
void sim_send(struct sim_host *from, uint64_t to_node, const void *bytes,
    size_t len);
void sim_deliver_due(struct sim *sim);
void sim_wire_drop(struct sim *sim, unsigned a, unsigned b);

/* host.c */
void sim_host_name(struct sim_host *host, const char *base);
void sim_host_start(struct sim_host *host);
void sim_host_stop(struct sim_host *host, bool silent); /* a crash */
void sim_host_wipe(struct sim_host *host);
void sim_host_turn(struct sim_host *host);
bool sim_host_due(const struct sim_host *host);

/* client.c */
void sim_clients_act(struct sim_host *host);
void sim_clients_reset(struct sim_host *host);
void sim_clients_look(struct sim_host *host); /* after a turn */
uint64_t sim_clients_next_us(const struct sim_host *host);
bool sim_clients_idle(const struct sim_host *host);
void sim_client_read(struct sim_host *host, uint64_t ctx, bool reached);

/* check.c */
void sim_check_start(struct sim_host *host);
void sim_check_host(struct sim_host *host);
/* lease.c */
void sim_check_leases(struct sim *sim);
bool sim_has_converged(struct sim *sim);
void sim_check_end(struct sim *sim);

#endif

#ifndef ZK_TESTS_QUEUE_SIM_H
#define ZK_TESTS_QUEUE_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue/broker.h"

/*
 * The simulator of the queue: brokers of some hosts, the production code with
 * its LMDB below, under a virtual clock and network.  Everything random comes
 * from one seed, so that a run can be repeated.
 */

#define SIM_HOSTS_MAX 5u
#define SIM_PARTS     3u
#define SIM_PART_ID   100u /* of the first */
#define SIM_TERMS     8192u
#define SIM_WRITERS   3u /* for each partition at each host */
#define SIM_BATCHES   65536u
#define SIM_TEXT_MAX  24000u
#define SIM_FILES     2u /* of a host */
#define SIM_SESSIONS  4096u

/* Rare events that a set of runs must have seen; see sim.c for the names. */
enum sim_mark {
	MARK_ELECTION,
	MARK_CRASH,
	MARK_CRASH_AT_FLUSH,
	MARK_CRASH_OF_VOTER,
	MARK_STALE_CANDIDATE,
	MARK_PARTITION,
	MARK_ONE_WAY,
	MARK_TRUNCATION,
	MARK_UNKNOWN,
	MARK_REPEATED,
	MARK_RESENT,
	MARK_MOVED_IN,
	MARK_MOVED_OUT,
	MARK_SNAPSHOT,
	MARK_RETAINED,
	MARK_FULL,
	MARK_SLOW_FLUSH,
	MARK_HIDDEN,
	MARK_STALL,
	MARK_SESSION_LOST,
	MARK_LATE,
	MARK_SYNC,
	MARK_SYNC_ELSEWHERE,
	MARK_COUNT
};

/* One append. */
struct sim_batch {
	struct sim *sim;
	unsigned host, writer, part;
	uint64_t boot, number, session;
	uint64_t offset;
	bool done, sent;
	int rc;
	size_t len;
	char *text;
};

/* A question for all that was answered for. */
struct sim_sync {
	struct sim *sim;
	unsigned host, part;
	uint64_t boot;
	uint64_t floor; /* it ended there, as somebody was told */
};

struct sim_message {
	struct sim_message *next;
	uint64_t at_us;
	unsigned from, to;
	uint64_t boot, boot_to; /* a connection has two ends */
	size_t len;
	uint8_t bytes[];
};

struct sim_host {
	struct sim *sim;
	unsigned id;
	struct zk_broker *broker; /* NULL: down */
	char dir[96];
	uint64_t boots;
	uint64_t busy_us, wake_us, restart_us;
	size_t map_bytes;
	bool dying;       /* its flush does not happen */
	uint64_t flushes; /* before the turn */
	struct zk_request_list list;
	struct sim_message *mail, **mail_last;
	struct zk_broker_counts counts; /* as seen last */
	bool told[SIM_PARTS];           /* of the newest spec */
	struct sim_batch *batch[SIM_PARTS][SIM_WRITERS];
	uint64_t next_us[SIM_PARTS][SIM_WRITERS];
	bool syncs[SIM_PARTS];                     /* one is under way */
	uint64_t start[SIM_PARTS], end[SIM_PARTS]; /* as seen last */
	uint64_t read[SIM_PARTS];                  /* up to there */
	bool local[SIM_PARTS];
	/* The tree: its session, as it is and as the host knows; see tree.c. */
	uint64_t session, own;
	uint64_t lease_us, tree_us; /* renewed last; known up to then */
	uint64_t tree_cut_us;       /* until then */
};

struct sim_session {
	uint64_t end_us;      /* 0: it is not over */
	uint64_t last_number; /* of all batches that were begun by then */
};

/* What was seen of a partition, on any host. */
struct sim_content {
	uint8_t *bytes;
	bool *known;
	uint64_t end, cap;
};

/* In a log, as of a term. */
struct sim_place {
	uint64_t term, index;
};

struct sim_vote {
	unsigned part;
	uint64_t voter, candidate, term; /* 0: none */
};

struct sim {
	uint64_t seed, rng, now_us;
	unsigned count;
	bool verbose, quiet, small_disks, failed;
	uint32_t settle_ms, linger_ms;
	struct sim_host hosts[SIM_HOSTS_MAX];
	bool cut[SIM_HOSTS_MAX][SIM_HOSTS_MAX];
	uint64_t stall_us[SIM_HOSTS_MAX][SIM_HOSTS_MAX]; /* nothing before */
	struct sim_message *wire;
	uint32_t drop_percent;
	uint64_t delay_us;
	struct zk_partition_spec specs[SIM_PARTS];
	struct sim_content content[SIM_PARTS];
	uint64_t answered[SIM_PARTS]; /* all before was, to somebody */
	/* By term: node ids, 0: none was seen. */
	uint8_t votes[SIM_PARTS][SIM_HOSTS_MAX][SIM_TERMS];
	uint8_t leaders[SIM_PARTS][SIM_TERMS];
	uint64_t term[SIM_PARTS]; /* the newest */
	/*
	 * How far it is committed, as its leader said; what it was told to be
	 * stored; so what of each host is committed.  And when a host was
	 * asked by a candidate for its vote: in which term, and how much that
	 * lacked of what the host had.
	 */
	struct sim_place committed[SIM_PARTS];
	struct sim_place stored[SIM_PARTS][SIM_HOSTS_MAX];
	uint64_t has[SIM_PARTS][SIM_HOSTS_MAX];
	/* ... of a question really asked, of a forged one */
	struct sim_place lacks[SIM_PARTS][SIM_HOSTS_MAX][SIM_HOSTS_MAX][2];
	struct sim_vote vote; /* whose voter is to crash; see wire.c */
	struct sim_batch *batches[SIM_BATCHES];
	size_t batch_count;
	uint64_t next_number;
	struct sim_session sessions[SIM_SESSIONS];
	uint64_t session_count;
	uint64_t trace;
	uint64_t marks[MARK_COUNT];
	char failure[256];
};

/* sim.c */
uint64_t sim_random(struct sim *sim, uint64_t below);
bool sim_chance(struct sim *sim, uint32_t percent);
void sim_mark(struct sim *sim, enum sim_mark mark);
void sim_fail(struct sim *sim, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* host.c */
extern const char *const sim_files[SIM_FILES];
void sim_host_start(struct sim *sim, unsigned id);
void sim_host_stop(struct sim *sim, unsigned id);
void sim_host_turn(struct sim *sim, unsigned id);

void sim_send(struct sim *sim, unsigned from, unsigned to, const void *bytes,
    size_t len);
void sim_deliver_due(struct sim *sim);
void sim_wire_clear(struct sim *sim, unsigned id);

/* sync.c: now and then, in the host's turn */
void sim_sync(struct sim *sim, struct sim_host *host, unsigned part);

/* wire.c */
/* Has somebody voted lately?  Then he crashes, and is asked for another. */
void sim_crash_voter(struct sim *sim);
/* One asks with next to nothing in its log. */
void sim_ask_stale(struct sim *sim, unsigned part, unsigned from, unsigned to);

/* tree.c */
void sim_tree_run(struct sim *sim);
void sim_tree_start(struct sim_host *host);
uint64_t sim_tree_own(void *arg, uint64_t *ret_left_ms);
int sim_tree_is_over(void *arg, uint64_t session);
/* The batch is in a log, where batches up to the newest come before it. */
void sim_tree_check(struct sim *sim, const struct sim_batch *batch,
    uint64_t newest);

/* check.c */
void sim_check_host(struct sim *sim, unsigned id);
void sim_check_answer(struct sim *sim, const struct sim_batch *batch);
bool sim_has_converged(struct sim *sim);
void sim_check_end(struct sim *sim);
void sim_print(struct sim *sim);

#endif

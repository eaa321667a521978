#ifndef ZK_TESTS_RAFT_SIM_H
#define ZK_TESTS_RAFT_SIM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "consensus/raft.h"

/*
 * A cluster of Raft cores in one process: logs in memory, a disk that
 * forgets what was not flushed, a network that does what it is told.  Member
 * n has the id n.  Observers check every step from outside (sim_check.c).
 * One thread; one struct sim at a time is enough, it is large.
 */

#define SIM_NODES_MAX   10u
#define SIM_LOG_MAX     8192u
#define SIM_PACKETS_MAX 2048u
#define SIM_BATCH_MAX   16u
#define SIM_CONFS_MAX   1024u
#define SIM_TERMS_MAX   8192u
#define SIM_ENTRY_BYTES 100u

struct sim_entry {
	uint64_t term, value;
	enum zk_entry_kind kind;
	uint32_t conf; /* of sim.confs, for ZK_ENTRY_CONF */
};

struct sim_disk {
	uint64_t term, vote;
	uint64_t base_index, base_term, last_index;
	uint64_t applied, conf_index;
	uint32_t conf;
	struct sim_entry log[SIM_LOG_MAX]; /* by index */
};

struct sim_node {
	uint64_t id;
	bool up, autoflush;
	uint32_t life; /* counts restarts */
	uint64_t dirty_from;
	bool was_leader;
	struct zk_raft r;
	struct sim_disk mem, disk;
};

enum sim_packet_state { SIM_FREE, SIM_HELD, SIM_FLYING };

struct sim_packet {
	enum sim_packet_state state;
	uint64_t seq;
	bool snapshot; /* msg.index, msg.log_term; entries[0].conf */
	uint64_t conf_index;
	struct zk_msg msg;
	uint32_t count;
	struct sim_entry entries[SIM_BATCH_MAX];
};

struct sim_read {
	uint64_t ctx, committed;
	bool open;
};

struct sim {
	uint32_t node_count;
	struct sim_node nodes[SIM_NODES_MAX + 1]; /* by id; 0 unused */
	struct sim_packet packets[SIM_PACKETS_MAX];
	uint64_t seq;
	bool cut[SIM_NODES_MAX + 1][SIM_NODES_MAX + 1]; /* from, to */
	uint32_t election_ms, heartbeat_ms, append_bytes_max, window_bytes_max;
	uint64_t uncommitted_bytes_max;
	bool no_lookup; /* the cores get no term_of() */
	uint64_t seed, next_value;
	struct zk_conf confs[SIM_CONFS_MAX];
	uint32_t conf_count;
	FILE *trace; /* NULL: silent */
	bool verbose;

	/* What the observers know. */
	char violation[256]; /* the first one; empty: none */
	struct sim_entry committed[SIM_LOG_MAX];
	uint64_t committed_in[SIM_LOG_MAX]; /* the term, by index */
	uint64_t committed_last;
	struct {
		uint64_t id;
		uint32_t life;
	} leader_of[SIM_TERMS_MAX];
	struct sim_read reads[256];
	uint64_t elections, truncations, installs, crashes, rollbacks;
	uint64_t reads_answered, conf_changes, eprotos;
};

/* sim.c */
void sim_init(struct sim *sim, const struct zk_conf *conf, uint64_t seed);
struct sim_node *sim_node(struct sim *sim, uint64_t id);
/* A member that knows nobody yet. */
void sim_add_node(struct sim *sim, uint64_t id);
/* Feeds one event and carries out its effects; the core's answer. */
int sim_step(struct sim *sim, struct sim_node *node, struct zk_event *ev);
int sim_step_packet(struct sim *sim, struct sim_node *node, struct zk_event *ev,
    const struct sim_packet *packet);
void sim_tick(struct sim *sim, struct sim_node *node, uint32_t ms);
int sim_propose(struct sim *sim, struct sim_node *node, uint32_t count);
int sim_read(struct sim *sim, struct sim_node *node, uint64_t ctx);
void sim_flush(struct sim *sim, struct sim_node *node);
void sim_crash(struct sim *sim, struct sim_node *node);
void sim_restart(struct sim *sim, struct sim_node *node);
void sim_compact(struct sim *sim, struct sim_node *node, uint64_t first);
const char *sim_role_name(enum zk_role role);

/* sim_net.c */
struct sim_packet *sim_packet_new(struct sim *sim, const struct zk_msg *msg,
    bool held);
/* The oldest in flight for which match() is true, or NULL. */
struct sim_packet *sim_oldest(struct sim *sim,
    bool (*match)(const struct sim_packet *packet, const void *arg),
    const void *arg);
/* Hands it over; keep: a copy stays in flight. */
void sim_deliver(struct sim *sim, struct sim_packet *packet, bool keep);
void sim_drop(struct sim *sim, struct sim_packet *packet);
/* Delivers, in order, all that is not cut off, until nothing is in flight. */
void sim_settle(struct sim *sim);
void sim_print_packet(FILE *out, const struct sim_packet *packet);
const char *sim_msg_name(enum zk_msg_type type);

/* sim_check.c: each notes the first violation in sim->violation */
void sim_violation(struct sim *sim, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void sim_check_role(struct sim *sim, struct sim_node *node);
void sim_check_members(struct sim *sim, const struct sim_node *node);
void sim_check_commit(struct sim *sim, const struct sim_node *node,
    uint64_t index);
void sim_check_apply(struct sim *sim, const struct sim_node *node,
    uint64_t index);
void sim_check_read(struct sim *sim, uint64_t ctx, uint64_t index);
void sim_check_read_failed(struct sim *sim, uint64_t ctx);
/* Log matching between every two members. */
void sim_check_logs(struct sim *sim);

/* fuzz.c: 0, or the number of seeds that failed */
int sim_fuzz(struct sim *sim, uint32_t nodes, uint64_t seed_first,
    uint64_t seed_last, uint32_t steps, FILE *out);

/*
 * Every set of links between five members, after they had a leader: whoever
 * reaches a majority, or another who does, must get to commit within a bound.
 * The number of sets for which that fails.
 */
int sim_topologies(struct sim *sim, FILE *out);

/* verbs.c: does one line of a script, writing to sim->trace; false: bad line */
bool verb_run(struct sim *sim, char *line);

#endif

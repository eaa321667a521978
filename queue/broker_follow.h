#ifndef ZK_QUEUE_BROKER_FOLLOW_H
#define ZK_QUEUE_BROKER_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Ends of partitions whose data is elsewhere, for this host and for others; a
 * part of broker_impl.h.
 */
struct zk_broker;
struct zk_dec;
struct zk_part;
struct zk_request;

/* Who is to be told when the end is beyond that. */
struct zk_follower {
	uint64_t node;
	uint64_t until_ms;
	uint64_t seen;
};

/* Of a partition. */
struct zk_follow {
	bool on;              /* this host follows */
	bool heard;           /* where it ends, since then */
	struct zk_part *next; /* that it follows */
	struct zk_part **at;  /* what leads to this one */
	uint64_t node;        /* who was asked; 0: nobody */
	uint64_t ms;          /* when to look at it again */
	uint64_t asked_ms;    /* not known to have arrived; 0: it has */
	struct zk_follower *followers;
	uint32_t follower_count;
};

void zk_follow_submit(struct zk_broker *b, struct zk_request *request);
void zk_follow_end(struct zk_part *part);
void zk_follow_serve(struct zk_broker *b);
uint64_t zk_follow_wait_ms(const struct zk_broker *b);
/* INFO has come from there. */
void zk_follow_heard(struct zk_part *part, uint64_t from);
/* The connection is up or lost. */
void zk_follow_peer(struct zk_broker *b, uint64_t node, bool up);
/* Its info is another. */
void zk_follow_changed(struct zk_part *part);
int zk_follow_on_follow(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec);
int zk_follow_on_elsewhere(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec);

#endif

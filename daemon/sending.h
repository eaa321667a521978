#ifndef ZK_DAEMON_SENDING_H
#define ZK_DAEMON_SENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/node.h"

#define ZK_SENDING_MAX 64u

/*
 * What a turn of the node sends: a leader has several messages for the same
 * member, and each that goes out by itself is a system call here and a wake-up
 * there.  So they are queued, and written together by zk_sending_push().  One
 * thread at a time.
 */
struct zk_sending {
	const struct zk_node_network *network; /* borrowed */
	size_t count;
	struct {
		uint64_t node;
		bool bulk;
	} to[ZK_SENDING_MAX];
};

void zk_sending_send(struct zk_sending *s, uint64_t to, bool bulk,
    const void *bytes, size_t len);

/* Nothing may be kept across a wait, for a disk or for a message. */
void zk_sending_push(struct zk_sending *s);

#endif

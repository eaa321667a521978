#ifndef ZK_BASE_ACK_H
#define ZK_BASE_ACK_H

#include <stddef.h>
#include <stdint.h>

/*
 * What a member of a group says of partitions that it owns: the data of
 * ZK_OP_ACK is a sequence of these.
 */
#define ZK_ACK_BYTES     16u
#define ZK_ACK_RELEASE   1u /* somebody else may have it now */
#define ZK_ACK_TRIED     2u /* tries says something */
#define ZK_ACK_TRIES_MAX 0xffffffu

struct zk_ack {
	uint32_t number; /* of the partition */
	uint8_t flags;
	/*
	 * So often was the record at offset begun to be processed, now
	 * included, by whoever in the group.  At most ZK_ACK_TRIES_MAX.
	 */
	uint32_t tries;
	uint64_t offset; /* all before it is done; 0: nothing new */
};

void zk_ack_encode(uint8_t buf[ZK_ACK_BYTES], const struct zk_ack *ack);
void zk_ack_decode(const uint8_t buf[ZK_ACK_BYTES], struct zk_ack *ret_ack);

#endif

#ifndef ZK_QUEUE_PARTITIONER_H
#define ZK_QUEUE_PARTITIONER_H

#include <stddef.h>
#include <stdint.h>

/*
 * Which partition of a topic a record with a key belongs to: the one that
 * Kafka's default partitioner chooses, so that producers of both agree.
 * Any thread.
 */

/*
 * MurmurHash2, 32 bits, with Kafka's seed (Appleby 2008; its seed, 0x9747b28c,
 * is fixed by the protocol's clients).
 */
uint32_t zk_murmur2(const void *key, size_t len);

/* In [0, partitions); partitions > 0. */
uint32_t zk_partition_of(const void *key, size_t len, uint32_t partitions);

#endif

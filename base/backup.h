#ifndef ZK_BASE_BACKUP_H
#define ZK_BASE_BACKUP_H

#include <stddef.h>
#include <stdint.h>

#include "base/node.h"

/*
 * A backup as a file: a head, parts, a tail.  store/backup.h makes one and
 * makes a tree of one; zkfs(1) only sees to it that it arrives whole.
 *
 * Head:  magic, then struct zk_backup_head in its order, CRC-32C u32 of both.
 * Parts: length u32, not 0, then a part as store/snapshot.h has it.
 * Tail:  0 u32, length of the whole file u64, CRC-32C u32 of all before it.
 * Little-endian.
 */
#define ZK_BACKUP_MAGIC      "zkfsbak1"
#define ZK_BACKUP_HEAD_BYTES (8u + 4 + 16 + 8 + 8 + 8 + 4 + 8 + 8 + 8 + 8 + 4)
#define ZK_BACKUP_TAIL_BYTES (4u + 8 + 4)

struct zk_backup_head {
	uint32_t format; /* of the rows: ZK_STORE_FORMAT */
	uint8_t ensemble[16];
	uint64_t index, term;
	struct zk_stamp time;
	uint64_t digest, ino_next, nodes, row_bytes;
};

void zk_backup_head_encode(uint8_t buf[ZK_BACKUP_HEAD_BYTES],
    const struct zk_backup_head *head);
/* -ZK_EFOREIGN: not a backup; -ZK_ECORRUPT. */
int zk_backup_head_decode(const void *buf, size_t len,
    struct zk_backup_head *ret_head);

/* The tail of a file of which len bytes, with that CRC, are written. */
void zk_backup_tail_encode(uint8_t buf[ZK_BACKUP_TAIL_BYTES], uint64_t len,
    uint32_t crc);

/* Whether a file is whole, while it passes by.  Begin with zeros. */
struct zk_backup_check {
	uint64_t len;
	uint32_t crc; /* of all but what is held back */
	size_t held;
	uint8_t tail[ZK_BACKUP_TAIL_BYTES];
};
void zk_backup_check_add(struct zk_backup_check *check, const void *data,
    size_t len);
/* 0 or -ZK_ECORRUPT. */
int zk_backup_check_end(const struct zk_backup_check *check);

#endif

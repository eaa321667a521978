#include "base/backup.h"

#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "base/err.h"

#define MAGIC_BYTES (sizeof(ZK_BACKUP_MAGIC) - 1)
#define CRC_BYTES   4u

void
zk_backup_head_encode(uint8_t buf[ZK_BACKUP_HEAD_BYTES],
    const struct zk_backup_head *head)
{
	struct zk_enc enc;

	zk_enc_init(&enc, buf, ZK_BACKUP_HEAD_BYTES);
	zk_enc_raw(&enc, ZK_BACKUP_MAGIC, MAGIC_BYTES);
	zk_enc_u32(&enc, head->format);
	zk_enc_raw(&enc, head->ensemble, sizeof(head->ensemble));
	zk_enc_u64(&enc, head->index);
	zk_enc_u64(&enc, head->term);
	zk_enc_i64(&enc, head->time.sec);
	zk_enc_u32(&enc, head->time.nsec);
	zk_enc_u64(&enc, head->digest);
	zk_enc_u64(&enc, head->ino_next);
	zk_enc_u64(&enc, head->nodes);
	zk_enc_u64(&enc, head->row_bytes);
	zk_enc_u32(&enc, zk_crc32c(0, buf, enc.len));
	ZK_ASSERT(!enc.failed);
	ZK_ASSERT(enc.len == ZK_BACKUP_HEAD_BYTES);
}

int
zk_backup_head_decode(const void *buf, size_t len,
    struct zk_backup_head *ret_head)
{
	struct zk_backup_head head;
	const void *magic, *ensemble;
	struct zk_dec dec;

	zk_dec_init(&dec, buf, len);
	magic = zk_dec_raw(&dec, MAGIC_BYTES);
	if (magic == NULL || memcmp(magic, ZK_BACKUP_MAGIC, MAGIC_BYTES) != 0)
		return -ZK_EFOREIGN;
	head.format = zk_dec_u32(&dec);
	ensemble = zk_dec_raw(&dec, sizeof(head.ensemble));
	head.index = zk_dec_u64(&dec);
	head.term = zk_dec_u64(&dec);
	head.time.sec = zk_dec_i64(&dec);
	head.time.nsec = zk_dec_u32(&dec);
	head.digest = zk_dec_u64(&dec);
	head.ino_next = zk_dec_u64(&dec);
	head.nodes = zk_dec_u64(&dec);
	head.row_bytes = zk_dec_u64(&dec);
	if (zk_dec_u32(&dec) !=
	        zk_crc32c(0, buf,
	            len < ZK_BACKUP_HEAD_BYTES
	                ? 0
	                : ZK_BACKUP_HEAD_BYTES - CRC_BYTES) ||
	    dec.failed || head.index == 0 || head.term == 0 ||
	    head.time.nsec >= 1000000000u)
		return -ZK_ECORRUPT;
	memcpy(head.ensemble, ensemble, sizeof(head.ensemble));
	*ret_head = head;
	return 0;
}

void
zk_backup_tail_encode(uint8_t buf[ZK_BACKUP_TAIL_BYTES], uint64_t len,
    uint32_t crc)
{
	struct zk_enc enc;

	zk_enc_init(&enc, buf, ZK_BACKUP_TAIL_BYTES);
	zk_enc_u32(&enc, 0);
	zk_enc_u64(&enc, len + ZK_BACKUP_TAIL_BYTES);
	zk_enc_u32(&enc, zk_crc32c(crc, buf, enc.len));
	ZK_ASSERT(!enc.failed);
}

void
zk_backup_check_add(struct zk_backup_check *check, const void *data, size_t len)
{
	const size_t total = check->held + len;
	const size_t keep =
	    total < ZK_BACKUP_TAIL_BYTES ? total : ZK_BACKUP_TAIL_BYTES;
	size_t old = check->held; /* of the held, no longer at the end */

	if (len < keep)
		old = total - keep;
	check->len += len;
	check->crc = zk_crc32c(check->crc, check->tail, old);
	if (len < keep) {
		memmove(check->tail, check->tail + old, check->held - old);
		memcpy(check->tail + check->held - old, data, len);
	} else {
		check->crc = zk_crc32c(check->crc, data, len - keep);
		if (keep > 0)
			memcpy(check->tail, (const uint8_t *)data + len - keep,
			    keep);
	}
	check->held = keep;
}

int
zk_backup_check_end(const struct zk_backup_check *check)
{
	uint8_t want[ZK_BACKUP_TAIL_BYTES];

	if (check->held != sizeof(want))
		return -ZK_ECORRUPT;
	zk_backup_tail_encode(want, check->len - sizeof(want), check->crc);
	return memcmp(want, check->tail, sizeof(want)) == 0 ? 0 : -ZK_ECORRUPT;
}

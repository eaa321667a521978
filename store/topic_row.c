#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"
#include "store/topic.h"

/*
 * Topic row: key topic; value: format u8 = 1, partitions u32, replicas u32,
 * retention in ms u64, in bytes u64, largest record u32, deliveries u32, the
 * inode numbers of config and groups u64, groups u32.
 *
 * Partition row: key topic, number u32; value: format u8 = 1, ino u64, changed
 * u64, then founders and replicas, each a u8 and as many u64.
 */
#define TOPIC_FORMAT     1u
#define PARTITION_FORMAT 1u

int
zk_topic_get(struct zk_tx *tx, uint64_t ino, struct zk_topic *ret_topic)
{
	const struct zk_key key = zk_key1(ZK_TABLE_TOPIC, ino);
	struct zk_topic topic = {.ino = ino};
	const void *value;
	struct zk_dec dec;
	size_t len;
	int rc;

	rc = zk_row_get(tx, &key, &value, &len);
	if (rc < 0)
		return rc;
	zk_dec_init(&dec, value, len);
	if (zk_dec_u8(&dec) != TOPIC_FORMAT)
		return tx->fatal = -ZK_ECORRUPT;
	topic.config.partitions = zk_dec_u32(&dec);
	topic.config.replicas = zk_dec_u32(&dec);
	topic.config.retention_ms = zk_dec_u64(&dec);
	topic.config.retention_bytes = zk_dec_u64(&dec);
	topic.config.record_max = zk_dec_u32(&dec);
	topic.config.deliveries_max = zk_dec_u32(&dec);
	topic.config_ino = zk_dec_u64(&dec);
	topic.groups_ino = zk_dec_u64(&dec);
	topic.group_count = zk_dec_u32(&dec);
	if (!zk_dec_done(&dec))
		return tx->fatal = -ZK_ECORRUPT;
	*ret_topic = topic;
	return 0;
}

int
zk_topic_put(struct zk_tx *tx, const struct zk_topic *topic)
{
	const struct zk_key key = zk_key1(ZK_TABLE_TOPIC, topic->ino);
	uint8_t value[64];
	struct zk_enc enc;

	ZK_ASSERT(topic->ino != 0);

	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u8(&enc, TOPIC_FORMAT);
	zk_enc_u32(&enc, topic->config.partitions);
	zk_enc_u32(&enc, topic->config.replicas);
	zk_enc_u64(&enc, topic->config.retention_ms);
	zk_enc_u64(&enc, topic->config.retention_bytes);
	zk_enc_u32(&enc, topic->config.record_max);
	zk_enc_u32(&enc, topic->config.deliveries_max);
	zk_enc_u64(&enc, topic->config_ino);
	zk_enc_u64(&enc, topic->groups_ino);
	zk_enc_u32(&enc, topic->group_count);
	ZK_ASSERT(!enc.failed);
	return zk_row_put(tx, &key, value, enc.len);
}

static struct zk_key
partition_key(uint64_t topic, uint32_t number)
{
	struct zk_key key = zk_key1(ZK_TABLE_PARTITION, topic);

	zk_key_u32(&key, number);
	return key;
}

static void
enc_members(struct zk_enc *enc, const uint64_t *ids, uint32_t count)
{
	ZK_ASSERT(count <= ZK_REPLICAS_MAX);

	zk_enc_u8(enc, (uint8_t)count);
	for (uint32_t i = 0; i < count; i++)
		zk_enc_u64(enc, ids[i]);
}

static uint32_t
dec_members(struct zk_dec *dec, uint64_t *ids)
{
	const uint32_t count = zk_dec_u8(dec);

	if (count == 0 || count > ZK_REPLICAS_MAX) {
		dec->failed = true;
		return 0;
	}
	for (uint32_t i = 0; i < count; i++)
		ids[i] = zk_dec_u64(dec);
	return count;
}

static int
partition_decode(const struct zk_key *key, const void *value, size_t len,
    struct zk_partition *ret_partition)
{
	struct zk_partition p = {0};
	struct zk_dec dec;

	if (key->len != 1 + 8 + 4)
		return -ZK_ECORRUPT;
	p.topic = zk_get_be64(key->bytes + 1);
	p.number = zk_get_be32(key->bytes + 1 + 8);
	zk_dec_init(&dec, value, len);
	if (zk_dec_u8(&dec) != PARTITION_FORMAT)
		return -ZK_ECORRUPT;
	p.ino = zk_dec_u64(&dec);
	p.changed = zk_dec_u64(&dec);
	p.founder_count = dec_members(&dec, p.founders);
	p.replica_count = dec_members(&dec, p.replicas);
	if (!zk_dec_done(&dec))
		return -ZK_ECORRUPT;
	*ret_partition = p;
	return 0;
}

int
zk_partition_get(struct zk_tx *tx, uint64_t topic, uint32_t number,
    struct zk_partition *ret_partition)
{
	const struct zk_key key = partition_key(topic, number);
	const void *value;
	size_t len;
	int rc;

	rc = zk_row_get(tx, &key, &value, &len);
	if (rc == 0) {
		rc = partition_decode(&key, value, len, ret_partition);
		if (rc < 0)
			tx->fatal = rc;
	}
	return rc;
}

int
zk_partition_put(struct zk_tx *tx, const struct zk_partition *partition)
{
	const struct zk_key key =
	    partition_key(partition->topic, partition->number);
	uint8_t value[32 + 2 * 8 * ZK_REPLICAS_MAX];
	struct zk_enc enc;

	ZK_ASSERT(partition->ino != 0);
	ZK_ASSERT(partition->replica_count > 0);

	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u8(&enc, PARTITION_FORMAT);
	zk_enc_u64(&enc, partition->ino);
	zk_enc_u64(&enc, partition->changed);
	enc_members(&enc, partition->founders, partition->founder_count);
	enc_members(&enc, partition->replicas, partition->replica_count);
	ZK_ASSERT(!enc.failed);
	return zk_row_put(tx, &key, value, enc.len);
}

int
zk_partition_next(struct zk_tx *tx, uint64_t topic, uint32_t number,
    struct zk_partition *ret_partition)
{
	const struct zk_key from = partition_key(topic, number);
	struct zk_scan scan;
	int rc;

	rc = zk_scan_begin(tx, &from, 1, &scan);
	if (rc < 0)
		return rc;
	rc = zk_scan_next(&scan);
	if (rc == 0) {
		rc = partition_decode(&scan.at, scan.value, scan.value_len,
		    ret_partition);
		if (rc < 0)
			tx->fatal = rc;
	}
	zk_scan_end(&scan);
	return rc;
}

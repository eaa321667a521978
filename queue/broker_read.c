#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "queue/broker_impl.h"

/*
 * What any thread may ask of what is here.  The bounds of a partition are
 * taken under the lock; all within them is in every transaction that begins
 * later, but for what retention has deleted since.
 */

/* Where a record that is longer than this ends is looked for piece by piece. */
#define SCAN_BYTES 4096u

static struct zk_pspan
span_of(const struct zk_bounds *bounds)
{
	return (struct zk_pspan){
	    .first = bounds->base_index + 1,
	    .last = bounds->applied_index,
	    .start = bounds->start,
	    .end = bounds->end,
	};
}

/*
 * Retention may have deleted the beginning since the bounds were taken: then
 * entries are missing, which says so and does not mean damage.
 */
static int
gone_since(struct zk_tx *tx, const struct zk_bounds *bounds, int rc)
{
	struct zk_pentry first;

	if (rc != -ZK_ECORRUPT)
		return rc;
	tx->fatal = 0;
	return zk_plog_head(tx, bounds->id, bounds->base_index + 1, &first) ==
	        -ENOENT
	    ? -ENODATA
	    : rc;
}

static int
find_entry(struct zk_tx *tx, const struct zk_bounds *bounds, uint64_t offset,
    struct zk_pentry *ret_entry)
{
	uint64_t index;
	int rc;

	rc = zk_plog_find_offset(tx, bounds->id, span_of(bounds), offset,
	    &index);
	if (rc == 0)
		rc = zk_plog_head(tx, bounds->id, index, ret_entry);
	return rc == -ENOENT ? -ZK_ECORRUPT : rc;
}

int
zk_bounds_read(struct zk_tx *tx, const struct zk_bounds *bounds,
    uint64_t offset, void *buf, size_t cap, size_t *ret_len)
{
	struct zk_pentry entry = {.index = 0};
	uint8_t *to = buf;
	size_t len = 0;
	int rc;

	*ret_len = 0;
	if (offset < bounds->start)
		return -ENODATA;
	if (offset >= bounds->end || cap == 0)
		return 0;
	if (cap > bounds->end - offset)
		cap = (size_t)(bounds->end - offset);
	rc = find_entry(tx, bounds, offset, &entry);
	while (rc == 0) {
		if (entry.kind == ZK_PENTRY_DATA) {
			const uint64_t at = offset + len - entry.offset;
			size_t take = entry.len - (size_t)at;

			ZK_ASSERT(at < entry.len);
			if (take > cap - len)
				take = cap - len;
			rc = zk_plog_bytes(tx, bounds->id, &entry, (uint32_t)at,
			    to + len, take);
			len += take;
		}
		if (rc < 0 || len == cap)
			break;
		rc = zk_plog_head(tx, bounds->id, entry.index + 1, &entry);
		if (rc == -ENOENT)
			rc = -ZK_ECORRUPT;
	}
	if (rc == 0)
		*ret_len = len;
	return gone_since(tx, bounds, rc);
}

int
zk_bounds_time(struct zk_tx *tx, const struct zk_bounds *bounds,
    struct zk_stamp time, uint64_t *ret_offset)
{
	struct zk_pentry entry;
	uint64_t index;
	int rc;

	*ret_offset = bounds->end;
	rc = zk_plog_find_time(tx, bounds->id, span_of(bounds), time, &index);
	if (rc == 0 && index <= bounds->applied_index) {
		rc = zk_plog_head(tx, bounds->id, index, &entry);
		if (rc == 0)
			*ret_offset = entry.offset;
		else if (rc == -ENOENT)
			rc = -ZK_ECORRUPT;
	}
	rc = gone_since(tx, bounds, rc);
	/* What is gone is older than all that is left. */
	return rc == -ENODATA ? -EAGAIN : rc;
}

/* A batch begins a record; within one, the byte after a newline does. */
int
zk_bounds_record(struct zk_tx *tx, const struct zk_bounds *bounds,
    uint64_t offset, uint64_t *ret_offset)
{
	uint8_t bytes[SCAN_BYTES];
	struct zk_pentry entry = {.index = 0};
	uint64_t at;
	int rc;

	*ret_offset = bounds->end;
	if (offset < bounds->start)
		return -ENODATA;
	if (offset >= bounds->end)
		return 0;
	rc = find_entry(tx, bounds, offset, &entry);
	if (rc < 0)
		return gone_since(tx, bounds, rc);
	if (entry.offset == offset) {
		*ret_offset = offset;
		return 0;
	}
	for (at = offset - 1; at < zk_pentry_end(&entry);) {
		const size_t left = (size_t)(zk_pentry_end(&entry) - at);
		const size_t len = left < SCAN_BYTES ? left : SCAN_BYTES;
		const uint8_t *newline;

		rc = zk_plog_bytes(tx, bounds->id, &entry,
		    (uint32_t)(at - entry.offset), bytes, len);
		if (rc < 0)
			return gone_since(tx, bounds, rc);
		newline = memchr(bytes, '\n', len);
		if (newline != NULL) {
			*ret_offset = at + (uint64_t)(newline - bytes) + 1;
			return 0;
		}
		at += len;
	}
	*ret_offset = zk_pentry_end(&entry);
	return 0;
}

/* --- any thread ----------------------------------------------------------- */

int
zk_broker_info(struct zk_broker *b, uint64_t partition,
    struct zk_partition_info *ret_info)
{
	const struct zk_part *part;
	int rc = -ENOENT;

	(void)pthread_mutex_lock(&b->lock);
	part = zk_part_find(b, partition);
	if (part != NULL && part->info.replica_count > 0) {
		*ret_info = part->info;
		zk_host_reach(b, ret_info);
		rc = 0;
	}
	(void)pthread_mutex_unlock(&b->lock);
	return rc;
}

/*
 * Under the lock for a moment only: what is in a transaction stays there.
 * last: where what is asked for ends, or UINT64_MAX.
 */
static int
begin(struct zk_broker *b, uint64_t partition, uint64_t last,
    struct zk_bounds *ret_bounds, struct zk_tx **ret_tx)
{
	struct zk_part *part;
	bool hidden = false;
	int rc = -ENOENT;

	(void)pthread_mutex_lock(&b->lock);
	part = zk_part_find(b, partition);
	if (part != NULL && part->info.replica_count > 0)
		rc = part->info.local ? 0 : -EREMOTE;
	if (rc == 0)
		*ret_bounds = (struct zk_bounds){
		    .id = partition,
		    .base_index = part->base_index,
		    .applied_index = part->applied_index,
		    .start = part->info.start,
		    .end = part->info.end,
		};
	/* Who reads at the end will want what comes next. */
	if (rc == 0 && last >= part->info.end)
		b->read_at_end = part->read_at_end = true;
	if (rc == 0 && part->hidden) {
		hidden = last > part->visible_end &&
		    part->info.end > part->visible_end;
		ret_bounds->applied_index = part->visible_index;
		ret_bounds->end = part->visible_end;
	}
	(void)pthread_mutex_unlock(&b->lock);
	if (hidden)
		return -EREMOTE;
	return rc < 0 ? rc : zk_env_read_begin(zk_plog_env(b->plog), ret_tx);
}

int
zk_broker_read(struct zk_broker *b, uint64_t partition, uint64_t offset,
    void *buf, size_t cap, size_t *ret_len)
{
	struct zk_bounds bounds;
	struct zk_tx *tx;
	int rc;

	rc = begin(b, partition,
	    cap < UINT64_MAX - offset ? offset + cap : UINT64_MAX, &bounds,
	    &tx);
	if (rc < 0)
		return rc;
	rc = zk_bounds_read(tx, &bounds, offset, buf, cap, ret_len);
	zk_env_read_end(tx);
	return rc;
}

int
zk_broker_find_time(struct zk_broker *b, uint64_t partition,
    struct zk_stamp time, uint64_t *ret_offset)
{
	struct zk_bounds bounds;
	struct zk_tx *tx;
	int rc;

	/* Again, from where it begins now. */
	do {
		rc = begin(b, partition, UINT64_MAX, &bounds, &tx);
		if (rc < 0)
			return rc;
		rc = zk_bounds_time(tx, &bounds, time, ret_offset);
		zk_env_read_end(tx);
	} while (rc == -EAGAIN);
	return rc;
}

int
zk_broker_find_record(struct zk_broker *b, uint64_t partition, uint64_t offset,
    uint64_t *ret_offset)
{
	struct zk_bounds bounds;
	struct zk_tx *tx;
	int rc;

	rc = begin(b, partition, UINT64_MAX, &bounds, &tx);
	if (rc < 0)
		return rc;
	rc = zk_bounds_record(tx, &bounds, offset, ret_offset);
	zk_env_read_end(tx);
	return rc;
}

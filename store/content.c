#include "store/content.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"

#define BLOCK_BYTES      512u
#define BLOCKS_PER_CHUNK (ZK_CHUNK_BYTES / BLOCK_BYTES)
/* What a small file of any Linux file system takes: one page. */
#define BLOCKS_INLINE 8u

static struct zk_key
chunk_key(uint64_t ino, uint64_t chunk)
{
	struct zk_key key = zk_key1(ZK_TABLE_CHUNK, ino);

	ZK_ASSERT(chunk <= UINT32_MAX);
	zk_key_u32(&key, (uint32_t)chunk);
	return key;
}

static size_t
min_size(uint64_t a, uint64_t b)
{
	return (size_t)(a < b ? a : b);
}

static bool
is_inline(const struct zk_inode *inode)
{
	return inode->attr.size <= ZK_INLINE_MAX;
}

/* The chunk's bytes, zero-filled to a whole chunk.  -ENOENT: a hole. */
static int
chunk_load(struct zk_tx *tx, uint64_t ino, uint64_t chunk,
    uint8_t buf[ZK_CHUNK_BYTES], size_t *ret_len)
{
	const struct zk_key key = chunk_key(ino, chunk);
	const void *value;
	size_t len;
	int rc;

	rc = zk_row_get(tx, &key, &value, &len);
	if (rc == -ENOENT) {
		memset(buf, 0, ZK_CHUNK_BYTES);
		*ret_len = 0;
		return rc;
	}
	if (rc < 0)
		return rc;
	if (len == 0 || len > ZK_CHUNK_BYTES)
		return tx->fatal = -ZK_ECORRUPT;
	memcpy(buf, value, len);
	memset(buf + len, 0, ZK_CHUNK_BYTES - len);
	*ret_len = len;
	return 0;
}

static int
read_chunks(struct zk_tx *tx, uint64_t ino, uint64_t off, uint8_t *buf,
    size_t len)
{
	size_t done = 0;

	while (done < len) {
		const uint64_t at = off + done;
		const size_t skip = at % ZK_CHUNK_BYTES;
		const size_t want = min_size(len - done, ZK_CHUNK_BYTES - skip);
		const struct zk_key key = chunk_key(ino, at / ZK_CHUNK_BYTES);
		const void *value;
		size_t have = 0, part;
		int rc;

		rc = zk_row_get(tx, &key, &value, &have);
		if (rc < 0 && rc != -ENOENT)
			return rc;
		part = rc == 0 && have > skip ? min_size(want, have - skip) : 0;
		if (part > 0)
			memcpy(buf + done, (const uint8_t *)value + skip, part);
		memset(buf + done + part, 0, want - part);
		done += want;
	}
	return 0;
}

int
zk_content_read(struct zk_tx *tx, const struct zk_inode *inode, uint64_t off,
    void *buf, size_t cap, size_t *ret_len)
{
	size_t len;
	int rc;

	*ret_len = 0;
	if (off >= inode->attr.size)
		return 0;
	len = min_size(cap, inode->attr.size - off);
	if (is_inline(inode)) {
		memcpy(buf, inode->data + off, len);
	} else {
		rc = read_chunks(tx, inode->attr.ino, off, buf, len);
		if (rc < 0)
			return rc;
	}
	*ret_len = len;
	return 0;
}

/* Replace bytes [skip, skip + len) of a chunk, leaving the others. */
static int
chunk_patch(struct zk_tx *tx, struct zk_inode *inode, uint64_t chunk,
    size_t skip, const uint8_t *data, size_t len)
{
	const struct zk_key key = chunk_key(inode->attr.ino, chunk);
	uint8_t buf[ZK_CHUNK_BYTES];
	size_t have = 0;
	int rc;

	ZK_ASSERT(skip + len <= ZK_CHUNK_BYTES);

	rc = chunk_load(tx, inode->attr.ino, chunk, buf, &have);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	if (rc == -ENOENT)
		inode->attr.blocks += BLOCKS_PER_CHUNK;
	memcpy(buf + skip, data, len);
	if (skip + len > have)
		have = skip + len;
	return zk_row_put(tx, &key, buf, have);
}

static int
chunk_remove(struct zk_tx *tx, struct zk_inode *inode, uint64_t chunk)
{
	const struct zk_key key = chunk_key(inode->attr.ino, chunk);
	int rc;

	rc = zk_row_delete(tx, &key);
	if (rc == 0) {
		ZK_ASSERT(inode->attr.blocks >= BLOCKS_PER_CHUNK);
		inode->attr.blocks -= BLOCKS_PER_CHUNK;
	}
	return rc == -ENOENT ? 0 : rc;
}

static int
write_chunks(struct zk_tx *tx, struct zk_inode *inode, uint64_t off,
    const uint8_t *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		const uint64_t at = off + done;
		const size_t skip = at % ZK_CHUNK_BYTES;
		const size_t part = min_size(len - done, ZK_CHUNK_BYTES - skip);
		int rc;

		rc = chunk_patch(tx, inode, at / ZK_CHUNK_BYTES, skip,
		    data + done, part);
		if (rc < 0)
			return rc;
		done += part;
	}
	return 0;
}

/* Inline bytes become chunk 0. */
static int
leave_inline(struct zk_tx *tx, struct zk_inode *inode)
{
	const size_t len = inode->data_len;

	inode->data_len = 0;
	inode->attr.blocks = 0;
	if (len == 0)
		return 0;
	return chunk_patch(tx, inode, 0, 0, inode->data, len);
}

static void
set_inline(struct zk_inode *inode, size_t size)
{
	ZK_ASSERT(size <= ZK_INLINE_MAX);

	if (size > inode->data_len)
		memset(inode->data + inode->data_len, 0,
		    size - inode->data_len);
	inode->data_len = size;
	inode->attr.size = size;
	inode->attr.blocks = size > 0 ? BLOCKS_INLINE : 0;
}

int
zk_content_write(struct zk_tx *tx, struct zk_inode *inode, uint64_t off,
    const void *data, size_t len)
{
	const uint64_t end = off + len;
	int rc;

	ZK_ASSERT(S_ISREG(inode->attr.mode));
	ZK_ASSERT(end <= ZK_MAX_FILE_LIMIT);

	if (len == 0)
		return 0;
	if (is_inline(inode) && end <= ZK_INLINE_MAX) {
		set_inline(inode,
		    end > inode->attr.size ? (size_t)end
		                           : (size_t)inode->attr.size);
		memcpy(inode->data + off, data, len);
		return 0;
	}
	if (is_inline(inode)) {
		rc = leave_inline(tx, inode);
		if (rc < 0)
			return rc;
	}
	if (end > inode->attr.size)
		inode->attr.size = end;
	return write_chunks(tx, inode, off, data, len);
}

/* Delete the chunks from `first` on. */
static int
drop_chunks(struct zk_tx *tx, struct zk_inode *inode, uint64_t first)
{
	const uint64_t count =
	    (inode->attr.size + ZK_CHUNK_BYTES - 1) / ZK_CHUNK_BYTES;
	const struct zk_key from = chunk_key(inode->attr.ino, first);
	struct zk_scan scan;
	int rc;

	if (first >= count)
		return 0;
	rc = zk_scan_begin(tx, &from, 1 + 8, &scan);
	if (rc < 0)
		return rc;
	while ((rc = zk_scan_next(&scan)) == 0) {
		rc =
		    chunk_remove(tx, inode, zk_get_be32(scan.at.bytes + 1 + 8));
		if (rc < 0)
			break;
	}
	zk_scan_end(&scan);
	return rc == -ENOENT ? 0 : rc;
}

/* A chunk that now ends at len. */
static int
chunk_cut(struct zk_tx *tx, struct zk_inode *inode, uint64_t chunk, size_t len)
{
	const struct zk_key key = chunk_key(inode->attr.ino, chunk);
	uint8_t buf[ZK_CHUNK_BYTES];
	size_t have = 0;
	int rc;

	rc = chunk_load(tx, inode->attr.ino, chunk, buf, &have);
	if (rc == -ENOENT || (rc == 0 && have <= len))
		return 0;
	if (rc < 0)
		return rc;
	return zk_row_put(tx, &key, buf, len);
}

static int
shrink_chunks(struct zk_tx *tx, struct zk_inode *inode, uint64_t size)
{
	const size_t tail = size % ZK_CHUNK_BYTES;
	size_t len;
	int rc;

	if (size <= ZK_INLINE_MAX) {
		rc = read_chunks(tx, inode->attr.ino, 0, inode->data,
		    (size_t)size);
		if (rc == 0)
			rc = drop_chunks(tx, inode, 0);
		if (rc < 0)
			return rc;
		len = (size_t)size;
		inode->data_len = len;
		set_inline(inode, len);
		return 0;
	}
	rc = drop_chunks(tx, inode,
	    (size + ZK_CHUNK_BYTES - 1) / ZK_CHUNK_BYTES);
	if (rc == 0 && tail != 0)
		rc = chunk_cut(tx, inode, size / ZK_CHUNK_BYTES, tail);
	inode->attr.size = size;
	return rc;
}

int
zk_content_truncate(struct zk_tx *tx, struct zk_inode *inode, uint64_t size)
{
	int rc;

	ZK_ASSERT(S_ISREG(inode->attr.mode));
	ZK_ASSERT(size <= ZK_MAX_FILE_LIMIT);

	if (is_inline(inode) && size <= ZK_INLINE_MAX) {
		if (size < inode->data_len)
			inode->data_len = (size_t)size;
		set_inline(inode, (size_t)size);
		return 0;
	}
	if (!is_inline(inode) && size < inode->attr.size)
		return shrink_chunks(tx, inode, size);
	if (is_inline(inode)) {
		rc = leave_inline(tx, inode);
		if (rc < 0)
			return rc;
	}
	inode->attr.size = size;
	return 0;
}

int
zk_content_punch(struct zk_tx *tx, struct zk_inode *inode, uint64_t off,
    uint64_t len)
{
	static const uint8_t zeros[ZK_CHUNK_BYTES];
	const uint64_t end = off + len;
	int rc = 0;

	ZK_ASSERT(end <= inode->attr.size);

	if (is_inline(inode)) {
		memset(inode->data + off, 0, (size_t)len);
		return 0;
	}
	while (rc == 0 && off < end) {
		const uint64_t chunk = off / ZK_CHUNK_BYTES;
		const size_t skip = off % ZK_CHUNK_BYTES;
		const size_t part = min_size(end - off, ZK_CHUNK_BYTES - skip);
		const struct zk_key key = chunk_key(inode->attr.ino, chunk);
		const void *value;
		size_t have;

		/* The last chunk goes whole when the file ends in it. */
		if (skip == 0 &&
		    (part == ZK_CHUNK_BYTES || end == inode->attr.size))
			rc = chunk_remove(tx, inode, chunk);
		else if ((rc = zk_row_get(tx, &key, &value, &have)) == 0)
			rc = chunk_patch(tx, inode, chunk, skip, zeros, part);
		if (rc == -ENOENT)
			rc = 0;
		off += part;
	}
	return rc;
}

int
zk_content_seek(struct zk_tx *tx, const struct zk_inode *inode, uint64_t off,
    bool hole, uint64_t *ret_off)
{
	const uint64_t size = inode->attr.size;
	uint64_t at = off;

	if (off >= size)
		return -ENXIO;
	while (!is_inline(inode) && at < size) {
		const uint64_t chunk = at / ZK_CHUNK_BYTES;
		const struct zk_key key = chunk_key(inode->attr.ino, chunk);
		const void *value;
		size_t len;
		int rc;

		rc = zk_row_get(tx, &key, &value, &len);
		if (rc < 0 && rc != -ENOENT)
			return rc;
		if ((rc == -ENOENT) == hole) {
			*ret_off = at;
			return 0;
		}
		at = (chunk + 1) * ZK_CHUNK_BYTES;
	}
	/* All files end in a hole; small ones are all data. */
	if (!hole && !is_inline(inode))
		return -ENXIO;
	*ret_off = hole ? size : off;
	return 0;
}

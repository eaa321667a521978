#include "store/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "base/err.h"

#define BLOCK        4096u
#define SLOTS        2u
#define RING_AT      ((uint64_t)SLOTS * BLOCK)
#define FILL_BYTES   ((size_t)64 << 10)
#define SLOT_MAGIC   0x504b435au /* "ZCKP" */
#define RECORD_MAGIC 0x4352435au /* "ZCRC" */
#define SLOT_BYTES   (4u + 4 + 8 + 8 + 8 + 8 + ZK_META_BYTES)

enum { KIND_ROWS = 1, KIND_VOID };

struct zk_journal {
	int fd; /* O_DSYNC */
	/*
	 * Also O_DIRECT, for records: through the page cache a flush copies
	 * them and looks for them again.  -1: not on this file system.
	 */
	int direct_fd;
	uint64_t ring;
	uint64_t generation; /* of the newest slot; zk_journal_checkpoint() */
	uint64_t sequence;   /* of the last record */
	uint64_t head, tail; /* places: of the next, of the oldest needed */
	void *block;         /* aligned scratch of one block */
};

static uint64_t
in_blocks(size_t len)
{
	return (ZK_JOURNAL_HEAD + len + BLOCK - 1) / BLOCK * BLOCK;
}

/* Where a record of that many bytes begins, if the next may begin at place. */
static uint64_t
place_for(const struct zk_journal *j, uint64_t place, uint64_t bytes)
{
	const uint64_t left = j->ring - place % j->ring;

	return bytes <= left ? place : place + left;
}

static int
read_at(int fd, void *buf, size_t len, uint64_t off)
{
	const ssize_t n = pread(fd, buf, len, (off_t)off);

	if (n < 0)
		return -errno;
	return n == (ssize_t)len ? 0 : -ENODATA;
}

static int
write_at(const struct zk_journal *j, const void *buf, size_t len, uint64_t off)
{
	const ssize_t n = pwrite(j->fd, buf, len, (off_t)off);

	if (n == (ssize_t)len)
		return 0;
	/* Whatever it says: nobody knows what the disk holds now. */
	return -EIO;
}

/* Past the page cache, where that is possible with these bytes. */
static int
write_record(struct zk_journal *j, const void *buf, size_t len, uint64_t off)
{
	ssize_t n;

	if (j->direct_fd < 0 || (uintptr_t)buf % BLOCK != 0)
		return write_at(j, buf, len, off);
	n = pwrite(j->direct_fd, buf, len, (off_t)off);
	if (n >= 0 || errno != EINVAL)
		return n == (ssize_t)len ? 0 : -EIO;
	/* It took the flag, and wants more than pages: nothing was written. */
	(void)close(j->direct_fd);
	j->direct_fd = -1;
	return write_at(j, buf, len, off);
}

/* --- the slots ------------------------------------------------------------ */

/* A slot of the file, or -ENODATA. */
static int
get_slot(int fd, unsigned int i, uint64_t *ret_generation, uint64_t *ret_ring,
    struct zk_checkpoint *ret_checkpoint)
{
	uint8_t bytes[SLOT_BYTES];
	struct zk_dec dec;
	uint32_t crc;
	int rc;

	rc = read_at(fd, bytes, sizeof(bytes), (uint64_t)i * BLOCK);
	if (rc < 0)
		return rc;
	zk_dec_init(&dec, bytes, sizeof(bytes));
	if (zk_dec_u32(&dec) != SLOT_MAGIC)
		return -ENODATA;
	crc = zk_dec_u32(&dec);
	if (crc != zk_crc32c(0, bytes + 8, sizeof(bytes) - 8))
		return -ENODATA;
	*ret_generation = zk_dec_u64(&dec);
	*ret_ring = zk_dec_u64(&dec);
	ret_checkpoint->sequence = zk_dec_u64(&dec);
	ret_checkpoint->place = zk_dec_u64(&dec);
	memcpy(ret_checkpoint->meta, bytes + dec.pos, ZK_META_BYTES);
	return 0;
}

static bool
is_blank(int fd)
{
	uint8_t bytes[SLOTS * BLOCK];

	if (read_at(fd, bytes, sizeof(bytes), 0) < 0)
		return true;
	for (size_t i = 0; i < sizeof(bytes); i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

static int
newest_slot(struct zk_journal *j, struct zk_checkpoint *ret_checkpoint)
{
	bool found = false;

	for (unsigned int i = 0; i < SLOTS; i++) {
		struct zk_checkpoint checkpoint;
		uint64_t generation, ring;
		int rc;

		rc = get_slot(j->fd, i, &generation, &ring, &checkpoint);
		if (rc == -ENODATA ||
		    (rc == 0 && found && generation < j->generation))
			continue;
		if (rc < 0)
			return rc;
		if (ring < ZK_JOURNAL_BYTES_MIN || ring % BLOCK != 0)
			return -ZK_ECORRUPT;
		found = true;
		j->generation = generation;
		j->ring = ring;
		*ret_checkpoint = checkpoint;
	}
	if (found)
		return 0;
	/* The first checkpoint may have been torn by a crash, like any. */
	return is_blank(j->fd) ? -ENOENT : -ZK_ECORRUPT;
}

int
zk_journal_checkpoint(struct zk_journal *j,
    const struct zk_checkpoint *checkpoint)
{
	const uint64_t generation = j->generation + 1;
	uint8_t *bytes = j->block;
	struct zk_enc enc;
	int rc;

	memset(bytes, 0, BLOCK);
	zk_enc_init(&enc, bytes, BLOCK);
	zk_enc_u32(&enc, SLOT_MAGIC);
	zk_enc_u32(&enc, 0);
	zk_enc_u64(&enc, generation);
	zk_enc_u64(&enc, j->ring);
	zk_enc_u64(&enc, checkpoint->sequence);
	zk_enc_u64(&enc, checkpoint->place);
	zk_enc_raw(&enc, checkpoint->meta, ZK_META_BYTES);
	ZK_ASSERT(!enc.failed && enc.len == SLOT_BYTES);
	zk_enc_init(&enc, bytes + 4, 4);
	zk_enc_u32(&enc, zk_crc32c(0, bytes + 8, SLOT_BYTES - 8));
	rc = write_at(j, bytes, BLOCK, generation % SLOTS * BLOCK);
	if (rc == 0)
		j->generation = generation;
	return rc;
}

/* --- records -------------------------------------------------------------- */

struct record {
	uint64_t sequence, place;
	uint32_t kind, crc, len;
};

/* The head of what may be a record at place. */
static bool
get_head(const struct zk_journal *j, uint64_t place, struct record *ret_record)
{
	uint8_t bytes[ZK_JOURNAL_HEAD];
	struct zk_dec dec;

	if (read_at(j->fd, bytes, sizeof(bytes), RING_AT + place % j->ring) < 0)
		return false;
	zk_dec_init(&dec, bytes, sizeof(bytes));
	if (zk_dec_u32(&dec) != RECORD_MAGIC)
		return false;
	ret_record->place = place;
	ret_record->crc = zk_dec_u32(&dec);
	ret_record->sequence = zk_dec_u64(&dec);
	ret_record->kind = zk_dec_u32(&dec);
	ret_record->len = zk_dec_u32(&dec);
	return place % j->ring + in_blocks(ret_record->len) <= j->ring &&
	    ret_record->len <= zk_journal_record_max(j);
}

/* Its bytes, malloc'd, head included; NULL: it is not whole, or no memory. */
static uint8_t *
get_bytes(const struct zk_journal *j, const struct record *record, int *ret_rc)
{
	const size_t len = ZK_JOURNAL_HEAD + (size_t)record->len;
	uint8_t *bytes = malloc(len);

	*ret_rc = bytes == NULL ? -ENOMEM : 0;
	if (bytes == NULL)
		return NULL;
	*ret_rc = read_at(j->fd, bytes, len, RING_AT + record->place % j->ring);
	if (*ret_rc == 0 && zk_crc32c(0, bytes + 8, len - 8) == record->crc)
		return bytes;
	free(bytes);
	return NULL;
}

/*
 * The record of that sequence, at place or at the ring's beginning after it.
 * *ret_bytes is NULL when there is none.
 */
static int
find_record(const struct zk_journal *j, uint64_t sequence, uint64_t place,
    struct record *ret_record, uint8_t **ret_bytes)
{
	const uint64_t places[] = {place,
	    place + (j->ring - place % j->ring) % j->ring};
	int rc = 0;

	*ret_bytes = NULL;
	for (size_t i = 0; i < 2 && rc == 0 && *ret_bytes == NULL; i++)
		if (get_head(j, places[i], ret_record) &&
		    ret_record->sequence == sequence)
			*ret_bytes = get_bytes(j, ret_record, &rc);
	return rc == -ENODATA ? 0 : rc;
}

/*
 * Whether the ring holds a whole record later than that: then the one before
 * it was on disk once.
 */
static int
has_later(const struct zk_journal *j, uint64_t sequence)
{
	struct record record;
	int rc;

	for (uint64_t place = 0; place < j->ring; place += BLOCK) {
		uint8_t *bytes;

		if (!get_head(j, place, &record) ||
		    record.sequence <= sequence ||
		    record.sequence > sequence + j->ring / BLOCK)
			continue;
		bytes = get_bytes(j, &record, &rc);
		free(bytes);
		if (bytes != NULL)
			return 1;
		if (rc < 0 && rc != -ENODATA)
			return rc;
	}
	return 0;
}

/* One record of the redo, unless the next one says that it is void. */
static int
redo(struct zk_journal *j, const struct record *record, const uint8_t *bytes,
    int (*fn)(void *, uint64_t, const void *, size_t), void *arg)
{
	struct record next;
	uint8_t *other;
	int rc;

	if (record->kind == KIND_VOID)
		return 0;
	rc = find_record(j, record->sequence + 1,
	    record->place + in_blocks(record->len), &next, &other);
	free(other);
	if (rc < 0 || (other != NULL && next.kind == KIND_VOID))
		return rc;
	return fn(arg, record->sequence, bytes + ZK_JOURNAL_HEAD, record->len);
}

int
zk_journal_replay(struct zk_journal *j,
    int (*fn)(void *arg, uint64_t sequence, const void *bytes, size_t len),
    void *arg)
{
	struct record record;
	uint8_t *bytes;
	int rc;

	for (;;) {
		rc = find_record(j, j->sequence + 1, j->head, &record, &bytes);
		if (rc < 0)
			return rc;
		if (bytes == NULL)
			break;
		rc = redo(j, &record, bytes, fn, arg);
		free(bytes);
		if (rc < 0)
			return rc;
		j->sequence = record.sequence;
		j->head = record.place + in_blocks(record.len);
	}
	rc = has_later(j, j->sequence + 1);
	return rc > 0 ? -ZK_ECORRUPT : rc;
}

size_t
zk_journal_record_max(const struct zk_journal *j)
{
	return j->ring / 2 - ZK_JOURNAL_HEAD;
}

bool
zk_journal_has_room(const struct zk_journal *j, size_t len)
{
	/* One block more: what is appended may have to be made void. */
	const uint64_t bytes = in_blocks(len);
	const uint64_t end = place_for(j, j->head, bytes) + bytes;

	return place_for(j, end, BLOCK) + BLOCK - j->tail <= j->ring;
}

uint64_t
zk_journal_bytes(const struct zk_journal *j)
{
	return j->ring;
}

uint64_t
zk_journal_used(const struct zk_journal *j)
{
	return j->head - j->tail;
}

uint64_t
zk_journal_last(const struct zk_journal *j)
{
	return j->sequence;
}

static int
append(struct zk_journal *j, uint32_t kind, uint8_t *buf, size_t len)
{
	const uint64_t bytes = in_blocks(len);
	const uint64_t place = place_for(j, j->head, bytes);
	const size_t used = ZK_JOURNAL_HEAD + len;
	struct zk_enc enc;
	int rc;

	ZK_ASSERT(len <= zk_journal_record_max(j));
	ZK_ASSERT(place + bytes - j->tail <= j->ring);

	zk_enc_init(&enc, buf, ZK_JOURNAL_HEAD);
	zk_enc_u32(&enc, RECORD_MAGIC);
	zk_enc_u32(&enc, 0);
	zk_enc_u64(&enc, j->sequence + 1);
	zk_enc_u32(&enc, kind);
	zk_enc_u32(&enc, (uint32_t)len);
	ZK_ASSERT(!enc.failed);
	zk_enc_init(&enc, buf + 4, 4);
	zk_enc_u32(&enc, zk_crc32c(0, buf + 8, used - 8));
	memset(buf + used, 0, bytes - used);
	rc = write_record(j, buf, bytes, RING_AT + place % j->ring);
	if (rc < 0)
		return rc;
	j->sequence++;
	j->head = place + bytes;
	return 0;
}

int
zk_journal_append(struct zk_journal *j, void *buf, size_t len)
{
	return append(j, KIND_ROWS, buf, len);
}

int
zk_journal_void(struct zk_journal *j)
{
	uint8_t block[BLOCK];

	return append(j, KIND_VOID, block, 0);
}

void
zk_journal_mark(const struct zk_journal *j, struct zk_checkpoint *checkpoint)
{
	checkpoint->sequence = j->sequence;
	checkpoint->place = j->head;
}

void
zk_journal_release(struct zk_journal *j, const struct zk_checkpoint *checkpoint)
{
	ZK_ASSERT(checkpoint->place >= j->tail);

	j->tail = checkpoint->place;
}

/* --- life ----------------------------------------------------------------- */

static int
open_file(int dir_fd, const char *name, int flags,
    struct zk_journal **ret_journal)
{
	struct zk_journal *j = calloc(1, sizeof(*j));
	int rc;

	if (j == NULL)
		return -ENOMEM;
	j->fd =
	    openat(dir_fd, name, O_RDWR | O_DSYNC | O_CLOEXEC | flags, 0600);
	rc = j->fd < 0 ? -errno : 0;
	j->direct_fd = rc < 0
	    ? -1
	    : openat(dir_fd, name, O_RDWR | O_DSYNC | O_DIRECT | O_CLOEXEC);
	if (rc == 0) {
		j->block = aligned_alloc(BLOCK, BLOCK);
		rc = j->block == NULL ? -ENOMEM : 0;
	}
	if (rc < 0) {
		zk_journal_close(j);
		return rc;
	}
	*ret_journal = j;
	return 0;
}

/*
 * Zeros, so that a record overwrites what has been written: otherwise its
 * flush takes twice as long, for the file system has to note it, too.  In
 * small pieces, since the page cache makes folios as large as the writes, and
 * those are slow to flush in part (measured on Linux 6.18, ext4).
 */
static int
fill(int dir_fd, const char *name, uint64_t end)
{
	uint8_t *zeros = calloc(1, FILL_BYTES);
	const int fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC);
	int rc = zeros == NULL ? -ENOMEM : 0;

	if (fd < 0)
		rc = -errno;
	for (uint64_t at = 0; rc == 0 && at < end; at += FILL_BYTES) {
		const size_t len =
		    end - at < FILL_BYTES ? (size_t)(end - at) : FILL_BYTES;

		if (pwrite(fd, zeros, len, (off_t)at) != (ssize_t)len)
			rc = errno == ENOSPC ? -ENOSPC : -EIO;
	}
	if (rc == 0 && fsync(fd) != 0)
		rc = -errno;
	if (fd >= 0)
		(void)close(fd);
	free(zeros);
	return rc;
}

int
zk_journal_make(int dir_fd, const char *name, size_t bytes,
    struct zk_journal **ret_journal)
{
	struct zk_journal *j;
	int rc;

	ZK_ASSERT(bytes >= ZK_JOURNAL_BYTES_MIN && bytes % BLOCK == 0);

	if (unlinkat(dir_fd, name, 0) != 0 && errno != ENOENT)
		return -errno;
	rc = open_file(dir_fd, name, O_CREAT | O_EXCL, &j);
	if (rc < 0)
		return rc;
	j->ring = bytes;
	/* Room now, so that no record meets a full disk. */
	if (fallocate(j->fd, 0, 0, (off_t)(RING_AT + bytes)) != 0 &&
	    errno != EOPNOTSUPP)
		rc = -errno;
	if (rc == 0)
		rc = fill(dir_fd, name, RING_AT + bytes);
	if (rc == 0 && fsync(dir_fd) != 0)
		rc = -errno;
	if (rc < 0) {
		zk_journal_close(j);
		return rc;
	}
	*ret_journal = j;
	return 0;
}

int
zk_journal_open(int dir_fd, const char *name, struct zk_journal **ret_journal,
    struct zk_checkpoint *ret_checkpoint)
{
	struct zk_journal *j;
	int rc;

	rc = open_file(dir_fd, name, 0, &j);
	if (rc < 0)
		return rc;
	rc = newest_slot(j, ret_checkpoint);
	if (rc < 0) {
		zk_journal_close(j);
		return rc;
	}
	j->sequence = ret_checkpoint->sequence;
	j->head = j->tail = ret_checkpoint->place;
	*ret_journal = j;
	return 0;
}

void
zk_journal_close(struct zk_journal *j)
{
	if (j == NULL)
		return;
	if (j->fd >= 0)
		(void)close(j->fd);
	if (j->direct_fd >= 0)
		(void)close(j->direct_fd);
	free(j->block);
	free(j);
}

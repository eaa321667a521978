/*
 * Power fails.  From the record of what was done to the files, make images
 * that the disk may hold then: what was flushed is there; of the writes since
 * the last flush any may be there, in whole or in part.  The tree is flushed
 * rarely, so that the possible images are many: some are drawn.  Each
 * must open, verify, be exactly what was acknowledged last, or that and all
 * of the transaction in flight, and must carry on.
 */
#include "fault.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "record.h"
#include "store/datadir.h"

#define SUBSETS      6u
#define PREFIXES     6u
#define FILES        4u
#define FILE_TOPICS  3u /* and what comes after it */
#define SECTOR_BYTES 512u
#define PENDING_MAX  4096u

/* A file: bytes up to data_len, a hole up to size. */
struct file {
	uint8_t *bytes;
	size_t data_len, size, cap;
};

/* As the shim numbers them, from 1. */
static const char *const names[FILES] = {ZK_DATADIR_TREE, ZK_DATADIR_JOURNAL,
    ZK_DATADIR_TOPICS, ZK_DATADIR_TOPICS_JOURNAL};

struct replay {
	const struct subject *subject;
	const char *dir;
	uint64_t seed;
	uint32_t acked;
	struct file durable[FILES];
	struct zk_fault_record *pending[PENDING_MAX]; /* since then; owned */
	uint64_t serials[PENDING_MAX];                /* of the pending */
	size_t pending_count;
	uint64_t serial;          /* of the last write */
	uint64_t flushing[FILES]; /* the last before the flush began */
	unsigned int overtaken;   /* writes while one went on */
	unsigned int images, failures;
};

static void
file_write(struct file *file, const struct zk_fault_record *rec, size_t len)
{
	const size_t end = rec->off + len;

	if (rec->kind == ZK_FAULT_SIZE) {
		if (rec->off > file->size)
			file->size = rec->off;
		return;
	}
	if (end > file->cap) {
		file->cap = 2 * end;
		file->bytes = realloc(file->bytes, file->cap);
	}
	if (file->bytes == NULL)
		abort();
	if (end > file->data_len) {
		memset(file->bytes + file->data_len, 0, end - file->data_len);
		file->data_len = end;
	}
	if (end > file->size)
		file->size = end;
	memcpy(file->bytes + rec->off, rec + 1, len);
}

static struct file
file_copy(const struct file *from)
{
	struct file to = *from;

	to.cap = from->data_len + 1;
	to.bytes = malloc(to.cap);
	if (to.bytes == NULL)
		abort();
	if (from->data_len > 0)
		memcpy(to.bytes, from->bytes, from->data_len);
	return to;
}

/* While the store is made for the first time, a note beside it says so. */
static void
note_making(const char *dir, const char *name)
{
	char path[4096];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		abort();
	(void)close(fd);
}

static void
file_save(const struct file *file, const char *dir, const char *name)
{
	char path[4096];
	int fd;

	if (file->size == 0)
		return;
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 ||
	    write(fd, file->bytes, file->data_len) != (ssize_t)file->data_len ||
	    ftruncate(fd, (off_t)file->size) != 0)
		abort();
	(void)close(fd);
}

static void
fail(struct replay *r, const char *label, const char *what)
{
	fprintf(stderr, "image %u (%s), after stage %u: %s\n", r->images, label,
	    r->acked, what);
	r->failures++;
}

static void
check_image(struct replay *r, const struct file files[FILES], const char *label)
{
	const char *what;

	r->images++;
	scratch_clear(r->dir);
	if (r->acked < STAGE_MADE) {
		note_making(r->dir, ZK_DATADIR_MAKING);
		note_making(r->dir, ZK_DATADIR_TOPICS_MAKING);
	}
	for (size_t i = 0; i < FILES; i++)
		file_save(&files[i], r->dir, names[i]);
	what = r->subject->check(r->dir, r->acked);
	if (what != NULL)
		fail(r, label, what);
}

/* A tree that is being made is announced by a file: see note_making(). */
static bool
may_tear(const struct replay *r, const struct zk_fault_record *rec)
{
	return r->acked >= STAGE_MADE || rec->file >= FILE_TOPICS;
}

static size_t
torn(struct replay *r, const struct zk_fault_record *rec)
{
	const size_t sectors = rec->len / SECTOR_BYTES;

	if (rec->kind != ZK_FAULT_WRITE || sectors < 2)
		return rec->len;
	return zk_prng_next(&r->seed) % sectors * SECTOR_BYTES;
}

/* What is durable, as copies; free_files() afterwards. */
static void
copy_files(const struct replay *r, struct file ret_files[FILES])
{
	for (size_t i = 0; i < FILES; i++)
		ret_files[i] = file_copy(&r->durable[i]);
}

static void
free_files(struct file files[FILES])
{
	for (size_t i = 0; i < FILES; i++)
		free(files[i].bytes);
}

static struct file *
file_of(struct file files[FILES], const struct zk_fault_record *rec)
{
	if (rec->file < 1 || rec->file > FILES)
		abort();
	return &files[rec->file - 1];
}

static void
check_prefix(struct replay *r, size_t count)
{
	struct file files[FILES];

	copy_files(r, files);
	for (size_t i = 0; i < count; i++)
		file_write(file_of(files, r->pending[i]), r->pending[i],
		    r->pending[i]->len);
	check_image(r, files, "prefix");
	free_files(files);
}

static void
check_subset(struct replay *r)
{
	struct file files[FILES];

	copy_files(r, files);
	for (size_t i = 0; i < r->pending_count; i++) {
		const struct zk_fault_record *rec = r->pending[i];
		const uint64_t draw = zk_prng_next(&r->seed) % 8;

		if (draw < 4)
			file_write(file_of(files, rec), rec, rec->len);
		else if (draw == 4 && may_tear(r, rec))
			file_write(file_of(files, rec), rec, torn(r, rec));
	}
	check_image(r, files, "subset");
	free_files(files);
}

/* The power fails here: all, none, and some of what may be on the disk. */
static void
check_point(struct replay *r)
{
	check_prefix(r, 0);
	if (r->pending_count == 0)
		return;
	check_prefix(r, r->pending_count);
	for (size_t i = 0; i < PREFIXES; i++)
		check_prefix(r, zk_prng_next(&r->seed) % r->pending_count);
	for (unsigned int i = 0; r->pending_count > 1 && i < SUBSETS; i++)
		check_subset(r);
}

/* What was written to that file before its flush is there, come what may. */
static void
settle(struct replay *r, uint32_t file)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->pending_count; i++) {
		struct zk_fault_record *rec = r->pending[i];
		const bool later = r->serials[i] > r->flushing[file - 1];

		r->overtaken += rec->file == file && later;
		if (rec->file != file || later) {
			r->serials[kept] = r->serials[i];
			r->pending[kept++] = rec;
			continue;
		}
		file_write(file_of(r->durable, rec), rec, rec->len);
		free(rec);
	}
	r->pending_count = kept;
}

/* A write that a power failure cut short. */
static void
check_torn(struct replay *r, const struct zk_fault_record *rec)
{
	struct zk_fault_record *half = malloc(sizeof(*rec) + rec->len);

	if (half == NULL || r->pending_count == PENDING_MAX)
		abort();
	memcpy(half, rec, sizeof(*rec) + rec->len);
	half->kind = ZK_FAULT_WRITE;
	half->len = torn(r, half);
	r->pending[r->pending_count++] = half;
	check_prefix(r, r->pending_count);
	check_subset(r);
	r->pending_count--;
	free(half);
}

static void
step(struct replay *r, struct zk_fault_record *rec)
{
	switch (rec->kind) {
	case ZK_FAULT_WRITE:
	case ZK_FAULT_SIZE:
		if (r->pending_count == PENDING_MAX)
			abort();
		r->serials[r->pending_count] = ++r->serial;
		r->pending[r->pending_count++] = rec;
		break;
	case ZK_FAULT_FLUSH_BEGIN:
		if (rec->file < 1 || rec->file > FILES)
			abort();
		r->flushing[rec->file - 1] = r->serial;
		break;
	case ZK_FAULT_FLUSH:
		check_point(r);
		settle(r, rec->file);
		break;
	case ZK_FAULT_WRITE_DURABLE:
		check_point(r);
		if (may_tear(r, rec))
			check_torn(r, rec);
		file_write(file_of(r->durable, rec), rec, rec->len);
		check_point(r);
		break;
	case ZK_FAULT_MARK:
		r->acked = (uint32_t)rec->off;
		check_point(r);
		break;
	default:
		abort();
	}
}

static uint8_t *
read_all(const char *path, size_t *ret_len)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	const off_t len = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	uint8_t *bytes = len <= 0 ? NULL : malloc((size_t)len);

	if (bytes == NULL || pread(fd, bytes, (size_t)len, 0) != len) {
		fprintf(stderr, "%s: no record\n", path);
		exit(1);
	}
	(void)close(fd);
	*ret_len = (size_t)len;
	return bytes;
}

unsigned int
replay_all(const struct subject *subject, const char *log_path, const char *dir)
{
	struct replay r = {.subject = subject, .dir = dir, .seed = 1};
	unsigned int records = 0;
	size_t len, at = 0;
	uint8_t *log = read_all(log_path, &len);

	while (at + sizeof(struct zk_fault_record) <= len) {
		struct zk_fault_record head, *rec;
		size_t data;

		memcpy(&head, log + at, sizeof(head));
		data = head.kind == ZK_FAULT_WRITE ||
		        head.kind == ZK_FAULT_WRITE_DURABLE
		    ? head.len
		    : 0;
		rec = malloc(sizeof(head) + data);
		if (rec == NULL || at + sizeof(head) + data > len)
			abort();
		memcpy(rec, log + at, sizeof(head) + data);
		at += sizeof(head) + data;
		records++;
		step(&r, rec);
		if (r.pending_count == 0 ||
		    r.pending[r.pending_count - 1] != rec)
			free(rec); /* it was not taken */
	}
	for (size_t i = 0; i < r.pending_count; i++)
		free(r.pending[i]);
	free_files(r.durable);
	free(log);
	if (r.acked != STAGES - 1) {
		fprintf(stderr, "the record ends at stage %u\n", r.acked);
		r.failures++;
	}
	printf("fault: %s: %u images from %u records, %u writes during a "
	       "flush, %u failures\n",
	    subject->name, r.images, records, r.overtaken, r.failures);
	return r.failures;
}

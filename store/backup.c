#include "store/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "store/datadir.h"
#include "store/snapshot.h"

/*
 * The read transaction makes the tree's file grow with what is changed
 * meanwhile.  So long it may last, and longer by a second for each MiB.
 */
#define READING_MS_MAX 60000u

#define PART_HEAD_BYTES 4u

struct writer {
	int fd;
	uint64_t len;
	uint32_t crc;
};

static int
put(struct writer *w, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	w->crc = zk_crc32c(w->crc, data, len);
	w->len += len;
	while (len > 0) {
		const ssize_t n = write(w->fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
put_head(struct writer *w, const struct zk_state *state)
{
	struct zk_backup_head head = {
	    .format = ZK_STORE_FORMAT,
	    .index = state->applied_index,
	    .term = state->applied_term,
	    .time = state->time,
	    .digest = state->digest,
	    .ino_next = state->ino_next,
	    .nodes = state->nodes,
	    .row_bytes = state->row_bytes,
	};
	uint8_t buf[ZK_BACKUP_HEAD_BYTES];

	memcpy(head.ensemble, state->ensemble, sizeof(head.ensemble));
	zk_backup_head_encode(buf, &head);
	return put(w, buf, sizeof(buf));
}

/* part: room for a part with its length. */
static int
put_parts(struct writer *w, struct zk_tx *tx, uint8_t *part,
    bool (*stop)(void *arg), void *arg)
{
	const uint64_t until = zk_clock_ms() + READING_MS_MAX +
	    tx->state.row_bytes / ZK_MIB * 1000;
	struct zk_snapshot_place place;
	struct zk_enc enc;
	size_t len;
	int rc = 0;

	zk_snapshot_start(&place);
	while (rc == 0 && !place.end) {
		if (stop(arg))
			return -EINTR;
		if (zk_clock_ms() > until)
			return -ETIMEDOUT;
		rc = zk_snapshot_read(tx, &place, ZK_SNAPSHOT_PART_MAX,
		    part + PART_HEAD_BYTES, &len);
		if (rc < 0)
			break;
		zk_enc_init(&enc, part, PART_HEAD_BYTES);
		zk_enc_u32(&enc, (uint32_t)len);
		rc = put(w, part, PART_HEAD_BYTES + len);
	}
	return rc;
}

static int
put_all(struct writer *w, struct zk_store *store, bool (*stop)(void *arg),
    void *arg)
{
	uint8_t tail[ZK_BACKUP_TAIL_BYTES];
	struct zk_tx *tx;
	uint8_t *part;
	int rc;

	part = malloc(PART_HEAD_BYTES + ZK_SNAPSHOT_PART_MAX);
	if (part == NULL)
		return -ENOMEM;
	rc = zk_read_begin(store, &tx);
	if (rc < 0) {
		free(part);
		return rc;
	}
	rc = tx->state.applied_index == 0 ? -ENOENT : put_head(w, &tx->state);
	if (rc == 0)
		rc = put_parts(w, tx, part, stop, arg);
	zk_read_end(tx);
	free(part);
	if (rc < 0)
		return rc;
	zk_backup_tail_encode(tail, w->len, w->crc);
	return put(w, tail, sizeof(tail));
}

int
zk_backup_make(struct zk_store *store, bool (*stop)(void *arg), void *arg,
    int *ret_fd)
{
	const int dir_fd = zk_store_dir_fd(store);
	struct zk_store_usage usage;
	struct writer w = {.fd = -1};
	int rc;

	rc = zk_store_usage(store, &usage);
	if (rc < 0)
		return rc;
	/* The members' own work has the other half. */
	if (usage.disk_free / 2 < usage.row_bytes)
		return -ENOSPC;
	w.fd = openat(dir_fd, ZK_DATADIR_BACKUP,
	    O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (w.fd < 0)
		return -errno;
	rc = unlinkat(dir_fd, ZK_DATADIR_BACKUP, 0) != 0 ? -errno : 0;
	if (rc == 0)
		rc = put_all(&w, store, stop, arg);
	if (rc == 0 && lseek(w.fd, 0, SEEK_SET) < 0)
		rc = -errno;
	if (rc < 0) {
		(void)close(w.fd);
		return rc;
	}
	*ret_fd = w.fd;
	return 0;
}

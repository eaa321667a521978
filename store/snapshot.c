#include "store/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "store/datadir.h"
#include "store/history.h"

#define CRC_BYTES      4u
#define ROW_HEAD_BYTES 6u

/* In the file each part follows its length, u32. */
#define PART_HEAD_BYTES 4u

_Static_assert(ZK_KEY_MAX <= UINT16_MAX, "a key's length fits");

struct zk_spool {
	struct zk_snapshot_head head;
	int fd;
	uint8_t *part; /* ZK_SNAPSHOT_PART_MAX, with its length before it */
	struct zk_key last;
	uint64_t digest, row_bytes, nodes; /* of the rows so far */
	uint64_t parts;
	bool failed;
};

/* --- the head ------------------------------------------------------------- */

int
zk_snapshot_head(struct zk_tx *tx, struct zk_snapshot_head *ret_head)
{
	struct zk_snapshot_head head;
	int rc;

	rc = zk_state_get(tx, &head.state);
	if (rc == 0)
		rc = zk_conf_row_get(tx, head.conf, sizeof(head.conf),
		    &head.conf_len, &head.conf_index);
	if (rc == 0)
		*ret_head = head;
	return rc;
}

void
zk_snapshot_head_encode(struct zk_enc *enc, const struct zk_snapshot_head *head)
{
	const struct zk_state *state = &head->state;

	zk_enc_u64(enc, state->applied_index);
	zk_enc_u64(enc, state->applied_term);
	zk_enc_i64(enc, state->time.sec);
	zk_enc_u32(enc, state->time.nsec);
	zk_enc_u64(enc, state->digest);
	zk_enc_u64(enc, state->ino_next);
	zk_enc_u64(enc, state->nodes);
	zk_enc_u64(enc, state->row_bytes);
	zk_enc_raw(enc, state->ensemble, sizeof(state->ensemble));
	zk_enc_u64(enc, head->conf_index);
	zk_enc_bytes(enc, head->conf, head->conf_len);
}

int
zk_snapshot_head_decode(struct zk_dec *dec, struct zk_snapshot_head *ret_head)
{
	struct zk_snapshot_head head = {0};
	struct zk_state *state = &head.state;
	const void *ensemble, *conf;

	state->applied_index = zk_dec_u64(dec);
	state->applied_term = zk_dec_u64(dec);
	state->time.sec = zk_dec_i64(dec);
	state->time.nsec = zk_dec_u32(dec);
	state->digest = zk_dec_u64(dec);
	state->ino_next = zk_dec_u64(dec);
	state->nodes = zk_dec_u64(dec);
	state->row_bytes = zk_dec_u64(dec);
	ensemble = zk_dec_raw(dec, sizeof(state->ensemble));
	head.conf_index = zk_dec_u64(dec);
	conf = zk_dec_bytes(dec, sizeof(head.conf), &head.conf_len);
	if (dec->failed || conf == NULL || state->applied_index == 0 ||
	    state->applied_term == 0 || state->time.nsec >= 1000000000u ||
	    head.conf_index > state->applied_index)
		return -EPROTO;
	memcpy(state->ensemble, ensemble, sizeof(state->ensemble));
	memcpy(head.conf, conf, head.conf_len);
	*ret_head = head;
	return 0;
}

/* --- the sender ----------------------------------------------------------- */

void
zk_snapshot_start(struct zk_snapshot_place *place)
{
	place->end = false;
	place->from.bytes[0] = 'a';
	place->from.len = 1;
}

static void
encode_row(struct zk_enc *enc, const struct zk_scan *scan)
{
	zk_enc_u16(enc, (uint16_t)scan->at.len);
	zk_enc_u32(enc, (uint32_t)scan->value_len);
	zk_enc_raw(enc, scan->at.bytes, scan->at.len);
	zk_enc_raw(enc, scan->value, scan->value_len);
}

int
zk_snapshot_read(struct zk_tx *tx, struct zk_snapshot_place *place, size_t want,
    void *buf, size_t *ret_len)
{
	struct zk_scan scan;
	struct zk_enc enc;
	int rc;

	ZK_ASSERT(want <= ZK_SNAPSHOT_PART_MAX);

	rc = zk_scan_begin(tx, &place->from, 0, &scan);
	if (rc < 0)
		return rc;
	zk_enc_init(&enc, buf, ZK_SNAPSHOT_PART_MAX);
	zk_enc_u32(&enc, 0);
	while ((rc = zk_scan_next(&scan)) == 0) {
		const size_t size =
		    ROW_HEAD_BYTES + scan.at.len + scan.value_len;

		if (enc.len > CRC_BYTES &&
		    (enc.len >= want || size > enc.cap - enc.len))
			break;
		encode_row(&enc, &scan);
	}
	zk_scan_end(&scan);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	/* No row is so large: its parts are all bounded. */
	if (enc.failed)
		return tx->fatal = -ZK_ECORRUPT;
	place->end = rc == -ENOENT;
	if (!place->end)
		place->from = scan.at;
	zk_put_be32(buf,
	    zk_crc32c(0, enc.buf + CRC_BYTES, enc.len - CRC_BYTES));
	*ret_len = enc.len;
	return 0;
}

/* --- the receiver --------------------------------------------------------- */

/* A file that is gone with its descriptor. */
static int
open_unnamed(int dir_fd, int *ret_fd)
{
	int fd = openat(dir_fd, ZK_DATADIR_SPOOL,
	    O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	if (unlinkat(dir_fd, ZK_DATADIR_SPOOL, 0) != 0) {
		const int rc = -errno;

		(void)close(fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

int
zk_spool_open(struct zk_store *store, const struct zk_snapshot_head *head,
    struct zk_spool **ret_spool)
{
	const struct zk_ident *ident = zk_store_ident(store);
	struct zk_store_usage usage;
	struct zk_spool *spool;
	int rc;

	if (memcmp(head->state.ensemble, ident->ensemble,
	        sizeof(ident->ensemble)) != 0)
		return -EPROTO;
	rc = zk_store_usage(store, &usage);
	if (rc < 0)
		return rc;
	/* The parts, and as much again for the rows. */
	if (usage.disk_free / 2 < head->state.row_bytes)
		return -ENOSPC;
	spool = calloc(1, sizeof(*spool));
	if (spool == NULL)
		return -ENOMEM;
	spool->head = *head;
	spool->fd = -1;
	spool->part = malloc(PART_HEAD_BYTES + ZK_SNAPSHOT_PART_MAX);
	rc = spool->part == NULL
	    ? -ENOMEM
	    : open_unnamed(zk_store_dir_fd(store), &spool->fd);
	if (rc < 0) {
		zk_spool_close(spool);
		return rc;
	}
	*ret_spool = spool;
	return 0;
}

void
zk_spool_close(struct zk_spool *spool)
{
	if (spool == NULL)
		return;
	if (spool->fd >= 0)
		(void)close(spool->fd);
	free(spool->part);
	free(spool);
}

const struct zk_snapshot_head *
zk_spool_head(const struct zk_spool *spool)
{
	return &spool->head;
}

int
zk_snapshot_row(struct zk_dec *dec, struct zk_key *ret_key,
    const void **ret_value, size_t *ret_len)
{
	const void *key;
	size_t key_len;

	if (zk_dec_done(dec))
		return -ENOENT;
	key_len = zk_dec_u16(dec);
	*ret_len = zk_dec_u32(dec);
	key = zk_dec_raw(dec, key_len);
	*ret_value = zk_dec_raw(dec, *ret_len);
	if (dec->failed || key_len == 0 || key_len > ZK_KEY_MAX)
		return -EPROTO;
	ret_key->len = key_len;
	memcpy(ret_key->bytes, key, key_len);
	return 0;
}

static int
compare_keys(const struct zk_key *a, const struct zk_key *b)
{
	const size_t len = a->len < b->len ? a->len : b->len;
	const int order = memcmp(a->bytes, b->bytes, len);

	if (order != 0 || a->len == b->len)
		return order;
	return a->len < b->len ? -1 : 1;
}

static int
count_rows(struct zk_spool *spool, const uint8_t *rows, size_t len)
{
	struct zk_key key;
	const void *value;
	struct zk_dec dec;
	size_t value_len;
	int rc;

	zk_dec_init(&dec, rows, len);
	while ((rc = zk_snapshot_row(&dec, &key, &value, &value_len)) == 0) {
		uint32_t crc;

		if (!zk_table_is_replicated(key.bytes[0]) ||
		    (spool->last.len > 0 &&
		        compare_keys(&spool->last, &key) >= 0))
			return -EPROTO;
		crc = zk_crc32c(zk_crc32c(0, key.bytes, key.len), value,
		    value_len);
		spool->digest += zk_row_digest(key.bytes, key.len, crc);
		spool->row_bytes += key.len + value_len + CRC_BYTES;
		spool->nodes += key.bytes[0] == ZK_TABLE_INODE;
		spool->last = key;
	}
	return rc == -ENOENT ? 0 : rc;
}

static int
write_all(int fd, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		const ssize_t n = write(fd, bytes, len);

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
read_all(int fd, uint8_t *bytes, size_t len, off_t at)
{
	while (len > 0) {
		const ssize_t n = pread(fd, bytes, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		bytes += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static bool
crc_is_right(const uint8_t *part, size_t len)
{
	return len >= CRC_BYTES &&
	    zk_get_be32(part) ==
	    zk_crc32c(0, part + CRC_BYTES, len - CRC_BYTES);
}

int
zk_snapshot_rows(const void *part, size_t len, struct zk_dec *ret_dec)
{
	if (!crc_is_right(part, len))
		return -EPROTO;
	zk_dec_init(ret_dec, (const uint8_t *)part + CRC_BYTES,
	    len - CRC_BYTES);
	return 0;
}

int
zk_spool_add(struct zk_spool *spool, const void *part, size_t len)
{
	int rc;

	ZK_ASSERT(!spool->failed);

	spool->failed = true;
	if (len > ZK_SNAPSHOT_PART_MAX || !crc_is_right(part, len))
		return -EPROTO;
	rc = count_rows(spool, (const uint8_t *)part + CRC_BYTES,
	    len - CRC_BYTES);
	/* Larger than announced: stop before the disk is full. */
	if (rc == 0 && spool->row_bytes > spool->head.state.row_bytes)
		rc = -EPROTO;
	if (rc < 0)
		return rc;
	zk_put_be32(spool->part, (uint32_t)len);
	memcpy(spool->part + PART_HEAD_BYTES, part, len);
	rc = write_all(spool->fd, spool->part, PART_HEAD_BYTES + len);
	if (rc < 0)
		return rc;
	spool->parts++;
	spool->failed = false;
	return 0;
}

int
zk_spool_check(const struct zk_spool *spool)
{
	const struct zk_state *want = &spool->head.state;

	if (spool->failed || spool->digest != want->digest ||
	    spool->row_bytes != want->row_bytes || spool->nodes != want->nodes)
		return -EPROTO;
	return 0;
}

/* --- installing ----------------------------------------------------------- */

/* Whether our row of this key has this value. */
static int
is_equal(struct zk_tx *tx, const struct zk_key *key, const void *value,
    size_t len, bool *ret_equal)
{
	const void *own;
	size_t own_len;
	int rc;

	rc = zk_row_get(tx, key, &own, &own_len);
	if (rc == 0)
		*ret_equal = own_len == len &&
		    (len == 0 || memcmp(own, value, len) == 0);
	return rc;
}

/*
 * Own rows before `key` are not in the snapshot: they go; NULL: all that are
 * left.  *ret_found: there is one of this very key; the walk is past it.
 */
static int
pass_own(struct zk_scan *own, bool *have, const struct zk_key *key,
    bool *ret_found)
{
	int rc = 0;

	*ret_found = false;
	while (rc == 0 && *have && !*ret_found) {
		const struct zk_key at = own->at;
		const int order = key == NULL ? -1 : compare_keys(&at, key);

		if (order > 0)
			return 0;
		if (order < 0)
			rc = zk_row_delete(own->tx, &at);
		*ret_found = order == 0;
		if (rc == 0)
			rc = zk_scan_next(own);
		*have = rc == 0;
	}
	return rc == -ENOENT ? 0 : rc;
}

static int
install_part(struct zk_spool *spool, size_t len, struct zk_scan *own,
    bool *have)
{
	struct zk_key key;
	const void *value;
	struct zk_dec dec;
	size_t value_len;
	int rc;

	zk_dec_init(&dec, spool->part + PART_HEAD_BYTES + CRC_BYTES,
	    len - CRC_BYTES);
	while ((rc = zk_snapshot_row(&dec, &key, &value, &value_len)) == 0) {
		bool equal = false;

		rc = pass_own(own, have, &key, &equal);
		if (rc == 0 && equal)
			rc = is_equal(own->tx, &key, value, value_len, &equal);
		if (rc == 0 && !equal)
			rc = zk_row_put(own->tx, &key, value, value_len);
		if (rc < 0)
			return rc;
	}
	return rc == -ENOENT ? 0 : rc;
}

/* The part at *at of the file, into spool->part after its length. */
static int
load_part(struct zk_spool *spool, off_t *at, size_t *ret_len)
{
	uint8_t *part = spool->part + PART_HEAD_BYTES;
	size_t len;
	int rc;

	rc = read_all(spool->fd, spool->part, PART_HEAD_BYTES, *at);
	if (rc < 0)
		return rc;
	len = zk_get_be32(spool->part);
	if (len > ZK_SNAPSHOT_PART_MAX)
		return -EIO;
	rc = read_all(spool->fd, part, len, *at + (off_t)PART_HEAD_BYTES);
	if (rc < 0)
		return rc;
	/* The disk must give back what it got. */
	if (!crc_is_right(part, len))
		return -EIO;
	*at += (off_t)(PART_HEAD_BYTES + len);
	*ret_len = len;
	return 0;
}

static int
install_parts(struct zk_spool *spool, struct zk_scan *own, bool *have)
{
	off_t at = 0;
	int rc = 0;

	for (uint64_t i = 0; rc == 0 && i < spool->parts; i++) {
		size_t len;

		rc = load_part(spool, &at, &len);
		if (rc == 0)
			rc = install_part(spool, len, own, have);
	}
	return rc;
}

int
zk_spool_install(struct zk_spool *spool, struct zk_tx *tx)
{
	const struct zk_state *state = &spool->head.state;
	struct zk_snapshot_place all;
	struct zk_scan own;
	bool have, found;
	int rc;

	ZK_ASSERT(tx->write);
	ZK_ASSERT(zk_spool_check(spool) == 0);

	zk_snapshot_start(&all);
	rc = zk_scan_begin(tx, &all.from, 0, &own);
	if (rc < 0)
		return rc;
	rc = zk_scan_next(&own);
	have = rc == 0;
	if (rc == 0 || rc == -ENOENT)
		rc = install_parts(spool, &own, &have);
	if (rc == 0)
		rc = pass_own(&own, &have, NULL, &found);
	zk_scan_end(&own);
	if (rc < 0)
		return rc;
	/* Counted from our own: if it was wrong before, it is now. */
	if (tx->state.digest != state->digest ||
	    tx->state.row_bytes != state->row_bytes)
		return tx->fatal = -ZK_ECORRUPT;
	tx->state = *state;
	tx->whole = true; /* by no entry that the log has */
	return zk_history_restart(tx, state->applied_index);
}

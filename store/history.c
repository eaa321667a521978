#include "store/history.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/err.h"
#include "store/apply.h"
#include "store/inode.h"
#include "store/memo.h"

#define KEY_BYTES (1u + 8 + 4)

/* Rows forgotten at once: each lot costs a few pages. */
#define TRIM_LOT 256u

#define MODE_SEARCH 0111u
#define MODE_READ   0444u

static struct zk_key
history_key(uint64_t rev, uint32_t sub)
{
	struct zk_key key = zk_key1(ZK_TABLE_HISTORY, rev);

	zk_key_u32(&key, sub);
	return key;
}

/* --- places --------------------------------------------------------------- */

static void
no_place(struct zk_place *place)
{
	place->start = sizeof(place->path);
	place->guard_count = ZK_PAST_ROOT_ONLY;
}

static bool
prepend(struct zk_place *place, const char *name, size_t name_len)
{
	if (place->start < name_len + 1)
		return false;
	place->start -= name_len;
	memcpy(place->path + place->start, name, name_len);
	place->path[--place->start] = '/';
	return true;
}

/* Most directories are open to all and need no guard. */
static bool
add_guard(struct zk_place *place, const struct zk_attr *dir, bool need_read)
{
	const uint32_t open = need_read ? MODE_SEARCH | MODE_READ : MODE_SEARCH;
	uint8_t guard[ZK_PAST_GUARD_BYTES];

	if ((dir->mode & open) == open)
		return true;
	zk_past_guard(guard, dir->uid, dir->gid, dir->mode, need_read);
	for (unsigned i = 0; i < place->guard_count; i++)
		if (memcmp(place->guards[i], guard, sizeof(guard)) == 0)
			return true;
	if (place->guard_count == ZK_PAST_GUARDS_MAX)
		return false;
	memcpy(place->guards[place->guard_count++], guard, sizeof(guard));
	return true;
}

/* The way up from a directory to the root. */
static int
find_dir(struct zk_tx *tx, uint64_t dir, struct zk_place *ret_place)
{
	bool last = true;

	ret_place->start = sizeof(ret_place->path);
	ret_place->guard_count = 0;
	for (;;) {
		struct zk_attr attr;
		const char *name;
		size_t name_len;
		int rc;

		rc = zk_inode_attr_name(tx, dir, &attr, &name, &name_len);
		if (rc < 0) /* a name in a directory that is not there */
			return rc == -ENOENT ? tx->fatal = -ZK_ECORRUPT : rc;
		if (!add_guard(ret_place, &attr, last) ||
		    (dir != ZK_INO_ROOT &&
		        !prepend(ret_place, name, name_len))) {
			no_place(ret_place);
			return 0;
		}
		if (dir == ZK_INO_ROOT)
			return 0;
		dir = attr.parent;
		last = false;
	}
}

/* A name in a directory whose place is known. */
static void
place_in(const struct zk_place *dir, const char *name, size_t name_len,
    struct zk_place *ret_place)
{
	const size_t dir_len = sizeof(dir->path) - dir->start;

	no_place(ret_place);
	if (dir->guard_count == ZK_PAST_ROOT_ONLY ||
	    !prepend(ret_place, name, name_len))
		return;
	if (ret_place->start < dir_len) {
		no_place(ret_place);
		return;
	}
	ret_place->start -= dir_len;
	memcpy(ret_place->path + ret_place->start, dir->path + dir->start,
	    dir_len);
	ret_place->guard_count = dir->guard_count;
	memcpy(ret_place->guards, dir->guards,
	    dir->guard_count * sizeof(dir->guards[0]));
}

static int
find_place(struct zk_tx *tx, uint64_t dir, const char *name, size_t name_len,
    struct zk_place *ret_place)
{
	struct zk_memo *memo = tx->memo;
	struct zk_place own, *of_dir = &own;
	int rc = 0;

	if (memo != NULL)
		of_dir = &memo->place;
	if (memo == NULL || memo->dir != dir) {
		if (memo != NULL)
			memo->dir = 0; /* should it fail half-way */
		rc = find_dir(tx, dir, of_dir);
	}
	if (rc < 0)
		return rc;
	if (memo != NULL)
		memo->dir = dir;
	place_in(of_dir, name, name_len, ret_place);
	return 0;
}

static struct zk_past_place
past_place(const struct zk_place *place)
{
	return (struct zk_past_place){
	    .path = place->path + place->start,
	    .path_len = sizeof(place->path) - place->start,
	    .guards = place->guards[0],
	    .guard_count = place->guard_count,
	};
}

/* --- writing -------------------------------------------------------------- */

void
zk_history_init(struct zk_history *h)
{
	zk_enc_init(&h->enc, h->buf, sizeof(h->buf));
	h->first = 0;
}

static int
find_first(struct zk_apply *ap, const struct zk_change *change,
    struct zk_place *ret_place)
{
	if (change->name_len > 0)
		return find_place(ap->tx, change->parent, change->name,
		    change->name_len, ret_place);
	no_place(ret_place);
	if (change->ino == ZK_INO_ROOT) {
		ret_place->guard_count = 0;
		(void)prepend(ret_place, "", 0);
	}
	return 0;
}

int
zk_history_add(struct zk_apply *ap, const struct zk_change *change)
{
	struct zk_history *h = ap->history;
	struct zk_enc before = h->enc;
	struct zk_place at, to;
	struct zk_past past = {
	    .kind = change->kind,
	    .ino = change->ino,
	    .type = change->type,
	    .nlink = change->nlink,
	    .ino2 = change->ino2,
	    .type2 = change->type2,
	    .exchange = change->exchange,
	};
	int rc;

	no_place(&to);
	rc = find_first(ap, change, &at);
	if (rc == 0 && change->kind == ZK_CHANGE_RENAME)
		rc = find_place(ap->tx, change->parent2, change->name2,
		    change->name2_len, &to);
	if (rc < 0)
		return rc;
	past.at = past_place(&at);
	past.to = past_place(&to);
	zk_past_encode(&h->enc, &past);
	if (!h->enc.failed)
		return 0;
	h->enc = before;
	rc = zk_history_flush(ap);
	if (rc < 0)
		return rc;
	h->first = change->sub;
	zk_past_encode(&h->enc, &past);
	ZK_ASSERT(!h->enc.failed);
	return 0;
}

/* What all rows before the end, or those before this one, amount to. */
static int
get_counts(const void *value, size_t len, struct zk_history_counts *ret_counts)
{
	struct zk_dec dec;

	zk_dec_init(&dec, value, len);
	ret_counts->rows = zk_dec_u64(&dec);
	ret_counts->bytes = zk_dec_u64(&dec);
	return dec.failed ? -ZK_ECORRUPT : 0;
}

/*
 * Counts before the first row, and after the last one.  -ENOENT: there is
 * none.
 */
static int
count_ends(struct zk_tx *tx, struct zk_history_counts *ret_first,
    struct zk_history_counts *ret_last)
{
	struct zk_key from = history_key(1, 0);
	MDB_val key = {from.len, from.bytes}, value;
	const struct zk_memo *memo = tx->memo;
	MDB_cursor *cursor;
	const uint8_t *bytes;
	int rc;

	if (memo != NULL && memo->counted) {
		*ret_first = memo->first;
		*ret_last = memo->last;
		return 0;
	}
	rc = zk_err_from_mdb(mdb_cursor_open(tx->mdb, tx->dbi, &cursor));
	if (rc < 0)
		return tx->fatal = rc;
	rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	rc = zk_err_from_mdb(rc);
	bytes = key.mv_data;
	if (rc == 0 && bytes[0] != ZK_TABLE_HISTORY)
		rc = -ENOENT;
	if (rc == 0)
		rc = get_counts(value.mv_data, value.mv_size, ret_first);
	if (rc == 0) {
		zk_key_init(&from, ZK_TABLE_HISTORY + 1);
		key = (MDB_val){from.len, from.bytes};
		rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
		rc = zk_err_from_mdb(mdb_cursor_get(cursor, &key, &value,
		    rc == MDB_NOTFOUND ? MDB_LAST : MDB_PREV));
		if (rc == 0)
			rc = get_counts(value.mv_data, value.mv_size, ret_last);
		if (rc == 0) {
			ret_last->rows++;
			ret_last->bytes += key.mv_size + value.mv_size;
		}
	}
	mdb_cursor_close(cursor);
	return rc < 0 && rc != -ENOENT ? tx->fatal = rc : rc;
}

int
zk_history_flush(struct zk_apply *ap)
{
	struct zk_history *h = ap->history;
	const struct zk_key key = history_key(ap->index, h->first);
	const size_t host_len = strlen(ap->host);
	uint8_t value[128 + sizeof(h->buf)];
	struct zk_history_counts first, last = {0};
	struct zk_memo *memo = ap->tx->memo;
	struct zk_enc enc;
	bool known;
	int rc;

	if (h->enc.len == 0)
		return 0;
	rc = count_ends(ap->tx, &first, &last);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u64(&enc, last.rows);
	zk_enc_u64(&enc, last.bytes);
	zk_enc_i64(&enc, ap->now.sec);
	zk_enc_u32(&enc, ap->now.nsec);
	zk_enc_u64(&enc, ap->actor);
	zk_enc_u8(&enc, (uint8_t)host_len);
	zk_enc_raw(&enc, ap->host, host_len);
	zk_enc_raw(&enc, h->buf, h->enc.len);
	ZK_ASSERT(!enc.failed);
	zk_enc_init(&h->enc, h->buf, sizeof(h->buf));
	h->first = ap->sub;
	known = rc == 0;
	rc = zk_row_add(ap->tx, &key, value, enc.len);
	if (rc < 0 || !known || memo == NULL)
		return rc;
	memo->counted = true;
	memo->first = first;
	memo->last.rows = last.rows + 1;
	memo->last.bytes = last.bytes + zk_row_bytes(&key, enc.len);
	return 0;
}

/* --- forgetting ----------------------------------------------------------- */

static int
get_begin(struct zk_tx *tx, uint64_t *ret_rev)
{
	const struct zk_key key = history_key(0, 0);
	const void *value;
	struct zk_dec dec;
	size_t len;
	int rc;

	*ret_rev = 0;
	rc = zk_row_get(tx, &key, &value, &len);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	zk_dec_init(&dec, value, len);
	*ret_rev = zk_dec_u64(&dec);
	return zk_dec_done(&dec) ? 0 : (tx->fatal = -ZK_ECORRUPT);
}

int
zk_history_restart(struct zk_tx *tx, uint64_t rev)
{
	const struct zk_key key = history_key(0, 0);
	uint8_t value[8];
	struct zk_enc enc;
	uint64_t begin;
	int rc;

	rc = get_begin(tx, &begin);
	if (rc < 0 || begin == rev)
		return rc;
	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u64(&enc, rev);
	ZK_ASSERT(!enc.failed);
	return zk_row_put(tx, &key, value, enc.len);
}

/* Some of the oldest rows, up to the end of an entry. */
static int
forget(struct zk_tx *tx, uint64_t *begin)
{
	const struct zk_key from = history_key(1, 0);
	struct zk_scan scan;
	uint32_t count = 0;
	int rc;

	rc = zk_scan_begin(tx, &from, 1, &scan);
	if (rc < 0)
		return rc;
	while ((rc = zk_scan_next(&scan)) == 0) {
		const uint64_t rev = zk_get_be64(scan.at.bytes + 1);

		if (count++ >= TRIM_LOT && rev > *begin)
			break;
		if (rev > *begin)
			*begin = rev;
		rc = zk_scan_delete(&scan);
		if (rc < 0)
			break;
	}
	zk_scan_end(&scan);
	return rc == -ENOENT ? 0 : rc;
}

int
zk_history_trim(struct zk_tx *tx, const struct zk_history_limits *limits)
{
	struct zk_history_counts first = {0}, last = {0};
	uint64_t begin, oldest;
	int rc;

	rc = count_ends(tx, &first, &last);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	if (last.rows - first.rows <= limits->rows &&
	    last.bytes - first.bytes <= limits->bytes)
		return 0;
	rc = get_begin(tx, &begin);
	oldest = begin;
	if (rc == 0)
		rc = forget(tx, &begin);
	return rc == 0 && begin != oldest ? zk_history_restart(tx, begin) : rc;
}

/* --- reading -------------------------------------------------------------- */

static void
decode_head(struct zk_dec *dec, struct zk_past *ret_past)
{
	(void)zk_dec_u64(dec);
	(void)zk_dec_u64(dec);
	ret_past->time.sec = zk_dec_i64(dec);
	ret_past->time.nsec = zk_dec_u32(dec);
	ret_past->session = zk_dec_u64(dec);
	ret_past->host_len = zk_dec_u8(dec);
	ret_past->host = zk_dec_raw(dec, ret_past->host_len);
}

/* The changes of one row; *more: fn wants more. */
static int
read_row(const struct zk_scan *scan, struct zk_past_at *at, zk_past_fn fn,
    void *arg, bool *more)
{
	struct zk_past past = {.rev = zk_get_be64(scan->at.bytes + 1)};
	struct zk_dec dec;

	past.sub = zk_get_be32(scan->at.bytes + 1 + 8);
	zk_dec_init(&dec, scan->value, scan->value_len);
	decode_head(&dec, &past);
	for (; dec.pos < dec.len && !dec.failed; past.sub++) {
		if (zk_past_decode(&dec, &past) < 0)
			return -ZK_ECORRUPT;
		if (past.rev == at->rev && past.sub < at->sub)
			continue;
		*at = (struct zk_past_at){past.rev, past.sub};
		*more = fn == NULL || fn(arg, &past);
		if (!*more)
			return 0;
		at->sub++;
	}
	return dec.failed ? -ZK_ECORRUPT : 0;
}

int
zk_history_read(struct zk_tx *tx, struct zk_past_at *at, uint32_t max,
    zk_past_fn fn, void *arg)
{
	const struct zk_key from = history_key(at->rev, 0);
	const uint64_t end = tx->state.applied_index + 1;
	struct zk_scan scan;
	bool more = true;
	uint64_t begin;
	int rc;

	ZK_ASSERT(at->rev > 0);
	rc = get_begin(tx, &begin);
	if (rc == 0 && at->rev <= begin)
		rc = -ENODATA;
	if (rc < 0 || at->rev >= end)
		return rc;
	rc = zk_scan_begin(tx, &from, 1, &scan);
	if (rc < 0)
		return rc;
	while (more && (rc = zk_scan_next(&scan)) == 0) {
		if (scan.at.len != KEY_BYTES)
			rc = -ZK_ECORRUPT;
		else
			rc = read_row(&scan, at, fn, arg, &more);
		if (rc < 0 || max-- == 0)
			break;
	}
	zk_scan_end(&scan);
	if (rc == -ENOENT)
		*at = (struct zk_past_at){end, 0};
	return rc == -ENOENT ? 0 : rc;
}

int
zk_history_check(const struct zk_scan *scan, uint64_t applied_index)
{
	struct zk_past_at at = {0, 0};
	bool more;

	if (scan->at.len != KEY_BYTES ||
	    zk_get_be64(scan->at.bytes + 1) > applied_index)
		return -ZK_ECORRUPT;
	if (zk_get_be64(scan->at.bytes + 1) == 0)
		return scan->value_len == 8 ? 0 : -ZK_ECORRUPT;
	return read_row(scan, &at, NULL, NULL, &more);
}

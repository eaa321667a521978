#include "store/lock_row.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"

#define LOCK_FORMAT 1u
#define HEAD_BYTES  9u

enum { BIT_EXCLUSIVE = 1u << 0, BIT_FLOCK = 1u << 1, BIT_END = 1u << 2 };

/* Table, 0, session, owner, kind: the length of an owner's prefix. */
#define OWNER_KEY_BYTES   (1u + 8 + 8 + 8 + 1)
#define SESSION_KEY_BYTES (1u + 8 + 8)

int
zk_lock_want(const struct zk_command *cmd, struct zk_held *ret_want)
{
	struct zk_held want = {
	    .session = cmd->session,
	    .owner = cmd->owner,
	    .flock = (cmd->flags & ZK_F_FLOCK) != 0,
	    .handle = cmd->handle,
	    .last = ZK_LOCK_END,
	    .exclusive = cmd->lock_type == ZK_LOCK_EXCLUSIVE,
	    .pid = cmd->pid,
	};

	if (cmd->ino == 0 || cmd->lock_type < ZK_LOCK_SHARED ||
	    cmd->lock_type > ZK_LOCK_NONE)
		return -EINVAL;
	if (!want.flock) {
		if (cmd->off > ZK_LOCK_END)
			return -EINVAL;
		want.first = cmd->off;
		if (cmd->len != 0) {
			if (cmd->len - 1 > ZK_LOCK_END - cmd->off)
				return -EINVAL;
			want.last = cmd->off + (cmd->len - 1);
		}
	}
	*ret_want = want;
	return 0;
}

static void
enc_held(struct zk_enc *enc, const struct zk_held *held)
{
	zk_enc_u8(enc,
	    (uint8_t)((held->exclusive ? BIT_EXCLUSIVE : 0) |
	        (held->flock ? BIT_FLOCK : 0)));
	zk_enc_u64(enc, held->session);
	zk_enc_u64(enc, held->owner);
	zk_enc_u64(enc, held->handle);
	zk_enc_u64(enc, held->first);
	zk_enc_u64(enc, held->last);
	zk_enc_u64(enc, held->fence);
	zk_enc_u32(enc, held->pid);
}

static void
dec_held(struct zk_dec *dec, struct zk_held *held)
{
	const uint8_t bits = zk_dec_u8(dec);

	held->exclusive = (bits & BIT_EXCLUSIVE) != 0;
	held->flock = (bits & BIT_FLOCK) != 0;
	held->session = zk_dec_u64(dec);
	held->owner = zk_dec_u64(dec);
	held->handle = zk_dec_u64(dec);
	held->first = zk_dec_u64(dec);
	held->last = zk_dec_u64(dec);
	held->fence = zk_dec_u64(dec);
	held->pid = zk_dec_u32(dec);
	if (bits >= BIT_END || held->first > held->last ||
	    held->last > ZK_LOCK_END)
		dec->failed = true;
}

/* --- the locks of a file -------------------------------------------------- */

int
zk_lock_row_decode(const void *value, size_t len, struct zk_lock_set *ret_set,
    uint32_t *ret_waiters)
{
	struct zk_lock_set set = {0};
	uint32_t waiters, count;
	struct zk_dec dec;

	zk_dec_init(&dec, value, len);
	if (zk_dec_u8(&dec) != LOCK_FORMAT)
		return -ZK_ECORRUPT;
	waiters = zk_dec_u32(&dec);
	count = zk_dec_u32(&dec);
	if (dec.failed || count > ZK_LOCKS_PER_FILE_MAX ||
	    waiters > ZK_WAITERS_PER_FILE_MAX ||
	    dec.len - dec.pos != (size_t)count * ZK_HELD_BYTES)
		return -ZK_ECORRUPT;
	set.held = calloc(count > 0 ? count : 1, sizeof(*set.held));
	if (set.held == NULL)
		return -ENOMEM;
	set.count = count;
	for (uint32_t i = 0; i < count; i++)
		dec_held(&dec, &set.held[i]);
	if (!zk_dec_done(&dec)) {
		zk_lock_set_fini(&set);
		return -ZK_ECORRUPT;
	}
	*ret_set = set;
	*ret_waiters = waiters;
	return 0;
}

int
zk_lock_set_load(struct zk_tx *tx, uint64_t ino, struct zk_lock_set *ret_set,
    uint32_t *ret_waiters)
{
	const struct zk_key key = zk_key1(ZK_TABLE_LOCK, ino);
	const void *value;
	size_t len;
	int rc;

	ZK_ASSERT(ino != 0);

	*ret_set = (struct zk_lock_set){0};
	*ret_waiters = 0;
	rc = zk_row_get(tx, &key, &value, &len);
	if (rc == -ENOENT)
		return 0;
	if (rc == 0)
		rc = zk_lock_row_decode(value, len, ret_set, ret_waiters);
	if (rc == -ZK_ECORRUPT)
		tx->fatal = rc;
	return rc;
}

static int
set_copy(const struct zk_lock_set *set, struct zk_lock_set *ret_copy)
{
	const size_t count = set->count;
	struct zk_held *held;

	held = calloc(count > 0 ? count : 1, sizeof(*held));
	if (held == NULL)
		return -ENOMEM;
	if (count > 0)
		memcpy(held, set->held, count * sizeof(*held));
	ret_copy->held = held;
	ret_copy->count = count;
	return 0;
}

int
zk_lock_file_load(struct zk_tx *tx, uint64_t ino, struct zk_lock_file *ret_file)
{
	struct zk_lock_file *file = ret_file;
	int rc;

	*file = (struct zk_lock_file){.tx = tx, .ino = ino};
	rc = zk_lock_set_load(tx, ino, &file->stored, &file->stored_waiters);
	if (rc == 0)
		rc = set_copy(&file->stored, &file->set);
	file->waiters = file->stored_waiters;
	/* To refuse here what other members do would make the trees differ. */
	if (rc < 0 && tx->fatal == 0)
		tx->fatal = rc;
	return rc;
}

void
zk_lock_file_fini(struct zk_lock_file *file)
{
	zk_lock_set_fini(&file->set);
	zk_lock_set_fini(&file->stored);
}

static int
row_store(struct zk_lock_file *file)
{
	const struct zk_key key = zk_key1(ZK_TABLE_LOCK, file->ino);
	const size_t cap = HEAD_BYTES + file->set.count * (size_t)ZK_HELD_BYTES;
	struct zk_enc enc;
	uint8_t *value;
	int rc;

	if (file->set.count == 0 && file->waiters == 0)
		return zk_row_delete(file->tx, &key);
	value = malloc(cap);
	if (value == NULL)
		return file->tx->fatal = -ENOMEM;
	zk_enc_init(&enc, value, cap);
	zk_enc_u8(&enc, LOCK_FORMAT);
	zk_enc_u32(&enc, file->waiters);
	zk_enc_u32(&enc, (uint32_t)file->set.count);
	for (size_t i = 0; i < file->set.count; i++)
		enc_held(&enc, &file->set.held[i]);
	ZK_ASSERT(!enc.failed);
	rc = zk_row_put(file->tx, &key, value, enc.len);
	free(value);
	return rc;
}

static bool
same_held(const struct zk_held *a, const struct zk_held *b)
{
	return zk_held_compare_owner(a, b) == 0 && a->handle == b->handle &&
	    a->first == b->first && a->last == b->last &&
	    a->exclusive == b->exclusive && a->fence == b->fence &&
	    a->pid == b->pid;
}

static bool
unchanged(const struct zk_lock_file *file)
{
	if (file->waiters != file->stored_waiters ||
	    file->set.count != file->stored.count)
		return false;
	for (size_t i = 0; i < file->set.count; i++)
		if (!same_held(&file->set.held[i], &file->stored.held[i]))
			return false;
	return true;
}

/* Past the locks of the owner at i. */
static size_t
next_owner(const struct zk_lock_set *set, size_t i)
{
	const struct zk_held *owner = &set->held[i];

	while (
	    i < set->count && zk_held_compare_owner(&set->held[i], owner) == 0)
		i++;
	return i;
}

/* Both sets are in the order of owners: a merge finds who came and went. */
static int
owners_store(struct zk_lock_file *file)
{
	const struct zk_lock_set *old = &file->stored, *new = &file->set;
	size_t i = 0, j = 0;
	int rc = 0;

	while (rc == 0 && (i < old->count || j < new->count)) {
		struct zk_key key;
		int order;

		if (i == old->count)
			order = 1;
		else if (j == new->count)
			order = -1;
		else
			order =
			    zk_held_compare_owner(&old->held[i], &new->held[j]);
		if (order < 0) {
			key = zk_lock_holds_key(&old->held[i], file->ino);
			rc = zk_row_delete(file->tx, &key);
		} else if (order > 0) {
			key = zk_lock_holds_key(&new->held[j], file->ino);
			rc = zk_row_put(file->tx, &key, "", 0);
		}
		if (order <= 0)
			i = next_owner(old, i);
		if (order >= 0)
			j = next_owner(new, j);
	}
	return rc;
}

int
zk_lock_file_store(struct zk_lock_file *file)
{
	struct zk_lock_set copy;
	int rc;

	if (unchanged(file))
		return 0;
	rc = set_copy(&file->set, &copy);
	if (rc < 0)
		return file->tx->fatal = rc;
	rc = row_store(file);
	if (rc == 0)
		rc = owners_store(file);
	if (rc < 0) {
		zk_lock_set_fini(&copy);
		/* A row that must be there is not. */
		if (file->tx->fatal == 0)
			file->tx->fatal = -ZK_ECORRUPT;
		return file->tx->fatal;
	}
	zk_lock_set_fini(&file->stored);
	file->stored = copy;
	file->stored_waiters = file->waiters;
	return 0;
}

/* --- owners --------------------------------------------------------------- */

static struct zk_key
owner_key(enum zk_table table, const struct zk_held *owner)
{
	const uint8_t kind = owner->flock ? 1 : 0;
	struct zk_key key = zk_key2(table, 0, owner->session);

	zk_key_u64(&key, owner->owner);
	zk_key_raw(&key, &kind, 1);
	ZK_ASSERT(key.len == OWNER_KEY_BYTES);
	return key;
}

struct zk_key
zk_lock_holds_key(const struct zk_held *owner, uint64_t ino)
{
	struct zk_key key = owner_key(ZK_TABLE_LOCK, owner);

	zk_key_u64(&key, ino);
	return key;
}

struct zk_key
zk_lock_waits_key(const struct zk_held *owner, uint64_t index)
{
	struct zk_key key = owner_key(ZK_TABLE_WAITER, owner);

	zk_key_u64(&key, index);
	return key;
}

static int
owner_key_number(struct zk_scan *scan, uint64_t *ret_number)
{
	if (scan->at.len != OWNER_KEY_BYTES + 8)
		return scan->tx->fatal = -ZK_ECORRUPT;
	*ret_number = zk_get_be64(scan->at.bytes + OWNER_KEY_BYTES);
	return 0;
}

int
zk_lock_owner_holds(struct zk_tx *tx, const struct zk_held *owner, uint64_t ino,
    bool *ret_holds)
{
	const struct zk_key from = owner_key(ZK_TABLE_LOCK, owner);
	struct zk_scan scan;
	uint64_t at;
	int rc;

	*ret_holds = false;
	rc = zk_scan_begin(tx, &from, from.len, &scan);
	if (rc < 0)
		return rc;
	/* At most two steps: one of the rows may be that of ino. */
	while (!*ret_holds && (rc = zk_scan_next(&scan)) == 0 &&
	    (rc = owner_key_number(&scan, &at)) == 0)
		*ret_holds = at != ino;
	zk_scan_end(&scan);
	return rc == -ENOENT ? 0 : rc;
}

int
zk_lock_session_file(struct zk_tx *tx, uint64_t session, uint64_t *ret_ino)
{
	const struct zk_key from = zk_key2(ZK_TABLE_LOCK, 0, session);
	struct zk_scan scan;
	int rc;

	rc = zk_scan_begin(tx, &from, from.len, &scan);
	if (rc < 0)
		return rc;
	rc = zk_scan_next(&scan);
	if (rc == 0)
		rc = owner_key_number(&scan, ret_ino);
	zk_scan_end(&scan);
	return rc;
}

/* --- waits ---------------------------------------------------------------- */

int
zk_lock_wait_put(struct zk_tx *tx, const struct zk_lock_wait *wait)
{
	struct zk_key key = zk_key2(ZK_TABLE_WAITER, wait->ino, wait->index);
	uint8_t value[8 + ZK_HELD_BYTES];
	struct zk_enc enc;
	int rc;

	ZK_ASSERT(wait->ino != 0);

	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u64(&enc, wait->number);
	enc_held(&enc, &wait->want);
	ZK_ASSERT(!enc.failed);
	rc = zk_row_put(tx, &key, value, enc.len);
	if (rc < 0)
		return rc;
	key = zk_lock_waits_key(&wait->want, wait->index);
	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u64(&enc, wait->ino);
	zk_enc_u64(&enc, wait->number);
	return zk_row_put(tx, &key, value, enc.len);
}

int
zk_lock_wait_delete(struct zk_tx *tx, const struct zk_lock_wait *wait)
{
	struct zk_key key = zk_key2(ZK_TABLE_WAITER, wait->ino, wait->index);
	int rc;

	rc = zk_row_delete(tx, &key);
	if (rc == 0) {
		key = zk_lock_waits_key(&wait->want, wait->index);
		rc = zk_row_delete(tx, &key);
	}
	if (rc == -ENOENT)
		rc = tx->fatal = -ZK_ECORRUPT;
	return rc;
}

int
zk_lock_waits_begin(struct zk_tx *tx, uint64_t ino, struct zk_scan *ret_scan)
{
	const struct zk_key from = zk_key1(ZK_TABLE_WAITER, ino);

	ZK_ASSERT(ino != 0);
	return zk_scan_begin(tx, &from, from.len, ret_scan);
}

int
zk_lock_wait_decode(const struct zk_key *key, const void *value, size_t len,
    struct zk_lock_wait *ret_wait)
{
	struct zk_dec dec;

	if (key->len != 1 + 8 + 8)
		return -ZK_ECORRUPT;
	ret_wait->ino = zk_get_be64(key->bytes + 1);
	ret_wait->index = zk_get_be64(key->bytes + 1 + 8);
	zk_dec_init(&dec, value, len);
	ret_wait->number = zk_dec_u64(&dec);
	dec_held(&dec, &ret_wait->want);
	return zk_dec_done(&dec) ? 0 : -ZK_ECORRUPT;
}

int
zk_lock_waits_next(struct zk_scan *scan, struct zk_lock_wait *ret_wait)
{
	int rc;

	rc = zk_scan_next(scan);
	if (rc < 0)
		return rc;
	rc = zk_lock_wait_decode(&scan->at, scan->value, scan->value_len,
	    ret_wait);
	if (rc < 0)
		scan->tx->fatal = rc;
	return rc;
}

int
zk_lock_owner_waits_begin(struct zk_tx *tx, uint64_t session,
    const struct zk_held *owner, struct zk_scan *ret_scan)
{
	const struct zk_key from = owner != NULL
	    ? owner_key(ZK_TABLE_WAITER, owner)
	    : zk_key2(ZK_TABLE_WAITER, 0, session);

	return zk_scan_begin(tx, &from, from.len, ret_scan);
}

int
zk_lock_owner_waits_next(struct zk_scan *scan, struct zk_lock_wait *ret_wait)
{
	const uint8_t *bytes = scan->at.bytes;
	struct zk_dec dec;
	int rc;

	rc = zk_scan_next(scan);
	if (rc == 0)
		rc = owner_key_number(scan, &ret_wait->index);
	if (rc < 0)
		return rc;
	ret_wait->want = (struct zk_held){
	    .session = zk_get_be64(bytes + 1 + 8),
	    .owner = zk_get_be64(bytes + SESSION_KEY_BYTES),
	    .flock = bytes[OWNER_KEY_BYTES - 1] != 0,
	};
	zk_dec_init(&dec, scan->value, scan->value_len);
	ret_wait->ino = zk_dec_u64(&dec);
	ret_wait->number = zk_dec_u64(&dec);
	if (!zk_dec_done(&dec) || ret_wait->ino == 0)
		return scan->tx->fatal = -ZK_ECORRUPT;
	return 0;
}

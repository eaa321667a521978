#include "store/dirent.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/hash.h"

/*
 * Row: key parent, slot; value: ino u64, type u8 (S_IFMT >> 12, as d_type),
 * then the name.
 */
#define TYPE_SHIFT 12
#define SLOT_LOW   0xffull
/* Positions 0 to 2 mean "from the start", "." and "..". */
#define SLOT_MIN 0x400ull

static uint64_t
first_slot(const struct zk_tx *tx, const char *name, size_t name_len)
{
	const uint64_t hash = zk_siphash(tx->state.ensemble, name, name_len);
	const uint64_t slot = hash & INT64_MAX & ~SLOT_LOW;

	return slot < SLOT_MIN ? SLOT_MIN : slot;
}

int
zk_dirent_decode(const struct zk_key *key, const void *value, size_t len,
    struct zk_entry_ref *ret_ref, const char **ret_name, size_t *ret_name_len)
{
	struct zk_dec dec;

	if (key->len != 1 + 8 + 8)
		return -ZK_ECORRUPT;
	zk_dec_init(&dec, value, len);
	ret_ref->ino = zk_dec_u64(&dec);
	ret_ref->type = (uint32_t)zk_dec_u8(&dec) << TYPE_SHIFT;
	ret_ref->slot = zk_get_be64(key->bytes + 1 + 8);
	*ret_name_len = dec.len - dec.pos;
	*ret_name = zk_dec_raw(&dec, *ret_name_len);
	if (dec.failed || *ret_name_len == 0 || *ret_name_len > ZK_NAME_MAX)
		return -ZK_ECORRUPT;
	return 0;
}

/*
 * The row of a name; when there is none, -ENOENT and in *ret_ref the first
 * free slot (0: none is free).
 */
static int
find(struct zk_tx *tx, uint64_t parent, const char *name, size_t name_len,
    struct zk_entry_ref *ret_ref)
{
	const uint64_t first = first_slot(tx, name, name_len);
	struct zk_key from = zk_key2(ZK_TABLE_DIRENT, parent, first);
	uint64_t free_slot = first;
	struct zk_scan scan;
	int rc;

	/* All slots of one hash differ in the last byte of the key. */
	rc = zk_scan_begin(tx, &from, from.len - 1, &scan);
	if (rc < 0)
		return rc;
	while ((rc = zk_scan_next(&scan)) == 0) {
		struct zk_entry_ref ref;
		const char *row_name;
		size_t row_len;

		rc = zk_dirent_decode(&scan.at, scan.value, scan.value_len,
		    &ref, &row_name, &row_len);
		if (rc < 0) {
			tx->fatal = rc;
			break;
		}
		if (row_len == name_len &&
		    memcmp(row_name, name, name_len) == 0) {
			*ret_ref = ref;
			break;
		}
		if (ref.slot == free_slot)
			free_slot = (free_slot & SLOT_LOW) == SLOT_LOW
			    ? 0
			    : free_slot + 1;
	}
	zk_scan_end(&scan);
	if (rc == -ENOENT)
		ret_ref->slot = free_slot;
	return rc;
}

int
zk_dirent_get(struct zk_tx *tx, uint64_t parent, const char *name,
    size_t name_len, struct zk_entry_ref *ret_ref)
{
	struct zk_entry_ref ref = {0};
	int rc;

	rc = find(tx, parent, name, name_len, &ref);
	if (rc == 0)
		*ret_ref = ref;
	return rc;
}

int
zk_dirent_put(struct zk_tx *tx, uint64_t parent, const char *name,
    size_t name_len, const struct zk_entry_ref *ref)
{
	uint8_t value[8 + 1 + ZK_NAME_MAX];
	struct zk_entry_ref at = {0};
	struct zk_key key;
	struct zk_enc enc;
	int rc;

	ZK_ASSERT(name_len > 0);
	ZK_ASSERT(name_len <= ZK_NAME_MAX);

	rc = find(tx, parent, name, name_len, &at);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	if (at.slot == 0)
		return -ENOSPC;
	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u64(&enc, ref->ino);
	zk_enc_u8(&enc, (uint8_t)((ref->type & S_IFMT) >> TYPE_SHIFT));
	zk_enc_raw(&enc, name, name_len);
	ZK_ASSERT(!enc.failed);
	key = zk_key2(ZK_TABLE_DIRENT, parent, at.slot);
	return zk_row_put(tx, &key, value, enc.len);
}

int
zk_dirent_delete(struct zk_tx *tx, uint64_t parent, const char *name,
    size_t name_len)
{
	struct zk_entry_ref at = {0};
	struct zk_key key;
	int rc;

	rc = find(tx, parent, name, name_len, &at);
	if (rc < 0)
		return rc;
	key = zk_key2(ZK_TABLE_DIRENT, parent, at.slot);
	return zk_row_delete(tx, &key);
}

int
zk_dirent_any(struct zk_tx *tx, uint64_t parent)
{
	const struct zk_key from = zk_key1(ZK_TABLE_DIRENT, parent);
	struct zk_scan scan;
	int rc;

	rc = zk_scan_begin(tx, &from, from.len, &scan);
	if (rc < 0)
		return rc;
	rc = zk_scan_next(&scan);
	zk_scan_end(&scan);
	return rc;
}

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "store/verify_impl.h"

/*
 * LMDB keeps the numbers of free pages in its own tree, database 0: a value
 * is a count, then that many page numbers, descending.  Nothing protects
 * them, and a page in use that is listed there would be overwritten by one of
 * the next commits.  The pages in use are those in which the walk finds rows.
 *
 * LMDB does not tell where its map begins, but each page begins with its
 * number: a page whose number does not fit its place is not what the tree
 * takes it for.
 */
#define FREE_DB 0

/* What a row has behind its value. */
#define CRC_BYTES 4u

/* LMDB 0.9's page header: number, padding, flags, and the free space's ends. */
#define PAGE_FLAGS       10
#define PAGE_LOWER       12 /* of an overflow page: how many it is */
#define PAGE_UPPER       14
#define PAGE_HEAD        16
#define PAGE_IS_LEAF     0x02
#define PAGE_IS_OVERFLOW 0x04

static bool
in_use(const struct zk_verifier *v, uint64_t page)
{
	return (v->pages[page / 8] & 1u << page % 8) != 0;
}

int
zk_verify_pages_begin(struct zk_verifier *v)
{
	MDB_env *env = mdb_txn_env(v->tx->mdb);
	MDB_envinfo info;
	MDB_stat stat;

	/* A writer's pages are on the heap, its free list is in motion. */
	if (v->tx->write)
		return 0;
	if (mdb_env_info(env, &info) != MDB_SUCCESS ||
	    mdb_env_stat(env, &stat) != MDB_SUCCESS)
		return -EIO;
	v->page_count = info.me_last_pgno + 1;
	v->page_bytes = stat.ms_psize;
	if (v->page_count > info.me_mapsize / v->page_bytes)
		return zk_verify_fail(v, "more pages than the map has");
	v->pages = calloc(v->page_count / 8 + 1, 1);
	return v->pages == NULL ? -ENOMEM : 0;
}

/*
 * What LMDB would trip over when it changes the page: it takes the header for
 * what it wrote there.
 */
static bool
is_sound(const struct zk_verifier *v, const uint8_t *head, size_t skip,
    uint64_t more)
{
	uint16_t flags, lower, upper;
	uint32_t pages;

	memcpy(&flags, head + PAGE_FLAGS, sizeof(flags));
	memcpy(&lower, head + PAGE_LOWER, sizeof(lower));
	memcpy(&upper, head + PAGE_UPPER, sizeof(upper));
	memcpy(&pages, head + PAGE_LOWER, sizeof(pages));
	if (flags == PAGE_IS_OVERFLOW)
		return skip == PAGE_HEAD && pages > more;
	return flags == PAGE_IS_LEAF && more == 0 && lower > PAGE_HEAD &&
	    lower <= upper && upper <= v->page_bytes;
}

/* The first page of a value in the map, and how many more it takes. */
static int
check_place(struct zk_verifier *v, const void *value, size_t len,
    uint64_t *ret_number, uint64_t *ret_more)
{
	const uintptr_t at = (uintptr_t)value;
	const size_t skip = at % v->page_bytes;
	const uint8_t *head = (const uint8_t *)value - skip;
	const uint64_t more = (skip + len - 1) / v->page_bytes;
	uint64_t number;

	ZK_ASSERT(len > 0);

	memcpy(&number, head, sizeof(number));
	if (v->map == 0)
		v->map = at - skip - number * v->page_bytes;
	if (number < 2 || number + more >= v->page_count ||
	    at - skip - number * v->page_bytes != v->map)
		return zk_verify_fail(v, "page %" PRIu64 " is misplaced",
		    number);
	if (!is_sound(v, head, skip, more))
		return zk_verify_fail(v, "page %" PRIu64 " is damaged", number);
	*ret_number = number;
	*ret_more = more;
	return 0;
}

int
zk_verify_pages_note(struct zk_verifier *v, const struct zk_scan *scan)
{
	uint64_t number = 0, more = 0;
	int rc;

	if (v->pages == NULL)
		return 0;
	rc = check_place(v, scan->value, scan->value_len + CRC_BYTES, &number,
	    &more);
	if (rc < 0)
		return rc;
	for (uint64_t page = number; page <= number + more; page++)
		v->pages[page / 8] |= (uint8_t)(1u << page % 8);
	return 0;
}

static int
check_free(struct zk_verifier *v, const MDB_val *value)
{
	const size_t *numbers = value->mv_data;
	const size_t have = value->mv_size / sizeof(*numbers);
	uint64_t above = v->page_count, number = 0, more = 0;
	int rc;

	/* Of a page that is none of these LMDB gives no value at all. */
	if (value->mv_size == 0)
		return zk_verify_fail(v, "list of free pages: damaged");
	rc = check_place(v, value->mv_data, value->mv_size, &number, &more);
	if (rc < 0)
		return rc;
	if (have == 0 || numbers[0] >= have)
		return zk_verify_fail(v, "list of free pages: damaged");
	for (size_t i = 1; i <= numbers[0]; i++) {
		const uint64_t page = numbers[i];

		/* Pages 0 and 1 are the roots of everything. */
		if (page >= above || page < 2)
			return zk_verify_fail(v, "list of free pages: damaged");
		if (in_use(v, page))
			return zk_verify_fail(v,
			    "page %" PRIu64 " is in use and free", page);
		above = page;
	}
	return 0;
}

int
zk_verify_pages_end(struct zk_verifier *v)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	int rc;

	if (v->pages == NULL)
		return 0;
	rc = zk_err_from_mdb(mdb_cursor_open(v->tx->mdb, FREE_DB, &cursor));
	if (rc < 0)
		return rc;
	do {
		value = (MDB_val){.mv_size = 0};
		rc = zk_err_from_mdb(
		    mdb_cursor_get(cursor, &key, &value, MDB_NEXT));
		if (rc == 0)
			rc = check_free(v, &value);
	} while (rc == 0);
	mdb_cursor_close(cursor);
	if (rc == -ZK_ECORRUPT)
		return zk_verify_fail(v, "list of free pages: damaged");
	return rc == -ENOENT ? 0 : rc;
}

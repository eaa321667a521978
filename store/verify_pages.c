#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

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

int
zk_verify_pages_note(struct zk_verifier *v, const struct zk_scan *scan)
{
	const uintptr_t at = (uintptr_t)scan->value;
	const uint8_t *head;
	uint64_t number, more;
	uintptr_t start;

	if (v->pages == NULL)
		return 0;
	start = at - at % v->page_bytes;
	more = (at - start + scan->value_len) / v->page_bytes;
	head = (const uint8_t *)scan->value - (at - start);
	memcpy(&number, head, sizeof(number));
	if (v->map == 0)
		v->map = start - number * v->page_bytes;
	if (number < 2 || number + more >= v->page_count ||
	    start - number * v->page_bytes != v->map)
		return zk_verify_fail(v, "page %" PRIu64 " is misplaced",
		    number);
	for (uint64_t page = number; page <= number + more; page++)
		v->pages[page / 8] |= (uint8_t)(1u << page % 8);
	return 0;
}

static int
check_free(struct zk_verifier *v, const MDB_val *value)
{
	const size_t *numbers = value->mv_data;
	const size_t have = value->mv_size / sizeof(*numbers);
	uint64_t above = v->page_count;

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

/*
 * How much room there is below the tree, and how much of it is used.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "store/own_rows.h"
#include "store/store_impl.h"

/*
 * The file is allocated this far ahead of its last used page, so that what
 * frees space (and the flush that records it) finds room on a full disk.
 */
#define ROOM_RESERVE    (12ull * ZK_MIB)
#define ROOM_STEP       (16ull * ZK_MIB)
#define ROOM_RECHECK_MS 200u
/* Less than this behind the end of the file is nothing. */
#define ROOM_PROBE ((off_t)ZK_MIB)

bool
zk_store_disk_is_full(struct zk_store *store)
{
	struct statvfs vfs;
	struct stat st;
	mdb_filehandle_t fd;

	if (mdb_env_get_fd(store->env, &fd) != MDB_SUCCESS ||
	    fstat(fd, &st) != 0)
		return false;
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, st.st_size, ROOM_PROBE) == 0)
		return false;
	if (errno != EOPNOTSUPP)
		return errno == ENOSPC || errno == EDQUOT;
	return fstatvfs(fd, &vfs) == 0 &&
	    (uint64_t)vfs.f_bavail * vfs.f_frsize < ROOM_PROBE;
}

/* Pages on LMDB's free list, which is its database 0 (as mdb_stat reads it). */
static uint64_t
free_pages(struct zk_store *store)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	MDB_txn *txn;
	uint64_t pages = 0;

	if (mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn) != MDB_SUCCESS)
		return 0;
	if (mdb_cursor_open(txn, 0, &cursor) == MDB_SUCCESS) {
		while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) ==
		    MDB_SUCCESS) {
			size_t count;

			memcpy(&count, value.mv_data, sizeof(count));
			pages += count;
		}
		mdb_cursor_close(cursor);
	}
	mdb_txn_abort(txn);
	return pages;
}

static uint64_t
page_bytes(struct zk_store *store)
{
	MDB_stat stat;

	(void)mdb_env_stat(store->env, &stat);
	return stat.ms_psize;
}

/* Bytes of the file below its last used page. */
static uint64_t
used_bytes(struct zk_store *store)
{
	MDB_envinfo info;

	(void)mdb_env_info(store->env, &info);
	return (info.me_last_pgno + 1) * page_bytes(store);
}

static bool
room_on_disk(struct zk_store *store)
{
	const uint64_t used = used_bytes(store);
	mdb_filehandle_t fd;
	uint64_t have;

	if (store->file_bytes >= used + ROOM_RESERVE)
		return true;
	if (mdb_env_get_fd(store->env, &fd) != MDB_SUCCESS)
		return false;
	have = used + ROOM_STEP;
	if (fallocate(fd, 0, 0, (off_t)have) == 0) {
		store->file_bytes = have;
		return true;
	}
	if (errno != ENOSPC && errno != EDQUOT) {
		struct statvfs vfs;

		/* No fallocate here: trust the free blocks. */
		return fstatvfs(fd, &vfs) == 0 &&
		    (uint64_t)vfs.f_bavail * vfs.f_frsize >= ROOM_RESERVE;
	}
	return free_pages(store) * page_bytes(store) >= ROOM_RESERVE;
}

bool
zk_store_has_room(struct zk_store *store, uint64_t now_ms)
{
	if (!store->room && now_ms - store->room_checked_ms < ROOM_RECHECK_MS)
		return false;
	store->room_checked_ms = now_ms;
	store->room = room_on_disk(store);
	return store->room;
}

int
zk_store_usage(struct zk_store *store, struct zk_store_usage *ret_usage)
{
	struct zk_store_usage usage = {0};
	struct zk_state state = {0};
	mdb_filehandle_t fd;
	struct statvfs vfs;
	MDB_envinfo info;
	struct zk_tx *tx;
	int rc;

	rc = zk_read_begin(store, &tx);
	if (rc < 0)
		return rc;
	rc = zk_state_get(tx, &state);
	zk_read_end(tx);
	if (rc < 0)
		return rc;
	(void)mdb_env_info(store->env, &info);
	usage.file_bytes = used_bytes(store);
	usage.map_bytes = info.me_mapsize;
	if (mdb_env_get_fd(store->env, &fd) == MDB_SUCCESS &&
	    fstatvfs(fd, &vfs) == 0) {
		usage.disk_total = (uint64_t)vfs.f_blocks * vfs.f_frsize;
		usage.disk_free = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	}
	usage.nodes = state.nodes;
	usage.row_bytes = state.row_bytes;
	usage.applied_index = state.applied_index;
	usage.digest = state.digest;
	*ret_usage = usage;
	return 0;
}

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/limits.h"
#include "store/env_impl.h"

/*
 * The file is allocated this far ahead of its last used page, so that what
 * frees space (and the flush that records it) finds room on a full disk.
 */
#define ROOM_RESERVE    (12ull * ZK_MIB)
#define ROOM_STEP       (16ull * ZK_MIB)
#define ROOM_RECHECK_MS 200u

/* With so much left, it does not matter if the file grows for a while. */
#define PLENTY ((uint64_t)512 * ZK_MIB)

/* Pages on LMDB's free list, which is its database 0 (as mdb_stat reads it). */
static uint64_t
free_pages(struct zk_env *env)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	MDB_txn *txn;
	uint64_t pages = 0;

	if (mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, &txn) != MDB_SUCCESS)
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
page_bytes(struct zk_env *env)
{
	MDB_stat stat;

	(void)mdb_env_stat(env->mdb, &stat);
	return stat.ms_psize;
}

/* Bytes of the file below its last used page. */
static uint64_t
used_bytes(struct zk_env *env)
{
	MDB_envinfo info;

	(void)mdb_env_info(env->mdb, &info);
	return (info.me_last_pgno + 1) * page_bytes(env);
}

uint64_t
zk_env_free_bytes(struct zk_env *env)
{
	return free_pages(env) * page_bytes(env);
}

static uint64_t
map_bytes(struct zk_env *env)
{
	MDB_envinfo info;

	(void)mdb_env_info(env->mdb, &info);
	return info.me_mapsize;
}

/* What the file has already within its first `end` bytes, not in use. */
static uint64_t
spare_bytes(struct zk_env *env, uint64_t end)
{
	const uint64_t used = used_bytes(env);

	return zk_env_free_bytes(env) + (end > used ? end - used : 0);
}

static bool
room_on_disk(struct zk_env *env)
{
	const uint64_t used = used_bytes(env);
	mdb_filehandle_t fd;
	uint64_t have;

	if (env->file_bytes >= used + ROOM_RESERVE)
		return true;
	if (mdb_env_get_fd(env->mdb, &fd) != MDB_SUCCESS)
		return false;
	have = used + ROOM_STEP;
	if (have > map_bytes(env))
		return spare_bytes(env, map_bytes(env)) >= ROOM_RESERVE;
	if (fallocate(fd, 0, 0, (off_t)have) == 0) {
		env->file_bytes = have;
		return true;
	}
	if (errno != ENOSPC && errno != EDQUOT) {
		struct statvfs vfs;

		/* No fallocate here: trust the free blocks. */
		return fstatvfs(fd, &vfs) == 0 &&
		    (uint64_t)vfs.f_bavail * vfs.f_frsize >= ROOM_RESERVE;
	}
	return spare_bytes(env, env->file_bytes) >= ROOM_RESERVE;
}

bool
zk_env_has_room(struct zk_env *env, uint64_t now_ms)
{
	if (!env->room && now_ms - env->room_checked_ms < ROOM_RECHECK_MS)
		return false;
	env->room_checked_ms = now_ms;
	env->room = room_on_disk(env);
	return env->room;
}

bool
zk_env_has_last_room(struct zk_env *env)
{
	const uint64_t map = map_bytes(env);
	uint64_t end = env->file_bytes;

	/* It is the map that is nearly full; see room_on_disk(). */
	if (used_bytes(env) + ROOM_STEP > map)
		end = map;
	return spare_bytes(env, end) >= ROOM_RESERVE / 2;
}

bool
zk_env_has_plenty(struct zk_env *env)
{
	struct zk_env_usage usage;

	zk_env_usage(env, &usage);
	return env->room && usage.disk_free >= PLENTY &&
	    usage.map_bytes >= usage.file_bytes + PLENTY;
}

void
zk_env_usage(struct zk_env *env, struct zk_env_usage *ret_usage)
{
	struct zk_env_usage usage = {.map_bytes = map_bytes(env)};
	mdb_filehandle_t fd;
	struct statvfs vfs;

	usage.file_bytes = used_bytes(env);
	if (mdb_env_get_fd(env->mdb, &fd) == MDB_SUCCESS &&
	    fstatvfs(fd, &vfs) == 0) {
		usage.disk_total = (uint64_t)vfs.f_blocks * vfs.f_frsize;
		usage.disk_free = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	}
	*ret_usage = usage;
}

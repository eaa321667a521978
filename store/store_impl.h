#ifndef ZK_STORE_STORE_IMPL_H
#define ZK_STORE_STORE_IMPL_H

/* Only for store.c and room.c. */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"
#include "store/table.h"

/* Read transactions kept for reuse. */
#define READERS_KEPT 32u

struct zk_store {
	MDB_env *env;
	MDB_dbi dbi;
	int dir_fd;     /* its flock keeps other daemons out */
	int witness_fd; /* of the tree; see is_sound() */
	struct zk_ident ident;
	struct zk_tx writer;
	struct zk_state state; /* as committed; node thread */

	pthread_mutex_t readers_lock;
	struct zk_tx *readers[READERS_KEPT]; /* protected by readers_lock */
	size_t reader_count;                 /* protected by readers_lock */

	bool room;
	uint64_t room_checked_ms;
	uint64_t file_bytes;
};

/*
 * Whether there is no room behind the end of the file.  LMDB 0.9 calls a write
 * that stopped half-way an I/O error: this tells the one that met the end of
 * the disk from one that met a bad sector.
 */
bool zk_store_disk_is_full(struct zk_store *store);

#endif

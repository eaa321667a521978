#ifndef ZK_FS_HANDOVER_H
#define ZK_FS_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "fs/fs.h"

struct zk_call;
struct zk_fs;

/*
 * Handing the mount over to another program that takes this one's place, with
 * the connection to the kernel: see zk_fs_freeze() in fs.h.
 *
 * What the kernel holds (inodes, open files) is written down and taken up.
 * Requests that wait for longer than a command takes, for a lock, an event or a
 * record, are kept as the kernel sent them, and are simply served again: by the
 * next program, or by this one if nothing comes of it.  A lock that is waited
 * for is so in the tree meanwhile: its request finds its place again there.
 *
 * The state, little-endian: u32 format, then what handover_save.c and
 * handover_take.c write and read, in the same order.
 */
#define ZK_HANDOVER_FORMAT ZK_FS_SAVE_FORMAT
/* Without where in its open file a result begins, as of a transaction. */
#define ZK_HANDOVER_FORMAT_RESULTS 4u
/* Nor which record of a group is being processed, for which time. */
#define ZK_HANDOVER_FORMAT_TRIES 3u
/* Nor what is known of partitions, and of who knows .zkfs. */
#define ZK_HANDOVER_FORMAT_APPENDS 2u
/* Without what an open `next` has, too: none was open. */
#define ZK_HANDOVER_FORMAT_OLD ZK_FS_SAVE_FORMAT_OLD

/* Requests that may wait are no longer. */
#define ZK_REQUEST_BYTES_MAX 128u

/* A request that was not answered. */
struct zk_kept {
	STAILQ_ENTRY(zk_kept) link;
	size_t len;
	uint8_t bytes[ZK_REQUEST_BYTES_MAX];
};
STAILQ_HEAD(zk_kept_list, zk_kept);

/*
 * For calls: keep the request instead of answering it.  -EBUSY: it cannot be
 * kept; -ENOMEM.
 */
int zk_handover_keep(struct zk_call *call);

/* Serve what was kept, again.  Main thread; frees the list. */
void zk_handover_serve(struct zk_fs *fs);
/* For handlers: whether that is what is being served. */
bool zk_handover_serves(void);

/* Take up what zk_fs_save() of the program before wrote.  0 or -EPROTO. */
int zk_handover_take(struct zk_fs *fs, const void *bytes, size_t len);

#endif

#ifndef ZK_FS_CONTROL_WATCH_H
#define ZK_FS_CONTROL_WATCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/node.h"

/*
 * inotify for the files of .zkfs that say something else when something has
 * happened.  What concerns a file is counted as it happens, anywhere, and told
 * by the thread of the calls: at once if the last time is long ago, and every
 * 50 ms at most, the last time after the last change.  Files that are a few
 * words are read first: what says the same as before is not told.
 *
 * Only what the kernel knows can be watched, but it knows what was used once,
 * too.  So first it is asked to forget what nobody uses or watches, and what it
 * knows a moment later is told; kernels before 6.18 cannot be asked.
 */
#define ZK_CONTROL_SLOTS 64u /* the directory, and its files */

struct zk_enc;
struct zk_dec;
struct zk_fs;

struct zk_control_watch {
	/* References that the kernel holds. */
	_Atomic uint64_t known[ZK_CONTROL_SLOTS];
	pthread_mutex_t lock;
	uint64_t changed;                   /* bits; protected by lock */
	uint64_t told_ms[ZK_CONTROL_SLOTS]; /* protected by lock */
	uint64_t asked_ms;                  /* protected by lock */
	_Atomic uint64_t due_ms;            /* 0: none is */
	/* Of what it said; the thread's of the calls. */
	uint32_t said[ZK_CONTROL_SLOTS];
	bool began;
};

void zk_control_watch_init(struct zk_control_watch *w);
void zk_control_watch_fini(struct zk_control_watch *w);

/* The kernel gets, or drops, references.  Other inodes are ignored. */
void zk_control_ref(struct zk_fs *fs, uint64_t ino);
void zk_control_forget(struct zk_fs *fs, uint64_t ino, uint64_t n);
/* Of others it is not known, and so they may be. */
bool zk_control_is_known(struct zk_fs *fs, uint64_t ino);

/* Any thread, does not block: the file may say something else. */
void zk_control_changed(struct zk_fs *fs, const char *name);

/* The thread of the calls. */
void zk_control_watch_serve(struct zk_fs *fs);

/* For who takes over.  old: of a program that did not count. */
void zk_control_watch_save(struct zk_enc *enc,
    const struct zk_control_watch *w);
void zk_control_watch_take(struct zk_fs *fs, struct zk_dec *dec, bool old);

#endif

#ifndef ZK_FS_FS_H
#define ZK_FS_FS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/change.h"
#include "base/node.h"
#include "fs/port.h"

/*
 * The FUSE face of the tree.  One value a mount; it owns the session with the
 * kernel, the workers that answer requests and the thread that tells the
 * kernel what changed behind its back.
 */
struct zk_fs;

/* The process that raises inotify events; see fs/replay.h. */
struct zk_replay_helper {
	pid_t pid;
	int socket;
};

/*
 * Make it; zk_fs_open() takes it over.  Best before there are threads, and
 * before anything is open that a second process must not hold.
 */
int zk_replay_fork(struct zk_replay_helper *ret_helper);

struct zk_replay_counts {
	uint64_t raised; /* orders done, one or more events each */
	uint64_t tasks;  /* system calls of the helper on the mount */
	uint64_t merged; /* changes that became one with an earlier one */

	uint64_t failed;   /* tries in vain were given up */
	uint64_t lost;     /* more waited than there is room for */
	uint64_t restarts; /* of the helper */
	uint64_t waiting;  /* orders, now */
};

struct zk_fs_options {
	const char *mountpoint; /* absolute */
	const char *source;     /* shown as the device in /proc/mounts */
	unsigned long mount_flags;
	const char *mount_data; /* more for the kernel: "a=b,c"; or NULL */
	bool read_only;
	uint64_t max_file;      /* bytes */
	uint32_t op_timeout_ms; /* then a waiting write gets ETIMEDOUT */
	bool debug;
	/* NULL: inotify is told of nothing but this mount's system calls. */
	const struct zk_replay_helper *helper;
	/*
	 * The mount is there already, with this end of it: take it over from
	 * zk_fs_save().  NULL: mount.
	 */
	const struct zk_fs_taken {
		const void *bytes;
		size_t len;
		int fd; /* of /dev/fuse; passes over */
	} * taken;
	/* Told once at the start what is wrong with this host; or NULL. */
	void (*warn)(const char *text);
};

/* Mount; the port must stay valid until zk_fs_close() returns. */
int zk_fs_open(const struct zk_fs_options *options,
    const struct zk_fs_port *port, struct zk_fs **ret_fs);

/*
 * Serve until unmounted or zk_fs_stop(); returns 0 or a negative code, or
 * ZK_FS_ASKED after zk_fs_ask_handover(), with requests still being served.
 * The main thread's place.
 */
enum { ZK_FS_ASKED = 1 };
int zk_fs_run(struct zk_fs *fs);

/* Any thread, also a signal handler. */
void zk_fs_ask_handover(struct zk_fs *fs);

/*
 * Take no more requests, and wait for what is under way.  0: save, or thaw;
 * a negative code: something takes longer than this: thaw.
 */
int zk_fs_freeze(struct zk_fs *fs, uint32_t timeout_ms);
/* Go on as before, by zk_fs_run(). */
int zk_fs_thaw(struct zk_fs *fs);
/*
 * How zk_fs_save() writes, and from what on it is read; see fs/handover.h.  A
 * program that cannot read it has to say so before this one stops.
 */
#define ZK_FS_SAVE_FORMAT     5u
#define ZK_FS_SAVE_FORMAT_OLD 1u
/*
 * What the kernel holds, for zk_fs_options.taken: *ret_bytes is the caller's
 * to free, *ret_fd is not.  After it this process must do nothing more.
 */
int zk_fs_save(struct zk_fs *fs, void **ret_bytes, size_t *ret_len,
    int *ret_fd);

/* Make zk_fs_run() return.  Any thread, also a signal handler. */
void zk_fs_stop(struct zk_fs *fs);

/* Unmounts where that has not happened yet; NULL is fine. */
void zk_fs_close(struct zk_fs *fs);

/*
 * What the node applied, in order, before it calls the done functions of the
 * same turn.  Node thread only; never blocks.
 */
void zk_fs_changed(struct zk_fs *fs, const struct zk_change *change);

/*
 * Something that is known here, or read by a group, has changed within the last
 * second, or somebody reads the events: changes should be told at once.
 */
bool zk_fs_cares(const struct zk_fs *fs);

/*
 * Another tree takes the place of this one, all at once: before and after.
 * What that changes for the kernel's caches and for who watches is found out
 * by comparing.  Node thread; they take as long as the directories are large
 * that the kernel knows.
 */
void zk_fs_replacing(struct zk_fs *fs);
void zk_fs_replaced(struct zk_fs *fs);

/*
 * Reads may say anything else from now on: the kernel is to ask again.  Names
 * only where it can forget them all at once (Linux 6.16).  Any thread.
 */
void zk_fs_forget(struct zk_fs *fs);

/* The file .zkfs/name says something else from now on.  Any thread. */
void zk_fs_control_changed(struct zk_fs *fs, const char *name);

/* For .zkfs/metrics.  Any thread. */
void zk_fs_replay_counts(struct zk_fs *fs, struct zk_replay_counts *ret_counts);

/*
 * A partition that is here, watched or followed has got records, or lost some, and can
 * be read up to end, its last one of that time; this host's session came or
 * went.  Any thread; does not block.
 */
void zk_fs_appended(struct zk_fs *fs, uint64_t partition, uint64_t end,
    const struct zk_stamp *time);
void zk_fs_session_changed(struct zk_fs *fs);

/* Requests answered so far, for .zkfs/metrics. */
uint64_t zk_fs_request_count(const struct zk_fs *fs);

#endif

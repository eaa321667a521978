#ifndef ZK_FS_FS_H
#define ZK_FS_FS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/change.h"
#include "base/node.h"
#include "fs/port.h"

/*
 * The FUSE face of the tree.  One value a mount; it owns the session with the
 * kernel, the workers that answer requests and the thread that tells the
 * kernel what changed behind its back.
 */
struct zk_fs;

struct zk_fs_options {
	const char *mountpoint; /* absolute */
	const char *source;     /* shown as the device in /proc/mounts */
	unsigned long mount_flags;
	const char *mount_data; /* more for the kernel: "a=b,c"; or NULL */
	bool read_only;
	uint64_t max_file;      /* bytes */
	uint32_t op_timeout_ms; /* then a waiting write gets ETIMEDOUT */
	bool debug;
	/* Told once at the start what is wrong with this host; or NULL. */
	void (*warn)(const char *text);
};

/* Mount; the port must stay valid until zk_fs_close() returns. */
int zk_fs_open(const struct zk_fs_options *options,
    const struct zk_fs_port *port, struct zk_fs **ret_fs);

/*
 * Serve until unmounted or zk_fs_stop(); returns 0 or a negative code.  The
 * main thread's place.
 */
int zk_fs_run(struct zk_fs *fs);

/* Make zk_fs_run() return.  Any thread, also a signal handler. */
void zk_fs_stop(struct zk_fs *fs);

/* Unmounts where that has not happened yet; NULL is fine. */
void zk_fs_close(struct zk_fs *fs);

/*
 * What the node applied, in order, before it calls the done functions of the
 * same turn.  Node thread only; never blocks.
 */
void zk_fs_changed(struct zk_fs *fs, const struct zk_change *change);

/* Requests answered so far, by FUSE operation, for .zkfs/metrics. */
uint64_t zk_fs_request_count(const struct zk_fs *fs);

#endif

#ifndef ZK_FS_IMPL_H
#define ZK_FS_IMPL_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/appends.h"
#include "fs/backup.h"
#include "fs/call.h"
#include "fs/control_watch.h"
#include "fs/events.h"
#include "fs/expect.h"
#include "fs/face.h"
#include "fs/fs.h"
#include "fs/fuse.h"
#include "fs/handover.h"
#include "fs/inode.h"
#include "fs/next.h"
#include "fs/notify.h"
#include "fs/port.h"
#include "fs/replay.h"

/* What the files of fs/ share. */

#define ZK_WORKERS 4u
/* Requests that a worker reads before it serves them. */
#define ZK_BATCH_MAX 16u

/*
 * What the kernel may believe without asking: for ever, because it is told of
 * changes.  In answers to a change it is 0, since nothing orders such an
 * answer against a notification of the next change; the next look asks.
 */
#define ZK_CACHE_S 1e6

struct zk_worker {
	struct zk_fs *fs;
	pthread_t thread;
	bool started;
	bool reads; /* it holds fs->receive */
	struct fuse_buf batch[ZK_BATCH_MAX];
	_Atomic uint64_t ticket; /* of the request in hand; 0: none */
};

struct zk_fs {
	struct zk_fs_port port;
	struct fuse_session *session;
	uint64_t max_file;
	uint32_t op_timeout_ms;
	char *mountpoint;
	int mount_id; /* in /proc/self/mountinfo */
	uint64_t mounted_s;
	/* Written while INIT is answered, before any other request. */
	uint64_t init_unique;
	bool init_seen;
	bool mappable;         /* also what is open past the page cache */
	_Atomic unsigned refs; /* the owner's, and one for each call */

	struct zk_inodes inodes;
	struct zk_faces faces;
	struct zk_appends appends;
	struct zk_notifier notifier;
	struct zk_replay replay;
	struct zk_picture *picture; /* node thread */
	struct zk_calls calls;
	struct zk_expects expects;
	struct zk_events events;
	pthread_mutex_t control_lock; /* protects the texts of handles */
	pthread_mutex_t plans_lock; /* protects writes to several partitions */
	struct zk_control_watch control_watch;
	struct zk_backup backup;

	_Atomic uint64_t handle_last;
	_Atomic uint64_t changes;    /* announced so far */
	_Atomic uint64_t noticed_ms; /* when one was of something known */
	struct zk_nexts nexts;
	_Atomic uint64_t requests;

	/* Requests are read one at a time, so that they have an order. */
	pthread_mutex_t receive;
	uint64_t ticket_last; /* protected by receive */
	struct zk_worker workers[ZK_WORKERS];
	int stop_fd;      /* readable: the workers end */
	atomic_bool over; /* the kernel has ended the connection */
	atomic_bool stopping;
	atomic_bool told_to_stop;
	atomic_bool asked; /* to hand over */
	sem_t ended;

	/* What INIT was, for whoever takes over. */
	_Atomic size_t init_len; /* 0: not yet; init is whole before it is */
	uint8_t init[256];
	bool init_again; /* it is answered once more: to nobody */
	pthread_mutex_t kept_lock;
	struct zk_kept_list kept; /* protected by kept_lock */
};

static inline struct zk_fs *
zk_fs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

void zk_fs_unref(struct zk_fs *fs);
/* ino lost its last name, and is kept until it is reaped. */
void zk_fs_orphaned(struct zk_fs *fs, uint64_t ino, bool known);

/* picture.c */
void zk_picture_free(struct zk_picture *picture);

/* worker.c */
int zk_workers_start(struct zk_fs *fs);
void zk_workers_stop(struct zk_fs *fs);
/*
 * The request that this thread is serving, if it is short: copied to buf, of
 * ZK_REQUEST_BYTES_MAX.  0: none.
 */
size_t zk_worker_request(uint8_t *buf);
void zk_worker_set_request(const void *bytes, size_t len);
int zk_worker_face(void); /* of its node; -1: none is being served */
/* Serve a request that was kept. */
void zk_worker_serve(struct zk_fs *fs, void *bytes, size_t len);
/*
 * Return when every request that was read before this worker's own has been
 * through its handler.  Close sends RELEASE without waiting for the answer;
 * what the same caller does next must find it done.
 */
void zk_workers_settle(struct zk_fs *fs);

#endif

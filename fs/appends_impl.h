#ifndef ZK_FS_APPENDS_IMPL_H
#define ZK_FS_APPENDS_IMPL_H

#include "fs/appends.h"

/*
 * Shared by appends.c, what is told of a partition, and appends_follow.c, of
 * which.
 */

/* So long after the first of them, appends become one event. */
#define ZK_APPENDS_DUE_MS 50u

/* A partition that may be watched. */
struct zk_appended {
	struct zk_appended *next, *next_due, *next_changed;
	uint64_t partition;
	uint64_t topic;        /* that it is one of; 0: not known */
	struct zk_stamp since; /* when the kernel got to know one of them */
	bool known;            /* the kernel knows it */
	bool listed;           /* ... or its topic */
	bool follows;
	bool is_due, is_changed;

	bool based;      /* what follows is known: */
	bool mute;       /* ... and was not when something was appended */
	bool news;       /* all of it is to be told */
	uint64_t seen;   /* its end */
	uint64_t told;   /* up to there all is told */
	uint64_t own;    /* bytes appended here behind that, and answered */
	uint64_t flying; /* bytes of appends that are not answered */
};

/* A topic that the kernel knows. */
struct zk_append_topic {
	struct zk_append_topic *next;
	uint64_t ino;
	struct zk_stamp since;
	bool changed; /* its partitions are to be looked up */
};

/* These want the lock held.  Where it is, or would be. */
struct zk_appended **zk_appends_place(struct zk_appends *appends,
    uint64_t partition);
/* True: zk_appends_wake(), unless that is who asks. */
bool zk_appends_make_due(struct zk_appends *appends, struct zk_appended *a);
/* Where it ends is known from now on.  As zk_appends_make_due(). */
bool zk_appends_set_base(struct zk_appends *appends, struct zk_appended *a,
    uint64_t end, const struct zk_stamp *time);

/* Without it: the thread of the calls has something to do. */
void zk_appends_wake(struct zk_fs *fs);
/* That thread: follows, and leaves. */
void zk_appends_serve_changed(struct zk_fs *fs);

#endif

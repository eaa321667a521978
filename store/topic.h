#ifndef ZK_STORE_TOPIC_H
#define ZK_STORE_TOPIC_H

#include "store/apply.h"
#include "store/inode.h"
#include "store/topic_config.h"

/*
 * Topics in the tree: their settings, their partitions, and which members
 * keep which.  The records are not here: each partition is a Raft group of its
 * own (queue/), which does what these rows say.
 */
struct zk_topic {
	uint64_t ino; /* of its directory */
	struct zk_topic_config config;
	uint64_t config_ino; /* of the file with the settings */
	uint64_t groups_ino; /* of the directory of the groups */
	uint32_t group_count;
};

/*
 * A partition.  Its id, and that of its Raft group, is the inode number of
 * its file, which is never used again.
 */
struct zk_partition {
	uint64_t topic;
	uint32_t number;
	uint64_t ino;
	uint64_t changed; /* index of the entry that chose the replicas */
	/*
	 * The members whose group was founded when the partition was made.
	 * They never change: whoever starts the group begins from them.
	 */
	uint32_t founder_count;
	uint64_t founders[ZK_REPLICAS_MAX];
	/*
	 * The members that shall keep it, in ascending order but for the
	 * first, which shall lead it.  The group follows, one member at a
	 * time.
	 */
	uint32_t replica_count;
	uint64_t replicas[ZK_REPLICAS_MAX];
};

/* Readers, any transaction.  -ENOENT: no such thing. */
int zk_topic_get(struct zk_tx *tx, uint64_t ino, struct zk_topic *ret_topic);
int zk_partition_get(struct zk_tx *tx, uint64_t topic, uint32_t number,
    struct zk_partition *ret_partition);
/*
 * The first partition in the order of (topic, number) that is not before
 * these two.
 */
int zk_partition_next(struct zk_tx *tx, uint64_t topic, uint32_t number,
    struct zk_partition *ret_partition);

/* --- part of the state machine -------------------------------------------- */

int zk_topic_put(struct zk_tx *tx, const struct zk_topic *topic);
int zk_partition_put(struct zk_tx *tx, const struct zk_partition *partition);

/* -EAGAIN: nobody is there to keep it. */
int zk_topic_check_make(struct zk_apply *ap);

/* A directory was made in /topics: give it its files; the caller puts it. */
int zk_topic_make(struct zk_apply *ap, struct zk_inode *dir);

/* The rows of a topic whose files are gone. */
int zk_topic_forget(struct zk_apply *ap, uint64_t ino);

/*
 * Lines are written to a topic's config.  -EINVAL; -E2BIG: more files would
 * have to be made than one entry may make.
 */
int zk_topic_configure(struct zk_apply *ap, struct zk_inode *config,
    const void *text, size_t len);

/* The members of the ensemble have changed: choose replicas anew. */
int zk_topics_replace(struct zk_apply *ap);

#endif

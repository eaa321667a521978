#ifndef ZK_BASE_NODE_H
#define ZK_BASE_NODE_H

#include <stdint.h>

/* A node of the tree (a file, directory, link, ...) as every layer sees it. */

#define ZK_INO_ROOT 1ull

/* Inode numbers from here on name the virtual files below /.zkfs. */
#define ZK_INO_VIRTUAL 0xffffffff00000000ull
/* And those from here to there .zkfs/events@REV, added to this. */
#define ZK_INO_EVENTS 0x8000000000000000ull

/* Seconds and nanoseconds since 1970, UTC; seconds may be negative. */
struct zk_stamp {
	int64_t sec;
	uint32_t nsec; /* < 1e9 */
};

/*
 * What a node is to zkfs beyond its type.  All but the plain ones are made,
 * changed and removed by rules of their own; see store/special.h.
 */
enum zk_node_kind {
	ZK_NODE_PLAIN,
	ZK_NODE_TOPICS,    /* /topics */
	ZK_NODE_TOPIC,     /* a directory in it */
	ZK_NODE_CONFIG,    /* in a topic: its settings */
	ZK_NODE_PARTITION, /* p0, p1, ...: records */
	ZK_NODE_BY_KEY,    /* appends go where the key says */
	ZK_NODE_ANY,       /* appends go round */
	ZK_NODE_GROUPS,    /* in a topic: the directory of its groups */
	ZK_NODE_GROUP,     /* a directory in that */
	ZK_NODE_NEXT,      /* in a group: the stream of what is its turn */
	ZK_NODE_OFFSET,    /* p0, p1, ...: how far the group is */
	ZK_NODE_LAG,       /* what it has still to read */
	ZK_NODE_MEMBERS,   /* who has next open */
	ZK_NODE_DEAD,      /* what it has given up */
	ZK_NODE_KINDS
};

struct zk_attr {
	uint64_t ino; /* never reused */
	uint32_t mode;
	uint32_t nlink; /* 0: unlinked, kept while a host holds it */
	uint32_t uid, gid;
	uint64_t rdev;
	uint64_t size;   /* bytes; 0 for directories */
	uint64_t blocks; /* of 512 bytes, as st_blocks */
	struct zk_stamp atime, mtime, ctime, btime;

	uint64_t version;  /* changes of the content */
	uint64_t cversion; /* directories: changes of the entries */
	uint64_t czxid;    /* log index of the creation */
	uint64_t mzxid;    /* log index of the last change of the content */
	uint64_t pzxid;    /* log index of the last change of the entries */
	uint64_t parent;   /* where it was put last; the root is its own */

	/* An ephemeral file's session and open file; both 0 for others. */
	uint64_t session;
	uint64_t handle;

	uint32_t kind;      /* enum zk_node_kind */
	uint32_t partition; /* its number: PARTITION, OFFSET */
	uint64_t topic;     /* that it belongs to: all from CONFIG on */
	uint64_t group;     /* that it belongs to: all from NEXT on */
};

#endif

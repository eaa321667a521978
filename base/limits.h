#ifndef ZK_BASE_LIMITS_H
#define ZK_BASE_LIMITS_H

/*
 * Every bound of the program in one place, with the relations between them.
 * Sizes are bytes, times are milliseconds, unless the name says otherwise.
 */

#define ZK_KIB 1024u
#define ZK_MIB 1048576u

/* What Linux allows for one component and for one symbolic link. */
#define ZK_NAME_MAX    255u
#define ZK_SYMLINK_MAX 4095u

/*
 * The largest write(2) that reaches us as one request: the kernel splits
 * larger or unaligned ones at 1 MiB minus one page.
 */
#define ZK_WRITE_MAX ZK_MIB

#define ZK_XATTR_NAME_MAX  255u
#define ZK_XATTR_VALUE_MAX 65536u
#define ZK_XATTRS_MAX      256u

/* Values up to this size live inside the inode record: one put per write. */
#define ZK_INLINE_MAX 1024u

/*
 * Larger ones live in chunks.  A chunk and its checksum fill three pages of
 * the store; a 4 KiB write rewrites one of them.
 */
#define ZK_CHUNK_BYTES 8192u

#define ZK_MAX_FILE_DEFAULT 16777216ull
#define ZK_MAX_FILE_LIMIT   1073741824ull

/* One command, encoded: a full write plus its header. */
#define ZK_COMMAND_HEAD_MAX 8192u
#define ZK_COMMAND_MAX      (ZK_WRITE_MAX + ZK_COMMAND_HEAD_MAX)

/* The node's queue: full means that the caller waits. */
#define ZK_QUEUE_COMMANDS_MAX 4096u
#define ZK_QUEUE_BYTES_MAX    33554432u

/* One turn of the node thread is one transaction and one flush. */
#define ZK_TURN_COMMANDS_MAX 1024u
#define ZK_TURN_BYTES_MAX    4194304u

/* Log entries are stored in parts so that no long page runs are needed. */
#define ZK_LOG_PART_BYTES 16320u

#define ZK_LOCKS_PER_FILE_MAX   4096u
#define ZK_WAITERS_PER_FILE_MAX 4096u
#define ZK_TXN_OPS_MAX          1024u
#define ZK_REAP_MAX             256u
#define ZK_GROUPS_MAX           64u

/* Topics.  One entry of the log makes all files of a topic or a group. */
#define ZK_PARTITIONS_MAX     1024u  /* of a topic */
#define ZK_TOPIC_GROUPS_MAX   256u   /* of a topic */
#define ZK_TOPIC_FILES_MAX    16384u /* that one command makes */
#define ZK_REPLICAS_MAX       7u
#define ZK_GROUP_MEMBERS_MAX  4096u
#define ZK_TOPIC_SETTINGS_MAX 4096u /* bytes of one write to config */

/* A record comes as one write(2), and may be one byte longer: its newline. */
#define ZK_RECORD_MAX (ZK_WRITE_MAX - 4096u)

#define ZK_OP_TIMEOUT_DEFAULT_MS      10000u
#define ZK_SESSION_TIMEOUT_DEFAULT_MS 10000u

_Static_assert(ZK_COMMAND_MAX <= ZK_TURN_BYTES_MAX,
    "any one command fits into a turn");
_Static_assert(ZK_TURN_BYTES_MAX <= ZK_QUEUE_BYTES_MAX,
    "a turn can drain what the queue holds");
_Static_assert(ZK_CHUNK_BYTES > ZK_INLINE_MAX,
    "a value leaves the inode record before it needs a second chunk");
_Static_assert(ZK_XATTR_VALUE_MAX + ZK_XATTR_NAME_MAX < ZK_COMMAND_MAX,
    "an attribute fits into a command");

#endif

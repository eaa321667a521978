#ifndef ZK_BASE_COMMAND_H
#define ZK_BASE_COMMAND_H

#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/node.h"

/*
 * The commands that change the tree, and what comes back.  fs/ makes them,
 * consensus carries them as bytes, store/ applies them: this vocabulary is all
 * that the three share.
 *
 * A command says what is to happen, with every choice already made: it
 * carries the caller's identity, never "the current time" (the entry that
 * transports it does, stamped by the leader).
 */

enum zk_op {
	ZK_OP_NOP = 1,      /* a barrier; also the first entry of a term */
	ZK_OP_SESSION_OPEN, /* handle: incarnation; name: member; ino2: its node */
	ZK_OP_SESSION_END,  /* ino: the session that is over */
	ZK_OP_CREATE,       /* in ino: name, mode (with type), rdev; data: link
	                        target; handle with ZK_F_EPHEMERAL */
	ZK_OP_LINK,         /* ino2 gets the name `name` in ino */
	ZK_OP_UNLINK,       /* name in ino, not a directory */
	ZK_OP_RMDIR,        /* name in ino */
	ZK_OP_RENAME,       /* name in ino -> name2 in ino2; RENAME_* in mode */
	ZK_OP_SETATTR,      /* ino: fields named by ZK_SET_* in flags */
	ZK_OP_WRITE,        /* ino: data at off, or at the end */
	ZK_OP_FALLOCATE,    /* ino: FALLOC_FL_* in mode, off, len */
	ZK_OP_XATTR_SET,    /* ino: name = data; XATTR_* in mode */
	ZK_OP_XATTR_REMOVE, /* ino: name */
	ZK_OP_EPHEMERAL,    /* ino becomes the ephemeral of handle */
	ZK_OP_RELEASE,      /* handle of ino is closed for good */
	ZK_OP_REAP,         /* data: inode numbers no longer held here */
	ZK_OP_LOCK,         /* ino: see struct zk_command's lock fields */
	ZK_OP_LOCK_CANCEL,  /* off: number of the waiting ZK_OP_LOCK */
	ZK_OP_UNLOCK_OWNER, /* ino: all locks of owner (ZK_F_FLOCK: flocks) */
	ZK_OP_TXN,          /* data: lines; see store/txn.h */
	ZK_OP_MEMBER,       /* mode: enum zk_member_verb; see store/roster.h */
	ZK_OP_JOIN,         /* ino: a group's next, which handle has open */
	ZK_OP_ACK,          /* ino: a group; data: see base/ack.h; handle */
	ZK_OP_MAX
};

/* flags; ZK_SET_* for ZK_OP_SETATTR */
enum {
	ZK_F_EXCL = 1u << 0,      /* CREATE: EEXIST if there */
	ZK_F_EPHEMERAL = 1u << 1, /* CREATE: lives as long as handle */
	ZK_F_APPEND = 1u << 2,    /* WRITE: at the end; off is ignored */
	ZK_F_TRUNCATE = 1u << 3,  /* WRITE, SETATTR, FALLOCATE, RELEASE: first
	                             make the file empty, as one change */
	ZK_F_FLOCK = 1u << 4,     /* LOCK, UNLOCK_OWNER: flock, not fcntl */
	ZK_F_WAIT = 1u << 5,      /* LOCK: wait for the grant */
	ZK_F_EXPECT = 1u << 6,    /* expect holds the version wanted */
	ZK_F_FENCED = 1u << 7,    /* handle's session must be alive */

	ZK_SET_MODE = 1u << 8,
	ZK_SET_UID = 1u << 9,
	ZK_SET_GID = 1u << 10,
	ZK_SET_SIZE = 1u << 11,
	ZK_SET_ATIME = 1u << 12,
	ZK_SET_MTIME = 1u << 13,
	ZK_SET_ATIME_NOW = 1u << 14,
	ZK_SET_MTIME_NOW = 1u << 15,
	ZK_F_KILL_PRIV = 1u << 16, /* WRITE, SETATTR, FALLOCATE: the caller may
	                              not keep set-id bits on content change */
	ZK_F_AGAIN = 1u << 17,     /* LOCK: asked for already, by the program
	                              before this one; never in the log */
};

/*
 * What becomes of a member; name: its name.  The first four are asked for by
 * people, the others by members.
 */
enum zk_member_verb {
	ZK_MEMBER_ADD = 1,  /* data: its address; a voter when it has come */
	ZK_MEMBER_REMOVE,   /* it is to leave */
	ZK_MEMBER_PROMOTE,  /* an observer is to become a voter */
	ZK_MEMBER_TRANSFER, /* it is to lead */
	ZK_MEMBER_JOIN,     /* ino: its node id; data: its address, or none */
	ZK_MEMBER_FORGET,   /* ino: its node id; it has left */
	ZK_MEMBER_FOUND,    /* data: the first members; no name */
	ZK_MEMBER_VERB_MAX
};

enum zk_lock_type { ZK_LOCK_SHARED = 1, ZK_LOCK_EXCLUSIVE, ZK_LOCK_NONE };

struct zk_command {
	enum zk_op op;
	uint32_t flags;

	/* Stamped by the node: exactly-once under (session, number). */
	uint64_t session, number;
	uint64_t acked; /* answers below this number may be forgotten */

	uint32_t uid, gid;
	uint64_t ino, ino2;
	uint64_t handle; /* the open file; unique within the session */
	uint64_t off, len;
	uint64_t expect;
	uint32_t mode;
	uint64_t rdev;
	struct zk_stamp atime, mtime;

	/* LOCK: [off, off + len - 1], len 0: to the end of all files. */
	uint64_t owner;
	uint32_t lock_type; /* enum zk_lock_type */
	uint32_t pid;       /* for F_GETLK only */

	/* Supplementary groups, for TXN; groups[] has group_count of them. */
	const uint32_t *groups;
	size_t group_count;

	/* Borrowed; not terminated. */
	const char *name, *name2;
	size_t name_len, name2_len;
	const void *data;
	size_t data_len;
};

struct zk_outcome {
	int rc;              /* 0 or a negative code; then the rest is unset */
	uint64_t index;      /* the log index that did it */
	uint64_t offset;     /* WRITE: where it went; LOCK: the fence */
	uint32_t line;       /* TXN, rc < 0: the failing line, from 1 */
	struct zk_attr attr; /* of the node made or changed */
	/* CREATE with a sequential name: the name made. */
	size_t name_len;
	char name[ZK_NAME_MAX + 1];
};

/* Upper bound of what zk_command_encode() writes. */
size_t zk_command_size(const struct zk_command *cmd);

/*
 * Encode cmd into buf.  Returns the length, or -EMSGSIZE when it exceeds cap
 * or a bound of base/limits.h.  Any thread.
 */
int zk_command_encode(const struct zk_command *cmd, void *buf, size_t cap,
    size_t *ret_len);

/*
 * Write session, number and acked into a command that was encoded with all
 * three not zero: they are known only when it is proposed.
 */
void zk_command_stamp(void *buf, size_t len, uint64_t session, uint64_t number,
    uint64_t acked);

/*
 * Decode; the pointers of *ret_cmd lead into buf, except groups, which is
 * copied to the caller's array of ZK_GROUPS_MAX.  Returns -EPROTO for
 * anything zk_command_encode() would not write.
 */
int zk_command_decode(const void *buf, size_t len, uint32_t *groups,
    struct zk_command *ret_cmd);

/* "create", "write", ...: for logs and events. */
const char *zk_op_name(enum zk_op op);

#endif

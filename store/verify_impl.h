#ifndef ZK_STORE_VERIFY_IMPL_H
#define ZK_STORE_VERIFY_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/lock_range.h"
#include "store/verify.h"

/*
 * The parts of verify.c.  One walk over all rows in the order of their keys;
 * what one table promises about another is noted on the way and compared when
 * the other table comes.  Functions return 0, -ZK_ECORRUPT after
 * zk_verify_fail(), or another code when they could not find out.
 */

/* A list of plain values, grown as needed. */
struct zk_verify_list {
	void *items;
	size_t count, cap;
};
/* The new last item of item_size bytes, or NULL: no memory. */
void *zk_verify_add(struct zk_verify_list *list, size_t item_size);

/* A name, as its directory has it. */
struct zk_verify_name {
	uint64_t child, parent;
	uint32_t type;
};

/* A directory that has a name, or is the root. */
struct zk_verify_dir {
	uint64_t ino, parent;
	uint64_t nlink, subdirs;
	bool reached; /* from the root */
};

/* The chunks of one file. */
struct zk_verify_chunks {
	uint64_t ino;
	uint64_t count, end; /* end: the first byte after the last chunk */
};

struct zk_verifier {
	struct zk_tx *tx;
	struct zk_verify_report *report;
	struct zk_state state;
	bool has_state;
	struct zk_verify_list sessions; /* uint64_t, ascending */
	struct zk_verify_list names;    /* by child once sorted */
	struct zk_verify_list dirs;     /* by inode number */
	struct zk_verify_list chunks;   /* by inode number */
	bool names_sorted;
	size_t name_next, chunks_next; /* not yet claimed by a node */

	/* The log so far: its last entry, and parts of it seen and due. */
	uint64_t log_index, log_term;
	uint64_t log_parts, log_parts_due;
	void *log_buf;

	/* The waits of the file looked at. */
	uint64_t wait_ino, wait_count;

	/* Pages that hold rows, one bit each; NULL: not looked at. */
	uint8_t *pages;
	uint64_t page_count;
	size_t page_bytes;
	uintptr_t map; /* where page 0 is; 0: not known yet */
};

/* Notes the problem and returns -ZK_ECORRUPT. */
__attribute__((format(printf, 2, 3))) int zk_verify_fail(struct zk_verifier *v,
    const char *fmt, ...);

/* Fails unless the session lives. */
int zk_verify_session(struct zk_verifier *v, uint64_t session,
    const char *what);

/* verify_tree.c: one row each, then what is left at the end. */
int zk_verify_dirent_row(struct zk_verifier *v, const struct zk_scan *scan);
int zk_verify_ephemeral_row(struct zk_verifier *v, const struct zk_scan *scan);
int zk_verify_chunk_row(struct zk_verifier *v, const struct zk_scan *scan);
int zk_verify_inode_row(struct zk_verifier *v, const struct zk_scan *scan);
int zk_verify_name_row(struct zk_verifier *v, const struct zk_scan *scan);
int zk_verify_orphan_row(struct zk_verifier *v, const struct zk_scan *scan);
int zk_verify_xattr_row(struct zk_verifier *v, const struct zk_scan *scan);
int zk_verify_tree_end(struct zk_verifier *v);

/* verify_lock.c */
int zk_verify_lock_row(struct zk_verifier *v, const struct zk_scan *scan);
int zk_verify_waiter_row(struct zk_verifier *v, const struct zk_scan *scan);

/* verify_topic.c */
int zk_verify_topic_row(struct zk_verifier *v, const struct zk_scan *scan);
int zk_verify_partition_row(struct zk_verifier *v, const struct zk_scan *scan);
int zk_verify_share_row(struct zk_verifier *v, const struct zk_scan *scan);
int zk_verify_member_row(struct zk_verifier *v, const struct zk_scan *scan);
int zk_verify_seat_row(struct zk_verifier *v, const struct zk_scan *scan);

/* verify_topics.c */
/* A file to read rows from.  Nothing is created: no lock, no meta page. */
int zk_verify_open(const char *path, MDB_env **ret_env, struct zk_tx *ret_tx);
/* *problem: of what is -ZK_ECORRUPT.  progress: as of zk_verify_watched(). */
int zk_verify_topics(const char *dir, struct zk_tx *tree,
    void (*progress)(void *arg), void *arg, char *problem, size_t cap);

/* verify_pages.c: the list of free pages against the pages in use. */
int zk_verify_pages_begin(struct zk_verifier *v);
int zk_verify_pages_note(struct zk_verifier *v, const struct zk_scan *scan);
int zk_verify_pages_end(struct zk_verifier *v);

#endif

#ifndef ZK_STORE_SPECIAL_H
#define ZK_STORE_SPECIAL_H

#include "store/apply.h"
#include "store/dirent.h"
#include "store/inode.h"

/*
 * Nodes that are not plain (enum zk_node_kind), as the commands that change
 * names and content meet them.  Like the files of a control group they come
 * and go with their directory:
 *
 *   /topics      made with the tree; in an older one, by mkdir(2).  It can
 *                neither be removed nor renamed.  mkdir(2) in it makes a
 *                topic, rename(2) within it gives one another name, rmdir(2)
 *                removes one whole, unless it still has groups.
 *   groups       the same, for the groups of a topic; one that has members
 *                cannot be removed.
 *   their files  can be neither made, removed, linked nor renamed by hand.
 *
 * Part of the state machine.  The checks return 0 or the code that refuses.
 */

/* Whether cmd may make a node in dir, and of which kind. */
int zk_special_check_create(struct zk_apply *ap, const struct zk_inode *dir,
    const struct zk_command *cmd, uint32_t *ret_kind);

/*
 * A node of this kind was made in dir and has its name: give it what belongs
 * to it.  The caller puts both.
 */
int zk_special_fill(struct zk_apply *ap, const struct zk_inode *dir,
    struct zk_inode *node);

/* Whether a name for this node may be made in dir by link(2). */
int zk_special_check_link(const struct zk_inode *dir,
    const struct zk_inode *node);

/* Whether rename(2) may move the node behind ref from one to the other. */
int zk_special_check_rename(struct zk_apply *ap, const struct zk_inode *from,
    const struct zk_inode *to, const struct zk_entry_ref *ref);

/*
 * unlink(2) and rmdir(2) of the node behind ref.  1: it is a topic or a group,
 * to be emptied by zk_special_empty().
 */
int zk_special_check_remove(struct zk_apply *ap,
    const struct zk_entry_ref *ref);
int zk_special_empty(struct zk_apply *ap, uint64_t ino);

/*
 * A change of content: 0 when the node is plain, 1 when the change has been
 * made here (or has no effect), or a refusal.
 */
int zk_special_write(struct zk_apply *ap, struct zk_inode *node);
int zk_special_check_resize(const struct zk_inode *node);

/*
 * Make a file (or a directory) in dir, with its mode, owners, kind and what
 * else is set in *node; fills in the rest, and puts it.  The caller puts dir.
 */
int zk_special_add(struct zk_apply *ap, struct zk_inode *dir, const char *name,
    struct zk_inode *node);
/* A node with that kind and those permissions, owned as `like` is. */
void zk_special_init(struct zk_inode *ret_node, uint32_t kind, uint32_t mode,
    const struct zk_attr *like);
/* Its content becomes this text, which fits into the row; puts it. */
int zk_special_set_text(struct zk_apply *ap, struct zk_inode *node,
    const char *text, size_t len);

/* The entry that founds the tree: make /topics. */
int zk_special_found(struct zk_apply *ap);

#endif

#ifndef ZK_TESTS_UNIT_TREE_RIG_H
#define ZK_TESTS_UNIT_TREE_RIG_H

#include <sys/stat.h>

#include "store_rig.h"

/* A committed tree with some of everything in it. */

RIG uint64_t session, dir, subdir, file, big, ephemeral, orphan, linked;

RIG uint64_t
tree_create(uint64_t parent, const char *name, uint32_t mode, uint32_t flags)
{
	const struct zk_command cmd = {
	    .op = ZK_OP_CREATE,
	    .flags = flags,
	    .session = session,
	    .handle = flags & ZK_F_EPHEMERAL ? 77 : 0,
	    .ino = parent,
	    .mode = mode,
	    .name = name,
	    .name_len = strlen(name),
	};

	return rig_apply(&cmd)->attr.ino;
}

RIG void
tree_write_bytes(uint64_t ino, size_t len)
{
	static uint8_t bytes[40000];
	const struct zk_command cmd = {
	    .op = ZK_OP_WRITE,
	    .session = session,
	    .ino = ino,
	    .data = bytes,
	    .data_len = len,
	};

	memset(bytes, 'w', sizeof(bytes));
	CHECK(rig_apply(&cmd)->rc == 0, "write");
}

RIG void
tree_simple(enum zk_op op, uint64_t ino, const char *name, uint64_t ino2)
{
	const struct zk_command cmd = {
	    .op = op,
	    .session = session,
	    .ino = ino,
	    .ino2 = ino2,
	    .name = name,
	    .name_len = strlen(name),
	    .data = "value",
	    .data_len = op == ZK_OP_XATTR_SET ? 5 : 0,
	};
	const struct zk_outcome *out = rig_apply(&cmd);

	CHECK(out != NULL && out->rc == 0, "operation %d", (int)op);
}

RIG void
tree_lock(uint64_t owner, uint32_t flags)
{
	const struct zk_command cmd = {
	    .op = ZK_OP_LOCK,
	    .flags = flags,
	    .session = session,
	    .ino = file,
	    .owner = owner,
	    .lock_type = ZK_LOCK_EXCLUSIVE,
	};

	(void)rig_apply(&cmd);
}

RIG void
tree_setup(void)
{
	rig_init();
	rig_begin();
	session = rig_session("one");
	dir = tree_create(ZK_INO_ROOT, "dir", S_IFDIR | 0755, 0);
	subdir = tree_create(dir, "sub", S_IFDIR | 0755, 0);
	file = tree_create(dir, "file", S_IFREG | 0644, 0);
	big = tree_create(subdir, "big", S_IFREG | 0644, 0);
	ephemeral = tree_create(dir, "eph", S_IFREG | 0644, ZK_F_EPHEMERAL);
	orphan = tree_create(dir, "orphan", S_IFREG | 0644, 0);
	linked = tree_create(dir, "linked", S_IFREG | 0644, 0);
	tree_write_bytes(file, 100);
	tree_write_bytes(big, 30000);
	tree_write_bytes(orphan, 30000);
	tree_simple(ZK_OP_UNLINK, dir, "orphan", 0);
	tree_simple(ZK_OP_LINK, subdir, "linked2", linked);
	tree_simple(ZK_OP_XATTR_SET, file, "user.x", 0);
	tree_lock(1, ZK_F_FLOCK);
	tree_lock(2, ZK_F_FLOCK | ZK_F_WAIT);
	rig_commit();
}

#endif

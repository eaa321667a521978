#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "fs/control.h"
#include "fs/impl.h"
#include "fs/ops.h"
#include "fs/reply.h"

/* Cookies of the first two entries; the port's are above. */
enum { COOKIE_DOT = 1, COOKIE_DOTDOT = 2 };

/* A reply that fills up. */
struct listing {
	struct zk_fs *fs;
	fuse_req_t req;
	char *buf;
	size_t len, cap;
	bool plus;
	uint64_t dir;
	uint64_t changes; /* announced when it began */
	int rc;
};

/* Takes over the reference to entry->ino.  False: no room. */
static bool
add(struct listing *l, const char *name, const struct fuse_entry_param *entry,
    uint64_t cookie)
{
	char *to = l->buf + l->len;
	size_t room = l->cap - l->len, n;

	if (l->plus)
		n = fuse_add_direntry_plus(l->req, to, room, name, entry,
		    (off_t)cookie);
	else
		n = fuse_add_direntry(l->req, to, room, name, &entry->attr,
		    (off_t)cookie);
	if (n > room)
		return false;
	l->len += n;
	return true;
}

/* `.` and `..`: their inodes are not looked up by this. */
static bool
add_dot(struct listing *l, const char *name, uint64_t ino, uint64_t cookie)
{
	struct fuse_entry_param entry = {
	    .attr = {.st_ino = ino, .st_mode = S_IFDIR},
	};

	return add(l, name, &entry, cookie);
}

static bool
add_plus(struct listing *l, const char *name, const struct zk_dirent *dirent)
{
	struct zk_fs *fs = l->fs;
	struct fuse_entry_param entry;
	bool changed, added;

	l->rc = zk_inodes_ref(&fs->inodes, dirent->ino);
	if (l->rc < 0)
		return false;
	/*
	 * The attributes were read before the inode was registered: when
	 * something changed in between, the kernel shall not keep them.
	 */
	changed = atomic_load(&fs->changes) != l->changes;
	entry = zk_entry_of(fs, dirent->attr, changed);
	if (zk_replay_holds(&fs->replay, l->dir, name))
		entry.entry_timeout = 0;
	added = add(l, name, &entry, dirent->cookie);
	if (!added && zk_inodes_forget(&fs->inodes, dirent->ino, 1))
		zk_calls_reap(fs, dirent->ino);
	return added;
}

static bool
add_dirent(void *arg, const struct zk_dirent *dirent)
{
	struct listing *l = arg;
	struct fuse_entry_param entry = {
	    .attr = {.st_ino = dirent->ino, .st_mode = dirent->type},
	};
	char name[ZK_NAME_MAX + 1];

	ZK_ASSERT(dirent->name_len <= ZK_NAME_MAX);
	ZK_ASSERT(dirent->cookie > COOKIE_DOTDOT);
	memcpy(name, dirent->name, dirent->name_len);
	name[dirent->name_len] = '\0';
	if (l->plus && dirent->attr != NULL && dirent->attr->nlink > 0)
		return add_plus(l, name, dirent);
	/* With inode 0 it is a name only, also in a long listing. */
	return add(l, name, &entry, dirent->cookie);
}

static void
list_virtual(struct listing *l, uint64_t cookie)
{
	uint64_t i = cookie <= COOKIE_DOTDOT ? 0 : cookie - COOKIE_DOTDOT;

	for (;; i++) {
		struct fuse_entry_param entry = {0};
		uint64_t ino;
		const char *name = zk_control_name(l->fs, i, &ino);

		if (name == NULL)
			return;
		entry.attr.st_ino = ino;
		entry.attr.st_mode = S_IFREG;
		if (!add(l, name, &entry, COOKIE_DOTDOT + 1 + i))
			return;
	}
}

/* Only the helper looks for something there. */
static void
list_scratch(struct listing *l, uint64_t cookie)
{
	uint64_t i = cookie <= COOKIE_DOTDOT ? 0 : cookie - COOKIE_DOTDOT;
	struct fuse_entry_param entry = {.attr = {.st_mode = S_IFDIR}};
	char name[ZK_REPLAY_HOOK_MAX];
	bool room = true;

	for (; room &&
	     zk_replay_hook(&l->fs->replay, i, name, &entry.attr.st_ino);
	     i++)
		if (entry.attr.st_ino != 0)
			room = add(l, name, &entry, COOKIE_DOTDOT + 1 + i);
}

static uint64_t
parent_of(struct zk_fs *fs, uint64_t ino)
{
	struct zk_attr attr;

	if (zk_is_virtual(ino))
		return ZK_INO_ROOT;
	if (fs->port.getattr(fs->port.impl, ino, &attr) < 0)
		return ino;
	return attr.parent;
}

static void
list(fuse_req_t req, uint64_t ino, size_t size, uint64_t cookie, bool plus)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct listing l = {
	    .fs = fs,
	    .req = req,
	    .dir = ino,
	    .cap = size,
	    .plus = plus,
	    .changes = atomic_load(&fs->changes),
	};
	bool room = true;
	int rc = 0;

	l.buf = malloc(size + 1);
	if (l.buf == NULL) {
		zk_reply_rc(req, -ENOMEM);
		return;
	}
	if (cookie < COOKIE_DOT)
		room = add_dot(&l, ".", ino, COOKIE_DOT);
	if (room && cookie < COOKIE_DOTDOT)
		room = add_dot(&l, "..", parent_of(fs, ino), COOKIE_DOTDOT);
	if (room && ino == ZK_INO_VIRTUAL)
		list_virtual(&l, cookie);
	else if (room && ino == ZK_INO_SCRATCH)
		list_scratch(&l, cookie);
	else if (room && !zk_is_virtual(ino))
		rc = fs->port.readdir(fs->port.impl, ino,
		    cookie <= COOKIE_DOTDOT ? 0 : cookie, plus, add_dirent, &l);
	/* What was added counts: the kernel has to forget it again. */
	if (rc == 0)
		rc = l.rc;
	if (rc < 0 && l.len == 0)
		zk_reply_rc_ino(req, rc);
	else
		(void)fuse_reply_buf(req, l.buf, l.len);
	free(l.buf);
}

void
zk_op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
    struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, (uint64_t)off, false);
}

void
zk_op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
    struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, (uint64_t)off, true);
}

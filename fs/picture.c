#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "fs/control.h"
#include "fs/impl.h"

/*
 * When a snapshot takes the place of the tree there is no list of what changed.
 * But only what the kernel knows matters here: the directories and nodes that
 * it knows are looked at before and after, and what differs is announced like
 * any other change.
 */

/* One name in a directory that the kernel knows, or a node that it knows. */
struct seen {
	uint64_t dir; /* 0: a node */
	uint64_t ino;
	uint64_t parent; /* where it was put last */
	uint32_t type, nlink;
	uint64_t mzxid, version;
	struct zk_stamp ctime;
	bool told;
	const char *name; /* in the text of the picture, once it is whole */
	size_t name_at, name_len;
};

struct zk_picture {
	struct seen *seen;
	size_t count, cap;
	char *text;
	size_t text_len, text_cap;
	uint64_t dir; /* that is being listed */
	bool short_of_memory;
};

void
zk_picture_free(struct zk_picture *p)
{
	if (p == NULL)
		return;
	free(p->seen);
	free(p->text);
	free(p);
}

static bool
reserve(struct zk_picture *p, size_t name_len)
{
	if (p->count == p->cap) {
		const size_t cap = p->cap == 0 ? 256 : p->cap * 2;
		struct seen *seen =
		    reallocarray(p->seen, cap, sizeof(*p->seen));
		if (seen == NULL)
			return false;
		p->seen = seen;
		p->cap = cap;
	}
	if (p->text_len + name_len > p->text_cap) {
		const size_t cap = 2 * p->text_cap + 4096;
		char *text = realloc(p->text, cap);
		if (text == NULL)
			return false;
		p->text = text;
		p->text_cap = cap;
	}
	return true;
}

static void
add(struct zk_picture *p, const struct zk_attr *attr, const char *name,
    size_t name_len)
{
	if (!reserve(p, name_len)) {
		p->short_of_memory = true;
		return;
	}
	p->seen[p->count++] = (struct seen){
	    .dir = p->dir,
	    .ino = attr->ino,
	    .parent = attr->parent,
	    .type = attr->mode & S_IFMT,
	    .nlink = attr->nlink,
	    .mzxid = attr->mzxid,
	    .version = attr->version,
	    .ctime = attr->ctime,
	    .name_at = p->text_len,
	    .name_len = name_len,
	};
	if (name_len > 0)
		memcpy(p->text + p->text_len, name, name_len);
	p->text_len += name_len;
}

static bool
add_entry(void *arg, const struct zk_dirent *entry)
{
	struct zk_picture *p = arg;

	if (entry->attr != NULL)
		add(p, entry->attr, entry->name, entry->name_len);
	return !p->short_of_memory;
}

/* By directory and name; nodes, which have none, by number. */
static int
compare(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;
	const size_t len =
	    x->name_len < y->name_len ? x->name_len : y->name_len;
	int rc = 0;

	if (x->dir != y->dir)
		return x->dir < y->dir ? -1 : 1;
	if (x->dir == 0)
		return (x->ino > y->ino) - (x->ino < y->ino);
	if (len > 0)
		rc = memcmp(x->name, y->name, len);
	return rc != 0
	    ? rc
	    : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

/* The inodes that the kernel knows. */
static uint64_t *
known_inodes(struct zk_fs *fs, size_t *ret_count)
{
	struct zk_inodes *t = &fs->inodes;
	uint64_t *inos;
	size_t count = 0;

	(void)pthread_mutex_lock(&t->lock);
	inos = calloc(t->count + 1, sizeof(*inos));
	for (size_t i = 0; inos != NULL && i < t->bucket_count; i++)
		for (const struct zk_inode *inode = t->buckets[i];
		     inode != NULL; inode = inode->next)
			if (zk_inode_is_known(inode))
				inos[count++] = inode->ino;
	(void)pthread_mutex_unlock(&t->lock);
	*ret_count = count;
	return inos;
}

static struct zk_picture *
take_picture(struct zk_fs *fs)
{
	const struct zk_fs_port *port = &fs->port;
	struct zk_picture *p = calloc(1, sizeof(*p));
	size_t count = 0;
	uint64_t *inos = known_inodes(fs, &count);
	struct zk_attr attr;

	if (p == NULL || inos == NULL) {
		free(inos);
		zk_picture_free(p);
		return NULL;
	}
	for (size_t i = 0; i < count && !p->short_of_memory; i++) {
		p->dir = 0;
		if (port->getattr(port->impl, inos[i], &attr) < 0)
			continue;
		add(p, &attr, NULL, 0);
		p->dir = attr.ino;
		if (S_ISDIR(attr.mode))
			(void)port->readdir(port->impl, attr.ino, 0, true,
			    add_entry, p);
	}
	free(inos);
	for (size_t i = 0; i < p->count; i++)
		p->seen[i].name = p->text + p->seen[i].name_at;
	if (p->count > 0)
		qsort(p->seen, p->count, sizeof(*p->seen), compare);
	return p;
}

/* By the name it has in a directory that is known. */
static bool
is_told_by_name(struct zk_fs *fs, const struct seen *seen)
{
	bool known;

	if (seen->dir != 0)
		return false;
	(void)pthread_mutex_lock(&fs->inodes.lock);
	known = zk_inode_is_known(zk_inodes_find(&fs->inodes, seen->parent));
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return known;
}

static void
tell(struct zk_fs *fs, enum zk_change_kind kind, const struct seen *seen,
    uint32_t nlink, uint64_t versions)
{
	const struct zk_change change = {
	    .kind = kind,
	    .versions = versions,
	    .ino = seen->ino,
	    .type = seen->type,
	    .nlink = nlink,
	    .parent = seen->dir,
	    .name = seen->name,
	    .name_len = seen->name_len,
	};

	if (!is_told_by_name(fs, seen))
		zk_replay_change(fs, &change);
}

/* A name, or a node that was known, that the new tree does not have. */
static void
tell_gone(struct zk_fs *fs, const struct seen *old)
{
	struct zk_attr attr;
	const bool lives =
	    fs->port.getattr(fs->port.impl, old->ino, &attr) == 0 &&
	    attr.nlink > 0;

	if (!lives)
		tell(fs, ZK_CHANGE_DELETE, old, 0, 0);
	else if (old->dir != 0)
		zk_replay_sync(fs, old->dir, old->name, old->name_len,
		    old->type);
}

static void
tell_difference(struct zk_fs *fs, const struct seen *old,
    const struct seen *new)
{
	if (old->ino != new->ino) {
		tell_gone(fs, old);
		tell(fs, ZK_CHANGE_CREATE, new, new->nlink, 0);
	} else if (new->nlink == 0) {
		zk_fs_orphaned(fs, new->ino, false);
		if (old->nlink > 0)
			tell_gone(fs, old);
	} else if (S_ISREG(new->type) && old->mzxid != new->mzxid) {
		tell(fs, ZK_CHANGE_MODIFY, new, new->nlink,
		    new->version - old->version);
	} else if (!S_ISDIR(new->type) &&
	    (old->ctime.sec != new->ctime.sec ||
	        old->ctime.nsec != new->ctime.nsec)) {
		tell(fs, ZK_CHANGE_ATTRIB, new, new->nlink, 0);
	}
}

static bool
is_gone(struct zk_fs *fs, uint64_t dir)
{
	struct zk_attr attr;

	return fs->port.getattr(fs->port.impl, dir, &attr) < 0 ||
	    attr.nlink == 0;
}

/*
 * What was in directories that are gone: before these are, for nothing can be
 * raised in them then; and first what was deeper, which was made later.
 */
static void
tell_contents(struct zk_fs *fs, struct zk_picture *old)
{
	uint64_t dir = 0;
	bool gone = false;

	for (size_t i = old->count; i-- > 0;) {
		struct seen *seen = &old->seen[i];

		if (seen->dir != dir)
			gone = seen->dir != 0 && is_gone(fs, seen->dir);
		dir = seen->dir;
		if (gone)
			tell_gone(fs, seen);
		seen->told = gone;
	}
}

/* Both in order: what is in one of them only, and what is different. */
static void
tell_differences(struct zk_fs *fs, const struct zk_picture *old,
    const struct zk_picture *new)
{
	size_t i = 0, j = 0;

	while (i < old->count || j < new->count) {
		int order = i == old->count ? 1 : j == new->count ? -1 : 0;

		if (order == 0)
			order = compare(&old->seen[i], &new->seen[j]);
		if (order == 0)
			tell_difference(fs, &old->seen[i++], &new->seen[j++]);
		else if (order < 0 && old->seen[i].told)
			i++;
		else if (order < 0)
			tell_gone(fs, &old->seen[i++]);
		else
			tell(fs, ZK_CHANGE_CREATE, &new->seen[j], 1, 0), j++;
	}
}

void
zk_fs_replacing(struct zk_fs *fs)
{
	zk_picture_free(fs->picture);
	fs->picture = take_picture(fs);
}

void
zk_fs_replaced(struct zk_fs *fs)
{
	struct zk_picture *old = fs->picture, *new = NULL;
	size_t count = 0;
	uint64_t *inos = known_inodes(fs, &count);

	fs->picture = NULL;
	(void)atomic_fetch_add(&fs->changes, 1);
	zk_appends_tree(fs, NULL);
	zk_notify_all_names(fs);
	for (size_t i = 0; inos != NULL && i < count; i++)
		zk_notify_inode(fs, inos[i], true);
	free(inos);
	if (old != NULL)
		new = take_picture(fs);
	if (new != NULL) {
		tell_contents(fs, old);
		tell_differences(fs, old, new);
	}
	zk_picture_free(old);
	zk_picture_free(new);
}

#include "store/datadir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "store/checkpoint.h"
#include "store/verify.h"

/*
 * LMDB 0.9's meta page: a 16 byte page header, then magic and format, both in
 * the machine's byte order; the map size and the two root records; the last
 * page in use.  Only what tells our file from any other is read here.
 */
#define META_OFFSET  16
#define META_MAGIC   0xbeefc0deu
#define META_FORMAT  1u
#define META_LAST_PG 136
#define META_TXN     144
#define META_END     152
#define PAGE_BYTES   ((size_t)4096)

__attribute__((format(printf, 2, 3))) static void
why(char **ret_why, const char *fmt, ...)
{
	va_list ap;

	if (ret_why == NULL || *ret_why != NULL)
		return;
	va_start(ap, fmt);
	if (vasprintf(ret_why, fmt, ap) < 0)
		*ret_why = NULL;
	va_end(ap);
}

void
zk_datadir_why(char **ret_why, const char *dir, int rc)
{
	why(ret_why, "%s/%s: %s", dir, ZK_DATADIR_TREE, zk_err_text(rc));
}

/* A new directory is there after a crash once its parent is flushed. */
static int
make_dir(const char *path, mode_t mode)
{
	char copy[4096];
	int fd, rc;

	if (mkdir(path, mode) != 0)
		return errno == EEXIST ? 0 : -errno;
	(void)snprintf(copy, sizeof(copy), "%s", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = fsync(fd) == 0 ? 0 : -errno;
	(void)close(fd);
	return rc;
}

static int
make_parents(const char *dir)
{
	char path[4096];
	size_t len = strlen(dir);
	int rc;

	if (len == 0 || len >= sizeof(path))
		return -ENAMETOOLONG;
	memcpy(path, dir, len + 1);
	for (char *p = path + 1; *p != '\0'; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		rc = make_dir(path, 0755);
		if (rc < 0)
			return rc;
		*p = '/';
	}
	return make_dir(path, 0700);
}

/* The name of something in the directory that is not ours, or NULL. */
static int
find_stranger(int dir_fd, char *ret_name, size_t cap, bool *ret_found)
{
	static const char *const ours[] = {".", "..", "lost+found",
	    ZK_DATADIR_TREE, ZK_DATADIR_LOCK, ZK_DATADIR_JOURNAL,
	    ZK_DATADIR_TOPICS, ZK_DATADIR_TOPICS_LOCK,
	    ZK_DATADIR_TOPICS_JOURNAL, ZK_DATADIR_TOPICS_MAKING, ZK_DATADIR_PID,
	    ZK_DATADIR_SPOOL, ZK_DATADIR_BACKUP, ZK_DATADIR_MAKING};
	struct dirent *entry;
	int fd;
	DIR *dir;

	fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (dir == NULL) {
		(void)close(fd);
		return -ENOMEM;
	}
	*ret_found = false;
	while (!*ret_found && (entry = readdir(dir)) != NULL) {
		bool known = false;

		for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
			known = known || strcmp(entry->d_name, ours[i]) == 0;
		if (known)
			continue;
		(void)snprintf(ret_name, cap, "%s", entry->d_name);
		*ret_found = true;
	}
	(void)closedir(dir);
	return 0;
}

/* A page of zeros, or a meta page as LMDB makes it for a new file. */
static bool
is_unused(const uint8_t *page, size_t len)
{
	uint64_t last, txn;
	uint32_t magic;

	if (len >= META_END) {
		memcpy(&magic, page + META_OFFSET, sizeof(magic));
		memcpy(&last, page + META_LAST_PG, sizeof(last));
		memcpy(&txn, page + META_TXN, sizeof(txn));
		if (magic == META_MAGIC && last == 1 && txn <= 1)
			return true;
	}
	for (size_t i = 0; i < len; i++)
		if (page[i] != 0)
			return false;
	return true;
}

/*
 * LMDB's first write to a new file is its two meta pages.  After a crash any
 * part of it may be there; if nothing else is, nothing was ever in the tree.
 */
static bool
is_never_made(const uint8_t *head, size_t len, const struct stat *st)
{
	const size_t size = (size_t)st->st_size;

	if (size > 2 * PAGE_BYTES || len < size)
		return false;
	return is_unused(head, len < PAGE_BYTES ? len : PAGE_BYTES) &&
	    (len <= PAGE_BYTES ||
	        is_unused(head + PAGE_BYTES, len - PAGE_BYTES));
}

static int
check_head(const char *dir, const uint8_t *head, size_t len, char **ret_why)
{
	uint32_t magic, format;

	if (len < 2 * PAGE_BYTES) {
		why(ret_why, "%s/%s: too short for a zkfs tree", dir,
		    ZK_DATADIR_TREE);
		return -ZK_ECORRUPT;
	}
	memcpy(&magic, head + META_OFFSET, sizeof(magic));
	memcpy(&format, head + META_OFFSET + 4, sizeof(format));
	if (magic != META_MAGIC || format != META_FORMAT) {
		why(ret_why, "%s/%s: not a zkfs tree, or damaged", dir,
		    ZK_DATADIR_TREE);
		return -ZK_EFOREIGN;
	}
	return 1;
}

/* A tree's data, before its journal has been looked at. */
static int
check_data(const char *dir, int fd, char **ret_why)
{
	uint8_t head[2 * PAGE_BYTES];
	struct stat st;
	ssize_t got;

	if (fstat(fd, &st) != 0 || (got = pread(fd, head, sizeof(head), 0)) < 0)
		return -errno;
	if (!is_never_made(head, (size_t)got, &st))
		return check_head(dir, head, (size_t)got, ret_why);
	why(ret_why, "%s/%s: empty, and it was not new: damaged", dir,
	    ZK_DATADIR_TREE);
	return -ZK_ECORRUPT;
}

/* The checkpoint to which the tree, or the topics, go back. */
static int
find_checkpoint(int dir_fd, const char *name,
    struct zk_checkpoint *ret_checkpoint)
{
	struct zk_journal *journal;
	int rc;

	rc = zk_journal_open(dir_fd, name, &journal, ret_checkpoint);
	if (rc == 0)
		zk_journal_close(journal);
	return rc;
}

static bool
is_there(int dir_fd, const char *name)
{
	return faccessat(dir_fd, name, F_OK, 0) == 0;
}

/*
 * 1: a tree, now as it was at its checkpoint, to be verified; 0: none yet; or
 * a negative code.  A tree that was never made looks like one that was
 * emptied, so making one is announced.
 */
static int
check_tree(const char *dir, int dir_fd, int fd, char **ret_why,
    struct zk_metas *ret_before)
{
	struct zk_checkpoint checkpoint;
	int rc, found;

	found = find_checkpoint(dir_fd, ZK_DATADIR_JOURNAL, &checkpoint);
	/* LMDB makes only empty files into trees. */
	if (found < 0 && is_there(dir_fd, ZK_DATADIR_MAKING))
		return ftruncate(fd, 0) == 0 ? 0 : -errno;
	rc = check_data(dir, fd, ret_why);
	if (rc < 0)
		return rc;
	if (found < 0) {
		why(ret_why, "%s/%s: %s", dir, ZK_DATADIR_JOURNAL,
		    found == -ENOENT ? "missing, or never finished"
		                     : zk_err_text(found));
		return found == -ENOENT ? -ZK_ECORRUPT : found;
	}
	rc = zk_checkpoint_restore(fd, &checkpoint, ret_before);
	return rc < 0 ? rc : 1;
}

/* There is no file of the tree: has there ever been one? */
static int
check_no_tree(const char *dir, int dir_fd, char **ret_why)
{
	if (!is_there(dir_fd, ZK_DATADIR_JOURNAL) ||
	    is_there(dir_fd, ZK_DATADIR_MAKING))
		return 0;
	why(ret_why, "%s/%s: missing, and it was not new: damaged", dir,
	    ZK_DATADIR_TREE);
	return -ZK_ECORRUPT;
}

/* How many pages the newer of the two meta pages leads to; 0: none is good. */
static uint64_t
pages_of(const uint8_t head[2 * PAGE_BYTES], uint64_t *ret_newest)
{
	uint64_t last, txn, pages = 0;
	uint32_t magic;

	*ret_newest = 0;
	for (size_t i = 0; i < 2; i++) {
		const uint8_t *page = head + i * PAGE_BYTES;

		memcpy(&magic, page + META_OFFSET, sizeof(magic));
		memcpy(&last, page + META_LAST_PG, sizeof(last));
		memcpy(&txn, page + META_TXN, sizeof(txn));
		if (magic != META_MAGIC || (pages > 0 && txn < *ret_newest))
			continue;
		*ret_newest = txn;
		pages = last + 1;
	}
	return pages;
}

/*
 * The partitions' file: a whole head, and as long as that says, or, once it
 * has a journal, as its checkpoint says, to which it goes back.  LMDB would
 * take a signal for the rest.  Whether it may be new is for the tree to say:
 * see zk_verify_dir().  1: it went back; 0: there is nothing to go back to.
 */
static int
check_topics_file(int dir_fd, int fd)
{
	struct zk_checkpoint checkpoint;
	struct zk_metas before;
	uint8_t head[2 * PAGE_BYTES];
	uint64_t pages = 0, newest = 0;
	struct stat st;
	ssize_t got;
	int found, rc;

	got = fstat(fd, &st) == 0 ? pread(fd, head, sizeof(head), 0) : -1;
	if (got < 0)
		return -errno;
	if (is_never_made(head, (size_t)got, &st))
		return 0;
	if (got == (ssize_t)sizeof(head))
		pages = pages_of(head, &newest);
	found = find_checkpoint(dir_fd, ZK_DATADIR_TOPICS_JOURNAL, &checkpoint);
	if (found < 0 && found != -ENOENT)
		return found;
	if (found == 0 && pages > 0) {
		memcpy(&pages, checkpoint.meta + META_LAST_PG - META_OFFSET,
		    sizeof(pages));
		newest = ++pages;
	}
	/* One that was never written to has its two first pages at most. */
	if (pages == 0 ||
	    (newest > 0 && pages > (uint64_t)st.st_size / PAGE_BYTES))
		return -ZK_ECORRUPT;
	if (found < 0)
		return 0;
	rc = zk_checkpoint_restore(fd, &checkpoint, &before);
	return rc < 0 ? rc : 1;
}

int
zk_datadir_restore_topics(int dir_fd)
{
	int fd, rc;

	fd = openat(dir_fd, ZK_DATADIR_TOPICS, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	rc = check_topics_file(dir_fd, fd);
	(void)close(fd);
	return rc;
}

static int
check_topics(const char *dir, int dir_fd, char **ret_why)
{
	const int rc = zk_datadir_restore_topics(dir_fd);

	/* Half made, and to be made anew; or whole, and all is well. */
	if (rc == -ZK_ECORRUPT && is_there(dir_fd, ZK_DATADIR_TOPICS_MAKING))
		return 0;
	if (rc == -ZK_ECORRUPT)
		why(ret_why,
		    "%s/%s: it or its journal is cut short, or damaged", dir,
		    ZK_DATADIR_TOPICS);
	return rc < 0 ? rc : 0;
}

/* As check_tree(), and verifies what it finds. */
static int
check(const char *dir, int dir_fd, char **ret_why)
{
	struct zk_metas before = {.changed = false};
	int fd, rc;

	fd = openat(dir_fd, ZK_DATADIR_TREE, O_RDWR | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return check_no_tree(dir, dir_fd, ret_why);
	rc = fd < 0 ? -errno : check_tree(dir, dir_fd, fd, ret_why, &before);
	if (rc > 0) {
		rc = zk_verify_dir(dir, ret_why);
		/* What is refused is left as it was. */
		if (rc < 0)
			(void)zk_checkpoint_undo(fd, &before);
		else
			rc = 1;
	} else if (rc < 0) {
		why(ret_why, "%s/%s: %s", dir, ZK_DATADIR_TREE,
		    zk_err_text(rc));
	}
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

/*
 * btrfs writes what is overwritten elsewhere, so that a full disk would meet
 * even what has its room: not the files that are made here from now on.  They
 * have checksums of their own.  Other file systems know no such flag.
 */
static void
write_in_place(int dir_fd)
{
	int flags;

	if (ioctl(dir_fd, FS_IOC_GETFLAGS, &flags) != 0 ||
	    (flags & FS_NOCOW_FL) != 0)
		return;
	flags |= FS_NOCOW_FL;
	(void)ioctl(dir_fd, FS_IOC_SETFLAGS, &flags);
}

/* Before the first byte of a tree; see check_tree(). */
static int
announce(const char *dir, int dir_fd, char **ret_why)
{
	int fd, rc = 0;

	write_in_place(dir_fd);
	fd = openat(dir_fd, ZK_DATADIR_MAKING, O_WRONLY | O_CREAT | O_CLOEXEC,
	    0600);
	if (fd < 0 || fsync(dir_fd) != 0) {
		rc = -errno;
		why(ret_why, "%s/%s: %s", dir, ZK_DATADIR_MAKING,
		    zk_err_text(rc));
	}
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

/* There is none, or one that never held anything. */
static int
has_no_topics(int dir_fd, bool *ret_none)
{
	uint8_t head[2 * PAGE_BYTES];
	struct stat st;
	ssize_t got;
	int fd;

	*ret_none = true;
	fd = openat(dir_fd, ZK_DATADIR_TOPICS, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	got = fstat(fd, &st) == 0 ? pread(fd, head, sizeof(head), 0) : -1;
	*ret_none = got >= 0 && is_never_made(head, (size_t)got, &st);
	(void)close(fd);
	return got < 0 ? -EIO : 0;
}

int
zk_datadir_new_topics(int dir_fd)
{
	static const char *const names[] = {ZK_DATADIR_TOPICS,
	    ZK_DATADIR_TOPICS_LOCK, ZK_DATADIR_TOPICS_JOURNAL};
	bool none = true;
	int fd, rc = 0;

	if (!is_there(dir_fd, ZK_DATADIR_TOPICS_MAKING))
		rc = has_no_topics(dir_fd, &none);
	if (rc < 0 || !none)
		return rc;
	fd = openat(dir_fd, ZK_DATADIR_TOPICS_MAKING,
	    O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || fsync(dir_fd) != 0)
		rc = -errno;
	if (fd >= 0)
		(void)close(fd);
	for (size_t i = 0; rc == 0 && i < sizeof(names) / sizeof(names[0]); i++)
		if (unlinkat(dir_fd, names[i], 0) != 0 && errno != ENOENT)
			rc = -errno;
	return rc;
}

int
zk_datadir_topics_made(int dir_fd)
{
	if (unlinkat(dir_fd, ZK_DATADIR_TOPICS_MAKING, 0) != 0)
		return errno == ENOENT ? 0 : -errno;
	return fsync(dir_fd) == 0 ? 0 : -errno;
}

int
zk_datadir_made(int dir_fd)
{
	/* First the tree's own name, then the end of the announcement. */
	if (fsync(dir_fd) != 0)
		return -errno;
	if (unlinkat(dir_fd, ZK_DATADIR_MAKING, 0) != 0)
		return errno == ENOENT ? 0 : -errno;
	return fsync(dir_fd) == 0 ? 0 : -errno;
}

int
zk_datadir_claim(const char *dir, char **ret_why, int *ret_fd)
{
	char name[256];
	bool found = false;
	int fd = -1, rc;

	if (ret_why != NULL)
		*ret_why = NULL;
	rc = make_parents(dir);
	if (rc == 0) {
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		rc = fd < 0 ? -errno : 0;
	}
	if (rc < 0) {
		why(ret_why, "%s: %s", dir, zk_err_text(rc));
		return rc;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		why(ret_why, "%s: in use by another mount.zkfs", dir);
		rc = -EBUSY;
		goto fail;
	}
	rc = find_stranger(fd, name, sizeof(name), &found);
	if (rc == 0 && found) {
		why(ret_why, "%s: not a zkfs data directory (it holds %s)", dir,
		    name);
		rc = -ZK_EFOREIGN;
	}
	if (rc == 0)
		rc = check_topics(dir, fd, ret_why);
	if (rc == 0) {
		rc = check(dir, fd, ret_why);
		if (rc == 0)
			rc = announce(dir, fd, ret_why);
	}
	if (rc < 0)
		goto fail;
	*ret_fd = fd;
	return 0;
fail:
	(void)close(fd);
	return rc;
}

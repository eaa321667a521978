#include "daemon/restore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/err.h"
#include "consensus/msg_codec.h"
#include "consensus/raft.h"

#include "daemon/fault.h"
#include "store/backup.h"
#include "store/datadir.h"
#include "store/roster.h"
#include "store/store.h"

/*
 * The tree is made in a directory inside, which goes last: a data directory
 * that holds it is none, so whatever ends us, nothing half made is mounted.
 * That also works where DATADIR is a file system of its own.
 */
#define MAKING "restore.unfinished"

#define MEMBER_DEFAULT "local"

struct restore {
	const char *file, *dir, *name;
	char making[PATH_MAX];
	int fd; /* of the backup */
	struct zk_backup_head head;
	struct zk_fault fault;
};

static int
fail(struct restore *r, const char *what, int rc)
{
	return zk_fault_set(&r->fault, rc, ZK_EXIT_MOUNT, "%s: %s", what,
	    rc == -ZK_EFOREIGN && what == r->file ? "not a backup of zkfs"
	        : rc == -ZK_ECORRUPT && what == r->file
	        ? "cut short, or damaged"
	        : zk_err_text(rc));
}

static int
open_backup(struct restore *r)
{
	int rc;

	r->fd = open(r->file, O_RDONLY | O_CLOEXEC);
	if (r->fd < 0)
		return fail(r, r->file, -errno);
	rc = zk_backup_check_file(r->fd, &r->head);
	return rc < 0 ? fail(r, r->file, rc) : 0;
}

static int
check_empty(struct restore *r)
{
	const struct dirent *entry;
	DIR *dir;
	int rc = 0;

	if (mkdir(r->dir, 0700) != 0 && errno != EEXIST)
		return fail(r, r->dir, -errno);
	dir = opendir(r->dir);
	if (dir == NULL)
		return fail(r, r->dir, -errno);
	/* A new file system has that. */
	while (rc == 0 && (entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0 &&
		    strcmp(entry->d_name, "lost+found") != 0)
			rc = fail(r, r->dir, -ENOTEMPTY);
	(void)closedir(dir);
	return rc;
}

static const char *const made[] = {ZK_DATADIR_TREE, ZK_DATADIR_JOURNAL,
    ZK_DATADIR_LOCK};

#define MADE_COUNT (sizeof(made) / sizeof(made[0]))

/* What a failure leaves; a daemon would refuse it, and so would we. */
static void
clean_up(const struct restore *r)
{
	char path[PATH_MAX + 64];

	for (size_t i = 0; i <= MADE_COUNT; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", r->making,
		    i < MADE_COUNT ? made[i] : ZK_DATADIR_MAKING);
		(void)unlink(path);
	}
	(void)rmdir(r->making);
}

static int
install(struct restore *r, struct zk_store *store)
{
	const struct zk_conf conf = {
	    .count = 1,
	    .voter_bits = 1,
	    .ids = {zk_store_ident(store)->node},
	};
	uint8_t bytes[ZK_CONF_BYTES_MAX];
	struct zk_enc enc;

	zk_enc_init(&enc, bytes, sizeof(bytes));
	zk_conf_encode(&enc, &conf);
	return zk_backup_install(store, r->fd, &r->head, bytes, enc.len);
}

static int
make(struct restore *r)
{
	const struct zk_store_options options = {
	    .dir = r->making,
	    .member = r->name,
	};
	struct zk_store *store;
	char *why = NULL;
	int rc;

	rc = zk_store_open(&options, &why, &store);
	if (rc < 0) {
		(void)zk_fault_set(&r->fault, rc, ZK_EXIT_MOUNT, "%s",
		    why != NULL ? why : zk_err_text(rc));
		free(why);
		return rc;
	}
	rc = install(r, store);
	/* The tree itself on disk, not only its journal. */
	if (rc == 0)
		rc = zk_store_close(store);
	else
		zk_store_abandon(store);
	return rc < 0 ? fail(r, r->dir, rc) : 0;
}

static int
flush_dir(const char *path)
{
	const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return -errno;
	rc = fsync(fd) == 0 ? 0 : -errno;
	(void)close(fd);
	return rc;
}

/* Into its place; the directory it was made in is there until the end. */
static int
settle(struct restore *r)
{
	char from[PATH_MAX + 64], to[PATH_MAX + 64];
	int rc;

	for (size_t i = 0; i < MADE_COUNT; i++) {
		(void)snprintf(from, sizeof(from), "%s/%s", r->making, made[i]);
		(void)snprintf(to, sizeof(to), "%s/%s", r->dir, made[i]);
		if (rename(from, to) != 0 && errno != ENOENT)
			return fail(r, to, -errno);
	}
	rc = flush_dir(r->dir);
	if (rc == 0 && rmdir(r->making) != 0)
		rc = -errno;
	if (rc == 0)
		rc = flush_dir(r->dir);
	return rc < 0 ? fail(r, r->dir, rc) : 0;
}

static int
restore(struct restore *r)
{
	int rc;

	rc = open_backup(r);
	if (rc == 0)
		rc = check_empty(r);
	if (rc < 0)
		return rc;
	if (snprintf(r->making, sizeof(r->making), "%s/%s", r->dir, MAKING) >=
	    (int)sizeof(r->making) - 64)
		return fail(r, r->dir, -ENAMETOOLONG);
	rc = make(r);
	if (rc < 0) {
		clean_up(r);
		return rc;
	}
	return settle(r);
}

static int
usage(void)
{
	(void)fputs("usage: mount.zkfs --restore [-o name=NAME] FILE DATADIR\n",
	    stderr);
	return ZK_EXIT_USAGE;
}

/* As zkfs(1) does, which is what was called. */
static int
complain(const struct zk_fault *fault)
{
	(void)fprintf(stderr, "zkfs restore: %s\n", fault->text);
	return fault->status == ZK_EXIT_USAGE ? 2 : 1;
}

int
zk_restore_main(int argc, char *argv[])
{
	static struct restore r = {.name = MEMBER_DEFAULT, .fd = -1};
	int option, rc;

	while ((option = getopt(argc, argv, "+o:")) != -1) {
		if (option != 'o' || strncmp(optarg, "name=", 5) != 0)
			return usage();
		r.name = optarg + 5;
		if (!zk_roster_name_is_good(r.name, strlen(r.name))) {
			(void)zk_fault_set(&r.fault, -EINVAL, ZK_EXIT_USAGE,
			    "name=%s: not a name for a member", r.name);
			return complain(&r.fault);
		}
	}
	if (argc - optind != 2)
		return usage();
	r.file = argv[optind];
	r.dir = argv[optind + 1];
	rc = restore(&r);
	if (r.fd >= 0)
		(void)close(r.fd);
	if (rc < 0)
		return complain(&r.fault);
	(void)printf("restored %" PRIu64 " nodes of index %" PRIu64 " in %s\n",
	    r.head.nodes, r.head.index, r.dir);
	return fflush(stdout) == 0 ? ZK_EXIT_OK : ZK_EXIT_SYSTEM;
}

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/digest.h"
#include "ctl/say.h"
#include "ctl/topic.h"
#include "ctl/value.h"
#include "ctl/verify.h"

/*
 * Each replica sums up the same piece; a piece is as long as the shortest of
 * what they have at hand.  Nothing but sums goes over the network.
 */
#define PIECE_BYTES  1044480u
#define REPLICAS_MAX 16u

struct partition {
	struct zk_ctl *ctl;
	struct zk_ctl_verified *all;
	const char *path;
	int fd;
	char text[1024]; /* what names point to */
	const char *names[REPLICAS_MAX];
	uint32_t count;
	uint64_t at, end;
};

/* 0, or an errno. */
static int
look(struct partition *p)
{
	const ssize_t len = fgetxattr(p->fd, "user.zkfs.replicas", p->text,
	    sizeof(p->text) - 1);
	char *rest = p->text;

	if (len < 0)
		return errno;
	p->text[len] = '\0';
	while (p->count < REPLICAS_MAX &&
	    (p->names[p->count] = strsep(&rest, ",")) != NULL)
		p->count++;
	if (zk_ctl_xattr_number(p->fd, "user.zkfs.start", &p->at) < 0 ||
	    zk_ctl_xattr_number(p->fd, "user.zkfs.end", &p->end) < 0)
		return EIO;
	return 0;
}

/* One replica's word on a piece.  0, or an errno. */
static int
sum_of(const struct partition *p, uint32_t replica, uint32_t want,
    uint32_t *ret_len, uint32_t *ret_sum)
{
	struct zk_partition_digest digest = {
	    .offset = p->at,
	    .want = want,
	    .replica = replica,
	};

	while (ioctl(p->fd, ZK_PARTITION_DIGEST, &digest) < 0)
		if (errno != EINTR)
			return errno;
	*ret_len = digest.want;
	*ret_sum = digest.replica;
	return 0;
}

static int
tell_failed(const struct partition *p, uint32_t replica, int error)
{
	if (error == EIO) {
		p->all->wrong++;
		zk_ctl_say(p->ctl, "%s: %s is damaged near offset %" PRIu64,
		    p->path, p->names[replica], p->at);
	} else {
		p->all->unfinished++;
		zk_ctl_say(p->ctl, "%s: %s is not compared: %s", p->path,
		    p->names[replica], strerror(error));
	}
	return error;
}

/* The sum that most have. */
static uint32_t
usual_sum(const uint32_t *sums, uint32_t count, uint32_t *ret_one)
{
	uint32_t best = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t equal = 0;

		for (uint32_t k = 0; k < count; k++)
			equal += sums[k] == sums[i];
		if (equal <= best)
			continue;
		best = equal;
		*ret_one = i;
	}
	return sums[*ret_one];
}

/* Of two who differ nobody knows which is right; of three the one alone. */
static int
compare_sums(const struct partition *p, const uint32_t *sums, uint32_t want)
{
	uint32_t one = 0;
	const uint32_t usual = usual_sum(sums, p->count, &one);
	int error = 0;

	for (uint32_t i = 0; i < p->count; i++) {
		if (sums[i] == usual)
			continue;
		p->all->wrong++;
		zk_ctl_say(p->ctl,
		    "%s: %s differs from %s between offsets %" PRIu64
		    " and %" PRIu64,
		    p->path, p->names[i], p->names[one], p->at, p->at + want);
		error = EIO;
	}
	return error;
}

/*
 * Goes on behind a piece that is the same everywhere.  0; ENODATA: it begins
 * later by now; or an errno, told.
 */
static int
compare_piece(struct partition *p)
{
	uint32_t want = p->end - p->at < PIECE_BYTES
	    ? (uint32_t)(p->end - p->at)
	    : PIECE_BYTES;
	uint32_t sums[REPLICAS_MAX] = {0};
	int error;

	for (uint32_t i = 0; i < p->count; i++) {
		uint32_t len = 0;

		error = sum_of(p, i, want, &len, &sums[i]);
		if (error == ENODATA)
			return error;
		if (error == 0 && len == 0)
			error = ETIMEDOUT;
		if (error != 0)
			return tell_failed(p, i, error);
		if (i > 0 && len < want)
			i = UINT32_MAX; /* all again, with less */
		want = len;
	}
	error = compare_sums(p, sums, want);
	if (error != 0)
		return error;
	p->at += want;
	p->all->bytes += want;
	return 0;
}

static void
compare(struct partition *p)
{
	int error = look(p);

	if (error != 0) {
		p->all->unfinished++;
		zk_ctl_say_errno(p->ctl, p->path, error);
	}
	while (error == 0 && p->at < p->end) {
		const uint64_t before = p->at;

		error = compare_piece(p);
		/* Retention was faster. */
		if (error == ENODATA &&
		    zk_ctl_xattr_number(p->fd, "user.zkfs.start", &p->at) ==
		        0 &&
		    p->at > before)
			error = 0;
	}
	p->all->partitions++;
}

/* --- which there are ------------------------------------------------------ */

struct walk {
	struct zk_ctl *ctl;
	struct zk_ctl_verified *all;
	const char *dir;
};

static int
take_partition(void *arg, const char *name)
{
	const struct walk *walk = arg;
	struct partition p = {.ctl = walk->ctl, .all = walk->all};
	uint32_t number;
	char *path;

	if (!zk_ctl_partition_number(name, &number))
		return 0;
	path = zk_ctl_topic_path(walk->ctl, walk->dir, name, "");
	if (path == NULL)
		return -ENOMEM;
	p.path = path;
	p.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (p.fd >= 0) {
		compare(&p);
		(void)close(p.fd);
	} else if (errno != ENOENT) {
		walk->all->unfinished++;
		zk_ctl_say_errno(walk->ctl, path, errno);
	}
	free(path);
	return 0;
}

static int
take_topic(void *arg, const char *name)
{
	const struct walk *walk = arg;
	struct walk below = *walk;
	struct stat st;
	char *dir = zk_ctl_topic_path(walk->ctl, walk->dir, name, "");
	int rc = 0;

	if (dir == NULL)
		return -ENOMEM;
	below.dir = dir;
	if (stat(dir, &st) == 0 && S_ISDIR(st.st_mode))
		rc = zk_ctl_topic_each(walk->ctl, dir, take_partition, &below);
	free(dir);
	return rc;
}

int
zk_ctl_verify_topics(struct zk_ctl *ctl, struct zk_ctl_verified *ret)
{
	struct walk walk = {.ctl = ctl, .all = ret};
	struct stat st;
	char *dir;
	int rc = zk_ctl_topics_dir(ctl, &dir);

	if (rc < 0)
		return rc;
	*ret = (struct zk_ctl_verified){0};
	walk.dir = dir;
	if (stat(dir, &st) == 0 && S_ISDIR(st.st_mode))
		rc = zk_ctl_topic_each(ctl, dir, take_topic, &walk);
	free(dir);
	return rc;
}

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "fs/next_impl.h"
#include "fs/topic_impl.h"

/* What one look at a partition brings, if it has so much. */
#define FILL_BYTES ((size_t)64 * ZK_KIB)

/* How long a host may take to answer that was not connected when asked. */
#define ALONE_MS 500u

/* --- whose what is -------------------------------------------------------- */

static struct zk_share_list *
bucket_of(struct zk_fs *fs, uint64_t partition)
{
	return &fs->nexts.buckets[partition % ZK_SHARE_BUCKETS];
}

struct zk_share *
zk_next_share_find(struct zk_next *s, uint32_t number)
{
	struct zk_share *share = s->shares;

	while (share != NULL && share->number != number)
		share = share->next;
	return share;
}

static void
free_share(struct zk_next *s, struct zk_share *share)
{
	struct zk_fs *fs = s->fs;

	(void)pthread_mutex_lock(&fs->nexts.lock);
	LIST_REMOVE(share, bucket);
	(void)pthread_mutex_unlock(&fs->nexts.lock);
	if (share->watched)
		fs->port.watch(fs->port.impl, share->partition, false);
	if (s->turn == share)
		s->turn = NULL;
	free(share);
}

void
zk_next_shares_free(struct zk_next *s)
{
	while (s->shares != NULL) {
		struct zk_share *share = s->shares;

		s->shares = share->next;
		free_share(s, share);
	}
}

struct regrouping {
	struct zk_next *owner;
	int rc;
};

struct zk_share *
zk_next_share_add(struct zk_next *s, uint32_t number, uint64_t partition)
{
	struct zk_share *share = calloc(1, sizeof(*share));
	struct zk_fs *fs = s->fs;

	if (share == NULL)
		return NULL;
	share->owner = s;
	share->partition = partition;
	share->number = number;
	share->next = s->shares;
	s->shares = share;
	(void)pthread_mutex_lock(&fs->nexts.lock);
	LIST_INSERT_HEAD(bucket_of(fs, partition), share, bucket);
	(void)pthread_mutex_unlock(&fs->nexts.lock);
	return share;
}

static void
set_wet(struct zk_next *s, struct zk_share *share, bool wet)
{
	(void)pthread_mutex_lock(&s->fs->nexts.lock);
	share->wet = wet;
	(void)pthread_mutex_unlock(&s->fs->nexts.lock);
}

static void
take_row(void *arg, const struct zk_port_share *row)
{
	struct regrouping *r = arg;
	struct zk_share *share;

	if (!row->mine)
		return;
	share = zk_next_share_find(r->owner, row->number);
	if (share == NULL)
		share =
		    zk_next_share_add(r->owner, row->number, row->partition);
	if (share == NULL) {
		r->rc = -ENOMEM;
		return;
	}
	share->seen = true;
	/* Kept after all: what was taken back of it is to be read again. */
	if (row->wanted && !share->wanted)
		set_wet(r->owner, share, true);
	share->wanted = row->wanted;
	if (share->first == ZK_SHARE_FIRST_UNKNOWN)
		share->first = row->committed;
	if (share->since == row->since)
		return;
	/* New here, or given back: from where the group is. */
	share->since = row->since;
	share->read = row->committed;
	share->first = share->done = share->acked = row->committed;
	share->released = share->trying = false;
	set_wet(r->owner, share, true);
}

int
zk_next_regroup(struct zk_next *s)
{
	const struct zk_fs_port *port = &s->fs->port;
	struct regrouping r = {.owner = s};
	struct zk_share **link = &s->shares;
	int rc;

	for (struct zk_share *share = s->shares; share != NULL;
	     share = share->next)
		share->seen = false;
	rc = port->shares(port->impl, s->group, s->session, s->handle, take_row,
	    &r);
	if (rc == 0)
		rc = r.rc;
	if (rc < 0)
		return rc;
	while (*link != NULL) {
		struct zk_share *share = *link;
		uint64_t end;

		if (share->seen) {
			link = &share->next;
			continue;
		}
		(void)zk_window_revoke(&s->window, share->number, share->since,
		    &end);
		*link = share->next;
		free_share(s, share);
	}
	return 0;
}

/* --- reading -------------------------------------------------------------- */

static void
fill_told(void *arg, const struct zk_told *told)
{
	struct zk_next *s = arg;
	struct zk_fs *fs = s->fs;
	struct zk_next_answer *answer = &s->answer;

	/* Nobody else touches the answer while it is asked for. */
	answer->rc = told->rc;
	answer->start = told->info.start;
	answer->len = told->rc == 0 ? told->len : 0;
	answer->bytes = answer->len > 0 ? malloc(answer->len) : NULL;
	if (answer->bytes != NULL)
		memcpy(answer->bytes, told->bytes, answer->len);
	else if (answer->len > 0)
		answer->rc = -ENOMEM;
	(void)pthread_mutex_lock(&fs->nexts.lock);
	s->answered = true;
	zk_next_dirty(s);
	(void)pthread_mutex_unlock(&fs->nexts.lock);
	zk_next_unref(s);
	zk_calls_wake(fs);
}

/* No host that has it is connected. */
static bool
is_alone(struct zk_next *s, const struct zk_share *share)
{
	const struct zk_fs_port *port = &s->fs->port;
	struct zk_port_partition info;
	bool alone;

	(void)port->memory(port->impl, share->partition, &info, &alone);
	return alone;
}

/*
 * Another host has it: the one that was asked for the longest time ago, of
 * those that may get an answer if there are any.
 */
static struct zk_share *
whom_to_ask_for(struct zk_next *s, bool *ret_alone)
{
	struct zk_share *share, *found = NULL;
	bool found_alone = true;

	for (share = s->shares; share != NULL; share = share->next) {
		bool alone;

		if (!share->later || !share->wanted || share->released)
			continue;
		alone = is_alone(s, share);
		if (found == NULL || alone < found_alone ||
		    (alone == found_alone && share->asked < found->asked)) {
			found = share;
			found_alone = alone;
		}
	}
	*ret_alone = found_alone;
	return found;
}

/*
 * Whoever has it is asked, for at least a record, however long; the answer is
 * taken up by the next look.  One at a time, and all in turn: some may be where
 * nobody answers, and where that is known, it is not waited for long.
 */
static void
ask_next(struct zk_next *s)
{
	bool asking, alone;
	struct zk_share *share = whom_to_ask_for(s, &alone);
	struct zk_fs *fs = s->fs;
	struct zk_ask ask = {
	    .kind = ZK_ASK_READ,
	    .want = ZK_WRITE_MAX,
	};
	int rc;

	if (share == NULL)
		return;
	(void)pthread_mutex_lock(&fs->nexts.lock);
	asking = s->asking;
	s->asking = true;
	s->refs += !asking;
	(void)pthread_mutex_unlock(&fs->nexts.lock);
	if (asking)
		return;
	share->later = false;
	share->asked = ++s->asks;
	s->answer = (struct zk_next_answer){
	    .number = share->number,
	    .since = share->since,
	    .off = share->read,
	};
	if (!share->watched) {
		fs->port.watch(fs->port.impl, share->partition, true);
		share->watched = true;
	}
	ask.partition = share->partition;
	ask.offset = share->read;
	ask.limit_ms = alone ? ALONE_MS : 0;
	rc = fs->port.ask(fs->port.impl, &ask, fill_told, s);
	if (rc < 0) {
		const struct zk_told told = {.rc = rc};

		fill_told(s, &told);
	}
}

/* Whole records at the end of what was reserved; none: 0. */
static int
add_records(struct zk_next *s, struct zk_share *share, const char *bytes,
    size_t len)
{
	const struct zk_window_piece piece = {
	    .number = share->number,
	    .since = share->since,
	    .off = share->read,
	    .len = zk_lines_whole(bytes, len),
	};
	int rc;

	if (piece.len == 0)
		return 0;
	rc = zk_window_add(&s->window, &piece);
	if (rc == 0)
		share->read += piece.len;
	return rc;
}

/* An answer that came: into the window with it. */
static int
take_answer(struct zk_next *s)
{
	struct zk_fs *fs = s->fs;
	struct zk_next_answer answer;
	struct zk_share *share;
	bool answered;
	char *to;
	int rc = 0;

	(void)pthread_mutex_lock(&fs->nexts.lock);
	answered = s->answered;
	answer = s->answer;
	if (answered) {
		s->asking = s->answered = false;
		s->answer.bytes = NULL; /* ours now */
	}
	(void)pthread_mutex_unlock(&fs->nexts.lock);
	if (!answered)
		return 0;
	share = zk_next_share_find(s, answer.number);
	if (share == NULL || share->since != answer.since ||
	    share->read != answer.off || share->released || !share->wanted) {
		/* Not what is to be read next: that has yet to be asked for. */
		if (share != NULL)
			set_wet(s, share, true);
		free(answer.bytes);
		return 0;
	}
	if (answer.rc == -ENODATA && answer.start > share->read) {
		share->read = answer.start;
		set_wet(s, share, true);
	} else if (answer.rc < 0) {
		/* Not now; the next look tries again. */
		set_wet(s, share, true);
	} else if (answer.len > 0) {
		to = zk_window_reserve(&s->window, answer.len);
		if (to != NULL) {
			memcpy(to, answer.bytes, answer.len);
			rc = add_records(s, share, to, answer.len);
		}
		set_wet(s, share, true);
	}
	free(answer.bytes);
	return rc;
}

/* 1: something came; 0: nothing is there now; else a code. */
static int
fill_from(struct zk_next *s, struct zk_share *share, size_t want)
{
	const struct zk_fs_port *port = &s->fs->port;
	struct zk_port_partition info;
	const uint64_t before = share->read;
	size_t len = 0;
	char *to;
	int rc;

	/* Before looking: what comes after this makes it wet again. */
	set_wet(s, share, false);
	to = zk_window_reserve(&s->window, want);
	if (to == NULL)
		return -ENOMEM;
	rc = port->fetch(port->impl, share->partition, share->read, to, want,
	    &len);
	if (rc == -ENODATA) {
		rc = port->info(port->impl, share->partition, &info);
		if (rc == 0 && info.start > share->read) {
			share->read = info.start;
			return fill_from(s, share, want);
		}
	}
	if (rc == -EREMOTE) {
		share->later = true;
		return 0;
	}
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	rc = add_records(s, share, to, len);
	if (rc == 0 && len == want && share->read == before)
		/* A record longer than that. */
		return want < ZK_WRITE_MAX ? fill_from(s, share, ZK_WRITE_MAX)
		                           : -ZK_ECORRUPT;
	if (rc == 0 && share->read > before)
		set_wet(s, share, true);
	return rc < 0 ? rc : share->read > before;
}

static bool
is_wet(struct zk_next *s, const struct zk_share *share)
{
	bool wet;

	(void)pthread_mutex_lock(&s->fs->nexts.lock);
	wet = share->wet;
	(void)pthread_mutex_unlock(&s->fs->nexts.lock);
	return wet && share->wanted && !share->released;
}

/* 1: something came; 0: nothing is there now; else a code. */
static int
fill_from_one(struct zk_next *s, size_t want)
{
	struct zk_share *first = s->turn != NULL ? s->turn : s->shares;
	struct zk_share *share = first;

	while (share != NULL) {
		struct zk_share *next =
		    share->next != NULL ? share->next : s->shares;
		const int rc = is_wet(s, share) ? fill_from(s, share, want) : 0;

		if (rc != 0) {
			s->turn = next;
			return rc;
		}
		share = next == first ? NULL : next;
	}
	return 0;
}

int
zk_next_fill(struct zk_next *s, size_t size)
{
	int rc = take_answer(s);

	if (rc < 0 || s->window.told < zk_window_end(&s->window))
		return rc;
	rc = fill_from_one(s, size > FILL_BYTES ? size : FILL_BYTES);
	ask_next(s);
	return rc < 0 ? rc : 0;
}

bool
zk_next_has_more(struct zk_next *s)
{
	if (s->window.at < zk_window_end(&s->window))
		return true;
	for (struct zk_share *share = s->shares; share != NULL;
	     share = share->next)
		if (is_wet(s, share))
			return true;
	return false;
}

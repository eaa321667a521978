#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "fs/reply.h"
#include "fs/topic_impl.h"

/* One append each; more than one only for `by-key`. */
struct part {
	uint64_t partition;
	size_t off, len;
};

/*
 * What one write(2) becomes.  The parts are submitted together; if there is no
 * room for all, the thread that answers goes on with them.
 */
struct plan {
	struct zk_call *call;
	size_t count;     /* parts; of several, protected by fs->plans_lock: */
	size_t next;      /* not yet submitted */
	size_t pending;   /* not yet answered, or submitted */
	size_t done;      /* appended */
	bool over;        /* the writer has been told something else, before */
	int rc;           /* what all of it failed with */
	uint64_t session; /* in which it is appended; 0: in none */
	size_t taken;     /* bytes of the write that are in it */
	size_t len;       /* bytes to append */
	size_t tail_len;
	char *bytes; /* behind the parts: what to append, then the tail */
	struct part parts[];
};

static struct plan *
new_plan(size_t parts, size_t bytes)
{
	const size_t head = sizeof(struct plan) + parts * sizeof(struct part);
	struct plan *plan = malloc(head + bytes + 1);

	if (plan == NULL)
		return NULL;
	memset(plan, 0, head);
	plan->count = plan->pending = parts;
	plan->bytes = (char *)&plan->parts[parts];
	return plan;
}

/* --- appending ------------------------------------------------------------ */

static void part_told(void *arg, const struct zk_told *told);

static int
ask_part(struct plan *plan, size_t i)
{
	const struct zk_fs_port *port = &plan->call->fs->port;
	const struct part *part = &plan->parts[i];
	const struct zk_ask ask = {
	    .kind = ZK_ASK_APPEND,
	    .partition = part->partition,
	    .bytes = plan->bytes + part->off,
	    .len = part->len,
	    .session = plan->session,
	};

	return port->ask(port->impl, &ask, part_told, plan);
}

static void
fail(struct plan *plan, size_t parts, int rc)
{
	plan->pending -= parts;
	/* That nothing was appended must be so of all parts. */
	if (plan->rc == 0 || rc == -ETIMEDOUT)
		plan->rc = rc;
}

/* Submit what is left, as far as there is room. */
static void
push(struct plan *plan)
{
	while (plan->next < plan->count) {
		const bool idle = plan->pending == plan->count - plan->next;
		const int rc =
		    plan->over ? -EAGAIN : ask_part(plan, plan->next);

		if (rc == -EAGAIN && !idle && !plan->over)
			return; /* the next answer looks again */
		if (rc == -EAGAIN) {
			/*
			 * The first parts are appended, these are not; nor
			 * behind what the writer has written since.
			 */
			fail(plan, plan->count - plan->next, -ETIMEDOUT);
			plan->next = plan->count;
			return;
		}
		plan->next++;
		if (rc < 0)
			fail(plan, 1, rc);
	}
}

static void
part_told(void *arg, const struct zk_told *told)
{
	struct plan *plan = arg;
	struct zk_fs *fs = plan->call->fs;
	struct zk_told all = {.rc = told->rc, .offset = told->offset};
	bool whole = true;

	if (plan->count > 1) {
		(void)pthread_mutex_lock(&fs->plans_lock);
		if (told->rc < 0)
			fail(plan, 1, told->rc);
		else
			plan->pending--;
		plan->done += told->rc == 0;
		push(plan);
		all.rc = plan->rc < 0 && plan->done > 0 ? -ETIMEDOUT : plan->rc;
		whole = plan->pending == 0;
		(void)pthread_mutex_unlock(&fs->plans_lock);
	}
	if (whole)
		zk_call_told(plan->call, &all);
}

/* The first part is parked until there is room. */
static int
send_plan(struct zk_call *call)
{
	struct plan *plan = call->extra;
	int rc;

	if (plan->count == 1)
		return ask_part(plan, 0);
	(void)pthread_mutex_lock(&call->fs->plans_lock);
	rc = ask_part(plan, 0);
	if (rc == 0) {
		plan->next = 1;
		push(plan);
	}
	(void)pthread_mutex_unlock(&call->fs->plans_lock);
	return rc;
}

/* --- what a write is made of ---------------------------------------------- */

/*
 * The bytes to be cut into records: what waits, what comes, one newline.  They
 * are in a plan for one part already, since most of them become that.
 */
static struct plan *
join(const struct zk_topic_file *file, const char *buf, size_t size)
{
	struct plan *plan = new_plan(1, file->tail_len + size);

	if (plan == NULL)
		return NULL;
	if (file->tail_len > 0)
		memcpy(plan->bytes, file->tail, file->tail_len);
	memcpy(plan->bytes + file->tail_len, buf, size);
	plan->bytes[file->tail_len + size] = '\n';
	return plan;
}

/* A write, cut into what is appended now and what waits. */
struct cut {
	struct zk_port_topic topic;
	struct plan *plan; /* owned */
	const char *bytes; /* in it */
	size_t whole, tail_len;
	size_t taken; /* of the write */
};

static int
cut_lines(struct zk_fs *fs, const struct zk_handle *handle, const char *buf,
    size_t size, struct cut *ret_cut)
{
	const struct zk_topic_file *file = handle->topic_file;
	const size_t total = file->tail_len + size;
	struct cut cut = {.taken = size};
	size_t len;
	int rc;

	rc = fs->port.topic(fs->port.impl, handle->topic, &cut.topic);
	if (rc < 0)
		return rc;
	cut.plan = join(file, buf, size);
	if (cut.plan == NULL)
		return -ENOMEM;
	cut.bytes = cut.plan->bytes;
	/* Room for a newline that has to be added, unless it comes later. */
	len = zk_lines_fit(cut.bytes, total,
	    ZK_RECORD_MAX -
	        (total == 0 ||
	            (total <= ZK_RECORD_MAX && cut.bytes[total - 1] != '\n')));
	cut.whole = zk_lines_whole(cut.bytes, len);
	if (len < total) {
		/* A part of it, of whole lines; the caller goes on behind. */
		cut.taken = len > file->tail_len ? len - file->tail_len : 0;
		rc = cut.taken == 0 ? -EMSGSIZE : 0;
	} else if (cut.whole < len && size < ZK_TOPIC_CUT_MIN) {
		cut.whole = ++len; /* the newline that join() has put there */
	}
	cut.tail_len = len - cut.whole;
	/* What has waited alone was taken when the limit may have been another. */
	if (rc == 0)
		rc = zk_lines_check(cut.bytes, len,
		    size > 0 ? cut.topic.record_max : ZK_RECORD_MAX);
	if (rc < 0)
		free(cut.plan);
	else
		*ret_cut = cut;
	return rc;
}

/* Where all of it goes. */
static int
deal_whole(struct zk_fs *fs, const struct zk_handle *handle,
    const struct cut *cut, struct part *part)
{
	part->len = cut->whole;
	part->partition = handle->ino;
	if (handle->kind != ZK_NODE_ANY)
		return 0;
	return zk_topic_pick_any(fs, handle, cut->topic.partitions,
	    &part->partition);
}

/* How many bytes go to each partition; -EINVAL: a line without a key. */
static int
count_keys(const struct zk_fs_port *port, const struct cut *cut, size_t *sizes)
{
	const char *at = cut->bytes, *end = cut->bytes + cut->whole;

	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		const size_t line = (size_t)(stop - at) + 1;
		const char *tab = memchr(at, '\t', line);

		if (tab == NULL)
			return -EINVAL;
		sizes[port->partition_of(port->impl, at, (size_t)(tab - at),
		    cut->topic.partitions)] += line;
		at += line;
	}
	return 0;
}

/* places: where in the plan's bytes the next line of each partition goes. */
static void
copy_lines(const struct zk_fs_port *port, const struct cut *cut, char *to,
    size_t *places)
{
	const char *at = cut->bytes, *end = cut->bytes + cut->whole;

	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		const char *tab = memchr(at, '\t', (size_t)(end - at));
		const size_t line = (size_t)(stop - at) + 1;
		size_t *place = &places[port->partition_of(port->impl, at,
		    (size_t)(tab - at), cut->topic.partitions)];

		memcpy(to + *place, at, line);
		*place += line;
		at += line;
	}
}

static int
deal_counted(const struct zk_fs_port *port, uint64_t topic,
    const struct cut *cut, size_t *sizes, struct plan **ret_plan)
{
	size_t parts = 0, off = 0;
	struct plan *plan;
	int rc = 0;

	for (uint32_t i = 0; i < cut->topic.partitions; i++)
		parts += sizes[i] > 0;
	plan = new_plan(parts, cut->whole + cut->tail_len);
	if (plan == NULL)
		return -ENOMEM;
	parts = 0;
	for (uint32_t i = 0; i < cut->topic.partitions && rc == 0; i++) {
		struct part *part = &plan->parts[parts];

		if (sizes[i] == 0)
			continue;
		parts++;
		part->off = off;
		part->len = sizes[i];
		sizes[i] = off;
		off += part->len;
		rc = port->partition(port->impl, topic, i, &part->partition);
	}
	if (rc < 0) {
		free(plan);
		return rc;
	}
	copy_lines(port, cut, plan->bytes, sizes);
	*ret_plan = plan;
	return 0;
}

/* Each line goes to the partition of its key. */
static int
deal_by_key(struct zk_fs *fs, uint64_t topic, const struct cut *cut,
    struct plan **ret_plan)
{
	size_t *sizes = calloc(cut->topic.partitions, sizeof(*sizes));
	int rc = -ENOMEM;

	if (sizes != NULL)
		rc = count_keys(&fs->port, cut, sizes);
	if (rc == 0)
		rc = deal_counted(&fs->port, topic, cut, sizes, ret_plan);
	free(sizes);
	return rc;
}

/* Room in the open file for what will wait. */
static int
reserve_tail(struct zk_topic_file *file, size_t len)
{
	char *grown;

	if (len <= file->tail_cap)
		return 0;
	grown = realloc(file->tail, len);
	if (grown == NULL)
		return -ENOMEM;
	file->tail = grown;
	file->tail_cap = len;
	return 0;
}

/* What a write of these bytes means; without a part: nothing yet. */
static int
make_plan(struct zk_fs *fs, struct zk_handle *handle, const char *buf,
    size_t size, struct plan **ret_plan)
{
	struct plan *plan;
	struct cut cut;
	int rc;

	rc = cut_lines(fs, handle, buf, size, &cut);
	if (rc < 0)
		return rc;
	plan = cut.plan;
	rc = reserve_tail(handle->topic_file, cut.tail_len);
	if (rc == 0 && cut.whole == 0)
		plan->count = plan->pending = 0;
	else if (rc == 0 && handle->kind == ZK_NODE_BY_KEY)
		rc = deal_by_key(fs, handle->topic, &cut, &plan);
	else if (rc == 0)
		rc = deal_whole(fs, handle, &cut, &plan->parts[0]);
	if (rc == 0) {
		plan->taken = cut.taken;
		plan->len = cut.whole;
		plan->tail_len = cut.tail_len;
		*ret_plan = plan;
	}
	if (rc == 0 && plan != cut.plan)
		memcpy(plan->bytes + cut.whole, cut.bytes + cut.whole,
		    cut.tail_len);
	if (rc < 0 || plan != cut.plan)
		free(cut.plan);
	return rc;
}

/* Whoever opens the file next waits until this one's end is done. */
static void
count_closer(struct zk_fs *fs, const struct zk_handle *handle)
{
	struct zk_topic_file *file = handle->topic_file;
	struct zk_inode *inode;

	if (file->counted)
		return;
	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, handle->ino);
	file->counted = inode != NULL;
	if (inode != NULL)
		inode->closers++;
	(void)pthread_mutex_unlock(&fs->inodes.lock);
}

static void
keep_tail(struct zk_fs *fs, struct zk_handle *handle, const struct plan *plan)
{
	struct zk_topic_file *file = handle->topic_file;

	ZK_ASSERT(plan->tail_len <= file->tail_cap);

	if (plan->tail_len > 0) {
		memcpy(file->tail, plan->bytes + plan->len, plan->tail_len);
		count_closer(fs, handle);
	}
	file->tail_len = plan->tail_len;
}

/* It is at off; NULL: nobody knows, or nowhere. */
static void
count_append(const struct zk_call *call, const uint64_t *off)
{
	const struct plan *plan = call->extra;

	if (call->handle->kind == ZK_NODE_PARTITION)
		zk_appends_end(call->fs, call->handle->ino, plan->len, off);
}

/* Not what waited before, unless it is certain that it was not appended. */
static void
write_instead(struct zk_call *call, int rc)
{
	struct plan *plan = call->extra;

	count_append(call, NULL);
	if (rc == -ETIMEDOUT)
		call->handle->topic_file->tail_len = 0;
	(void)pthread_mutex_lock(&call->fs->plans_lock);
	plan->over = true;
	(void)pthread_mutex_unlock(&call->fs->plans_lock);
}

static void
append_answer(struct zk_call *call, const struct zk_outcome *out)
{
	const struct plan *plan = call->extra;

	if (out->rc == 0) {
		keep_tail(call->fs, call->handle, plan);
		count_append(call, &out->offset);
		zk_face_appended(call->fs, call->handle);
	} else {
		write_instead(call, out->rc);
	}
	if (out->rc == 0 && plan->taken > 0)
		(void)fuse_reply_write(call->req, plan->taken);
	else
		zk_reply_rc_ino(call->req, out->rc);
}

static void
submit(struct zk_call *call, struct plan *plan)
{
	plan->call = call;
	call->extra = plan;
	call->extra_len = plan->len;
	call->send = send_plan;
	call->lane = ZK_LANE_TOPICS;
	zk_call_submit(call);
}

/*
 * 0, or what a write through it gets.  Who held a lock and lost it with the
 * session is told so for good; others go on in the next session.
 */
static int
check_session(struct zk_fs *fs, const struct zk_handle *handle,
    uint64_t *ret_session)
{
	const uint64_t now = fs->port.session(fs->port.impl);
	bool fenced;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	fenced = handle->owner || handle->locked;
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	if (fenced && handle->session != now)
		return -ESTALE;
	*ret_session = now;
	return now == 0 ? -EROFS : 0;
}

/* Without bytes: what waits is appended, as a record. */
static void
append(fuse_req_t req, struct zk_handle *handle, const char *buf, size_t size)
{
	struct zk_fs *fs = zk_fs_of(req);
	const struct zk_command cmd = {.op = ZK_OP_NOP, .ino = handle->ino};
	struct plan *plan = NULL;
	struct zk_call *call;
	uint64_t session;
	int rc;

	rc = check_session(fs, handle, &session);
	if (rc == 0)
		rc = make_plan(fs, handle, buf, size, &plan);
	if (rc < 0) {
		zk_reply_rc_ino(req, rc);
		return;
	}
	ZK_ASSERT(plan != NULL);
	if (plan->count == 0) {
		keep_tail(fs, handle, plan);
		(void)fuse_reply_write(req, plan->taken);
		free(plan);
		return;
	}
	call = zk_call_new(fs, req, &cmd, append_answer);
	if (call == NULL) {
		free(plan);
		return;
	}
	call->handle = handle;
	call->instead = write_instead;
	plan->session = session;
	if (handle->kind == ZK_NODE_PARTITION)
		zk_appends_begin(fs, handle->ino, plan->len);
	submit(call, plan);
}

void
zk_topic_write(fuse_req_t req, struct zk_handle *handle, const char *buf,
    size_t size, int flags)
{
	if (handle->topic_file == NULL || (flags & O_APPEND) == 0)
		zk_reply_rc_ino(req, -EPERM);
	else
		append(req, handle, buf, size);
}

bool
zk_topic_fsync(fuse_req_t req, struct zk_handle *handle)
{
	if (handle->topic_file == NULL || handle->topic_file->tail_len == 0)
		return false;
	append(req, handle, "", 0);
	return true;
}

static void
close_answer(struct zk_call *call, const struct zk_outcome *out)
{
	/* Nobody waits for it, so nobody hears when it fails. */
	(void)out;
	zk_handle_released(call->fs, call->cmd.ino);
}

/* What waits for the rest of its line is a record as it is. */
static struct zk_call *
last_append(struct zk_fs *fs, struct zk_handle *handle, struct plan **ret_plan)
{
	const struct zk_command cmd = {.op = ZK_OP_NOP, .ino = handle->ino};
	struct plan *plan = NULL;
	struct zk_call *call = NULL;
	uint64_t session = 0;

	/*
	 * Its writer was told that it is appended, so without a session it is
	 * tried all the same; but not once its lock may be another's.
	 */
	if (handle->topic_file->tail_len == 0 ||
	    check_session(fs, handle, &session) == -ESTALE ||
	    make_plan(fs, handle, "", 0, &plan) < 0)
		return NULL;
	ZK_ASSERT(plan != NULL);
	plan->session = session;
	if (plan->count > 0)
		call = zk_call_new(fs, NULL, &cmd, close_answer);
	if (call == NULL)
		free(plan);
	*ret_plan = plan;
	return call;
}

void
zk_topic_close(struct zk_fs *fs, struct zk_handle *handle)
{
	struct plan *plan = NULL;
	struct zk_inode *inode;
	struct zk_call *call;

	if (handle->topic_file == NULL || !handle->topic_file->counted)
		return;
	call = last_append(fs, handle, &plan);
	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, handle->ino);
	if (inode != NULL) {
		ZK_ASSERT(inode->closers > 0);
		inode->closers--;
		inode->releasing += call != NULL;
	}
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	if (call != NULL)
		submit(call, plan);
}

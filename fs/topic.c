#include "fs/topic.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/digest.h"
#include "fs/reply.h"
#include "fs/topic_impl.h"
#include "fs/vxattr.h"

#define TEXT_BYTES_MAX ((size_t)4 * ZK_MIB)

/* Retention may move the start between two looks; not often. */
#define START_TRIES 4

bool
zk_topic_is_special(uint32_t kind)
{
	return kind == ZK_NODE_PARTITION || kind == ZK_NODE_BY_KEY ||
	    kind == ZK_NODE_ANY || kind == ZK_NODE_NEXT ||
	    kind == ZK_NODE_LAG || kind == ZK_NODE_MEMBERS;
}

int
zk_topic_check_open(const struct zk_attr *attr, int flags)
{
	const int mode = flags & O_ACCMODE;

	switch ((enum zk_node_kind)attr->kind) {
	case ZK_NODE_PARTITION:
		/* As under chattr +a. */
		return mode == O_RDONLY || (flags & O_APPEND) != 0 ? 0 : -EPERM;
	case ZK_NODE_BY_KEY:
	case ZK_NODE_ANY:
		if (mode != O_WRONLY)
			return -EACCES;
		return (flags & O_APPEND) != 0 ? 0 : -EPERM;
	case ZK_NODE_NEXT:
	case ZK_NODE_LAG:
	case ZK_NODE_MEMBERS:
		return mode == O_RDONLY ? 0 : -EACCES;
	case ZK_NODE_PLAIN:
	case ZK_NODE_TOPICS:
	case ZK_NODE_TOPIC:
	case ZK_NODE_CONFIG:
	case ZK_NODE_GROUPS:
	case ZK_NODE_GROUP:
	case ZK_NODE_OFFSET:
	case ZK_NODE_DEAD:
	case ZK_NODE_KINDS:
	default:
		return 0;
	}
}

int
zk_topic_check_size(const struct zk_attr *attr)
{
	return zk_topic_is_special(attr->kind) ? -EPERM : 0;
}

static int
take_text(struct zk_fs *fs, struct zk_handle *handle,
    const struct zk_attr *attr)
{
	for (size_t cap = (size_t)4 * ZK_KIB; cap <= TEXT_BYTES_MAX; cap *= 4) {
		char *text = malloc(cap);
		int rc;

		if (text == NULL)
			return -ENOMEM;
		rc = fs->port.group_text(fs->port.impl, attr, text, cap,
		    &handle->text_len);
		if (rc == 0) {
			handle->text = text;
			return 0;
		}
		free(text);
		if (rc != -EMSGSIZE)
			return rc;
	}
	return -EFBIG;
}

int
zk_topic_opened(struct zk_fs *fs, struct zk_handle *handle,
    const struct zk_attr *attr)
{
	handle->kind = attr->kind;
	handle->partition = attr->partition;
	handle->topic = attr->topic;
	handle->group = attr->group;
	/* It changes by itself, with acknowledgements. */
	if (attr->kind == ZK_NODE_OFFSET)
		handle->direct = true;
	if (!zk_topic_is_special(attr->kind))
		return 0;
	handle->direct = true;
	if (attr->kind == ZK_NODE_LAG || attr->kind == ZK_NODE_MEMBERS)
		return take_text(fs, handle, attr);
	if (attr->kind == ZK_NODE_NEXT)
		return 0;
	handle->topic_file = calloc(1, sizeof(*handle->topic_file));
	return handle->topic_file == NULL ? -ENOMEM : 0;
}

void
zk_topic_file_free(struct zk_handle *handle)
{
	if (handle->topic_file == NULL)
		return;
	free(handle->topic_file->tail);
	free(handle->topic_file);
	handle->topic_file = NULL;
}

/* --- asking --------------------------------------------------------------- */

static int
send_ask(struct zk_call *call)
{
	const struct zk_fs_port *port = &call->fs->port;

	return port->ask(port->impl, call->extra, zk_call_told, call);
}

struct zk_call *
zk_topic_ask(struct zk_fs *fs, fuse_req_t req, const struct zk_ask *ask,
    zk_answer_fn answer)
{
	const struct zk_command cmd = {
	    .op = ZK_OP_NOP,
	    .ino = ask->partition,
	};
	struct zk_ask *copy = malloc(sizeof(*copy));
	struct zk_call *call = NULL;

	if (copy != NULL)
		call = zk_call_new(fs, req, &cmd, answer);
	else
		zk_reply_rc(req, -ENOMEM);
	if (call == NULL) {
		free(copy);
		return NULL;
	}
	*copy = *ask;
	call->extra = copy;
	call->send = send_ask;
	call->lane = ZK_LANE_TOPICS;
	return call;
}

/* --- reading -------------------------------------------------------------- */

/* Where in the partition a read at off begins. */
static uint64_t
place_of(struct zk_fs *fs, struct zk_handle *handle, uint64_t off)
{
	struct zk_topic_file *file = handle->topic_file;
	uint64_t at = off;

	(void)pthread_mutex_lock(&fs->control_lock);
	/* Who seeks back to where nothing is otherwise has been there. */
	if (off == 0 || off > file->follow ||
	    (off < file->follow && off >= file->shift))
		file->shift = 0;
	at += file->shift;
	(void)pthread_mutex_unlock(&fs->control_lock);
	return at;
}

/* What a reader gets of what was read for him. */
static size_t
one_line(uint64_t off, uint64_t at, const char *buf, size_t len, size_t size)
{
	const char *end = NULL;

	if (off != at && len > 0 && size <= ZK_TOPIC_LINE_READ_MAX)
		end = memchr(buf, '\n', len);
	return end == NULL ? len : (size_t)(end - buf) + 1;
}

static void
set_place(struct zk_fs *fs, struct zk_handle *handle, uint64_t off, uint64_t at,
    size_t len)
{
	struct zk_topic_file *file = handle->topic_file;

	(void)pthread_mutex_lock(&fs->control_lock);
	file->shift = at - off;
	file->follow = off + len;
	(void)pthread_mutex_unlock(&fs->control_lock);
}

static void ask_read(struct zk_fs *fs, fuse_req_t req, struct zk_handle *handle,
    uint64_t off, uint64_t at, size_t size);

static void
read_answer(struct zk_call *call, const struct zk_outcome *out)
{
	const struct zk_ask *ask = call->extra;
	const uint64_t off = call->cmd.off;
	size_t len;

	ZK_ASSERT(out->rc < 0 || call->told != NULL);
	if (out->rc == -ENODATA && off == 0 && call->told != NULL &&
	    call->told->info.start > ask->offset) {
		/* Not on this thread: it is the one that answers. */
		call->cmd.expect = call->told->info.start;
		zk_call_defer(call);
		return;
	}
	if (out->rc < 0) {
		zk_reply_rc_ino(call->req, out->rc);
		return;
	}
	len = one_line(off, ask->offset, call->told->bytes, call->told->len,
	    call->size);
	set_place(call->fs, call->handle, off, ask->offset, len);
	(void)fuse_reply_buf(call->req, call->told->bytes, len);
}

static void
read_resume(struct zk_call *call)
{
	ask_read(call->fs, call->req, call->handle, call->cmd.off,
	    call->cmd.expect, call->size);
}

static void
ask_read(struct zk_fs *fs, fuse_req_t req, struct zk_handle *handle,
    uint64_t off, uint64_t at, size_t size)
{
	const struct zk_ask ask = {
	    .kind = ZK_ASK_READ,
	    .partition = handle->ino,
	    .offset = at,
	    .want = size < ZK_WRITE_MAX ? (uint32_t)size : ZK_WRITE_MAX,
	};
	struct zk_call *call = zk_topic_ask(fs, req, &ask, read_answer);

	if (call == NULL)
		return;
	call->handle = handle;
	call->cmd.off = off;
	call->size = size;
	call->resume = read_resume;
	zk_call_submit(call);
}

void
zk_topic_read(fuse_req_t req, struct zk_handle *handle, size_t size,
    uint64_t off)
{
	struct zk_fs *fs = zk_fs_of(req);
	const struct zk_fs_port *port = &fs->port;
	uint64_t at = place_of(fs, handle, off);
	struct zk_port_partition info;
	size_t len = 0;
	char *buf = malloc(size + 1);
	int rc = -ENOMEM;

	for (int i = 0; buf != NULL && i < START_TRIES; i++) {
		rc = port->fetch(port->impl, handle->ino, at, buf, size, &len);
		if (rc != -ENODATA || off != 0 ||
		    port->info(port->impl, handle->ino, &info) < 0)
			break;
		at = info.start;
	}
	if (rc == 0) {
		len = one_line(off, at, buf, len, size);
		set_place(fs, handle, off, at, len);
		(void)fuse_reply_buf(req, buf, len);
	} else if (rc == -EREMOTE) {
		ask_read(fs, req, handle, off, at, size);
	} else {
		zk_reply_rc_ino(req, rc);
	}
	free(buf);
}

/* --- what is known of a partition ----------------------------------------- */

/* Replies when the info is there; on any thread. */
typedef void (*reply_fn)(struct zk_fs *fs, fuse_req_t req,
    const struct zk_port_partition *info, const void *arg);

struct question {
	struct zk_ask ask; /* first: zk_topic_ask()'s */
	reply_fn reply;
	struct zk_attr attr;
	uint64_t off;
	size_t size;
	int whence;
	bool anyway;   /* reply is called without info where there is none */
	char name[24]; /* or the text of an offset */
};

static void
info_answer(struct zk_call *call, const struct zk_outcome *out)
{
	const struct zk_fs_port *port = &call->fs->port;
	const struct question *q = call->extra;
	struct zk_port_partition last;
	bool alone;

	if (out->rc == 0)
		q->reply(call->fs, call->req, &call->told->info, q);
	else if (out->rc == -ETIMEDOUT &&
	    port->memory(port->impl, call->cmd.ino, &last, &alone) == 0)
		q->reply(call->fs, call->req, &last, q);
	else if (q->anyway)
		q->reply(call->fs, call->req, NULL, q);
	else
		zk_reply_rc_ino(call->req, out->rc);
}

/*
 * What was known last will do where nobody answers soon: else whoever lists a
 * topic waits long for each partition of a host that is gone.
 */
static void
with_info(fuse_req_t req, uint64_t ino, const struct question *q)
{
	struct zk_fs *fs = zk_fs_of(req);
	const struct zk_fs_port *port = &fs->port;
	struct zk_ask ask = {.kind = ZK_ASK_INFO, .partition = ino};
	struct zk_port_partition info;
	struct question *copy;
	struct zk_call *call;
	bool alone = false;
	int rc = port->info(port->impl, ino, &info);

	if (rc == -EREMOTE &&
	    port->memory(port->impl, ino, &info, &alone) == 0) {
		ask.limit_ms = ZK_TOPIC_INFO_MS;
		rc = alone ? 0 : rc;
	}
	if (rc == 0) {
		q->reply(fs, req, &info, q);
		return;
	}
	if (rc != -EREMOTE && q->anyway) {
		q->reply(fs, req, NULL, q);
		return;
	}
	if (rc != -EREMOTE) {
		zk_reply_rc_ino(req, rc);
		return;
	}
	call = zk_topic_ask(fs, req, &ask, info_answer);
	if (call == NULL)
		return;
	copy = malloc(sizeof(*copy));
	if (copy != NULL) {
		*copy = *q;
		copy->ask = ask;
		free(call->extra);
		call->extra = copy;
		zk_call_submit(call);
		return;
	}
	free(call->extra);
	free(call);
	zk_reply_rc(req, -ENOMEM);
}

static bool
is_later(const struct zk_stamp *a, const struct zk_stamp *b)
{
	return a->sec > b->sec || (a->sec == b->sec && a->nsec > b->nsec);
}

static void
reply_attr(struct zk_fs *fs, fuse_req_t req,
    const struct zk_port_partition *info, const void *arg)
{
	const struct question *q = arg;
	struct zk_attr attr = q->attr;

	attr.size = info->end;
	attr.blocks = (info->stored + 511) / 512;
	if (is_later(&info->time, &attr.mtime))
		attr.mtime = info->time;
	if (is_later(&info->time, &attr.ctime))
		attr.ctime = info->time;
	zk_reply_attr(fs, req, &attr, true);
}

void
zk_topic_getattr(fuse_req_t req, const struct zk_attr *attr)
{
	const struct question q = {.reply = reply_attr, .attr = *attr};

	with_info(req, attr->ino, &q);
}

static void
reply_lseek(struct zk_fs *fs, fuse_req_t req,
    const struct zk_port_partition *info, const void *arg)
{
	const struct question *q = arg;
	uint64_t to = q->off;

	(void)fs;
	if (q->off >= info->end ||
	    (q->whence == SEEK_DATA && info->start >= info->end)) {
		zk_reply_rc(req, -ENXIO);
		return;
	}
	/*
	 * What retention has removed is not called a hole: grep(1) and
	 * others take a file with a hole for a binary one.
	 */
	if (q->whence == SEEK_HOLE)
		to = info->end;
	else if (to < info->start)
		to = info->start;
	(void)fuse_reply_lseek(req, (off_t)to);
}

void
zk_topic_lseek(fuse_req_t req, struct zk_handle *handle, uint64_t off,
    int whence)
{
	const struct question q = {
	    .reply = reply_lseek,
	    .off = off,
	    .whence = whence,
	};

	if (handle->kind != ZK_NODE_PARTITION ||
	    (whence != SEEK_DATA && whence != SEEK_HOLE))
		zk_reply_rc(req, -EINVAL);
	else
		with_info(req, handle->ino, &q);
}

/* --- how far a group is --------------------------------------------------- */

static void
reply_offset(struct zk_fs *fs, fuse_req_t req,
    const struct zk_port_partition *info, const void *arg)
{
	const struct question *q = arg;
	uint64_t offset = strtoull(q->name, NULL, 10);
	char text[32];
	size_t len;

	(void)fs;
	/* What retention has removed is behind the group, too. */
	if (info != NULL && offset < info->start)
		offset = info->start;
	len = (size_t)snprintf(text, sizeof(text), "%" PRIu64 "\n", offset);
	if (q->off >= len)
		len = 0;
	else
		len -= q->off;
	(void)fuse_reply_buf(req, text + (len == 0 ? 0 : q->off),
	    len < q->size ? len : q->size);
}

bool
zk_topic_read_offset(fuse_req_t req, struct zk_handle *handle, size_t size,
    uint64_t off)
{
	struct question q = {
	    .reply = reply_offset,
	    .off = off,
	    .size = size,
	    .anyway = true,
	};
	struct zk_fs *fs = zk_fs_of(req);
	uint64_t partition;
	size_t len = 0;

	if (handle->kind != ZK_NODE_OFFSET ||
	    fs->port.partition(fs->port.impl, handle->topic, handle->partition,
	        &partition) < 0 ||
	    fs->port.read(fs->port.impl, handle->ino, 0, q.name,
	        sizeof(q.name) - 1, &len) < 0)
		return false;
	with_info(req, partition, &q);
	return true;
}

/* --- extended attributes -------------------------------------------------- */

const char *
zk_topic_xattr_name(size_t i)
{
	static const char *const names[] = {"leader", "replicas", "start",
	    "end"};

	return i < sizeof(names) / sizeof(names[0]) ? names[i] : NULL;
}

void
zk_topic_reply_xattr(fuse_req_t req, const char *text, size_t len, size_t size)
{
	if (size == 0)
		(void)fuse_reply_xattr(req, len);
	else if (len > size)
		zk_reply_rc(req, -ERANGE);
	else
		(void)fuse_reply_buf(req, text, len);
}

static void
reply_xattr(struct zk_fs *fs, fuse_req_t req,
    const struct zk_port_partition *info, const void *arg)
{
	const struct question *q = arg;
	char buf[ZK_KIB];
	int len = fs->port.partition_text(fs->port.impl, q->ask.partition,
	    q->name, info, buf, sizeof(buf));

	if (len < 0)
		zk_reply_rc(req, len);
	else
		zk_topic_reply_xattr(req, buf, (size_t)len, q->size);
}

bool
zk_topic_getxattr(fuse_req_t req, uint64_t ino, const char *name, size_t size)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct question q = {
	    .ask = {.partition = ino},
	    .reply = reply_xattr,
	    .size = size,
	};
	const char *known = NULL;
	struct zk_attr attr;
	size_t i = 0;

	if (!zk_vxattr_is(name))
		return false;
	name += strlen(ZK_VXATTR_PREFIX);
	while ((known = zk_topic_xattr_name(i)) != NULL &&
	    strcmp(known, name) != 0)
		i++;
	if ((known == NULL && *name != '@') ||
	    fs->port.getattr(fs->port.impl, ino, &attr) < 0 ||
	    attr.kind != ZK_NODE_PARTITION)
		return false;
	if (known == NULL)
		return zk_topic_time_xattr(req, ino, name, size);
	(void)strncpy(q.name, known, sizeof(q.name) - 1);
	with_info(req, ino, &q);
	return true;
}

/* --- digests -------------------------------------------------------------- */

static void
digest_answer(struct zk_call *call, const struct zk_outcome *out)
{
	const struct zk_ask *ask = call->extra;
	const struct zk_partition_digest digest = {
	    .offset = ask->offset,
	    .want = (uint32_t)(out->offset >> 32),
	    .replica = (uint32_t)out->offset,
	};

	if (out->rc < 0)
		zk_reply_rc_ino(call->req, out->rc);
	else
		(void)fuse_reply_ioctl(call->req, 0, &digest, sizeof(digest));
}

void
zk_topic_digest(fuse_req_t req, struct zk_handle *handle,
    const struct zk_partition_digest *digest)
{
	struct zk_fs *fs = zk_fs_of(req);
	const struct zk_ask ask = {
	    .kind = ZK_ASK_DIGEST,
	    .partition = handle->ino,
	    .offset = digest->offset,
	    .want = digest->want < ZK_WRITE_MAX ? digest->want : ZK_WRITE_MAX,
	    .replica = digest->replica,
	};
	struct zk_call *call = zk_topic_ask(fs, req, &ask, digest_answer);

	if (call != NULL)
		zk_call_submit(call);
}

#include "fs/control.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "fs/events.h"
#include "fs/events_line.h"
#include "fs/handle.h"
#include "fs/impl.h"
#include "fs/reply.h"

#define TEXT_BYTES_MIN ((size_t)64 * ZK_KIB)
#define TEXT_BYTES_MAX ((size_t)64 * ZK_MIB)
#define TXN_BYTES_MAX  (ZK_WRITE_MAX - 4096u)

/* A verb, a name and an address. */
#define MEMBER_BYTES_MAX 512u

bool
zk_control_guards(uint64_t parent, const char *name)
{
	return zk_is_virtual(parent) ||
	    (parent == ZK_INO_ROOT && strcmp(name, ZK_CONTROL_NAME) == 0);
}

/* The last names, after those of the port: what they tell is from here. */
static const char txn_name[] = "txn", events_name[] = ZK_EVENTS_NAME,
                  member_name[] = "member", backup_name[] = "backup";

const char *
zk_control_name(struct zk_fs *fs, uint64_t i, uint64_t *ret_ino)
{
	uint64_t n = 0;

	*ret_ino = ZK_INO_VIRTUAL + 1 + i;
	while (n < i && fs->port.control_name(fs->port.impl, n) != NULL)
		n++;
	if (i == n && fs->port.control_name(fs->port.impl, n) != NULL)
		return fs->port.control_name(fs->port.impl, n);
	if (i == n + 2 && fs->port.member_request != NULL)
		return member_name;
	if (i == n + 3 && fs->port.backup != NULL)
		return backup_name;
	return i == n ? txn_name : i == n + 1 ? events_name : NULL;
}

/* What the inode is called; NULL: nothing. */
static const char *
name_of(struct zk_fs *fs, uint64_t ino)
{
	uint64_t same;

	if (ino < ZK_INO_VIRTUAL)
		return ino - ZK_INO_EVENTS <= ZK_EVENTS_REV_MAX ? events_name
		                                                : NULL;
	return zk_control_name(fs, ino - ZK_INO_VIRTUAL - 1, &same);
}

int
zk_control_getattr(struct zk_fs *fs, uint64_t ino, struct zk_attr *ret_attr)
{
	const char *name;

	*ret_attr = (struct zk_attr){
	    .ino = ino,
	    .mode = S_IFDIR | 0555,
	    .nlink = 2,
	    .mtime.sec = (int64_t)fs->mounted_s,
	};
	ret_attr->ctime = ret_attr->atime = ret_attr->mtime;
	if (ino == ZK_INO_SCRATCH)
		ret_attr->mode = S_IFDIR | 0700;
	if (ino == ZK_INO_VIRTUAL || ino == ZK_INO_SCRATCH)
		return 0;
	name = name_of(fs, ino);
	if (name == NULL)
		return -ENOENT;
	if (name == events_name)
		ret_attr->size = zk_events_size();
	ret_attr->mode = S_IFREG |
	    (name == txn_name             ? 0666u
	            : name == member_name ? 0600u
	            : name == backup_name ? 0400u
	                                  : 0444u);
	ret_attr->nlink = 1;
	return 0;
}

int
zk_control_lookup(struct zk_fs *fs, uint64_t parent, const char *name,
    struct zk_attr *ret_attr)
{
	const char *known;
	uint64_t ino, rev;

	if (parent == ZK_INO_ROOT)
		return zk_control_getattr(fs, ZK_INO_VIRTUAL, ret_attr);
	if (parent != ZK_INO_VIRTUAL)
		return -ENOENT;
	if (strcmp(name, ZK_CONTROL_SCRATCH) == 0)
		return zk_control_getattr(fs, ZK_INO_SCRATCH, ret_attr);
	if (zk_events_parse(name, &rev))
		return zk_control_getattr(fs, ZK_INO_EVENTS + rev, ret_attr);
	for (uint64_t i = 0;; i++) {
		known = zk_control_name(fs, i, &ino);
		if (known == NULL)
			return -ENOENT;
		if (strcmp(known, name) == 0)
			return zk_control_getattr(fs, ino, ret_attr);
	}
}

/* The whole text of a virtual file, in memory of its own. */
static int
take_text(struct zk_fs *fs, const char *name, char **ret_text, size_t *ret_len)
{
	for (size_t cap = TEXT_BYTES_MIN; cap <= TEXT_BYTES_MAX; cap *= 2) {
		char *text = malloc(cap);
		size_t len = 0;
		int rc;

		if (text == NULL)
			return -ENOMEM;
		rc = fs->port.control(fs->port.impl, name, text, cap, &len);
		if (rc == 0 && len < cap) {
			*ret_text = text;
			*ret_len = len;
			return 0;
		}
		free(text);
		if (rc < 0)
			return rc;
	}
	return -EFBIG;
}

void
zk_control_open(fuse_req_t req, uint64_t ino, struct fuse_file_info *fi)
{
	struct zk_fs *fs = zk_fs_of(req);
	const char *name;
	struct zk_handle *handle;
	int rc = 0;

	name = name_of(fs, ino);
	/* Root passes the kernel's check of the mode. */
	if (name != NULL && name != txn_name && name != member_name &&
	    (fi->flags & O_ACCMODE) != O_RDONLY)
		rc = -EACCES;
	if (name == NULL || rc < 0) {
		zk_reply_rc(req, name == NULL ? -ENOENT : rc);
		return;
	}
	handle = zk_handle_new(fs, req, fi->flags);
	if (handle == NULL) {
		zk_reply_rc(req, -ENOMEM);
		return;
	}
	if (name == backup_name) {
		zk_backup_open(fs, handle, req, fi);
		return;
	}
	if (name == events_name)
		rc = zk_events_open(fs, handle, req, ino >= ZK_INO_VIRTUAL,
		    ino - ZK_INO_EVENTS);
	else if (name != txn_name && name != member_name)
		rc = take_text(fs, name, &handle->text, &handle->text_len);
	if (rc < 0) {
		zk_handle_drop(fs, handle);
		zk_reply_rc(req, rc);
		return;
	}
	fi->fh = handle->fh;
	fi->direct_io = 1;
	if (fuse_reply_open(req, fi) != 0)
		zk_handle_drop(fs, handle);
}

/*
 * Where in its text a read begins, under control_lock.  Writing moved the
 * descriptor on, and a shell cannot seek back: the first read of a result
 * begins it, wherever that is, and one from before that is from the start.
 */
static size_t
text_offset(struct zk_handle *handle, uint64_t off)
{
	if (handle->text_new)
		handle->text_at = off;
	else if (off < handle->text_at)
		handle->text_at = 0;
	handle->text_new = false;
	off -= handle->text_at;
	return off < handle->text_len ? (size_t)off : handle->text_len;
}

void
zk_control_read(fuse_req_t req, size_t size, off_t off,
    struct fuse_file_info *fi)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_handle *handle = zk_handle_of(fi);
	size_t start;
	char *copy;

	if (handle->stream != NULL) {
		zk_events_read(req, size, (uint64_t)off, fi);
		return;
	}
	if (handle->backup) {
		zk_backup_read(handle, req, size, off);
		return;
	}
	(void)pthread_mutex_lock(&fs->control_lock);
	start = text_offset(handle, (uint64_t)off);
	if (size > handle->text_len - start)
		size = handle->text_len - start;
	copy = malloc(size + 1);
	if (copy != NULL && size > 0)
		memcpy(copy, handle->text + start, size);
	(void)pthread_mutex_unlock(&fs->control_lock);
	if (copy == NULL)
		zk_reply_rc(req, -ENOMEM);
	else
		(void)fuse_reply_buf(req, copy, size);
	free(copy);
}

int
zk_control_seek(struct zk_fs *fs, uint64_t ino, uint64_t off, int whence,
    uint64_t *ret_off)
{
	const uint64_t size = zk_events_size();

	if (name_of(fs, ino) != events_name)
		return -EINVAL;
	if (off >= size)
		return -ENXIO;
	/* It has no holes that anybody should skip. */
	if (whence == SEEK_DATA)
		*ret_off = off;
	else if (whence == SEEK_HOLE)
		*ret_off = size;
	else
		return -EINVAL;
	return 0;
}

/* The handle is open until the reply. */
static void
set_result(struct zk_fs *fs, struct zk_handle *handle,
    const struct zk_outcome *out, const char *reason)
{
	char *text = NULL, *old;
	int len;

	if (out->rc == 0)
		len = asprintf(&text, "ok %" PRIu64 "\n", out->index);
	else if (out->line == 0)
		len = asprintf(&text, "%s\n", reason);
	else
		len = asprintf(&text, "line %u: %s\n", out->line, reason);
	if (len < 0)
		return;
	(void)pthread_mutex_lock(&fs->control_lock);
	old = handle->text;
	handle->text = text;
	handle->text_new = true;
	handle->text_at = 0;
	handle->text_len = (size_t)len;
	(void)pthread_mutex_unlock(&fs->control_lock);
	free(old);
}

static void
txn_answer(struct zk_call *call, const struct zk_outcome *out)
{
	set_result(call->fs, call->handle, out, zk_err_text(out->rc));
	if (out->rc < 0)
		zk_reply_rc(call->req, out->rc);
	else
		(void)fuse_reply_write(call->req, call->size);
}

static void
member_answer(struct zk_call *call, const struct zk_outcome *out)
{
	const struct zk_fs_port *port = &call->fs->port;

	set_result(call->fs, call->handle, out,
	    port->member_reason(port->impl, out->rc));
	if (out->rc < 0)
		zk_reply_rc(call->req, out->rc);
	else
		(void)fuse_reply_write(call->req, call->size);
}

/* Root only, whoever was given the open file. */
static void
member_write(fuse_req_t req, const char *buf, size_t size,
    struct zk_handle *handle)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_outcome bad = {.rc = -EINVAL};
	char text[MEMBER_BYTES_MAX + 1];
	struct zk_command cmd;
	struct zk_call *call;

	if (fuse_req_ctx(req)->uid != 0) {
		zk_reply_rc(req, -EPERM);
		return;
	}
	if (size <= MEMBER_BYTES_MAX) {
		memcpy(text, buf, size);
		text[size] = '\0';
		bad.rc = fs->port.member_request(fs->port.impl, text, &cmd);
	}
	if (bad.rc < 0) {
		set_result(fs, handle, &bad,
		    fs->port.member_reason(fs->port.impl, -EPROTO));
		zk_reply_rc(req, bad.rc);
		return;
	}
	call = zk_call_new(fs, req, &cmd, member_answer);
	if (call == NULL)
		return;
	call->handle = handle;
	call->size = size;
	zk_call_submit(call);
}

void
zk_control_write(fuse_req_t req, uint64_t ino, const char *buf, size_t size,
    struct fuse_file_info *fi)
{
	struct zk_fs *fs = zk_fs_of(req);
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	uint32_t groups[ZK_GROUPS_MAX];
	struct zk_command cmd = {
	    .op = ZK_OP_TXN,
	    .uid = ctx->uid,
	    .gid = ctx->gid,
	    .groups = groups,
	    .data = buf,
	    .data_len = size,
	};
	struct zk_call *call;
	int n;

	_Static_assert(sizeof(gid_t) == sizeof(groups[0]), "one and the same");
	if (name_of(fs, ino) == member_name) {
		member_write(req, buf, size, zk_handle_of(fi));
		return;
	}
	n = fuse_req_getgroups(req, ZK_GROUPS_MAX, groups);
	/* With more of them the first count, as NFS has it. */
	if (n > (int)ZK_GROUPS_MAX)
		n = (int)ZK_GROUPS_MAX;
	if (n > 0)
		cmd.group_count = (size_t)n;
	/* The kernel splits larger ones: half a transaction must not happen. */
	if (size > TXN_BYTES_MAX) {
		zk_reply_rc(req, -EFBIG);
		return;
	}
	call = zk_call_new(fs, req, &cmd, txn_answer);
	if (call == NULL)
		return;
	call->handle = zk_handle_of(fi);
	call->size = size;
	call->late = zk_late_change;
	zk_call_submit(call);
}

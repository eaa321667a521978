#include "fs/vxattr.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "fs/handle.h"
#include "fs/impl.h"
#include "fs/reply.h"
#include "fs/topic.h"

#define VALUE_BYTES_MAX (ZK_NAME_MAX + 1)

/* Listed in this order: whoever copies all of them sets czxid early. */
static const char *const names[] = {
    "czxid",
    "mzxid",
    "pzxid",
    "version",
    "cversion",
    "owner",
    "fence",
    "name",
    "ephemeral",
};
#define NAME_COUNT (sizeof(names) / sizeof(names[0]))

bool
zk_vxattr_is(const char *name)
{
	return strncmp(name, ZK_VXATTR_PREFIX, strlen(ZK_VXATTR_PREFIX)) == 0;
}

static int
made_name(struct zk_fs *fs, uint64_t ino, char *buf, size_t cap)
{
	struct zk_inode *inode;
	int n = -ENODATA;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, ino);
	if (inode != NULL && inode->name != NULL)
		n = snprintf(buf, cap, "%s", inode->name);
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return n;
}

static int
fence_of(struct zk_fs *fs, uint64_t ino, char *buf, size_t cap)
{
	uint64_t fence = 0;
	int rc = fs->port.fence(fs->port.impl, ino, &fence);

	if (rc < 0)
		return rc;
	return fence == 0 ? -ENODATA : snprintf(buf, cap, "%" PRIu64, fence);
}

/* The length of the value of names[i], or a negative code. */
static int
value_of(struct zk_fs *fs, const struct zk_attr *attr, const char *name,
    char *buf, size_t cap)
{
	const struct {
		const char *name;
		uint64_t value;
	} numbers[] = {
	    {"czxid", attr->czxid},
	    {"mzxid", attr->mzxid},
	    {"pzxid", attr->pzxid},
	    {"version", attr->version},
	    {"cversion", attr->cversion},
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strcmp(numbers[i].name, name) == 0)
			return snprintf(buf, cap, "%" PRIu64, numbers[i].value);
	if (strcmp(name, "name") == 0)
		return made_name(fs, attr->ino, buf, cap);
	if (strcmp(name, "fence") == 0)
		return fence_of(fs, attr->ino, buf, cap);
	if (strcmp(name, "owner") == 0)
		return snprintf(buf, cap, "%" PRIx64, attr->session);
	if (strcmp(name, "ephemeral") == 0)
		return snprintf(buf, cap, "%d", attr->session != 0);
	return -ENODATA;
}

int
zk_vxattr_get(struct zk_fs *fs, uint64_t ino, const char *name, char *buf,
    size_t cap, size_t *ret_len)
{
	char value[VALUE_BYTES_MAX];
	struct zk_attr attr;
	int n;

	n = fs->port.getattr(fs->port.impl, ino, &attr);
	if (n == 0)
		n = value_of(fs, &attr, name + strlen(ZK_VXATTR_PREFIX), value,
		    sizeof(value));
	if (n < 0)
		return n;
	if (cap > 0 && (size_t)n > cap)
		return -ERANGE;
	if (cap > 0)
		memcpy(buf, value, (size_t)n);
	*ret_len = (size_t)n;
	return 0;
}

size_t
zk_vxattr_list(struct zk_fs *fs, uint64_t ino, char *buf, size_t cap,
    size_t len)
{
	char value[VALUE_BYTES_MAX], full[64];
	struct zk_attr attr;

	if (fs->port.getattr(fs->port.impl, ino, &attr) < 0)
		return len;
	/* Linux has user attributes for files and directories alone. */
	if (!S_ISREG(attr.mode) && !S_ISDIR(attr.mode))
		return len;
	for (size_t i = 0; i < NAME_COUNT; i++) {
		int n;

		if (value_of(fs, &attr, names[i], value, sizeof(value)) < 0)
			continue;
		n = snprintf(full, sizeof(full), ZK_VXATTR_PREFIX "%s",
		    names[i]);
		ZK_ASSERT(n > 0);
		if (len + (size_t)n + 1 <= cap)
			memcpy(buf + len, full, (size_t)n + 1);
		len += (size_t)n + 1;
	}
	for (size_t i = 0;
	     attr.kind == ZK_NODE_PARTITION && zk_topic_xattr_name(i) != NULL;
	     i++) {
		int n = snprintf(full, sizeof(full), ZK_VXATTR_PREFIX "%s",
		    zk_topic_xattr_name(i));

		ZK_ASSERT(n > 0);
		if (len + (size_t)n + 1 <= cap)
			memcpy(buf + len, full, (size_t)n + 1);
		len += (size_t)n + 1;
	}
	return len;
}

static int
parse_u64(const char *value, size_t size, uint64_t *ret_number)
{
	char text[24], *end;

	if (size == 0 || size >= sizeof(text) || value[0] < '0' ||
	    value[0] > '9')
		return -EINVAL;
	memcpy(text, value, size);
	text[size] = '\0';
	errno = 0;
	*ret_number = strtoull(text, &end, 10);
	return errno != 0 || *end != '\0' ? -EINVAL : 0;
}

static void
ephemeral_answer(struct zk_call *call, const struct zk_outcome *out)
{
	struct zk_fs *fs = call->fs;
	struct zk_inode *inode;

	if (out->rc < 0) {
		(void)pthread_mutex_lock(&fs->inodes.lock);
		inode = zk_inodes_find(&fs->inodes, call->cmd.ino);
		if (inode != NULL && inode->creator != NULL &&
		    inode->creator->id == call->cmd.handle)
			inode->creator->owner = false;
		(void)pthread_mutex_unlock(&fs->inodes.lock);
	}
	/* Its mode has changed, by a T: setxattr(2) does not tell that. */
	if (out->rc == 0)
		zk_notify_inode(fs, call->cmd.ino, false);
	zk_reply_rc_ino(call->req, out->rc);
}

/* Binds the inode's creator to it.  0 and its id, or a negative code. */
static int
tie_creator(struct zk_fs *fs, uint64_t ino, uint64_t *ret_id)
{
	struct zk_inode *inode;
	int rc = -EPERM;

	/* Closing the creator takes the lock first: it stays meanwhile. */
	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, ino);
	if (inode != NULL && inode->creator != NULL) {
		*ret_id = inode->creator->id;
		rc = zk_handle_tie_locked(fs, inode->creator, ZK_TIE_OWNER);
	}
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return rc;
}

static void
set_ephemeral(fuse_req_t req, uint64_t ino)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_command cmd = {.op = ZK_OP_EPHEMERAL, .ino = ino};
	struct zk_inode *inode;
	struct zk_call *call;
	bool copied;
	int rc;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, ino);
	copied = inode != NULL && inode->copied;
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	if (copied) {
		zk_reply_rc(req, 0);
		return;
	}
	rc = tie_creator(fs, ino, &cmd.handle);
	if (rc < 0) {
		zk_reply_rc(req, rc);
		return;
	}
	call = zk_call_new(fs, req, &cmd, ephemeral_answer);
	if (call == NULL)
		return;
	call->late = zk_late_change;
	zk_call_submit(call);
}

/* Only to be said of what is not ephemeral anyway, as a copy does. */
static int
unset_ephemeral(struct zk_fs *fs, uint64_t ino, const char *value, size_t size)
{
	struct zk_attr attr;
	int rc;

	if (size != 1 || value[0] != '0')
		return -EINVAL;
	rc = fs->port.getattr(fs->port.impl, ino, &attr);
	if (rc < 0)
		return rc;
	return attr.session != 0 ? -EPERM : 0;
}

/* One that only tells something. */
static int
set_known(struct zk_fs *fs, uint64_t ino, const char *name)
{
	struct zk_inode *inode;
	size_t i = 0;

	/* What a partition has tells nothing of its copy. */
	for (i = 0; zk_topic_xattr_name(i) != NULL; i++)
		if (strcmp(zk_topic_xattr_name(i), name) == 0)
			return 0;
	i = 0;
	while (i < NAME_COUNT && strcmp(names[i], name) != 0)
		i++;
	if (i == NAME_COUNT)
		return -EPERM;
	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, ino);
	if (inode != NULL)
		inode->copied = true;
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return 0;
}

void
zk_vxattr_set(fuse_req_t req, uint64_t ino, const char *name, const char *value,
    size_t size)
{
	struct zk_fs *fs = zk_fs_of(req);
	uint64_t version = 0;
	struct zk_attr attr;
	int rc;

	name += strlen(ZK_VXATTR_PREFIX);
	if (strcmp(name, "ephemeral") == 0) {
		if (size == 1 && value[0] == '1')
			set_ephemeral(req, ino);
		else
			zk_reply_rc(req, unset_ephemeral(fs, ino, value, size));
		return;
	}
	if (strcmp(name, "expect") == 0) {
		rc = fs->port.getattr(fs->port.impl, ino, &attr);
		/* Appending asks for no version. */
		if (rc == 0 && zk_topic_is_special(attr.kind))
			rc = -EPERM;
		if (rc == 0)
			rc = parse_u64(value, size, &version);
		if (rc == 0)
			rc = zk_expects_set(&fs->expects, ino,
			    fuse_req_ctx(req)->pid, version);
	} else {
		rc = set_known(fs, ino, name);
	}
	zk_reply_rc(req, rc);
}

int
zk_vxattr_remove(struct zk_fs *fs, uint64_t ino, const char *name)
{
	char value[VALUE_BYTES_MAX];
	struct zk_attr attr;
	int rc;

	rc = fs->port.getattr(fs->port.impl, ino, &attr);
	if (rc < 0)
		return rc;
	name += strlen(ZK_VXATTR_PREFIX);
	/* Whoever asks for that wants the file to stay, and it will not. */
	if (strcmp(name, "ephemeral") == 0 && attr.session != 0)
		return -EPERM;
	rc = value_of(fs, &attr, name, value, sizeof(value));
	return rc < 0 ? rc : 0;
}

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "fs/control.h"
#include "fs/impl.h"
#include "fs/ops.h"
#include "fs/reply.h"
#include "fs/topic.h"
#include "fs/vxattr.h"

/*
 * The namespaces that a node can have; see xattr(7).  "system." is for ACLs,
 * which the kernel would have to know to check them.
 */
static int
check_name(const char *name)
{
	static const char *const spaces[] = {"user.", "trusted.", "security."};

	for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
		size_t len = strlen(spaces[i]);
		if (strncmp(name, spaces[i], len) == 0)
			return name[len] == '\0' ? -EINVAL : 0;
	}
	return -EOPNOTSUPP;
}

void
zk_op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
    const char *value, size_t size, int flags)
{
	struct zk_command cmd = {
	    .op = ZK_OP_XATTR_SET,
	    .ino = ino,
	    .mode = (uint32_t)flags,
	    .name = name,
	    .name_len = strlen(name),
	    .data = value,
	    .data_len = size,
	};
	struct zk_call *call;
	int rc = check_name(name);

	if (rc < 0) {
		zk_reply_rc(req, rc);
		return;
	}
	if (zk_is_virtual(ino)) {
		zk_reply_rc(req, -EPERM);
		return;
	}
	if (zk_vxattr_is(name)) {
		zk_vxattr_set(req, ino, name, value, size);
		return;
	}
	if (cmd.name_len > ZK_XATTR_NAME_MAX || size > ZK_XATTR_VALUE_MAX) {
		zk_reply_rc(req, -ERANGE);
		return;
	}
	call = zk_call_new(zk_fs_of(req), req, &cmd, zk_answer_rc_ino);
	if (call == NULL)
		return;
	call->late = zk_late_change;
	zk_call_submit(call);
}

/* size 0 asks for the length alone. */
static void
reply(fuse_req_t req, const char *buf, size_t len, size_t size)
{
	if (size == 0)
		(void)fuse_reply_xattr(req, len);
	else
		(void)fuse_reply_buf(req, buf, len);
}

void
zk_op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct zk_fs *fs = zk_fs_of(req);
	size_t len = 0;
	char *buf;
	int rc = check_name(name);

	if (rc == 0 && !zk_is_virtual(ino) &&
	    zk_topic_getxattr(req, ino, name, size))
		return;
	buf = malloc(size + 1);
	if (buf == NULL)
		rc = -ENOMEM;
	else if (rc == 0 && zk_is_virtual(ino))
		rc = -ENODATA;
	else if (rc == 0 && zk_vxattr_is(name))
		rc = zk_vxattr_get(fs, ino, name, buf, size, &len);
	else if (rc == 0)
		rc = fs->port.getxattr(fs->port.impl, ino, name, strlen(name),
		    buf, size, &len);
	if (rc < 0)
		zk_reply_rc_ino(req, rc);
	else
		reply(req, buf, len, size);
	free(buf);
}

/* Names that only root may see; see xattr(7). */
static size_t
hide_trusted(char *buf, size_t len)
{
	size_t kept = 0;

	for (size_t pos = 0; pos < len;) {
		size_t n = strlen(buf + pos) + 1;
		if (strncmp(buf + pos, "trusted.", 8) != 0) {
			memmove(buf + kept, buf + pos, n);
			kept += n;
		}
		pos += n;
	}
	return kept;
}

void
zk_op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct zk_fs *fs = zk_fs_of(req);
	size_t len = 0, cap = 0;
	char *buf = NULL;
	int rc = 0;

	if (zk_is_virtual(ino)) {
		reply(req, NULL, 0, size);
		return;
	}
	/* All of the stored ones, also when only a length is asked for. */
	cap = ZK_XATTRS_MAX * (ZK_XATTR_NAME_MAX + 1) + ZK_KIB;
	buf = malloc(cap);
	if (buf == NULL)
		rc = -ENOMEM;
	else
		rc = fs->port.listxattr(fs->port.impl, ino, buf, cap, &len);
	if (rc == 0 && fuse_req_ctx(req)->uid != 0)
		len = hide_trusted(buf, len);
	if (rc == 0) {
		len = zk_vxattr_list(fs, ino, buf, cap, len);
		if (size > 0 && len > size)
			rc = -ERANGE;
	}
	if (rc < 0)
		zk_reply_rc_ino(req, rc);
	else
		reply(req, buf, len, size);
	free(buf);
}

void
zk_op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct zk_command cmd = {
	    .op = ZK_OP_XATTR_REMOVE,
	    .ino = ino,
	    .name = name,
	    .name_len = strlen(name),
	};
	struct zk_call *call;
	int rc = check_name(name);

	if (rc < 0) {
		zk_reply_rc(req, rc);
		return;
	}
	if (zk_is_virtual(ino)) {
		zk_reply_rc(req, -EPERM);
		return;
	}
	if (zk_vxattr_is(name)) {
		zk_reply_rc(req, zk_vxattr_remove(zk_fs_of(req), ino, name));
		return;
	}
	call = zk_call_new(zk_fs_of(req), req, &cmd, zk_answer_rc_ino);
	if (call == NULL)
		return;
	call->late = zk_late_change;
	zk_call_submit(call);
}

#include "daemon/port.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "daemon/request.h"
#include "store/backup.h"
#include "store/history.h"
#include "store/lock.h"
#include "store/read.h"

static int
port_submit(void *impl, const struct zk_command *cmd, zk_done_fn done,
    void *arg, uint64_t *ret_ticket)
{
	struct zk_port *port = impl;
	struct zk_command limited = *cmd;

	/* This mount's bound on files, for those whose end apply decides. */
	if (cmd->op == ZK_OP_WRITE || cmd->op == ZK_OP_TXN)
		limited.len = port->max_file;
	return zk_node_submit(port->node, &limited, done, arg, ret_ticket);
}

/*
 * Reads of a host that is cut off fail, where that is asked for.  The root has
 * its attributes all the same: the way to .zkfs leads through it.
 */
static int
begin(struct zk_port *port, struct zk_tx **ret_tx)
{
	if (port->lost_eio && zk_node_is_lost(port->node))
		return -EIO;
	return zk_read_begin(port->store, ret_tx);
}

static int
port_getattr(void *impl, uint64_t ino, struct zk_attr *ret_attr)
{
	struct zk_port *port = impl;
	struct zk_tx *tx;
	int rc = ino == ZK_INO_ROOT ? zk_read_begin(port->store, &tx)
	                            : begin(port, &tx);

	if (rc < 0)
		return rc;
	rc = zk_inode_attr(tx, ino, ret_attr);
	zk_read_end(tx);
	return rc;
}

static int
port_lookup(void *impl, uint64_t parent, const char *name, size_t name_len,
    struct zk_attr *ret_attr)
{
	struct zk_port *port = impl;
	struct zk_tx *tx;
	int rc = begin(port, &tx);

	if (rc < 0)
		return rc;
	rc = zk_read_lookup(tx, parent, name, name_len, ret_attr);
	zk_read_end(tx);
	return rc;
}

static int
port_name(void *impl, uint64_t ino, struct zk_attr *ret_attr, char *buf,
    size_t *ret_len)
{
	struct zk_port *port = impl;
	const char *name = NULL;
	struct zk_tx *tx;
	size_t len = 0;
	int rc = begin(port, &tx);

	if (rc < 0)
		return rc;
	rc = zk_inode_attr_name(tx, ino, ret_attr, &name, &len);
	if (rc == 0) {
		ZK_ASSERT(len <= ZK_NAME_MAX);
		if (len > 0)
			memcpy(buf, name, len);
		buf[len] = '\0';
		*ret_len = len;
	}
	zk_read_end(tx);
	return rc;
}

static int
port_read(void *impl, uint64_t ino, uint64_t off, void *buf, size_t cap,
    size_t *ret_len)
{
	struct zk_port *port = impl;
	struct zk_tx *tx;
	int rc = begin(port, &tx);

	if (rc < 0)
		return rc;
	rc = zk_read_content(tx, ino, off, buf, cap, ret_len);
	zk_read_end(tx);
	return rc;
}

static int
port_seek(void *impl, uint64_t ino, uint64_t off, bool hole, uint64_t *ret_off)
{
	struct zk_port *port = impl;
	struct zk_tx *tx;
	int rc = begin(port, &tx);

	if (rc < 0)
		return rc;
	rc = zk_read_seek(tx, ino, off, hole, ret_off);
	zk_read_end(tx);
	return rc;
}

static int
port_readlink(void *impl, uint64_t ino, char *buf, size_t cap, size_t *ret_len)
{
	struct zk_port *port = impl;
	struct zk_tx *tx;
	int rc = begin(port, &tx);

	if (rc < 0)
		return rc;
	rc = zk_read_link(tx, ino, buf, cap, ret_len);
	zk_read_end(tx);
	return rc;
}

struct listing {
	zk_dirent_fn fn;
	void *arg;
};

static bool
list_entry(void *arg, const struct zk_read_entry *entry)
{
	const struct listing *listing = arg;
	const struct zk_dirent dirent = {
	    .name = entry->name,
	    .name_len = entry->name_len,
	    .ino = entry->ino,
	    .type = entry->type,
	    .cookie = entry->slot,
	    .attr = entry->attr,
	};

	return listing->fn(listing->arg, &dirent);
}

static int
port_readdir(void *impl, uint64_t ino, uint64_t cookie, bool attrs,
    zk_dirent_fn fn, void *arg)
{
	struct listing listing = {fn, arg};
	struct zk_port *port = impl;
	struct zk_tx *tx;
	int rc = begin(port, &tx);

	if (rc < 0)
		return rc;
	rc = zk_read_dir(tx, ino, cookie, attrs, list_entry, &listing);
	zk_read_end(tx);
	return rc;
}

static int
/* As getxattr(2), and where.  NOLINTNEXTLINE(readability-function-size) */
port_getxattr(void *impl, uint64_t ino, const char *name, size_t name_len,
    void *buf, size_t cap, size_t *ret_len)
{
	struct zk_port *port = impl;
	struct zk_tx *tx;
	int rc = begin(port, &tx);

	if (rc < 0)
		return rc;
	rc = zk_read_xattr(tx, ino, name, name_len, buf, cap, ret_len);
	zk_read_end(tx);
	return rc;
}

static int
port_listxattr(void *impl, uint64_t ino, char *buf, size_t cap, size_t *ret_len)
{
	struct zk_port *port = impl;
	struct zk_tx *tx;
	int rc = begin(port, &tx);

	if (rc < 0)
		return rc;
	rc = zk_read_xattr_names(tx, ino, buf, cap, ret_len);
	zk_read_end(tx);
	return rc;
}

static int
port_getlock(void *impl, const struct zk_command *lock,
    struct zk_lock_info *ret_info)
{
	struct zk_port *port = impl;
	struct zk_command mine = *lock;
	struct zk_lock_blocker blocker;
	struct zk_tx *tx;
	int rc = zk_read_begin(port->store, &tx);

	if (rc < 0)
		return rc;
	mine.session = zk_node_session(port->node);
	rc = zk_lock_find_blocker(tx, &mine, &blocker);
	zk_read_end(tx);
	if (rc < 0)
		return rc;
	*ret_info = (struct zk_lock_info){
	    .type = blocker.type,
	    .off = blocker.off,
	    .len = blocker.len,
	    .pid = blocker.pid,
	    .session = blocker.session,
	};
	return 0;
}

static int
port_fence(void *impl, uint64_t ino, uint64_t *ret_fence)
{
	struct zk_port *port = impl;
	struct zk_tx *tx;
	int rc = zk_read_begin(port->store, &tx);

	if (rc < 0)
		return rc;
	rc = zk_lock_fence(tx, ino, zk_node_session(port->node), ret_fence);
	zk_read_end(tx);
	return rc;
}

static int
port_statfs(void *impl, struct zk_statfs *ret_statfs)
{
	struct zk_port *port = impl;
	struct zk_store_usage usage;
	uint64_t room;
	int rc;

	rc = zk_store_usage(port->store, &usage);
	if (rc < 0)
		return rc;
	/* Whichever ends first: the disk below or the map. */
	room = usage.map_bytes - usage.file_bytes;
	if (usage.disk_free < room)
		room = usage.disk_free;
	*ret_statfs = (struct zk_statfs){
	    .bytes_total = usage.file_bytes + room,
	    .bytes_free = room,
	    .nodes_used = usage.nodes,
	};
	return 0;
}

/* Rows of the history looked at in one go: a reader is to be short. */
#define HISTORY_ROWS_READ 4096u

static int
port_history(void *impl, struct zk_past_at *at, zk_past_fn fn, void *arg,
    bool *ret_end)
{
	struct zk_port *port = impl;
	struct zk_tx *tx;
	int rc = zk_read_begin(port->store, &tx);

	if (rc < 0)
		return rc;
	rc = zk_history_read(tx, at, HISTORY_ROWS_READ, fn, arg);
	*ret_end = at->rev > tx->state.applied_index;
	zk_read_end(tx);
	return rc;
}

static int
port_revision(void *impl, uint64_t *ret_rev)
{
	struct zk_port *port = impl;
	struct zk_tx *tx;
	int rc = zk_read_begin(port->store, &tx);

	if (rc < 0)
		return rc;
	*ret_rev = tx->state.applied_index;
	zk_read_end(tx);
	return 0;
}

static int
port_control(void *impl, const char *name, char *buf, size_t cap,
    size_t *ret_len)
{
	struct zk_port *port = impl;

	return zk_report_text(port->report, name, buf, cap, ret_len);
}

static const char *
port_control_name(void *impl, size_t i)
{
	(void)impl;
	return zk_report_name(i);
}

static int
port_member_request(void *impl, char *text, struct zk_command *ret_cmd)
{
	(void)impl;
	return zk_request_parse(text, ret_cmd);
}

static const char *
port_member_reason(void *impl, int rc)
{
	(void)impl;
	return zk_request_reason(rc);
}

static int
port_backup(void *impl, bool (*stop)(void *arg), void *arg, int *ret_fd)
{
	struct zk_port *port = impl;

	return zk_backup_make(port->store, stop, arg, ret_fd);
}

static uint64_t
port_session(void *impl)
{
	struct zk_port *port = impl;

	return zk_node_session(port->node);
}

struct zk_fs_port
zk_port_make(struct zk_port *port)
{
	struct zk_fs_port made = {
	    .impl = port,
	    .submit = port_submit,
	    .getattr = port_getattr,
	    .lookup = port_lookup,
	    .name = port_name,
	    .read = port_read,
	    .seek = port_seek,
	    .readlink = port_readlink,
	    .readdir = port_readdir,
	    .getxattr = port_getxattr,
	    .listxattr = port_listxattr,
	    .getlock = port_getlock,
	    .fence = port_fence,
	    .statfs = port_statfs,
	    .history = port_history,
	    .revision = port_revision,
	    .control = port_control,
	    .control_name = port_control_name,
	    .member_request = port_member_request,
	    .member_reason = port_member_reason,
	    .backup = port_backup,
	    .session = port_session,
	};

	zk_port_topics(&made);
	return made;
}

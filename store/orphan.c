#include "store/orphan.h"

#include <errno.h>

#include "base/assert.h"
#include "base/codec.h"
#include "store/lock.h"
#include "store/names.h"
#include "store/session.h"

/* Everything a node has, and the node. */
static int
purge(struct zk_apply *ap, uint64_t ino)
{
	static const enum zk_table tables[] = {ZK_TABLE_CHUNK, ZK_TABLE_XATTR};
	const struct zk_key inode_key = zk_key1(ZK_TABLE_INODE, ino);
	int rc;

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		const struct zk_key prefix = zk_key1(tables[i], ino);

		rc = zk_rows_delete(ap->tx, &prefix);
		if (rc < 0)
			return rc;
	}
	rc = zk_lock_drop_file(ap, ino);
	if (rc == 0)
		rc = zk_row_delete(ap->tx, &inode_key);
	if (rc == 0) {
		ZK_ASSERT(ap->tx->state.nodes > 0);
		ap->tx->state.nodes--;
	}
	return rc;
}

int
zk_orphan_add(struct zk_apply *ap, const struct zk_inode *node, bool *ret_held)
{
	struct zk_session session;
	uint64_t after = 0;
	int rc;

	ZK_ASSERT(node->attr.nlink == 0);

	while ((rc = zk_session_next(ap->tx, after, &session)) == 0) {
		const struct zk_key key =
		    zk_key2(ZK_TABLE_ORPHAN, node->attr.ino, session.id);

		after = session.id;
		rc = zk_row_put(ap->tx, &key, "", 0);
		if (rc < 0)
			break;
	}
	if (rc != -ENOENT)
		return rc;
	*ret_held = after != 0;
	return after == 0 ? purge(ap, node->attr.ino) : 0;
}

int
zk_orphan_release(struct zk_apply *ap, uint64_t ino, uint64_t session)
{
	const struct zk_key key = zk_key2(ZK_TABLE_ORPHAN, ino, session);
	const struct zk_key prefix = zk_key1(ZK_TABLE_ORPHAN, ino);
	struct zk_scan scan;
	int rc;

	rc = zk_row_delete(ap->tx, &key);
	if (rc < 0) /* said before: a retry */
		return rc == -ENOENT ? 0 : rc;
	rc = zk_scan_begin(ap->tx, &prefix, prefix.len, &scan);
	if (rc < 0)
		return rc;
	rc = zk_scan_next(&scan);
	zk_scan_end(&scan);
	return rc == -ENOENT ? purge(ap, ino) : rc;
}

int
zk_names_reap(struct zk_apply *ap)
{
	const struct zk_command *cmd = ap->cmd;
	struct zk_dec dec;

	if (cmd->data_len % 8 != 0 || cmd->data_len / 8 > ZK_REAP_MAX)
		return -EINVAL;
	zk_dec_init(&dec, cmd->data, cmd->data_len);
	for (size_t i = 0; i < cmd->data_len / 8; i++) {
		int rc = zk_orphan_release(ap, zk_dec_u64(&dec), cmd->session);

		if (rc < 0)
			return rc;
	}
	return 0;
}

int
zk_names_reap_session(struct zk_apply *ap, uint64_t session)
{
	struct zk_scan scan;
	struct zk_key from;
	int rc;

	/* Few nodes are orphans at any time: look at all of them. */
	zk_key_init(&from, ZK_TABLE_ORPHAN);
	rc = zk_scan_begin(ap->tx, &from, from.len, &scan);
	if (rc < 0)
		return rc;
	while ((rc = zk_scan_next(&scan)) == 0) {
		if (zk_get_be64(scan.at.bytes + 1 + 8) != session)
			continue;
		rc = zk_orphan_release(ap, zk_get_be64(scan.at.bytes + 1),
		    session);
		if (rc < 0)
			break;
	}
	zk_scan_end(&scan);
	return rc == -ENOENT ? 0 : rc;
}

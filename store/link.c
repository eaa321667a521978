#include "store/link.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"

#define NAME_AT (1u + 8 + 8)

static struct zk_key
link_key(uint64_t ino, uint64_t parent, const char *name, size_t name_len)
{
	struct zk_key key = zk_key2(ZK_TABLE_NAME, ino, parent);

	zk_key_raw(&key, name, name_len);
	return key;
}

void
zk_link_first(struct zk_inode *node, uint64_t parent, const char *name,
    size_t name_len)
{
	ZK_ASSERT(name_len <= ZK_NAME_MAX);

	node->attr.parent = parent;
	node->name_len = name_len;
	memcpy(node->name, name, name_len);
}

static int
put_row(struct zk_tx *tx, uint64_t ino, uint64_t parent, const char *name,
    size_t name_len)
{
	const struct zk_key key = link_key(ino, parent, name, name_len);

	return zk_row_put(tx, &key, "", 0);
}

int
zk_link_add(struct zk_tx *tx, struct zk_inode *node, uint64_t parent,
    const char *name, size_t name_len)
{
	const struct zk_attr *attr = &node->attr;
	int rc = 0;

	ZK_ASSERT(!S_ISDIR(attr->mode));
	ZK_ASSERT(attr->nlink > 0);

	if (attr->nlink == 1)
		rc = put_row(tx, attr->ino, attr->parent, node->name,
		    node->name_len);
	if (rc == 0)
		rc = put_row(tx, attr->ino, parent, name, name_len);
	zk_link_first(node, parent, name, name_len);
	return rc;
}

/* Any of the rows: the first. */
static int
take_first(struct zk_tx *tx, struct zk_inode *node)
{
	const struct zk_key prefix = zk_key1(ZK_TABLE_NAME, node->attr.ino);
	struct zk_scan scan;
	int rc;

	rc = zk_scan_begin(tx, &prefix, prefix.len, &scan);
	if (rc < 0)
		return rc;
	rc = zk_scan_next(&scan);
	if (rc == 0 &&
	    (scan.at.len <= NAME_AT || scan.at.len > NAME_AT + ZK_NAME_MAX))
		rc = -ENOENT;
	if (rc == 0)
		zk_link_first(node, zk_get_be64(scan.at.bytes + 1 + 8),
		    (const char *)scan.at.bytes + NAME_AT,
		    scan.at.len - NAME_AT);
	zk_scan_end(&scan);
	return rc == -ENOENT ? tx->fatal = -ZK_ECORRUPT : rc;
}

int
zk_link_drop(struct zk_tx *tx, struct zk_inode *node, uint64_t parent,
    const char *name, size_t name_len)
{
	const struct zk_attr *attr = &node->attr;
	const struct zk_key prefix = zk_key1(ZK_TABLE_NAME, attr->ino);
	struct zk_key key;
	int rc;

	if (S_ISDIR(attr->mode) || attr->nlink == 0) {
		node->name_len = 0;
		return 0;
	}
	key = link_key(attr->ino, parent, name, name_len);
	rc = zk_row_delete(tx, &key);
	if (rc == 0 && attr->parent == parent && node->name_len == name_len &&
	    memcmp(node->name, name, name_len) == 0)
		rc = take_first(tx, node);
	if (rc == 0 && attr->nlink == 1) {
		rc = take_first(tx, node);
		if (rc == 0)
			rc = zk_rows_delete(tx, &prefix);
	}
	return rc == -ENOENT ? tx->fatal = -ZK_ECORRUPT : rc;
}

int
zk_link_move(struct zk_tx *tx, struct zk_inode *node,
    const struct zk_link_name *from, const struct zk_link_name *to)
{
	const struct zk_attr *attr = &node->attr;
	struct zk_key key;
	int rc = 0;

	if (!S_ISDIR(attr->mode) && attr->nlink > 1) {
		key = link_key(attr->ino, from->parent, from->name,
		    from->name_len);
		rc = zk_row_delete(tx, &key);
		if (rc == 0)
			rc = put_row(tx, attr->ino, to->parent, to->name,
			    to->name_len);
	}
	zk_link_first(node, to->parent, to->name, to->name_len);
	return rc == -ENOENT ? tx->fatal = -ZK_ECORRUPT : rc;
}

#include "store/read.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "store/content.h"
#include "store/dirent.h"

int
zk_read_lookup(struct zk_tx *tx, uint64_t parent, const char *name,
    size_t name_len, struct zk_attr *ret_attr)
{
	struct zk_entry_ref ref;
	int rc;

	if (name_len > ZK_NAME_MAX)
		return -ENAMETOOLONG;
	rc = zk_dirent_get(tx, parent, name, name_len, &ref);
	if (rc < 0)
		return rc;
	rc = zk_inode_attr(tx, ref.ino, ret_attr);
	/* A name that leads nowhere cannot be. */
	return rc == -ENOENT ? -ZK_ECORRUPT : rc;
}

int
zk_read_content(struct zk_tx *tx, uint64_t ino, uint64_t off, void *buf,
    size_t cap, size_t *ret_len)
{
	struct zk_inode node;
	int rc;

	rc = zk_inode_get(tx, ino, &node);
	if (rc < 0)
		return rc;
	if (!S_ISREG(node.attr.mode))
		return S_ISDIR(node.attr.mode) ? -EISDIR : -EINVAL;
	return zk_content_read(tx, &node, off, buf, cap, ret_len);
}

int
zk_read_seek(struct zk_tx *tx, uint64_t ino, uint64_t off, bool hole,
    uint64_t *ret_off)
{
	struct zk_inode node;
	int rc;

	rc = zk_inode_get(tx, ino, &node);
	if (rc < 0)
		return rc;
	return zk_content_seek(tx, &node, off, hole, ret_off);
}

int
zk_read_link(struct zk_tx *tx, uint64_t ino, char *buf, size_t cap,
    size_t *ret_len)
{
	struct zk_inode node;
	int rc;

	rc = zk_inode_get(tx, ino, &node);
	if (rc < 0)
		return rc;
	if (!S_ISLNK(node.attr.mode))
		return -EINVAL;
	*ret_len = node.data_len < cap ? node.data_len : cap;
	memcpy(buf, node.data, *ret_len);
	return 0;
}

int
/* As getxattr(2), and where.  NOLINTNEXTLINE(readability-function-size) */
zk_read_xattr(struct zk_tx *tx, uint64_t ino, const char *name, size_t name_len,
    void *buf, size_t cap, size_t *ret_len)
{
	struct zk_key key = zk_key1(ZK_TABLE_XATTR, ino);
	const void *value;
	size_t len;
	int rc;

	if (name_len > ZK_XATTR_NAME_MAX)
		return -ERANGE;
	zk_key_raw(&key, name, name_len);
	rc = zk_row_get(tx, &key, &value, &len);
	if (rc < 0)
		return rc == -ENOENT ? -ENODATA : rc;
	*ret_len = len;
	if (cap == 0)
		return 0;
	if (len > cap)
		return -ERANGE;
	memcpy(buf, value, len);
	return 0;
}

int
/* As listxattr(2), and where.  NOLINTNEXTLINE(readability-function-size) */
zk_read_xattr_names(struct zk_tx *tx, uint64_t ino, char *buf, size_t cap,
    size_t *ret_len)
{
	const struct zk_key from = zk_key1(ZK_TABLE_XATTR, ino);
	struct zk_scan scan;
	size_t total = 0;
	int rc;

	rc = zk_scan_begin(tx, &from, from.len, &scan);
	if (rc < 0)
		return rc;
	while ((rc = zk_scan_next(&scan)) == 0) {
		const size_t len = scan.at.len - from.len;

		if (cap != 0) {
			if (total + len + 1 > cap) {
				rc = -ERANGE;
				break;
			}
			memcpy(buf + total, scan.at.bytes + from.len, len);
			buf[total + len] = '\0';
		}
		total += len + 1;
	}
	zk_scan_end(&scan);
	if (rc != -ENOENT)
		return rc;
	*ret_len = total;
	return 0;
}

int
zk_read_dir(struct zk_tx *tx, uint64_t ino, uint64_t after, bool attrs,
    zk_read_entry_fn fn, void *arg)
{
	const struct zk_key from = zk_key2(ZK_TABLE_DIRENT, ino, after + 1);
	struct zk_scan scan;
	bool more = true;
	int rc;

	rc = zk_scan_begin(tx, &from, 1 + 8, &scan);
	if (rc < 0)
		return rc;
	while (more && (rc = zk_scan_next(&scan)) == 0) {
		struct zk_read_entry entry = {0};
		struct zk_entry_ref ref;
		struct zk_attr attr;

		rc = zk_dirent_decode(&scan.at, scan.value, scan.value_len,
		    &ref, &entry.name, &entry.name_len);
		if (rc == 0 && attrs)
			rc = zk_inode_attr(tx, ref.ino, &attr);
		if (rc < 0) {
			rc = -ZK_ECORRUPT;
			break;
		}
		entry.ino = ref.ino;
		entry.slot = ref.slot;
		entry.type = ref.type;
		entry.attr = attrs ? &attr : NULL;
		more = fn(arg, &entry);
	}
	zk_scan_end(&scan);
	return rc == -ENOENT ? 0 : rc;
}

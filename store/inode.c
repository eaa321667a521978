#include "store/inode.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"
#include "store/memo.h"

/*
 * Row: key ino; value: format u8, then the fields of struct zk_attr but ino in
 * the order below, little-endian, then seq, the name's length u8, the name,
 * and the inline bytes.  Format 2: a plain node, without its kind; format 3:
 * any other, whose kind, partition, topic and group come before seq.
 */
#define INODE_PLAIN   2u
#define INODE_SPECIAL 3u

static void
enc_stamp(struct zk_enc *enc, const struct zk_stamp *stamp)
{
	zk_enc_i64(enc, stamp->sec);
	zk_enc_u32(enc, stamp->nsec);
}

static struct zk_stamp
dec_stamp(struct zk_dec *dec)
{
	struct zk_stamp stamp;

	stamp.sec = zk_dec_i64(dec);
	stamp.nsec = zk_dec_u32(dec);
	return stamp;
}

static void
enc_attr(struct zk_enc *enc, const struct zk_attr *attr)
{
	zk_enc_u32(enc, attr->mode);
	zk_enc_u32(enc, attr->nlink);
	zk_enc_u32(enc, attr->uid);
	zk_enc_u32(enc, attr->gid);
	zk_enc_u64(enc, attr->rdev);
	zk_enc_u64(enc, attr->size);
	zk_enc_u64(enc, attr->blocks);
	enc_stamp(enc, &attr->atime);
	enc_stamp(enc, &attr->mtime);
	enc_stamp(enc, &attr->ctime);
	enc_stamp(enc, &attr->btime);
	zk_enc_u64(enc, attr->version);
	zk_enc_u64(enc, attr->cversion);
	zk_enc_u64(enc, attr->czxid);
	zk_enc_u64(enc, attr->mzxid);
	zk_enc_u64(enc, attr->pzxid);
	zk_enc_u64(enc, attr->parent);
	zk_enc_u64(enc, attr->session);
	zk_enc_u64(enc, attr->handle);
}

static void
dec_attr(struct zk_dec *dec, struct zk_attr *attr)
{
	attr->mode = zk_dec_u32(dec);
	attr->nlink = zk_dec_u32(dec);
	attr->uid = zk_dec_u32(dec);
	attr->gid = zk_dec_u32(dec);
	attr->rdev = zk_dec_u64(dec);
	attr->size = zk_dec_u64(dec);
	attr->blocks = zk_dec_u64(dec);
	attr->atime = dec_stamp(dec);
	attr->mtime = dec_stamp(dec);
	attr->ctime = dec_stamp(dec);
	attr->btime = dec_stamp(dec);
	attr->version = zk_dec_u64(dec);
	attr->cversion = zk_dec_u64(dec);
	attr->czxid = zk_dec_u64(dec);
	attr->mzxid = zk_dec_u64(dec);
	attr->pzxid = zk_dec_u64(dec);
	attr->parent = zk_dec_u64(dec);
	attr->session = zk_dec_u64(dec);
	attr->handle = zk_dec_u64(dec);
}

static void
enc_special(struct zk_enc *enc, const struct zk_attr *attr)
{
	zk_enc_u32(enc, attr->kind);
	zk_enc_u32(enc, attr->partition);
	zk_enc_u64(enc, attr->topic);
	zk_enc_u64(enc, attr->group);
}

/* False: a kind that is none. */
static bool
dec_special(struct zk_dec *dec, struct zk_attr *attr)
{
	attr->kind = zk_dec_u32(dec);
	attr->partition = zk_dec_u32(dec);
	attr->topic = zk_dec_u64(dec);
	attr->group = zk_dec_u64(dec);
	return attr->kind != ZK_NODE_PLAIN && attr->kind < ZK_NODE_KINDS;
}

/* The row of ino, its attributes decoded; *ret_dec stands at what follows. */
static int
inode_open(struct zk_tx *tx, uint64_t ino, struct zk_attr *ret_attr,
    struct zk_dec *ret_dec)
{
	const struct zk_key key = zk_key1(ZK_TABLE_INODE, ino);
	const void *value;
	uint8_t format;
	size_t len;
	int rc;

	rc = zk_row_get(tx, &key, &value, &len);
	if (rc < 0)
		return rc;
	zk_dec_init(ret_dec, value, len);
	format = zk_dec_u8(ret_dec);
	if (format != INODE_PLAIN && format != INODE_SPECIAL)
		return tx->fatal = -ZK_ECORRUPT;
	*ret_attr = (struct zk_attr){.ino = ino};
	dec_attr(ret_dec, ret_attr);
	if (format == INODE_SPECIAL && !dec_special(ret_dec, ret_attr))
		return tx->fatal = -ZK_ECORRUPT;
	return 0;
}

int
zk_inode_attr(struct zk_tx *tx, uint64_t ino, struct zk_attr *ret_attr)
{
	struct zk_dec dec;

	return inode_open(tx, ino, ret_attr, &dec);
}

int
zk_inode_attr_name(struct zk_tx *tx, uint64_t ino, struct zk_attr *ret_attr,
    const char **ret_name, size_t *ret_len)
{
	struct zk_dec dec;
	int rc;

	rc = inode_open(tx, ino, ret_attr, &dec);
	if (rc < 0)
		return rc;
	(void)zk_dec_u64(&dec);
	*ret_len = zk_dec_u8(&dec);
	*ret_name = zk_dec_raw(&dec, *ret_len);
	return dec.failed ? tx->fatal = -ZK_ECORRUPT : 0;
}

int
zk_inode_get(struct zk_tx *tx, uint64_t ino, struct zk_inode *ret_inode)
{
	struct zk_dec dec;
	const void *data;
	int rc;

	rc = inode_open(tx, ino, &ret_inode->attr, &dec);
	if (rc < 0)
		return rc;
	ret_inode->seq = zk_dec_u64(&dec);
	ret_inode->name_len = zk_dec_u8(&dec);
	data = zk_dec_raw(&dec, ret_inode->name_len);
	if (data != NULL)
		memcpy(ret_inode->name, data, ret_inode->name_len);
	ret_inode->data_len = dec.len - dec.pos;
	if (dec.failed || ret_inode->data_len > sizeof(ret_inode->data))
		return tx->fatal = -ZK_ECORRUPT;
	data = zk_dec_raw(&dec, ret_inode->data_len);
	if (ret_inode->data_len > 0)
		memcpy(ret_inode->data, data, ret_inode->data_len);
	return 0;
}

int
zk_inode_put(struct zk_tx *tx, const struct zk_inode *inode)
{
	const struct zk_key key = zk_key1(ZK_TABLE_INODE, inode->attr.ino);
	uint8_t value[512 + ZK_SYMLINK_MAX + 1];
	struct zk_memo *memo = tx->memo;
	const uint64_t dir = memo != NULL ? memo->dir : 0;
	struct zk_enc enc;
	int rc;

	ZK_ASSERT(inode->attr.ino != 0);
	ZK_ASSERT(inode->name_len <= ZK_NAME_MAX);
	ZK_ASSERT(!S_ISREG(inode->attr.mode) || inode->data_len == 0 ||
	    inode->data_len == inode->attr.size);

	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u8(&enc,
	    inode->attr.kind == ZK_NODE_PLAIN ? INODE_PLAIN : INODE_SPECIAL);
	enc_attr(&enc, &inode->attr);
	if (inode->attr.kind != ZK_NODE_PLAIN)
		enc_special(&enc, &inode->attr);
	zk_enc_u64(&enc, inode->seq);
	zk_enc_u8(&enc, (uint8_t)inode->name_len);
	zk_enc_raw(&enc, inode->name, inode->name_len);
	zk_enc_raw(&enc, inode->data, inode->data_len);
	ZK_ASSERT(!enc.failed);
	rc = zk_row_put(tx, &key, value, enc.len);
	/* Where a directory is follows from directories alone. */
	if (memo != NULL && !S_ISDIR(inode->attr.mode))
		memo->dir = dir;
	return rc;
}

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/limits.h"
#include "fs/events.h"
#include "fs/handle.h"
#include "fs/handover.h"
#include "fs/impl.h"
#include "fs/init.h"
#include "fs/next.h"
#include "fs/topic.h"
#include "fs/trunc.h"

/* The other half is handover_save.c.  Before any thread runs. */

#define TEXT_BYTES_MAX ((size_t)64 * ZK_MIB)

static bool
dec_bool(struct zk_dec *dec)
{
	return zk_dec_u8(dec) != 0;
}

/* A string of its own, or NULL where there was none. */
static char *
dec_text(struct zk_dec *dec, size_t *ret_len)
{
	const void *bytes;
	char *text;
	size_t len;

	*ret_len = 0;
	if (!dec_bool(dec))
		return NULL;
	bytes = zk_dec_bytes(dec, TEXT_BYTES_MAX, &len);
	text = dec->failed ? NULL : malloc(len + 1);
	if (text == NULL) {
		dec->failed = true;
		return NULL;
	}
	if (len > 0)
		memcpy(text, bytes, len);
	text[len] = '\0';
	*ret_len = len;
	return text;
}

/* How many of what takes at least `least` bytes each. */
static uint64_t
dec_count(struct zk_dec *dec, size_t least)
{
	const uint64_t count = zk_dec_u64(dec);

	if (count > (dec->len - dec->pos) / least)
		dec->failed = true;
	return dec->failed ? 0 : count;
}

/* What the handle that made it is, is known when there are handles. */
struct creator {
	uint64_t ino, fh;
};

/* What is known of topics and partitions is to be made of it. */
static void
take_kind(struct zk_fs *fs, struct zk_dec *dec, struct zk_inode *inode,
    uint32_t format)
{
	struct zk_attr attr = {.kind = ZK_NODE_PLAIN};
	uint32_t kind;

	if (format > ZK_HANDOVER_FORMAT_APPENDS)
		kind = zk_dec_u32(dec);
	else if (fs->port.getattr(fs->port.impl, inode->ino, &attr) == 0)
		kind = attr.kind;
	else
		return;
	if (kind != ZK_NODE_TOPIC && kind != ZK_NODE_PARTITION)
		return;
	inode->topical = kind;
	zk_appends_know(fs, inode->ino, kind);
}

static void
take_inode(struct zk_fs *fs, struct zk_dec *dec, struct creator *ret_creator,
    uint32_t format)
{
	const uint64_t ino = zk_dec_u64(dec);
	struct zk_inode *inode =
	    ino == 0 ? NULL : zk_inodes_get(&fs->inodes, ino);
	bool attr, data;
	size_t len;

	if (inode == NULL) {
		dec->failed = true;
		return;
	}
	inode->nlookup = zk_dec_u64(dec);
	inode->mode_told = zk_dec_u32(dec);
	inode->named_ms = zk_dec_u64(dec);
	inode->orphan = dec_bool(dec);
	inode->posix_locks = dec_bool(dec);
	inode->copied = dec_bool(dec);
	attr = dec_bool(dec);
	data = dec_bool(dec);
	inode->replaced_ms = zk_dec_u64(dec);
	inode->replaced_before_ms = zk_dec_u64(dec);
	*ret_creator = (struct creator){ino, zk_dec_u64(dec)};
	inode->name = dec_text(dec, &len);
	take_kind(fs, dec, inode, format);
	if (attr || data)
		zk_notify_inode(fs, ino, data);
}

static void
take_expect(struct zk_dec *dec, struct zk_expect *ret_expect)
{
	ret_expect->ino = zk_dec_u64(dec);
	ret_expect->version = zk_dec_u64(dec);
	ret_expect->process.pid = (pid_t)zk_dec_u64(dec);
	ret_expect->process.life = zk_dec_u64(dec);
}

static void
take_topic(struct zk_fs *fs, struct zk_dec *dec, struct zk_handle *h,
    uint32_t format)
{
	struct zk_topic_file *file;
	const void *tail;

	h->kind = zk_dec_u32(dec);
	h->partition = zk_dec_u32(dec);
	h->topic = zk_dec_u64(dec);
	h->group = zk_dec_u64(dec);
	if (format > ZK_HANDOVER_FORMAT_OLD && dec_bool(dec) &&
	    zk_next_restore(fs, dec, h, format > ZK_HANDOVER_FORMAT_TRIES) < 0)
		dec->failed = true;
	if (!dec_bool(dec))
		return;
	file = h->topic_file = calloc(1, sizeof(*file));
	if (file == NULL) {
		dec->failed = true;
		return;
	}
	file->shift = zk_dec_u64(dec);
	file->follow = zk_dec_u64(dec);
	file->counted = dec_bool(dec);
	tail = zk_dec_bytes(dec, TEXT_BYTES_MAX, &file->tail_len);
	file->tail_cap = file->tail_len + 1;
	file->tail = tail == NULL ? NULL : malloc(file->tail_cap);
	if (file->tail == NULL)
		dec->failed = true;
	else if (file->tail_len > 0)
		memcpy(file->tail, tail, file->tail_len);
}

/* What it was tied for, and what hangs on its inode. */
static void
attach(struct zk_fs *fs, struct zk_handle *h, bool fresh, bool trunc)
{
	const bool refused = h->refused;
	struct zk_inode *inode;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, h->ino);
	if (inode != NULL && fresh) {
		LIST_INSERT_HEAD(&inode->fresh, h, fresh_link);
		h->fresh = true;
	}
	if (inode != NULL && h->topic_file != NULL && h->topic_file->counted)
		inode->closers++;
	if (inode != NULL && trunc) {
		zk_trunc_begin(&fs->inodes, inode, h);
		if (refused)
			zk_trunc_refused(&fs->inodes, inode, h);
	}
	(void)pthread_mutex_unlock(&fs->inodes.lock);
}

static void
take_handle(struct zk_fs *fs, struct zk_dec *dec, uint32_t format)
{
	struct zk_handle *h = zk_handle_take(fs, zk_dec_u64(dec));
	bool tied, owner, locked, fresh, trunc;
	uint64_t ino, session;

	if (h == NULL) {
		dec->failed = true;
		return;
	}
	h->id = zk_dec_u64(dec);
	ino = zk_dec_u64(dec);
	h->session = session = zk_dec_u64(dec);
	h->flags = (int)zk_dec_u32(dec);
	h->uid = zk_dec_u32(dec);
	h->gid = zk_dec_u32(dec);
	h->tid = (pid_t)zk_dec_u32(dec);
	h->direct = dec_bool(dec);
	tied = dec_bool(dec);
	owner = dec_bool(dec);
	locked = dec_bool(dec);
	fresh = dec_bool(dec);
	trunc = dec_bool(dec);
	h->refused = dec_bool(dec);
	h->expects = dec_bool(dec);
	h->expect = zk_dec_u64(dec);
	take_expect(dec, &h->met);
	take_topic(fs, dec, h, format);
	h->text = dec_text(dec, &h->text_len);
	if (h->text != NULL && format > ZK_HANDOVER_FORMAT_RESULTS) {
		h->text_new = dec_bool(dec);
		h->text_at = zk_dec_u64(dec);
	}
	if (dec_bool(dec) && zk_stream_take(dec, h) < 0)
		dec->failed = true;
	if (dec->failed)
		return;
	if (ino != 0 && zk_handle_open(fs, h, ino) < 0)
		dec->failed = true;
	/* Any tie makes the command of its end; then what it was. */
	if (!dec->failed && tied && zk_handle_tie(fs, h, ZK_TIE_OWNER) < 0)
		dec->failed = true;
	h->owner = owner;
	h->locked = locked;
	h->session = session;
	attach(fs, h, fresh, trunc);
}

static void
take_creators(struct zk_fs *fs, const struct creator *creators, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		const struct fuse_file_info fi = {.fh = creators[i].fh};
		struct zk_inode *inode =
		    zk_inodes_find(&fs->inodes, creators[i].ino);

		if (inode != NULL)
			inode->creator = zk_handle_of(&fi);
	}
}

static void
take_nodes(struct zk_fs *fs, struct zk_dec *dec, uint32_t format)
{
	const uint64_t inodes = dec_count(dec, 8);
	struct creator *creators = calloc(inodes + 1, sizeof(*creators));
	uint64_t handles;

	if (creators == NULL)
		dec->failed = true;
	for (uint64_t i = 0; i < inodes && !dec->failed; i++)
		take_inode(fs, dec, &creators[i], format);
	handles = dec_count(dec, 8);
	for (uint64_t i = 0; i < handles && !dec->failed; i++)
		take_handle(fs, dec, format);
	if (!dec->failed)
		take_creators(fs, creators, inodes);
	free(creators);
}

static void
take_names(struct zk_fs *fs, struct zk_dec *dec)
{
	uint64_t count;

	fs->notifier.all_names = dec_bool(dec);
	count = dec_count(dec, 12);
	for (uint64_t i = 0; i < count && !dec->failed; i++) {
		const uint64_t parent = zk_dec_u64(dec);
		size_t len;
		const char *name = zk_dec_bytes(dec, ZK_NAME_MAX, &len);

		if (!dec->failed)
			zk_notify_name(fs, parent, name, len);
	}
}

static void
take_side(struct zk_dec *dec, struct zk_order *order, int i, char **to)
{
	struct zk_order_side *side = &order->sides[i];
	size_t len;
	char *name;

	side->dir = zk_dec_u64(dec);
	name = dec_text(dec, &len);
	side->overtaken = dec_bool(dec);
	side->unknown = dec_bool(dec);
	if (len > ZK_NAME_MAX || (side->dir != 0 && name == NULL))
		dec->failed = true;
	if (!dec->failed && side->dir != 0) {
		side->order = order;
		side->name = *to;
		memcpy(*to, name, len + 1);
		*to += len + 1;
	}
	free(name);
}

static void
take_order(struct zk_replay *r, struct zk_dec *dec)
{
	struct zk_order *order =
	    calloc(1, sizeof(*order) + (size_t)2 * (ZK_NAME_MAX + 1) + 1);
	char *to;

	if (order == NULL) {
		dec->failed = true;
		return;
	}
	to = order->names;
	order->kind = (enum zk_order_kind)zk_dec_u8(dec);
	order->exchange = dec_bool(dec);
	order->back = dec_bool(dec);
	order->in_use = dec_bool(dec);
	order->raised = dec_bool(dec);
	order->ino = zk_dec_u64(dec);
	order->ino2 = zk_dec_u64(dec);
	order->type = zk_dec_u32(dec);
	order->type2 = zk_dec_u32(dec);
	order->nlink = zk_dec_u32(dec);
	order->nlink2 = zk_dec_u32(dec);
	take_side(dec, order, 0, &to);
	take_side(dec, order, 1, &to);
	zk_order_set_leaves(order, to);
	if (dec->failed || order->kind > ZK_ORDER_SYNC) {
		dec->failed = true;
		free(order);
		return;
	}
	zk_queue_add(&r->queue, order);
}

static void
take_rest(struct zk_fs *fs, struct zk_dec *dec)
{
	uint64_t count = zk_dec_u32(dec);

	if (count > ZK_EXPECTS_MAX)
		dec->failed = true;
	for (uint64_t i = 0; i < count && !dec->failed; i++)
		take_expect(dec, &fs->expects.rows[i]);
	atomic_store(&fs->expects.count, dec->failed ? 0 : (uint32_t)count);
	count = dec_count(dec, 8);
	for (uint64_t i = 0; i < count && !dec->failed; i++)
		zk_calls_reap(fs, zk_dec_u64(dec));
	count = dec_count(dec, 4);
	for (uint64_t i = 0; i < count && !dec->failed; i++) {
		struct zk_kept *kept = calloc(1, sizeof(*kept));
		const void *bytes =
		    zk_dec_bytes(dec, ZK_REQUEST_BYTES_MAX, &(size_t){0});

		if (kept == NULL || bytes == NULL) {
			free(kept);
			dec->failed = true;
			return;
		}
		kept->len =
		    (size_t)(dec->buf + dec->pos - (const uint8_t *)bytes);
		memcpy(kept->bytes, bytes, kept->len);
		STAILQ_INSERT_TAIL(&fs->kept, kept, link);
	}
}

int
zk_handover_take(struct zk_fs *fs, const void *bytes, size_t len)
{
	uint8_t init[sizeof(fs->init)];
	const void *request;
	struct zk_dec dec;
	uint64_t orders;
	size_t init_len;
	uint32_t format;

	zk_dec_init(&dec, bytes, len);
	format = zk_dec_u32(&dec);
	if (format < ZK_HANDOVER_FORMAT_OLD || format > ZK_HANDOVER_FORMAT)
		return -EPROTO;
	request = zk_dec_bytes(&dec, sizeof(init), &init_len);
	if (request == NULL)
		return -EPROTO;
	memcpy(init, request, init_len);
	zk_init_again(fs, init, init_len);
	fs->mount_id = (int)zk_dec_u32(&dec);
	fs->mounted_s = zk_dec_u64(&dec);
	atomic_store(&fs->handle_last, zk_dec_u64(&dec));
	atomic_store(&fs->requests, zk_dec_u64(&dec));
	take_nodes(fs, &dec, format);
	take_names(fs, &dec);
	orders = dec_count(&dec, 8);
	fs->replay.ghost_last = zk_dec_u64(&dec);
	for (uint64_t i = 0; i < orders && !dec.failed; i++)
		take_order(&fs->replay, &dec);
	take_rest(fs, &dec);
	if (format > ZK_HANDOVER_FORMAT_APPENDS)
		zk_appends_take(fs, &dec);
	zk_control_watch_take(fs, &dec, format <= ZK_HANDOVER_FORMAT_APPENDS);
	return zk_dec_done(&dec) ? 0 : -EPROTO;
}

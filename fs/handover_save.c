#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/limits.h"
#include "fs/events.h"
#include "fs/handle.h"
#include "fs/handover.h"
#include "fs/impl.h"
#include "fs/next.h"
#include "fs/topic.h"
#include "fs/trunc.h"

/* The other half is handover_take.c.  Nothing else runs meanwhile. */

#define SAVE_BYTES_MIN ((size_t)ZK_MIB)
#define SAVE_BYTES_MAX ((size_t)4096 * ZK_MIB)

static void
enc_bool(struct zk_enc *enc, bool value)
{
	zk_enc_u8(enc, value);
}

static void
enc_text(struct zk_enc *enc, const char *text)
{
	enc_bool(enc, text != NULL);
	if (text != NULL)
		zk_enc_bytes(enc, text, strlen(text));
}

static void
save_inode(struct zk_enc *enc, const struct zk_inode *inode)
{
	zk_enc_u64(enc, inode->ino);
	zk_enc_u64(enc, inode->nlookup);
	zk_enc_u32(enc, inode->mode_told);
	zk_enc_u64(enc, inode->named_ms);
	enc_bool(enc, inode->orphan);
	enc_bool(enc, inode->posix_locks);
	enc_bool(enc, inode->copied);
	enc_bool(enc, inode->stale_attr);
	enc_bool(enc, inode->stale_data);
	zk_enc_u64(enc, inode->replaced_ms);
	zk_enc_u64(enc, inode->replaced_before_ms);
	zk_enc_u64(enc, inode->creator != NULL ? inode->creator->fh : 0);
	enc_text(enc, inode->name);
	zk_enc_u32(enc, inode->topical);
}

static void
save_inodes(struct zk_enc *enc, const struct zk_inodes *t)
{
	zk_enc_u64(enc, t->count);
	for (size_t i = 0; i < t->bucket_count; i++)
		for (const struct zk_inode *inode = t->buckets[i];
		     inode != NULL; inode = inode->next)
			save_inode(enc, inode);
}

static void
save_expect(struct zk_enc *enc, const struct zk_expect *expect)
{
	zk_enc_u64(enc, expect->ino);
	zk_enc_u64(enc, expect->version);
	zk_enc_u64(enc, (uint64_t)expect->process.pid);
	zk_enc_u64(enc, expect->process.life);
}

static void
save_topic(struct zk_enc *enc, const struct zk_handle *h)
{
	const struct zk_topic_file *file = h->topic_file;

	zk_enc_u32(enc, h->kind);
	zk_enc_u32(enc, h->partition);
	zk_enc_u64(enc, h->topic);
	zk_enc_u64(enc, h->group);
	enc_bool(enc, h->next != NULL);
	if (h->next != NULL)
		zk_next_save(enc, h->next);
	enc_bool(enc, file != NULL);
	if (file == NULL)
		return;
	zk_enc_u64(enc, file->shift);
	zk_enc_u64(enc, file->follow);
	enc_bool(enc, file->counted);
	zk_enc_bytes(enc, file->tail, file->tail_len);
}

static void
save_handle(struct zk_enc *enc, struct zk_inodes *t, const struct zk_handle *h)
{
	const bool settled = h->trunc && !zk_trunc_owes(t, h);

	zk_enc_u64(enc, h->fh);
	zk_enc_u64(enc, h->id);
	zk_enc_u64(enc, h->ino);
	zk_enc_u64(enc, h->session);
	zk_enc_u32(enc, (uint32_t)h->flags);
	zk_enc_u32(enc, h->uid);
	zk_enc_u32(enc, h->gid);
	zk_enc_u32(enc, (uint32_t)h->tid);
	enc_bool(enc, h->direct);
	enc_bool(enc, h->release != NULL);
	enc_bool(enc, h->owner);
	enc_bool(enc, h->locked);
	enc_bool(enc, h->fresh);
	enc_bool(enc, h->trunc);
	enc_bool(enc, h->refused || settled);
	enc_bool(enc, h->expects);
	zk_enc_u64(enc, h->expect);
	save_expect(enc, &h->met);
	save_topic(enc, h);
	enc_bool(enc, h->text != NULL);
	if (h->text != NULL) {
		zk_enc_bytes(enc, h->text, h->text_len);
		enc_bool(enc, h->text_new);
		zk_enc_u64(enc, h->text_at);
	}
	enc_bool(enc, h->stream != NULL);
	if (h->stream != NULL)
		zk_stream_save(enc, h->stream);
}

/* The last one first: they are put before each other. */
static void
save_handles(struct zk_enc *enc, struct zk_inodes *t)
{
	const struct zk_handle **list, *h;
	size_t count = 0, n = 0;

	LIST_FOREACH(h, &t->handles, link)
	count++;
	zk_enc_u64(enc, count);
	list = reallocarray(NULL, count + 1, sizeof(const struct zk_handle *));
	if (list == NULL) {
		enc->failed = true;
		return;
	}
	LIST_FOREACH(h, &t->handles, link)
	list[n++] = h;
	while (n-- > 0)
		save_handle(enc, t, list[n]);
	free(list);
}

static void
save_names(struct zk_enc *enc, const struct zk_notifier *n)
{
	enc_bool(enc, n->all_names);
	zk_enc_u64(enc, n->name_count);
	for (const struct zk_stale_name *s = n->name_first; s != NULL;
	     s = s->q_next) {
		zk_enc_u64(enc, s->parent);
		zk_enc_bytes(enc, s->name, s->name_len);
	}
}

static void
save_order(struct zk_enc *enc, const struct zk_order *order)
{
	zk_enc_u8(enc, (uint8_t)order->kind);
	enc_bool(enc, order->exchange);
	enc_bool(enc, order->back);
	enc_bool(enc, order->in_use);
	enc_bool(enc, order->raised);
	zk_enc_u64(enc, order->ino);
	zk_enc_u64(enc, order->ino2);
	zk_enc_u32(enc, order->type);
	zk_enc_u32(enc, order->type2);
	zk_enc_u32(enc, order->nlink);
	zk_enc_u32(enc, order->nlink2);
	for (int i = 0; i < 2; i++) {
		const struct zk_order_side *side = &order->sides[i];

		zk_enc_u64(enc, side->dir);
		enc_text(enc, side->dir != 0 ? side->name : NULL);
		enc_bool(enc, side->overtaken);
		enc_bool(enc, side->unknown);
	}
}

static void
save_orders(struct zk_enc *enc, const struct zk_replay *r)
{
	const struct zk_order *order;

	ZK_ASSERT(r->current == NULL);
	zk_enc_u64(enc, r->queue.count);
	zk_enc_u64(enc, r->ghost_last);
	TAILQ_FOREACH(order, &r->queue.orders, link)
	save_order(enc, order);
}

static void
save_rest(struct zk_enc *enc, const struct zk_fs *fs)
{
	const struct zk_calls *calls = &fs->calls;
	const struct zk_kept *kept;
	uint64_t count = 0;

	zk_enc_u32(enc, fs->expects.count);
	for (uint32_t i = 0; i < fs->expects.count; i++)
		save_expect(enc, &fs->expects.rows[i]);
	zk_enc_u64(enc, calls->reap_count);
	for (size_t i = 0; i < calls->reap_count; i++)
		zk_enc_u64(enc, calls->reap[i]);
	STAILQ_FOREACH(kept, &fs->kept, link)
	count++;
	zk_enc_u64(enc, count);
	STAILQ_FOREACH(kept, &fs->kept, link)
	zk_enc_bytes(enc, kept->bytes, kept->len);
}

static void
save(struct zk_enc *enc, struct zk_fs *fs)
{
	zk_enc_u32(enc, ZK_HANDOVER_FORMAT);
	zk_enc_bytes(enc, fs->init, atomic_load(&fs->init_len));
	zk_enc_u32(enc, (uint32_t)fs->mount_id);
	zk_enc_u64(enc, fs->mounted_s);
	zk_enc_u64(enc, atomic_load(&fs->handle_last));
	zk_enc_u64(enc, atomic_load(&fs->requests));
	save_inodes(enc, &fs->inodes);
	save_handles(enc, &fs->inodes);
	save_names(enc, &fs->notifier);
	save_orders(enc, &fs->replay);
	save_rest(enc, fs);
	zk_appends_save(enc, &fs->appends);
	zk_control_watch_save(enc, &fs->control_watch);
}

int
zk_fs_save(struct zk_fs *fs, void **ret_bytes, size_t *ret_len, int *ret_fd)
{
	/* The last change has been applied. */
	zk_replay_stop(fs);
	zk_nexts_keep(fs);
	for (size_t cap = SAVE_BYTES_MIN; cap <= SAVE_BYTES_MAX; cap *= 2) {
		struct zk_enc enc;
		void *bytes = malloc(cap);

		if (bytes == NULL)
			return -ENOMEM;
		zk_enc_init(&enc, bytes, cap);
		save(&enc, fs);
		if (!enc.failed) {
			*ret_bytes = bytes;
			*ret_len = enc.len;
			*ret_fd = fuse_session_fd(fs->session);
			return 0;
		}
		free(bytes);
	}
	return -EFBIG;
}

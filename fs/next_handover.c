#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/limits.h"
#include "fs/call_impl.h"
#include "fs/next_impl.h"
#include "fs/reply.h"

/*
 * An open `next` in another program's hands: what was read and not yet
 * acknowledged, and how far its partitions were read.  The member is one in
 * the tree, by session and handle, and goes on.
 *
 * u64 position, told; u64 pieces, each u32 number, u64 since, off, len; the
 * bytes; u64 shares, each u32 number, u64 partition, since, read, done, u8
 * whether a record of it is being processed, u64 which one, u32 for which time,
 * u32 how often this stream had begun with it before.
 */

/* More than what one read brings, and a record. */
#define WINDOW_BYTES_MAX ((size_t)64 * ZK_MIB)

static void
keep_reads(struct zk_next *s)
{
	struct zk_call *call;

	while ((call = zk_call_take(s->fs, &s->waiting)) != NULL) {
		if (zk_call_finish(call) && zk_handover_keep(call) < 0)
			zk_reply_rc(call->req, -EINTR);
		zk_call_end(call);
	}
}

void
zk_nexts_keep(struct zk_fs *fs)
{
	struct zk_next *s;

	for (s = TAILQ_FIRST(&fs->nexts.all); s != NULL;
	     s = TAILQ_NEXT(s, link)) {
		keep_reads(s);
		if (s->poll == NULL)
			continue;
		(void)fuse_lowlevel_notify_poll(s->poll);
		fuse_pollhandle_destroy(s->poll);
		s->poll = NULL;
	}
}

void
zk_next_save(struct zk_enc *enc, const struct zk_next *s)
{
	const struct zk_window *w = &s->window;
	const struct zk_share *share;
	uint64_t count = 0;

	zk_enc_u64(enc, w->pos);
	zk_enc_u64(enc, w->told);
	zk_enc_u64(enc, w->count);
	for (size_t i = 0; i < w->count; i++) {
		zk_enc_u32(enc, w->pieces[i].number);
		zk_enc_u64(enc, w->pieces[i].since);
		zk_enc_u64(enc, w->pieces[i].off);
		zk_enc_u64(enc, w->pieces[i].len);
	}
	zk_enc_bytes(enc, w->len > 0 ? w->buf + w->head : "", w->len);
	for (share = s->shares; share != NULL; share = share->next)
		count++;
	zk_enc_u64(enc, count);
	for (share = s->shares; share != NULL; share = share->next) {
		zk_enc_u32(enc, share->number);
		zk_enc_u64(enc, share->partition);
		zk_enc_u64(enc, share->since);
		zk_enc_u64(enc, share->read);
		zk_enc_u64(enc, share->done);
		zk_enc_u8(enc, share->trying);
		zk_enc_u64(enc, share->tried);
		zk_enc_u32(enc, share->tries);
		zk_enc_u32(enc, share->begun);
	}
}

/* Pieces are added as they were, each after its bytes. */
static int
restore_window(struct zk_dec *dec, struct zk_window *w)
{
	const uint64_t pos = zk_dec_u64(dec), told = zk_dec_u64(dec);
	const uint64_t count = zk_dec_u64(dec);
	struct zk_dec pieces = *dec;
	const char *bytes;
	size_t len, at = 0;

	for (uint64_t i = 0; i < count && !dec->failed; i++) {
		(void)zk_dec_u32(dec);
		for (int j = 0; j < 3; j++)
			(void)zk_dec_u64(dec);
	}
	bytes = zk_dec_bytes(dec, WINDOW_BYTES_MAX, &len);
	if (dec->failed)
		return -EPROTO;
	w->pos = pos;
	w->told = w->at = told;
	for (uint64_t i = 0; i < count; i++) {
		struct zk_window_piece piece = {.number = zk_dec_u32(&pieces)};
		char *to;
		int rc;

		piece.since = zk_dec_u64(&pieces);
		piece.off = zk_dec_u64(&pieces);
		piece.len = (size_t)zk_dec_u64(&pieces);
		if (piece.len == 0 || piece.len > len - at)
			return -EPROTO;
		to = zk_window_reserve(w, piece.len);
		if (to == NULL)
			return -ENOMEM;
		memcpy(to, bytes + at, piece.len);
		rc = zk_window_add(w, &piece);
		if (rc < 0)
			return rc;
		at += piece.len;
	}
	return at == len && told <= zk_window_end(w) ? 0 : -EPROTO;
}

static int
restore_shares(struct zk_dec *dec, struct zk_next *s, bool tries)
{
	const uint64_t count = zk_dec_u64(dec);

	for (uint64_t i = 0; i < count && !dec->failed; i++) {
		const uint32_t number = zk_dec_u32(dec);
		struct zk_share *share =
		    zk_next_share_add(s, number, zk_dec_u64(dec));

		if (share == NULL)
			return -ENOMEM;
		share->since = zk_dec_u64(dec);
		share->read = zk_dec_u64(dec);
		/* Whether that was heard is not known: it is said again. */
		share->done = zk_dec_u64(dec);
		if (tries) {
			share->trying = zk_dec_u8(dec) != 0;
			share->tried = zk_dec_u64(dec);
			share->tries = zk_dec_u32(dec);
			share->begun = zk_dec_u32(dec);
		}
		share->wet = true;
		share->first = ZK_SHARE_FIRST_UNKNOWN;
	}
	return dec->failed ? -EPROTO : 0;
}

int
zk_next_restore(struct zk_fs *fs, struct zk_dec *dec, struct zk_handle *handle,
    bool tries)
{
	struct zk_next *s = zk_next_new(fs, handle);
	int rc;

	if (s == NULL)
		return -ENOMEM;
	handle->next = s;
	rc = restore_window(dec, &s->window);
	if (rc == 0)
		rc = restore_shares(dec, s, tries);
	if (rc < 0)
		return rc;
	(void)pthread_mutex_lock(&fs->nexts.lock);
	zk_next_dirty(s);
	(void)pthread_mutex_unlock(&fs->nexts.lock);
	return 0;
}

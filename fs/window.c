#include "fs/window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

void
zk_window_fini(struct zk_window *w)
{
	free(w->buf);
	free(w->pieces);
	*w = (struct zk_window){0};
}

char *
zk_window_reserve(struct zk_window *w, size_t len)
{
	if (w->head > 0) {
		memmove(w->buf, w->buf + w->head, w->len);
		w->head = 0;
	}
	if (w->len + len > w->cap) {
		char *grown = realloc(w->buf, w->len + len);

		if (grown == NULL)
			return NULL;
		w->buf = grown;
		w->cap = w->len + len;
	}
	return w->buf + w->len;
}

int
zk_window_add(struct zk_window *w, const struct zk_window_piece *piece)
{
	struct zk_window_piece *last;

	ZK_ASSERT(piece->len > 0);
	ZK_ASSERT(w->head + w->len + piece->len <= w->cap);

	last = w->count > 0 ? &w->pieces[w->count - 1] : NULL;
	if (last != NULL && last->number == piece->number &&
	    last->since == piece->since &&
	    last->off + last->len == piece->off) {
		last->len += piece->len;
		w->len += piece->len;
		return 0;
	}
	if (w->count == w->piece_cap) {
		const size_t cap = w->piece_cap == 0 ? 8 : 2 * w->piece_cap;
		void *grown = reallocarray(w->pieces, cap, sizeof(*w->pieces));

		if (grown == NULL)
			return -ENOMEM;
		w->pieces = grown;
		w->piece_cap = cap;
	}
	ZK_ASSERT(w->pieces != NULL);
	w->pieces[w->count++] = *piece;
	w->len += piece->len;
	return 0;
}

static void
drop_front(struct zk_window *w, size_t len)
{
	ZK_ASSERT(len <= w->len);

	w->head += len;
	w->len -= len;
	w->pos += len;
	if (w->len == 0)
		w->head = 0;
}

static void
drop_pieces(struct zk_window *w, size_t count)
{
	ZK_ASSERT(count <= w->count);

	w->count -= count;
	memmove(w->pieces, w->pieces + count, w->count * sizeof(*w->pieces));
}

/* Bytes of whole records among the first `len` of the window. */
static size_t
whole_before(const struct zk_window *w, size_t len)
{
	const char *bytes = w->buf + w->head;
	const char *last = len > 0 ? memrchr(bytes, '\n', len) : NULL;

	return last == NULL ? 0 : (size_t)(last - bytes) + 1;
}

int
zk_window_seek(struct zk_window *w, uint64_t pos, size_t size,
    zk_window_done_fn done, void *arg)
{
	size_t gone = 0, part;

	if (pos < w->pos)
		return -ENODATA;
	if (pos > w->told)
		return -EINVAL;
	while (gone < w->count && w->pieces[gone].len <= pos - w->pos) {
		const struct zk_window_piece *piece = &w->pieces[gone++];

		done(arg, piece, piece->off + piece->len);
		drop_front(w, piece->len);
	}
	drop_pieces(w, gone);
	part = whole_before(w, (size_t)(pos - w->pos));
	if (part > 0) {
		struct zk_window_piece *piece = &w->pieces[0];

		piece->off += part;
		piece->len -= part;
		done(arg, piece, piece->off);
		drop_front(w, part);
	}
	if (size >= w->told - pos)
		w->told = pos;
	w->at = pos;
	return 0;
}

size_t
zk_window_take(struct zk_window *w, uint64_t pos, size_t size,
    const char **ret_bytes)
{
	size_t at, len;

	ZK_ASSERT(pos >= w->pos);
	ZK_ASSERT(pos <= zk_window_end(w));

	at = (size_t)(pos - w->pos);
	len = w->len - at < size ? w->len - at : size;
	*ret_bytes = w->buf + w->head + at;
	w->at = pos + len;
	if (w->at > w->told)
		w->told = w->at;
	return len;
}

/* How much of a piece at `at` (in the window) has been told, by records. */
static size_t
told_of(const struct zk_window *w, size_t at, size_t len)
{
	const char *bytes = w->buf + w->head + at, *end;
	size_t told = w->told > w->pos ? (size_t)(w->told - w->pos) : 0;

	told = told > at ? told - at : 0;
	if (told == 0)
		return 0;
	if (told >= len)
		return len;
	/* Up to the end of the record that holds the last byte told. */
	end = memchr(bytes + told - 1, '\n', len - told + 1);
	ZK_ASSERT(end != NULL);
	return (size_t)(end - bytes) + 1;
}

/* Take len bytes out at `at` (in the window). */
static void
cut_out(struct zk_window *w, size_t at, size_t len)
{
	char *bytes = w->buf + w->head + at;

	ZK_ASSERT(at + len <= w->len);

	memmove(bytes, bytes + len, w->len - at - len);
	w->len -= len;
}

bool
zk_window_revoke(struct zk_window *w, uint32_t number, uint64_t since,
    uint64_t *ret_end)
{
	size_t at = 0, kept = 0;
	bool left = false;

	for (size_t i = 0; i < w->count; i++) {
		struct zk_window_piece piece = w->pieces[i];

		if (piece.number == number && piece.since == since) {
			const size_t told = told_of(w, at, piece.len);

			cut_out(w, at + told, piece.len - told);
			piece.len = told;
			if (told > 0)
				*ret_end = piece.off + told;
			left = left || told > 0;
		}
		if (piece.len > 0)
			w->pieces[kept++] = piece;
		at += piece.len;
	}
	w->count = kept;
	return !left;
}

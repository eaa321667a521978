#ifndef ZK_FS_WINDOW_H
#define ZK_FS_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The part of a group's stream that is not yet acknowledged.  Its reader sees
 * one sequence of bytes with positions from 0 on, made of whole records of
 * several partitions.  A read at a position acknowledges what lies before it;
 * the rest stays, so that a reader who seeks back gets the same bytes again.
 *
 * Pure; one thread at a time.
 */
struct zk_window_piece {
	uint32_t number; /* of the partition */
	uint64_t since;  /* of its share; see struct zk_port_share */
	uint64_t off;    /* of its first byte, in the partition */
	size_t len;      /* whole records */
};

struct zk_window {
	char *buf;
	size_t head, len, cap; /* the bytes are at [head, head + len) */
	uint64_t pos;          /* of the first of them */
	uint64_t told;         /* the reader may have got what is before this */
	uint64_t at;           /* where the last read has ended */
	struct zk_window_piece *pieces;
	size_t count, piece_cap;
};

void zk_window_fini(struct zk_window *w); /* {0} is an empty one */

/* Room for len bytes at the end; they count once zk_window_add() says so. */
char *zk_window_reserve(struct zk_window *w, size_t len);
/* The first piece.len bytes of the room reserved.  0 or -ENOMEM. */
int zk_window_add(struct zk_window *w, const struct zk_window_piece *piece);

/*
 * The reader is at this position, and reads so much: what is before it is done.
 * If he reads all that he was told from there on, he does not have it any more;
 * who reads less may, and go on behind it without another look.  Calls done
 * with how far each partition concerned is done.  -ENODATA: before what is
 * left; -EINVAL: beyond what was told.
 */
typedef void (*zk_window_done_fn)(void *arg,
    const struct zk_window_piece *piece, uint64_t off);
int zk_window_seek(struct zk_window *w, uint64_t pos, size_t size,
    zk_window_done_fn done, void *arg);

/* The bytes there are from a position, at most size; they count as told. */
size_t zk_window_take(struct zk_window *w, uint64_t pos, size_t size,
    const char **ret_bytes);

/*
 * Take back the records of a partition that were not told, not even in part.
 * True: none of it is left; else *ret_end is where in the partition that ends.
 */
bool zk_window_revoke(struct zk_window *w, uint32_t number, uint64_t since,
    uint64_t *ret_end);

static inline uint64_t
zk_window_end(const struct zk_window *w)
{
	return w->pos + w->len;
}

#endif

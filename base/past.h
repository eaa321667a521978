#ifndef ZK_BASE_PAST_H
#define ZK_BASE_PAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/change.h"
#include "base/codec.h"

/*
 * A change (base/change.h) as the history keeps it: with paths and without
 * pointers into a tree that has gone on.  Equal on every member.
 *
 * Encoded, little-endian: kind u8, its high bit set for an exchange; type u8
 * (S_IFMT >> 12); nlink u32; ino u64; the place; for a rename the new place,
 * ino2 u64, type2 u8.  A place: path u16 length and bytes, guards u8 count and
 * 10 bytes each: uid u32, gid u32, mode and need u16.
 */

/* The longest path kept, as PATH_MAX has it; places deeper have none. */
#define ZK_PAST_PATH_MAX 4095u

/* Directories of a path that are not open to all; more: root only. */
#define ZK_PAST_GUARDS_MAX  64u
#define ZK_PAST_ROOT_ONLY   0xffu
#define ZK_PAST_GUARD_BYTES 10u

/* Of a guard's mode: the names in the directory are at stake. */
#define ZK_PAST_NEED_READ 0x8000u

/* No record is larger. */
#define ZK_PAST_BYTES_MAX                                                      \
	(32u +                                                                 \
	    2 *                                                                \
	        (3u + ZK_PAST_PATH_MAX +                                       \
	            ZK_PAST_GUARDS_MAX * ZK_PAST_GUARD_BYTES))

/*
 * Where something is, and who may know.  Who is not root may if, when it
 * happened, he could search every directory of the path and read the last.
 */
struct zk_past_place {
	const char
	    *path;       /* "/a/b", from the root of the tree; not terminated */
	size_t path_len; /* 0: a node without a name, or too deep */
	const uint8_t *guards;
	unsigned guard_count; /* or ZK_PAST_ROOT_ONLY */
};

struct zk_past {
	enum zk_change_kind kind;
	uint64_t rev;
	uint32_t sub;
	struct zk_stamp time;
	uint64_t session; /* who did it, or whose end it was; 0: nobody */
	const char *host; /* the session's member; not terminated */
	size_t host_len;
	uint64_t ino;
	uint32_t type, nlink;
	struct zk_past_place at;
	/* RENAME only */
	struct zk_past_place to;
	uint64_t ino2; /* what was there; 0: nothing */
	uint32_t type2;
	bool exchange;
};

/* Which change is wanted next: (rev, 0) is the first of that entry. */
struct zk_past_at {
	uint64_t rev;
	uint32_t sub;
};

/* false: no more at present, and this one again another time. */
typedef bool (*zk_past_fn)(void *arg, const struct zk_past *past);

/* rev, sub, time, session and host are the row's affair, not encoded here. */
void zk_past_encode(struct zk_enc *enc, const struct zk_past *past);
/* Pointers lead into the decoder's buffer.  0 or -EPROTO. */
int zk_past_decode(struct zk_dec *dec, struct zk_past *ret_past);

/* A guard, to be collected; mode: permission bits. */
void zk_past_guard(uint8_t buf[ZK_PAST_GUARD_BYTES], uint32_t uid, uint32_t gid,
    uint32_t mode, bool need_read);

/* Who asks; groups are the supplementary ones. */
struct zk_past_reader {
	uint32_t uid, gid;
	const uint32_t *groups;
	size_t group_count;
};
bool zk_past_may_see(const struct zk_past_place *place,
    const struct zk_past_reader *reader);

#endif

#include "base/past.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"

#define TYPE_SHIFT   12
#define EXCHANGE_BIT 0x80u

void
zk_past_guard(uint8_t buf[ZK_PAST_GUARD_BYTES], uint32_t uid, uint32_t gid,
    uint32_t mode, bool need_read)
{
	const uint32_t need = need_read ? ZK_PAST_NEED_READ : 0;
	struct zk_enc enc;

	zk_enc_init(&enc, buf, ZK_PAST_GUARD_BYTES);
	zk_enc_u32(&enc, uid);
	zk_enc_u32(&enc, gid);
	zk_enc_u16(&enc, (uint16_t)((mode & 0777) | need));
	ZK_ASSERT(!enc.failed);
}

static void
enc_place(struct zk_enc *enc, const struct zk_past_place *place)
{
	ZK_ASSERT(place->path_len <= ZK_PAST_PATH_MAX);

	zk_enc_u16(enc, (uint16_t)place->path_len);
	zk_enc_raw(enc, place->path, place->path_len);
	zk_enc_u8(enc, (uint8_t)place->guard_count);
	if (place->guard_count != ZK_PAST_ROOT_ONLY)
		zk_enc_raw(enc, place->guards,
		    (size_t)place->guard_count * ZK_PAST_GUARD_BYTES);
}

static void
dec_place(struct zk_dec *dec, struct zk_past_place *ret_place)
{
	ret_place->path_len = zk_dec_u16(dec);
	ret_place->path = zk_dec_raw(dec, ret_place->path_len);
	ret_place->guard_count = zk_dec_u8(dec);
	ret_place->guards = NULL;
	if (ret_place->guard_count != ZK_PAST_ROOT_ONLY)
		ret_place->guards = zk_dec_raw(dec,
		    (size_t)ret_place->guard_count * ZK_PAST_GUARD_BYTES);
}

void
zk_past_encode(struct zk_enc *enc, const struct zk_past *past)
{
	zk_enc_u8(enc,
	    (uint8_t)(past->kind | (past->exchange ? EXCHANGE_BIT : 0)));
	zk_enc_u8(enc, (uint8_t)(past->type >> TYPE_SHIFT));
	zk_enc_u32(enc, past->nlink);
	zk_enc_u64(enc, past->ino);
	enc_place(enc, &past->at);
	if (past->kind != ZK_CHANGE_RENAME)
		return;
	enc_place(enc, &past->to);
	zk_enc_u64(enc, past->ino2);
	zk_enc_u8(enc, (uint8_t)(past->type2 >> TYPE_SHIFT));
}

int
zk_past_decode(struct zk_dec *dec, struct zk_past *ret_past)
{
	const unsigned kind = zk_dec_u8(dec);

	if ((kind & ~EXCHANGE_BIT) > ZK_CHANGE_ATTRIB)
		return -EPROTO;
	ret_past->kind = (enum zk_change_kind)(kind & ~EXCHANGE_BIT);
	ret_past->exchange = (kind & EXCHANGE_BIT) != 0;
	ret_past->type = (uint32_t)zk_dec_u8(dec) << TYPE_SHIFT;
	ret_past->nlink = zk_dec_u32(dec);
	ret_past->ino = zk_dec_u64(dec);
	dec_place(dec, &ret_past->at);
	ret_past->to = (struct zk_past_place){.path = NULL};
	ret_past->ino2 = 0;
	ret_past->type2 = 0;
	if (ret_past->kind == ZK_CHANGE_RENAME) {
		dec_place(dec, &ret_past->to);
		ret_past->ino2 = zk_dec_u64(dec);
		ret_past->type2 = (uint32_t)zk_dec_u8(dec) << TYPE_SHIFT;
	}
	return dec->failed ? -EPROTO : 0;
}

static bool
in_group(const struct zk_past_reader *reader, uint32_t gid)
{
	for (size_t i = 0; i < reader->group_count; i++)
		if (reader->groups[i] == gid)
			return true;
	return reader->gid == gid;
}

bool
zk_past_may_see(const struct zk_past_place *place,
    const struct zk_past_reader *reader)
{
	struct zk_dec dec;

	if (reader->uid == 0)
		return true;
	if (place->guard_count == ZK_PAST_ROOT_ONLY)
		return false;
	zk_dec_init(&dec, place->guards,
	    (size_t)place->guard_count * ZK_PAST_GUARD_BYTES);
	for (unsigned i = 0; i < place->guard_count; i++) {
		const uint32_t uid = zk_dec_u32(&dec);
		const uint32_t gid = zk_dec_u32(&dec);
		const uint32_t mode = zk_dec_u16(&dec);
		const uint32_t need = mode & ZK_PAST_NEED_READ ? 05 : 01;
		uint32_t may = mode;

		/* The first class that fits decides, as in the kernel. */
		if (reader->uid == uid)
			may >>= 6;
		else if (in_group(reader, gid))
			may >>= 3;
		if ((may & need) != need)
			return false;
	}
	return true;
}

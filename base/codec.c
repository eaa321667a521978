#include "base/codec.h"

void
zk_enc_bytes(struct zk_enc *enc, const void *data, size_t len)
{
	if (len > UINT32_MAX) {
		enc->failed = true;
		return;
	}
	zk_enc_u32(enc, (uint32_t)len);
	zk_enc_raw(enc, data, len);
}

const void *
zk_dec_bytes(struct zk_dec *dec, size_t max, size_t *ret_len)
{
	size_t len = zk_dec_u32(dec);
	const void *p;

	*ret_len = 0;
	if (len > max)
		dec->failed = true;
	p = zk_dec_raw(dec, len);
	if (p != NULL)
		*ret_len = len;
	return p;
}

#include "base/utf8.h"

#include <stdint.h>

size_t
zk_utf8_character(const void *text, size_t len)
{
	static const struct {
		uint8_t mask, head;
		uint32_t least;
	} forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800},
	    {0xf8, 0xf0, 0x10000}};
	const uint8_t *p = text;
	uint32_t code;

	for (size_t n = 1; n <= 4 && n <= len; n++) {
		if ((p[0] & forms[n - 1].mask) != forms[n - 1].head)
			continue;
		code = p[0] & (uint8_t)~forms[n - 1].mask;
		for (size_t i = 1; i < n; i++) {
			if ((p[i] & 0xc0) != 0x80)
				return 0;
			code = code << 6 | (p[i] & 0x3f);
		}
		if (code < forms[n - 1].least || code > 0x10ffff ||
		    (code >= 0xd800 && code <= 0xdfff))
			return 0;
		return n;
	}
	return 0;
}

#ifndef ZK_BASE_UTF8_H
#define ZK_BASE_UTF8_H

#include <stddef.h>

/* Bytes of the UTF-8 character at text; 0: there is none (RFC 3629). */
size_t zk_utf8_character(const void *text, size_t len);

#endif

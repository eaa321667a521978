#ifndef ZK_CTL_TEXT_H
#define ZK_CTL_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * All that fd gives until its end, followed by a NUL that is not counted.
 * -EFBIG when it is more than max bytes.  *ret_text is the caller's to free.
 */
int zk_ctl_read_all(int fd, size_t max, char **ret_text, size_t *ret_len);

/* The same of a file, as text: up to the first NUL. */
int zk_ctl_read_file(const char *path, size_t max, char **ret_text);

/*
 * A string of JSON (RFC 8259), with its quotes.  Bytes that are not UTF-8 are
 * \udc80 to \udcff, one each, as Python's surrogateescape has them.
 */
void zk_ctl_json_bytes(FILE *out, const char *text, size_t len);
void zk_ctl_json_string(FILE *out, const char *text);

/* The text as a number of JSON where it is one, else as a string. */
void zk_ctl_json_value(FILE *out, const char *text);

/*
 * A decimal number and nothing else; -EINVAL, or -ERANGE when it exceeds max.
 */
int zk_ctl_parse_number(const char *text, uint64_t max, uint64_t *ret_number);

/* Seconds with an optional fraction, as milliseconds; -EINVAL, -ERANGE. */
int zk_ctl_parse_seconds(const char *text, uint32_t *ret_ms);

#endif

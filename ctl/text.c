#include "ctl/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/utf8.h"

#define READ_STEP_BYTES ((size_t)64 * 1024)

int
zk_ctl_read_all(int fd, size_t max, char **ret_text, size_t *ret_len)
{
	char *text = NULL, *grown;
	size_t len = 0, cap = 0;
	ssize_t got;
	int rc;

	for (;;) {
		if (cap - len < READ_STEP_BYTES + 1) {
			cap = cap * 2 + READ_STEP_BYTES + 1;
			grown = realloc(text, cap);
			rc = -ENOMEM;
			if (grown == NULL)
				goto fail;
			text = grown;
		}
		got = read(fd, text + len, cap - len - 1);
		if (got == 0)
			break;
		rc = -errno;
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			goto fail;
		len += (size_t)got;
		rc = -EFBIG;
		if (len > max)
			goto fail;
	}
	text[len] = '\0';
	*ret_text = text;
	*ret_len = len;
	return 0;
fail:
	free(text);
	return rc;
}

int
zk_ctl_read_file(const char *path, size_t max, char **ret_text)
{
	size_t len;
	int fd, rc;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = zk_ctl_read_all(fd, max, ret_text, &len);
	(void)close(fd);
	return rc;
}

void
zk_ctl_json_bytes(FILE *out, const char *text, size_t len)
{
	size_t n;

	(void)fputc('"', out);
	for (size_t i = 0; i < len; i += n) {
		const unsigned char c = (unsigned char)text[i];

		n = zk_utf8_character(text + i, len - i);
		if (n == 0) {
			(void)fprintf(out, "\\udc%02x", c);
			n = 1;
		} else if (c == '"' || c == '\\') {
			(void)fprintf(out, "\\%c", c);
		} else if (c < 0x20 || c == 0x7f) {
			(void)fprintf(out, "\\u%04x", c);
		} else {
			(void)fwrite(text + i, 1, n, out);
		}
	}
	(void)fputc('"', out);
}

void
zk_ctl_json_string(FILE *out, const char *text)
{
	zk_ctl_json_bytes(out, text, strlen(text));
}

void
zk_ctl_json_value(FILE *out, const char *text)
{
	const size_t digits = strspn(text, "0123456789");

	/* JSON knows no leading zeros; beyond 2^53 readers lose digits. */
	if (digits > 0 && digits <= 15 && text[digits] == '\0' &&
	    (text[0] != '0' || digits == 1))
		(void)fputs(text, out);
	else
		zk_ctl_json_string(out, text);
}

int
zk_ctl_parse_number(const char *text, uint64_t max, uint64_t *ret_number)
{
	uint64_t number = 0, digit;

	if (*text == '\0')
		return -EINVAL;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		digit = (uint64_t)(*text - '0');
		if (number > (max - digit) / 10 || digit > max)
			return -ERANGE;
		number = number * 10 + digit;
	}
	*ret_number = number;
	return 0;
}

int
zk_ctl_parse_seconds(const char *text, uint32_t *ret_ms)
{
	const size_t whole = strspn(text, "0123456789");
	uint64_t ms, unit = 100;
	char head[16];
	int rc;

	ZK_ASSERT(ret_ms != NULL);

	if (whole == 0 || whole >= sizeof(head))
		return whole == 0 ? -EINVAL : -ERANGE;
	memcpy(head, text, whole);
	head[whole] = '\0';
	rc = zk_ctl_parse_number(head, UINT32_MAX / 1000 - 1, &ms);
	if (rc < 0)
		return rc;
	ms *= 1000;
	text += whole;
	if (*text == '.')
		for (text++; *text >= '0' && *text <= '9'; text++) {
			ms += (uint64_t)(*text - '0') * unit;
			unit /= 10;
		}
	if (*text != '\0')
		return -EINVAL;
	*ret_ms = (uint32_t)ms;
	return 0;
}

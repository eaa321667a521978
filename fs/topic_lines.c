#include <errno.h>
#include <string.h>

#include "fs/topic_impl.h"

size_t
zk_lines_whole(const char *buf, size_t len)
{
	const char *last = len > 0 ? memrchr(buf, '\n', len) : NULL;

	return last == NULL ? 0 : (size_t)(last - buf) + 1;
}

size_t
zk_lines_fit(const char *buf, size_t len, size_t max)
{
	return len <= max ? len : zk_lines_whole(buf, max);
}

int
zk_lines_check(const char *buf, size_t len, size_t max)
{
	while (len > 0) {
		const char *end = memchr(buf, '\n', len);
		const size_t line = end == NULL ? len : (size_t)(end - buf) + 1;

		/* What has no newline yet will need one. */
		if (line + (end == NULL) > max)
			return -EMSGSIZE;
		buf += line;
		len -= line;
	}
	return 0;
}

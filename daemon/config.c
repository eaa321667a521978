#include "daemon/config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"

static char *
skip_space(char *p)
{
	while (*p == ' ' || *p == '\t' || *p == '\r')
		p++;
	return p;
}

/*
 * Unquote the value that begins at p, in place.  Returns what follows the
 * closing quote, or NULL when there is none.
 */
static char *
unquote(char *p)
{
	char *to = p;

	ZK_ASSERT(*p == '"');
	for (p++; *p != '"'; p++) {
		if (*p == '\\' && (p[1] == '"' || p[1] == '\\'))
			p++;
		if (*p == '\0')
			return NULL;
		*to++ = *p;
	}
	*to = '\0';
	return p + 1;
}

/* Cut a bare value at its comment, then at its trailing white space. */
static void
trim_bare(char *p)
{
	char *end;

	for (end = p; *end != '\0'; end++)
		if (*end == '#' &&
		    (end == p || isspace((unsigned char)end[-1])))
			break;
	while (end > p && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
}

int
zk_config_line(char *line, char **ret_key, char **ret_value,
    const char **ret_reason)
{
	char *key = skip_space(line), *value, *rest, *end;

	*ret_reason = "a line is KEY = VALUE";
	if (*key == '\0' || *key == '#') {
		*ret_key = NULL;
		*ret_value = NULL;
		return 0;
	}
	end = key + strcspn(key, " \t\r=#");
	if (end == key)
		return -EINVAL;
	rest = skip_space(end);
	if (*rest != '=') {
		if (*rest != '\0' && *rest != '#')
			return -EINVAL;
		*end = '\0';
		*ret_key = key;
		*ret_value = NULL;
		return 0;
	}
	value = skip_space(rest + 1);
	*end = '\0';
	if (*value == '"') {
		/* The text is moved to begin where the quote was. */
		rest = unquote(value);
		*ret_reason = "the closing quote is missing";
		if (rest == NULL)
			return -EINVAL;
		*ret_reason = "something follows the closing quote";
		rest = skip_space(rest);
		if (*rest != '\0' && *rest != '#')
			return -EINVAL;
	} else {
		trim_bare(value);
	}
	*ret_key = key;
	*ret_value = value;
	return 0;
}

static int
set_line(const char *path, unsigned int line_number, char *line,
    zk_config_fn *set, void *arg, struct zk_fault *ret_fault)
{
	char where[PATH_MAX + 32];
	const char *reason;
	char *key, *value;

	(void)snprintf(where, sizeof(where), "%s:%u: ", path, line_number);
	if (strlen(line) > ZK_CONFIG_LINE_MAX)
		return zk_fault_set(ret_fault, -EINVAL, ZK_EXIT_USAGE,
		    "%sthe line is longer than %u bytes", where,
		    ZK_CONFIG_LINE_MAX);
	if (zk_config_line(line, &key, &value, &reason) < 0)
		return zk_fault_set(ret_fault, -EINVAL, ZK_EXIT_USAGE, "%s%s",
		    where, reason);
	return key == NULL ? 0 : set(arg, key, value, where, ret_fault);
}

static int
set_lines(const char *path, char *text, zk_config_fn *set, void *arg,
    struct zk_fault *ret_fault)
{
	unsigned int line_number = 0;
	char *line, *next = text;
	int rc = 0;

	while (rc == 0 && (line = strsep(&next, "\n")) != NULL)
		rc = set_line(path, ++line_number, line, set, arg, ret_fault);
	return rc;
}

/* Read all of fd into buf, which has room for a terminator after cap. */
static int
read_all(int fd, char *buf, size_t cap, size_t *ret_len)
{
	size_t len = 0;
	ssize_t n;

	while (len < cap) {
		n = read(fd, buf + len, cap - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*ret_len = len;
	return 0;
}

/* Opens path, or leaves -1 in *ret_fd when there is no such file. */
static int
open_config(const char *path, int *ret_fd, struct zk_fault *ret_fault)
{
	struct stat st;
	/* Not blocking: a fifo of that name must not hang a boot. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 && errno != ENOENT)
		return zk_fault_set(ret_fault, -errno, ZK_EXIT_USAGE, "%s: %s",
		    path, zk_err_text(-errno));
	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))) {
		(void)close(fd);
		return zk_fault_set(ret_fault, -EINVAL, ZK_EXIT_USAGE,
		    "%s: not a regular file", path);
	}
	*ret_fd = fd;
	return 0;
}

int
zk_config_read(const char *path, zk_config_fn *set, void *arg, bool *ret_found,
    struct zk_fault *ret_fault)
{
	char *text = NULL;
	size_t len = 0;
	int fd = -1, rc;

	rc = open_config(path, &fd, ret_fault);
	if (rc < 0)
		return rc;
	*ret_found = fd >= 0;
	if (fd < 0)
		return 0;
	/* One byte more than allowed, to see that there is more. */
	text = malloc(ZK_CONFIG_FILE_MAX + 2);
	rc = text == NULL ? -ENOMEM
	                  : read_all(fd, text, ZK_CONFIG_FILE_MAX + 1, &len);
	if (rc < 0) {
		(void)zk_fault_set(ret_fault, rc, ZK_EXIT_SYSTEM, "%s: %s",
		    path, zk_err_text(rc));
		goto out;
	}
	text[len] = '\0';
	rc = -EINVAL;
	if (len > ZK_CONFIG_FILE_MAX)
		(void)zk_fault_set(ret_fault, rc, ZK_EXIT_USAGE,
		    "%s: larger than %u bytes", path, ZK_CONFIG_FILE_MAX);
	else if (memchr(text, '\0', len) != NULL)
		(void)zk_fault_set(ret_fault, rc, ZK_EXIT_USAGE,
		    "%s: not a text file", path);
	else
		rc = set_lines(path, text, set, arg, ret_fault);
out:
	free(text);
	(void)close(fd);
	return rc;
}

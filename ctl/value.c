#include "ctl/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "ctl/say.h"
#include "ctl/text.h"

static void
say_too_large(const struct zk_ctl *ctl)
{
	zk_ctl_say(ctl,
	    "the value exceeds the %zu bytes of one change: "
	    "write a file beside it and mv it into place",
	    ZK_CTL_VALUE_MAX);
}

int
zk_ctl_value_read(const struct zk_ctl *ctl, const char *arg, bool newline,
    struct zk_ctl_value *ret_value)
{
	struct zk_ctl_value value = {0};
	int rc;

	if (arg != NULL && strcmp(arg, "-") == 0) {
		rc = zk_ctl_read_all(STDIN_FILENO, ZK_CTL_VALUE_MAX,
		    &value.data, &value.len);
		if (rc == -EFBIG)
			say_too_large(ctl);
		else if (rc < 0)
			zk_ctl_say(ctl, "standard input: %s", strerror(-rc));
		if (rc < 0)
			return rc;
	} else if (arg != NULL) {
		value.len = strlen(arg);
		if (value.len + newline > ZK_CTL_VALUE_MAX) {
			say_too_large(ctl);
			return -EFBIG;
		}
		value.data = malloc(value.len + 1);
		if (value.data == NULL) {
			zk_ctl_say_errno(ctl, "value", ENOMEM);
			return -ENOMEM;
		}
		memcpy(value.data, arg, value.len);
		if (newline)
			value.data[value.len++] = '\n';
	}
	*ret_value = value;
	return 0;
}

void
zk_ctl_value_free(struct zk_ctl_value *value)
{
	free(value->data);
	*value = (struct zk_ctl_value){0};
}

int
zk_ctl_value_write(int fd, const struct zk_ctl_value *value)
{
	ssize_t put;

	if (value->len == 0)
		return 0;
	/* Interrupted means not done: the mount answers EINTR or the count. */
	do
		put = write(fd, value->data, value->len);
	while (put < 0 && errno == EINTR);
	if (put < 0)
		return -errno;
	return (size_t)put == value->len ? 0 : -EIO;
}

int
zk_ctl_xattr_number(int fd, const char *name, uint64_t *ret_number)
{
	char text[32];
	ssize_t len;

	len = fgetxattr(fd, name, text, sizeof(text) - 1);
	if (len < 0)
		return -errno;
	text[len] = '\0';
	return zk_ctl_parse_number(text, UINT64_MAX, ret_number);
}

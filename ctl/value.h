#ifndef ZK_CTL_VALUE_H
#define ZK_CTL_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "ctl/ctl.h"

/* Up to this size one write(2) is one change; see base/limits.h. */
#define ZK_CTL_VALUE_MAX ((size_t)ZK_WRITE_MAX - 4 * (size_t)ZK_KIB)

struct zk_ctl_value {
	char *data;
	size_t len;
};

/*
 * The value that an argument means: the argument itself, with a newline as
 * echo(1) adds one if `newline`; or for "-" what stdin gives, as it is.
 * NULL: no value.  Complains by itself.
 */
int zk_ctl_value_read(const struct zk_ctl *ctl, const char *arg, bool newline,
    struct zk_ctl_value *ret_value);

void zk_ctl_value_free(struct zk_ctl_value *value);

/* All of it with one write(2), or -errno. */
int zk_ctl_value_write(int fd, const struct zk_ctl_value *value);

/* An extended attribute that holds a decimal number; -errno, -EINVAL. */
int zk_ctl_xattr_number(int fd, const char *name, uint64_t *ret_number);

#endif

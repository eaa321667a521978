#ifndef ZK_DAEMON_GENERIC_H
#define ZK_DAEMON_GENERIC_H

#include <stdbool.h>

#include "daemon/options.h"

/*
 * The options that every filesystem takes, mount(8), "FILESYSTEM-INDEPENDENT
 * MOUNT OPTIONS": those with an effect become MS_* flags of mount(2), those
 * meant for mount(8), fstab or systemd are accepted and have none here.
 */

/* What a mount has unless an option says otherwise. */
unsigned long zk_generic_defaults(void);

/* Whether the key is one of them (with any value). */
bool zk_generic_known(const char *key);

/*
 * Apply one.  value is NULL where there was no '='.  Returns 0; -ENOENT when
 * the key is not generic; -EINVAL when the value is not possible, with
 * *ret_reason a static text.  Nothing is changed then.
 */
int zk_generic_set(struct zk_options *options, const char *key,
    const char *value, const char **ret_reason);

#endif

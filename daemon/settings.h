#ifndef ZK_DAEMON_SETTINGS_H
#define ZK_DAEMON_SETTINGS_H

#include "daemon/options.h"

/* The keys that -o and zkfs.conf(5) share, and what their values may be. */

/* Everything at its default, no directory. */
void zk_settings_init(struct zk_options *options);

/*
 * One setting; value is NULL where there was no '='.  where begins the
 * message: "" for the command line, or "FILE:LINE: ".  Returns 0; -ENOENT
 * for a key that is not ours, -EINVAL for a bad value; *ret_fault is set for
 * both.
 */
int zk_settings_set(struct zk_options *options, const char *key,
    const char *value, const char *where, struct zk_fault *ret_fault);

#endif

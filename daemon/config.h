#ifndef ZK_DAEMON_CONFIG_H
#define ZK_DAEMON_CONFIG_H

#include <stdbool.h>

#include "daemon/fault.h"

/*
 * zkfs.conf(5): one `key = value` a line.  '#' begins a comment at the start
 * of a line or after white space; a value may stand in double quotes, where
 * \" and \\ are escapes and '#' is nothing special.  A key alone is a switch.
 */

#define ZK_CONFIG_LINE_MAX 8192u /* bytes, without the newline */
#define ZK_CONFIG_FILE_MAX 65536u

/*
 * Called once per setting, in order.  value is NULL for a key alone; both
 * strings are the reader's and end with the call.  where is "FILE:LINE: ".
 * A negative result ends the reading and is passed on.
 */
typedef int zk_config_fn(void *arg, const char *key, const char *value,
    const char *where, struct zk_fault *ret_fault);

/*
 * Read path.  Returns 0; or a negative code with *ret_fault set, the file and
 * line in its text.  *ret_found tells whether the file exists: when it does
 * not, the result is 0.  Any thread.
 */
int zk_config_read(const char *path, zk_config_fn *set, void *arg,
    bool *ret_found, struct zk_fault *ret_fault);

/*
 * Split one line in place.  Returns 0 with *ret_key NULL for an empty line or
 * comment; or -EINVAL with *ret_reason a static text.
 */
int zk_config_line(char *line, char **ret_key, char **ret_value,
    const char **ret_reason);

#endif

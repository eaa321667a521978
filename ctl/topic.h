#ifndef ZK_CTL_TOPIC_H
#define ZK_CTL_TOPIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ctl/ctl.h"

/*
 * What the commands for topics share.  Functions that return int complain on
 * stderr themselves and return a negative code then.
 */

/*
 * The directory of a topic: an argument with a slash is a path, any other the
 * name of one below DIR/topics.  The caller's to free.
 */
int zk_ctl_topic_dir(struct zk_ctl *ctl, const char *arg, char **ret_dir);
/* DIR/topics itself. */
int zk_ctl_topics_dir(struct zk_ctl *ctl, char **ret_dir);

/* dir/name or dir/name/last; "" for last: without.  NULL: no memory, said. */
char *zk_ctl_topic_path(const struct zk_ctl *ctl, const char *dir,
    const char *name, const char *last);

/* The value of a key in the topic's config, as a number. */
int zk_ctl_topic_setting(const struct zk_ctl *ctl, const char *dir,
    const char *key, uint64_t *ret_value);

/* Write text to a file that is there, as one write(2).  0 or -errno, ... */
int zk_ctl_topic_put(const char *path, int flags, const char *text, size_t len);
/* ... which this one says, too. */
int zk_ctl_topic_write(const struct zk_ctl *ctl, const char *path, int flags,
    const char *text, size_t len);

/* Calls fn for each name in a directory, in order; it returns 0 to go on. */
typedef int (*zk_ctl_name_fn)(void *arg, const char *name);
int zk_ctl_topic_each(const struct zk_ctl *ctl, const char *dir,
    zk_ctl_name_fn fn, void *arg);
/* Prints them, one to a line or as a JSON list. */
int zk_ctl_topic_print(const struct zk_ctl *ctl, const char *dir, bool json);

/*
 * As getopt_long(3), of a command whose first word is a verb: options may
 * stand before and behind it.
 */
int zk_ctl_verb_option(int argc, char **argv, const char *short_options,
    const struct option *options, char **verb);

/* The argument of --partition; false: it is none, said. */
bool zk_ctl_take_partition(const struct zk_ctl *ctl, const char *text,
    int64_t *ret_partition);

/* "pN": its number; false: another name. */
bool zk_ctl_partition_number(const char *name, uint32_t *ret_number);

#endif

#ifndef ZK_CTL_MAKE_H
#define ZK_CTL_MAKE_H

#include <stdbool.h>

#include "ctl/ctl.h"
#include "ctl/value.h"

/* A file that this process made, and holds open. */
struct zk_ctl_made {
	int fd;
	char *path; /* with the name that it really got */
};

/*
 * Make a file that does not exist (else -EEXIST), an ephemeral one if asked,
 * and give it its value.  A name that ends in ten X gets a number instead.
 * On failure nothing is left.  0 or -errno.
 */
int zk_ctl_make(const char *path, bool ephemeral,
    const struct zk_ctl_value *value, struct zk_ctl_made *ret_made);

/*
 * As zk_ctl_make(), but while the name is taken, wait.  Says so once when the
 * name is taken by a file that will not go by itself.
 */
int zk_ctl_make_wait(const struct zk_ctl *ctl, const char *path,
    const struct zk_ctl_value *value, struct zk_ctl_made *ret_made);

/* Something has that name, and it will not go by itself. */
bool zk_ctl_is_permanent(const char *path);

/* Closes the file: an ephemeral one is gone soon after. */
void zk_ctl_made_close(struct zk_ctl_made *made);

/* The same, and the file is gone when it returns; not for what was lost. */
void zk_ctl_made_remove(struct zk_ctl_made *made);

/* Every directory above path.  0 or -errno. */
int zk_ctl_make_parents(const char *path);

/* The path with its last component replaced; the caller's to free, or NULL. */
char *zk_ctl_with_name(const char *path, const char *name);

#endif

#ifndef ZK_CTL_WATCH_H
#define ZK_CTL_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/ctl.h"
#include "ctl/event.h"

#define ZK_CTL_ENSEMBLE_MAX 64u

/* What zkfs watch is to do, and how far it is; shared by its two files. */
struct zk_ctl_watch {
	const struct zk_ctl *ctl;
	const char *mount; /* where the tree is mounted */
	char *below;       /* what is watched: a path of the tree, "/" all */
	bool recursive, json;
	char *const *argv; /* NULL: print */

	/* Done: all up to `rev`; or, if not whole, only up to its `sub`. */
	uint64_t rev;
	uint32_t sub;
	bool whole;

	/* Whose revisions these are; "": not known yet. */
	char ensemble[ZK_CTL_ENSEMBLE_MAX + 1];
	bool waiting; /* and it was said */
};

/* Whether the event is about what is watched. */
bool zk_ctl_watch_wants(const struct zk_ctl_watch *w,
    const struct zk_ctl_event *event);

/*
 * Print it or run the command for it; line is the daemon's or NULL.  0, or an
 * exit status with everything said.
 */
int zk_ctl_watch_tell(const struct zk_ctl_watch *w,
    const struct zk_ctl_event *event, const char *line);

/*
 * After a loss: tell of what there is at least now, as events "lost" and
 * "exists" of that revision.  Returns as above, or -errno when the mount went
 * meanwhile, and not all was told.
 */
int zk_ctl_watch_list(const struct zk_ctl_watch *w, uint64_t rev);

#endif

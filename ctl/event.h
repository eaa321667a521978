#ifndef ZK_CTL_EVENT_H
#define ZK_CTL_EVENT_H

#include <stddef.h>
#include <stdint.h>

/*
 * A line of .zkfs/events; see zkfs(5), EVENTS.  Paths are bytes again, from
 * the root of the tree.
 */
struct zk_ctl_event {
	uint64_t rev, ino, session;
	uint32_t sub;
	char op[16], type[16], time[40], host[80];
	char *path, *to; /* NULL: none */
};

/*
 * Reads a line, without its newline.  0; -EPROTO: it is no such line; -ENOMEM.
 */
int zk_ctl_event_parse(const char *line, size_t len,
    struct zk_ctl_event *ret_event);
void zk_ctl_event_free(struct zk_ctl_event *event); /* {0} is fine */

#endif

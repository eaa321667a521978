#ifndef ZK_DAEMON_PORT_H
#define ZK_DAEMON_PORT_H

#include "daemon/node.h"
#include "daemon/report.h"
#include "daemon/topics.h"
#include "fs/port.h"
#include "store/store.h"

/*
 * What fs/ sees of the rest: commands go to the node, reads to the store.
 * Plain value; everything in it must outlive the mount.
 */
struct zk_port {
	struct zk_node *node;
	struct zk_store *store;
	struct zk_report *report;
	struct zk_topics *topics;
	uint64_t max_file; /* bytes */
	bool lost_eio;     /* reads fail while the session is lost */
};

/* The table of functions, with impl = port. */
struct zk_fs_port zk_port_make(struct zk_port *port);

#endif

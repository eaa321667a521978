#ifndef ZK_DAEMON_REPORT_H
#define ZK_DAEMON_REPORT_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "daemon/cluster.h"
#include "daemon/node.h"
#include "daemon/options.h"
#include "fs/fs.h"
#include "store/store.h"

/*
 * The texts of the files in .zkfs, made fresh at each reading.  Plain value;
 * everything in it must outlive the mount.  fs may be set after the mount is
 * made and before it is served.
 */
struct zk_report {
	struct zk_node *node;
	struct zk_cluster *cluster; /* NULL: a group of one */
	struct zk_store *store;
	const struct zk_options *options;
	struct zk_fs *fs;
	struct timespec started; /* CLOCK_MONOTONIC */
	/* Of this mount so far, and those that this program refused. */
	uint64_t upgrades;
	_Atomic uint64_t upgrades_refused;
};

/*
 * At most cap bytes of the text of `name`.  -ENOENT: no such file.  Any
 * thread.
 */
int zk_report_text(struct zk_report *report, const char *name, char *buf,
    size_t cap, size_t *ret_len);

/* The i-th name, or NULL; "txn", which is fs's own, is not among them. */
const char *zk_report_name(size_t i);

/* The files that ZK_NODE_NEWS_* are about, from the lowest bit on. */
#define ZK_REPORT_NEWS 6u
extern const char *const zk_report_news[ZK_REPORT_NEWS];

#endif

#ifndef ZK_CTL_CONSUME_H
#define ZK_CTL_CONSUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/ctl.h"

/* What zkfs consume does with a record, wherever it comes from. */

struct zk_ctl_consumer {
	struct zk_ctl *ctl;
	const char *group; /* NULL: reads the partitions themselves */
	const char *from;  /* NULL: from the start, or where the group is */
	char *const *argv; /* to be run for each record; NULL: print it */
	bool json, follow;
	int64_t partition; /* -1: all */
	uint64_t count;    /* records still to come; UINT64_MAX: all */
	uint64_t tries;    /* before a record is dead; 0: as the topic says */
	const char *dir;   /* of the topic */
	int dead_fd;       /* -1: there is none */
	int next_fd;       /* of the group; -1: there is none */
};

/* A record without its newline, and where it was, if that is known. */
struct zk_ctl_record {
	const char *text;
	size_t len;
	int64_t partition; /* -1: not known */
	uint64_t offset;
};

/*
 * Print it, or run the command until it succeeds or the record is dead.  0,
 * or an exit status with everything said.
 */
int zk_ctl_consume_record(struct zk_ctl_consumer *c,
    const struct zk_ctl_record *record);

/* The two ways to get records; return an exit status. */
int zk_ctl_consume_group(struct zk_ctl_consumer *c);
int zk_ctl_consume_partitions(struct zk_ctl_consumer *c);

#endif

#ifndef ZK_CTL_VERIFY_H
#define ZK_CTL_VERIFY_H

#include <stdint.h>

#include "ctl/ctl.h"

/* What zkfs verify found of partitions; what is wrong is said at once. */
struct zk_ctl_verified {
	uint64_t partitions, bytes;
	unsigned wrong;      /* a replica differs, or is damaged */
	unsigned unfinished; /* one did not answer */
};

/*
 * Compare the replicas of all partitions of all topics, from where each begins
 * to where it ends now.  0, or a negative code with everything said.
 */
int zk_ctl_verify_topics(struct zk_ctl *ctl, struct zk_ctl_verified *ret);

#endif

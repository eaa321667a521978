#ifndef ZK_CTL_CMD_HOLD_H
#define ZK_CTL_CMD_HOLD_H

#include "ctl/ctl.h"

/* Both zkfs hold and zkfs elect, which always waits. */
int zk_ctl_hold_run(struct zk_ctl *ctl, int argc, char **argv);

#define ZK_CTL_HOLD_STATUS                                                     \
	"Exit status: that of CMD, 128+N if signal N ended it; 1 PATH is\n"    \
	"taken, 124 PATH was lost, 125 trouble, 126 or 127 CMD cannot run.\n"

#endif

#ifndef ZK_TESTS_SIM_DISK_H
#define ZK_TESTS_SIM_DISK_H

#include "tests/sim/sim.h"

/* Whose turn it is; NULL: nobody's, and its disk is a good one. */
void sim_disk_use(struct sim_host *host);

#endif

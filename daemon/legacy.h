#ifndef ZK_DAEMON_LEGACY_H
#define ZK_DAEMON_LEGACY_H

#include <stdint.h>

/*
 * A session that another program of this host holds, and that this one takes
 * over: it is quiet, and has answered all that it was given.
 */
struct zk_member_legacy {
	uint64_t session; /* 0: it had none */
	uint64_t incarnation, last_number;
	uint64_t lease_from_ms; /* as of zk_clock_lease_ms() */
};

#endif

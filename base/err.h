#ifndef ZK_BASE_ERR_H
#define ZK_BASE_ERR_H

/*
 * Every fallible zkfs function returns 0 or a negative code: -errno, or one
 * of the ZK_E* codes below.  Only fs/ turns codes back into a bare errno.
 */

#define ZK_ERR_LIST(X)                                                         \
	X(ZK_ENOTLEADER, 4001, EAGAIN, "this member is not the leader")        \
	X(ZK_ETERM, 4002, ETIMEDOUT, "leadership changed, outcome unknown")    \
	X(ZK_ESESSION, 4003, ESTALE, "session has expired")                    \
	X(ZK_ECORRUPT, 4004, EIO, "stored data failed its checksum")           \
	X(ZK_EFOREIGN, 4005, EIO, "not a zkfs data directory")                 \
	X(ZK_EVERSION, 4006, EIO, "written by an incompatible version")        \
	X(ZK_EENSEMBLE, 4007, EIO, "belongs to another ensemble")              \
	X(ZK_EPENDING, 4008, EIO, "answered later")

enum zk_err {
#define X(name, value, err, text) name = (value),
	ZK_ERR_LIST(X)
#undef X
};

/* A bare, positive errno for rc <= 0. */
int zk_err_errno(int rc);

/* Static text for rc <= 0. */
const char *zk_err_text(int rc);

#endif

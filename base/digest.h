#ifndef ZK_BASE_DIGEST_H
#define ZK_BASE_DIGEST_H

#include <stdint.h>
#include <sys/ioctl.h>

/*
 * ioctl(2) on a partition's open file: what one of its replicas has from an
 * offset on, summed up.  It waits for the replica; ENODATA: that begins later,
 * EIO: it is damaged there, EINVAL: there are not so many replicas.
 */
struct zk_partition_digest {
	uint64_t offset;
	uint32_t want;    /* bytes, at most a MiB; back: how many there were */
	uint32_t replica; /* its place in user.zkfs.replicas; back: CRC-32C */
};
#define ZK_PARTITION_DIGEST _IOWR('z', 2, struct zk_partition_digest)

#endif

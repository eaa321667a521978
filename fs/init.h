#ifndef ZK_FS_INIT_H
#define ZK_FS_INIT_H

#include <stddef.h>

#include "fs/fuse.h"

struct zk_fs;

/*
 * One feature of the kernel that libfuse 3.14 does not know how to ask for:
 * files that are read and written past the page cache, and can be mapped all
 * the same (FUSE_DIRECT_IO_ALLOW_MMAP, Linux 6.6).  It is asked for in the
 * upper half of the flags of the answer to INIT, so this looks at the first
 * request and completes its answer.
 *
 * With it every write(2) is one request and every read(2) is of one version.
 * Without it, files that may be mapped have to go through the page cache.
 */
int zk_init_hook(struct zk_fs *fs);

/*
 * INIT as the kernel sent it to the program that was here before, so that
 * libfuse knows what it would know; the answer goes nowhere.
 */
void zk_init_again(struct zk_fs *fs, void *request, size_t len);

#endif

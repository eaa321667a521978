#ifndef ZK_FS_FUSE_H
#define ZK_FS_FUSE_H

/* The version of the libfuse interface that fs/ is written to. */
#define FUSE_USE_VERSION 314

#include <fuse_lowlevel.h>

#endif

#ifndef ZK_TESTS_FAULT_RECORD_H
#define ZK_TESTS_FAULT_RECORD_H

#include <stdint.h>

/* What the shim writes down; after WRITE and WRITE_DURABLE come len bytes. */
enum zk_fault_kind {
	ZK_FAULT_WRITE = 1,     /* in the page cache: may or may not survive */
	ZK_FAULT_WRITE_DURABLE, /* through O_DSYNC: survives once it is done */
	ZK_FAULT_FLUSH_BEGIN,   /* of the file */
	ZK_FAULT_FLUSH,         /* all writes before its begin survive */
	ZK_FAULT_SIZE,          /* the file is at least off bytes long */
	ZK_FAULT_MARK,          /* stage off was acknowledged */
};

struct zk_fault_record {
	uint32_t kind;
	/* 1: the tree, 2: its journal, 3: the partitions, 4: theirs */
	uint32_t file;
	uint64_t off, len;
};

#endif

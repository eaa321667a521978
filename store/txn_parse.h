#ifndef ZK_STORE_TXN_PARSE_H
#define ZK_STORE_TXN_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

/*
 * The lines of a transaction; pure text, no tree.
 *
 *   check PATH VERSION   create PATH [VALUE]   set PATH [VALUE]
 *   delete PATH          mkdir PATH            # comment
 *
 * VERSION is a number, "-" (must not exist) or "*" (any).  PATH and VALUE have
 * the escapes \n \t \r \s \\ \xHH.  A value that is not empty gets a newline
 * at its end, as echo(1) would give it, unless it ends in \c.
 */
enum zk_line_op {
	ZK_LINE_NONE, /* empty, or a comment */
	ZK_LINE_CHECK,
	ZK_LINE_CREATE,
	ZK_LINE_SET,
	ZK_LINE_DELETE,
	ZK_LINE_MKDIR,
};

enum zk_version_want {
	ZK_VERSION_NUMBER,
	ZK_VERSION_ABSENT,
	ZK_VERSION_ANY,
};

struct zk_line {
	enum zk_line_op op;
	enum zk_version_want want;
	uint64_t version;
	size_t path_len;
	char path[4096];
	const uint8_t *value; /* in the parser's buffer */
	size_t value_len;
};

struct zk_txn_text {
	const char *text;
	size_t len, pos;
	uint32_t line;  /* of the line returned last, from 1 */
	uint8_t *value; /* the caller's, at least len + 1 bytes */
};

/*
 * The next line.  0; -ENOENT at the end; -EINVAL or -ENAMETOOLONG for a line
 * that is not of the grammar.
 */
int zk_txn_next(struct zk_txn_text *in, struct zk_line *ret_line);

#endif

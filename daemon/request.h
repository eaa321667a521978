#ifndef ZK_DAEMON_REQUEST_H
#define ZK_DAEMON_REQUEST_H

#include "base/command.h"

/*
 * What is written to .zkfs/member, one request a write(2):
 *   add NAME=ADDR:PORT | remove NAME | promote NAME | transfer NAME
 * with a newline, or without.  zkfs(1) tells what they do.  Pure; any thread.
 */

/* text is changed, and *ret_cmd points into it.  0 or -EINVAL. */
int zk_request_parse(char *text, struct zk_command *ret_cmd);

/* What the outcome of a request means; -EPROTO: it was none.  Static text. */
const char *zk_request_reason(int rc);

#endif

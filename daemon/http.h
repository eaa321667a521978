#ifndef ZK_DAEMON_HTTP_H
#define ZK_DAEMON_HTTP_H

#include "daemon/fault.h"
#include "daemon/report.h"
#include "daemon/value.h"

/*
 * GET /metrics, for Prometheus and the like: what .zkfs/metrics has.  One
 * thread of its own, a fixed number of connections, each with a bound on what
 * it may send and how long it may take.  Opaque.
 */
struct zk_http;

/*
 * Binds the address and listens, so that a port in use is told before
 * anything is mounted; nobody is answered yet.  The address's host "": there
 * is none to serve, and *ret_http is NULL.
 */
int zk_http_open(const struct zk_address *address, struct zk_http **ret_http,
    struct zk_fault *ret_fault);

/* Answer.  The report must live until zk_http_close(). */
int zk_http_start(struct zk_http *http, struct zk_report *report,
    struct zk_fault *ret_fault);

/* After it nothing of the report is in use.  NULL is nothing. */
void zk_http_close(struct zk_http *http);

#endif

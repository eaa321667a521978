#ifndef ZK_DAEMON_LAUNCH_H
#define ZK_DAEMON_LAUNCH_H

#include <stdbool.h>

#include "daemon/fault.h"

/*
 * Into the background, and back to the caller only when the mount is usable.
 *
 * The first process forks and waits for one message on a socket pair: ready,
 * or an exit status and a line.  The daemon is the second.  Fork comes before
 * any thread, nng or LMDB: none of them survives it.
 *
 * With systemd's NOTIFY_SOCKET in the environment, readiness is told there
 * too (sd_notify(3)), so that a unit of Type=notify works with -f.
 */

/* How long a member may look for a quorum before it gives up. */
#define ZK_LAUNCH_QUORUM_MS 30000u
/* The first process waits this much longer, then ends a silent daemon. */
#define ZK_LAUNCH_MARGIN_MS 10000u

struct zk_launch {
	int fd; /* to the first process; -1 in the foreground */
	bool foreground;
};

/*
 * Opens the missing ones of descriptors 0 to 2, then, unless foreground,
 * closes all others and forks.  Returns 0 in the process that is to become the daemon: in a new
 * session, with "/" as its directory, its stdio still the caller's.  Returns
 * a negative code with *ret_fault set if it could not fork.  The first
 * process never returns; it exits with what the daemon reports, ends the
 * daemon when interrupted itself or out of patience, and then removes the
 * dead mount that is left on dir.  dir must outlive the call only.
 * Call before any thread exists.
 */
int zk_launch_begin(bool foreground, const char *dir,
    struct zk_launch *ret_launch, struct zk_fault *ret_fault);

/*
 * The mount is usable: detach from the caller's stdio (background only) and
 * let the first process exit with 0.  Logging to stderr ends here: call
 * zk_log_use_syslog() before.  Once, from any thread.
 */
void zk_launch_ready(struct zk_launch *launch);

/*
 * The mount cannot be: report the fault as "mount.zkfs: text" on the
 * caller's stderr, by way of the first process, and _exit with its status.
 * After zk_launch_ready() the line goes nowhere; the status still counts.
 */
_Noreturn void zk_launch_fail(struct zk_launch *launch,
    const struct zk_fault *fault);

/*
 * For a process that the daemon forks and that does not exec: give up its
 * copies of what ties it to the caller, so that nobody waits for it.  Call
 * in the child, before the first thing that can last.
 */
void zk_launch_leave(struct zk_launch *launch);

/* Print "mount.zkfs: text" on stderr; returns the exit status. */
int zk_launch_print(const struct zk_fault *fault);

#endif

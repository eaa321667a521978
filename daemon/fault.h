#ifndef ZK_DAEMON_FAULT_H
#define ZK_DAEMON_FAULT_H

/*
 * Why mount.zkfs cannot go on: one line for a person, and the exit status
 * that mount(8) and systemd read.  Plain value; any thread.
 */

/* Exit statuses of mount(8) and its helpers. */
enum zk_exit {
	ZK_EXIT_OK = 0,
	ZK_EXIT_USAGE = 1,  /* wrong invocation, or not permitted */
	ZK_EXIT_SYSTEM = 2, /* out of memory, cannot fork, ... */
	ZK_EXIT_INTERRUPTED = 8,
	ZK_EXIT_MOUNT = 32, /* the mount failed */
};

#define ZK_FAULT_TEXT_MAX 1024u

struct zk_fault {
	enum zk_exit status;
	char text[ZK_FAULT_TEXT_MAX]; /* no newline; names key and reason */
};

/*
 * Fill *fault and return rc, which must be negative, so that a failing check
 * is one statement: `return zk_fault_set(fault, -EINVAL, ZK_EXIT_USAGE, ...)`.
 * Control characters in the text become '?': it stays one line.
 */
int zk_fault_set(struct zk_fault *fault, int rc, enum zk_exit status,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif

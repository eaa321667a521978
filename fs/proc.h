#ifndef ZK_FS_PROC_H
#define ZK_FS_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What /proc knows about a caller.  FUSE names the calling thread, 0 when it
 * lives outside our pid namespace.  Any thread; nothing blocks.
 *
 * Beware of what may be read here: execve(2) closes files, which sends us
 * requests, under a lock that reading /proc/PID/stat waits for (Linux 6.18,
 * exec_update_lock): asking that about a caller can hang both for ever.
 */

/*
 * One life of a process: a pid may be used again, this pair is not (where
 * the kernel numbers processes, Linux 6.9; else life is the same for all).
 */
struct zk_process {
	pid_t pid;
	uint64_t life;
};

/* The process of thread tid.  0, or -ESRCH where it cannot be known. */
int zk_proc_of(pid_t tid, struct zk_process *ret_process);

/*
 * Whether a signal waits for the thread that kills it or means something to
 * it: not those that tell of children, windows and the like.  True where it
 * cannot be known.
 */
bool zk_proc_is_called_off(pid_t tid);

/*
 * Whether the thread is inside open(2) or a relative of it: 1 or 0, or
 * -ESRCH where it cannot be known.
 */
int zk_proc_in_open(pid_t tid);

#endif

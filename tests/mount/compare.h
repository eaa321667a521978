#ifndef ZK_TESTS_MOUNT_COMPARE_H
#define ZK_TESTS_MOUNT_COMPARE_H

#include <stddef.h>
#include <sys/types.h>

/*
 * fscompare: system calls whose outcome is printed, one line each, without
 * anything that differs between two runs or two filesystems: no inode
 * numbers, no absolute times, no directory sizes.  Two filesystems behave
 * alike where the output is alike.
 *
 *     CASE: CALL = OUTCOME
 *
 * Every case runs in a process of its own, in a new empty directory of its
 * own (0755, root's), as root, with umask 022 and SIGALRM after 100 s.  A case
 * never branches on an outcome: both runs print the same calls.
 */

struct cmp_case {
	const char *name;
	void (*run)(void);
};

/* Each table ends with a NULL name. */
extern const struct cmp_case cmp_open_cases[];
extern const struct cmp_case cmp_dir_cases[];
extern const struct cmp_case cmp_rename_cases[];
extern const struct cmp_case cmp_link_cases[];
extern const struct cmp_case cmp_node_cases[];
extern const struct cmp_case cmp_size_cases[];
extern const struct cmp_case cmp_write_cases[];
extern const struct cmp_case cmp_perm_cases[];
extern const struct cmp_case cmp_utime_cases[];
extern const struct cmp_case cmp_times_cases[];
extern const struct cmp_case cmp_xattr_cases[];
extern const struct cmp_case cmp_orphan_cases[];
extern const struct cmp_case cmp_readdir_cases[];
extern const struct cmp_case cmp_memory_cases[];
extern const struct cmp_case cmp_lock_cases[];
extern const struct cmp_case cmp_notify_cases[];

/* Uids and gids that own nothing; CMP_GROUP is a further group of CMP_USER. */
#define CMP_USER  65534u
#define CMP_OTHER 65533u
#define CMP_GROUP 65532u

/* ---- a call and its outcome ---- */

/* T(call): "ok" for 0, the number above 0, the name of errno for -1. */
#define T(...) cmp_step(#__VA_ARGS__, (long)(__VA_ARGS__))
/* FD(call): "ok" or the name of errno; the result is the descriptor. */
#define FD(...) cmp_fd(#__VA_ARGS__, (__VA_ARGS__))
/* TO(call): the same, and the descriptor is closed. */
#define TO(...) cmp_opened(#__VA_ARGS__, (__VA_ARGS__))
/*
 * TIMES("f d", call): as T, and for each of these files the times that the
 * call changed: letters of "amc", or "-".
 */
#define TIMES(paths, ...)                                                      \
	(cmp_times_begin(paths),                                               \
	    cmp_times_end(#__VA_ARGS__, (long)(__VA_ARGS__)))

long cmp_step(const char *text, long result);
int cmp_fd(const char *text, int fd);
void cmp_opened(const char *text, int fd);
void cmp_times_begin(const char *paths);
void cmp_times_end(const char *text, long result);

/* A line "CASE: text = ..." of the case's own making. */
void cmp_say(const char *text, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* lstat/fstat: type, mode, nlink, size (not of directories), owner. */
void cmp_lstat(const char *path);
void cmp_fstat(const char *text, int fd);
/* Only whether it exists and what it is. */
void cmp_type(const char *path);
/* The content, runs of equal bytes shortened: "ab\0{4090}". */
void cmp_text(const char *path);
void cmp_bytes(const char *text, const char *data, ssize_t len);
/* Read at offset and print as cmp_bytes. */
void cmp_pread(const char *text, int fd, size_t len, off_t offset);

/* ---- making things: no line, but the case ends loudly if it fails ---- */

void cmp_put(const char *path, const char *content); /* 0644 */
void cmp_dir(const char *path);                      /* 0755 */
void cmp_need(int result, const char *what);
/* count times c, NUL-terminated; static, valid until the next call. */
const char *cmp_repeat(char c, size_t count);

/* ---- who ---- */

/* The effective user from here on; real and saved ids stay root's. */
void cmp_as(uid_t uid);
void cmp_as_root(void);
/* For good, real ids too. */
void cmp_become(uid_t uid);

/* ---- processes ---- */

/*
 * Run fn(arg) in a child, its lines included, and wait for it.  The child
 * inherits the descriptors and may not return to the caller's frame.
 */
void cmp_child(void (*fn)(void *arg), void *arg);
/* Begin one and let it run; cmp_join() waits.  Their lines are the case's. */
pid_t cmp_spawn(void (*fn)(void *arg), void *arg);
void cmp_join(pid_t pid);

/* Whoever runs the case: used by fscompare.c only. */
void cmp_begin(const char *name);

#endif

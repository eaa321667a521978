#ifndef ZK_BENCH_BENCH_H
#define ZK_BENCH_BENCH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* What is measured and against what.  Every directory is the program's own. */
struct zk_bench {
	const char *dir;    /* on the filesystem under test */
	const char *plain;  /* on the disk that holds its data */
	const char *pass;   /* the same disk through passthrough_ll, or NULL */
	const char *binary; /* mount.zkfs, or NULL: dir is mounted already */
	const char *work;   /* with binary: the parent of data directories */
	pid_t daemon;       /* 0: not known */
	pid_t pass_daemon;  /* with pass */
	size_t rounds;      /* of a comparison */
	double budget_us;   /* of one side in one round */
	size_t trials;      /* of what is done once per trial: kills, starts */
	size_t files;       /* in the large directory */
};

/* printf into a path; a path that does not fit ends the program. */
struct zk_path {
	char text[PATH_MAX];
};
struct zk_path zk_bench_path(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* Opens or ends the program. */
int zk_bench_open(const char *path, int flags);
/* Makes a file of `bytes`, as few writes as the filesystem keeps whole. */
void zk_bench_fill(const char *path, size_t bytes);
/* A small file as text, cut to fit; false when it cannot be read. */
bool zk_bench_slurp(const char *path, char *ret_text, size_t size);

/* What the daemon and its helpers hold, and the processor time they used. */
struct zk_usage {
	double anon_mib; /* RssAnon + RssShmem */
	double file_mib; /* RssFile: mapped pages of the database */
	double cpu_us;
};
struct zk_usage zk_bench_usage(pid_t pid);

/* The parts; each prints its own lines. */
void zk_bench_disk(const struct zk_bench *bench);
void zk_bench_write(const struct zk_bench *bench);
void zk_bench_read(const struct zk_bench *bench);
void zk_bench_lock(const struct zk_bench *bench);
void zk_bench_tree(const struct zk_bench *bench);

/*
 * Mounts bench->binary on bench->dir and fills in bench->daemon; first, if
 * asked, prints how long starts take.  zk_bench_stop unmounts.
 */
void zk_bench_start(struct zk_bench *bench, bool measured);
void zk_bench_stop(const struct zk_bench *bench);

#endif

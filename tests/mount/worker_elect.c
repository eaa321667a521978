/*
 * Candidates that all open one file for writing at the same moment, as
 * `exec 9>FILE` does, round after round.  In a directory whose files are
 * ephemeral exactly one may succeed in each round, and all others must meet
 * EBUSY; when the winner closes, the file must go.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECONDS_MAX     300u
#define CANDIDATES_MAX  256u
#define GONE_MS_MAX     5000L
#define LOOK_AGAIN_NSEC 200000L

/* Between the processes. */
struct arena {
	pthread_barrier_t barrier;
	atomic_uint winners, losers;
	atomic_int strange; /* an errno that is not EBUSY */
};

static size_t
parse(const char *text)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno != 0 || *text == '\0' || *end != '\0')
		errx(2, "%s: not a number", text);
	return value;
}

static void
meet(struct arena *arena)
{
	const int rc = pthread_barrier_wait(&arena->barrier);

	if (rc != 0 && rc != PTHREAD_BARRIER_SERIAL_THREAD)
		errx(2, "barrier: %s", strerror(rc));
}

static void
stand(struct arena *arena, const char *path)
{
	int fd;

	meet(arena);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd >= 0)
		atomic_fetch_add(&arena->winners, 1);
	else if (errno == EBUSY)
		atomic_fetch_add(&arena->losers, 1);
	else
		atomic_store(&arena->strange, errno);
	meet(arena);
	/* The winner may resign only after everybody has tried. */
	if (fd >= 0)
		(void)close(fd);
	meet(arena);
}

static void
wait_gone(const char *path)
{
	const struct timespec pause = {.tv_nsec = LOOK_AGAIN_NSEC};
	struct timespec start, now;
	struct stat st;
	long ms = 0;

	(void)clock_gettime(CLOCK_MONOTONIC, &start);
	while (stat(path, &st) == 0) {
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		ms = (now.tv_sec - start.tv_sec) * 1000 +
		    (now.tv_nsec - start.tv_nsec) / 1000000;
		if (ms > GONE_MS_MAX)
			errx(1, "%s is still there %ld ms after the close",
			    path, ms);
		(void)nanosleep(&pause, NULL);
	}
	if (errno != ENOENT)
		err(1, "%s", path);
}

static void
judge(struct arena *arena, size_t round, size_t candidates)
{
	const unsigned winners = atomic_exchange(&arena->winners, 0);
	const unsigned losers = atomic_exchange(&arena->losers, 0);
	const int strange = atomic_load(&arena->strange);

	if (strange != 0)
		errx(1, "round %zu: a candidate met %s", round,
		    strerror(strange));
	if (winners != 1 || losers != candidates - 1)
		errx(1, "round %zu: %u winners, %u losers of %zu", round,
		    winners, losers, candidates);
}

static struct arena *
arena_new(size_t candidates)
{
	pthread_barrierattr_t attr;
	struct arena *arena;
	int rc;

	arena = mmap(NULL, sizeof(*arena), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (arena == MAP_FAILED)
		err(2, "mmap");
	(void)pthread_barrierattr_init(&attr);
	(void)pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	/* The judge takes part in it, too. */
	rc = pthread_barrier_init(&arena->barrier, &attr,
	    (unsigned)candidates + 1);
	if (rc != 0)
		errx(2, "barrier: %s", strerror(rc));
	(void)pthread_barrierattr_destroy(&attr);
	return arena;
}

static void
hold_elections(struct arena *arena, const char *path, size_t rounds,
    size_t candidates)
{
	for (size_t round = 0; round < rounds; round++) {
		meet(arena); /* on your marks */
		meet(arena); /* all have tried */
		judge(arena, round, candidates);
		meet(arena); /* the winner has closed */
		wait_gone(path);
	}
	(void)printf("%zu elections, %zu candidates\n", rounds, candidates);
}

int
main(int argc, char **argv)
{
	size_t rounds, candidates;
	struct arena *arena;
	pid_t pid;

	if (argc != 4)
		errx(2, "usage: worker_elect FILE ROUNDS CANDIDATES");
	rounds = parse(argv[2]);
	candidates = parse(argv[3]);
	if (candidates == 0 || candidates > CANDIDATES_MAX)
		errx(2, "%s: no such number of candidates", argv[3]);
	arena = arena_new(candidates);
	for (size_t i = 0; i < candidates; i++) {
		pid = fork();
		if (pid < 0)
			err(2, "fork");
		if (pid > 0)
			continue;
		/* A judge that gives up must not leave it behind a barrier. */
		(void)alarm(SECONDS_MAX);
		for (size_t round = 0; round < rounds; round++)
			stand(arena, argv[1]);
		_exit(0);
	}
	(void)alarm(SECONDS_MAX);
	hold_elections(arena, argv[1], rounds, candidates);
	while (wait(NULL) > 0)
		;
	return 0;
}

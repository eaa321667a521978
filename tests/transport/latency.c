/*
 * Figures: round trips of 64 bytes on the fast lane, between two transports
 * of one process and of two, beside plain sockets; and bytes per second on
 * the bulk lane.
 */

#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define RIG_CHECK(cond, ...)                                                   \
	do {                                                                   \
		if (!(cond)) {                                                 \
			(void)fprintf(stderr, __VA_ARGS__);                    \
			(void)fprintf(stderr, "\n");                           \
			exit(1);                                               \
		}                                                              \
	} while (0)
#include "tests/transport/rig.h"

enum { ROUNDS = 20000, WARM_UP = 1000, BULK_FRAMES = 2000 };
enum { MEDIAN = ROUNDS / 2, NINETY_NINTH = ROUNDS / 100 * 99 };

static sem_t answered;

static uint64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void
echo(struct member *m, const struct zk_transport_frame *frame)
{
	const struct iovec iov = {(void *)(uintptr_t)frame->bytes, frame->len};

	if (frame->lane == ZK_LANE_FAST)
		(void)zk_transport_send(m->t, frame->peer, frame->lane, 0, &iov,
		    1);
}

static void
wake(struct member *m, const struct zk_transport_frame *frame)
{
	(void)m;
	(void)frame;
	(void)sem_post(&answered);
}

static int
ascending(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void
print(const char *what, uint64_t *ns)
{
	qsort(ns, ROUNDS, sizeof(*ns), ascending);
	(void)printf("%-32s min %6.1f  median %6.1f  99%% %7.1f us\n", what,
	    (double)ns[0] / 1e3, (double)ns[MEDIAN] / 1e3,
	    (double)ns[NINETY_NINTH] / 1e3);
}

static void
ping(const char *what, struct member *from, const struct member *to)
{
	static uint64_t ns[ROUNDS];
	uint8_t bytes[64] = {0};

	for (int i = -WARM_UP; i < ROUNDS; i++) {
		const uint64_t start = now_ns();

		RIG_CHECK(
		    rig_send(from, to, ZK_LANE_FAST, bytes, sizeof(bytes)) == 0,
		    "send");
		while (sem_wait(&answered) < 0)
			continue;
		if (i >= 0)
			ns[i] = now_ns() - start;
	}
	print(what, ns);
}

static void
stream(const char *what, struct member *from, const struct member *to)
{
	static uint8_t bytes[262144];
	const uint64_t start = now_ns();
	uint64_t last;
	int rc;

	for (uint64_t i = 0; i < BULK_FRAMES; i++)
		while ((rc = rig_send(from, to, ZK_LANE_BULK, bytes,
		            sizeof(bytes))) == -EAGAIN)
			(void)sched_yield();
	/* The queue is drained when so much is free again. */
	(void)rc;
	do {
		struct zk_transport_stats stats;

		zk_transport_stats(from->t, &stats);
		last = stats.bytes_out;
		(void)sched_yield();
	} while (last < (uint64_t)BULK_FRAMES * sizeof(bytes));
	(void)printf("%-32s %.0f MB/s\n", what,
	    (double)BULK_FRAMES * sizeof(bytes) / 1e6 /
	        ((double)(now_ns() - start) / 1e9));
}

static void
plain(void)
{
	static uint64_t ns[ROUNDS];
	struct sockaddr_in sa = {
	    .sin_family = AF_INET,
	    .sin_addr = {htonl(INADDR_LOOPBACK)},
	};
	socklen_t len = sizeof(sa);
	const int l = socket(AF_INET, SOCK_STREAM, 0);
	char bytes[64] = {0};
	pid_t pid;
	int fd;

	RIG_CHECK(bind(l, (struct sockaddr *)&sa, len) == 0, "bind");
	RIG_CHECK(listen(l, 1) == 0, "listen");
	RIG_CHECK(getsockname(l, (struct sockaddr *)&sa, &len) == 0, "name");
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		fd = accept(l, NULL, NULL);
		while (read(fd, bytes, sizeof(bytes)) > 0)
			if (write(fd, bytes, sizeof(bytes)) < 0)
				break;
		_exit(0);
	}
	fd = socket(AF_INET, SOCK_STREAM, 0);
	RIG_CHECK(connect(fd, (struct sockaddr *)&sa, len) == 0, "connect");
	for (int i = 0; i < ROUNDS; i++) {
		const uint64_t start = now_ns();

		RIG_CHECK(write(fd, bytes, sizeof(bytes)) > 0, "write");
		RIG_CHECK(read(fd, bytes, sizeof(bytes)) > 0, "read");
		ns[i] = now_ns() - start;
	}
	(void)close(fd);
	(void)close(l);
	(void)waitpid(pid, NULL, 0);
	print("round trip, plain sockets", ns);
}

/* The echoing side as a process; tells its port, ends when its input does. */
static int
serve(int out, int in)
{
	struct member b;
	uint16_t port;
	char byte;

	rig_init(&b, "b", 2);
	b.hook = echo;
	rig_open(&b);
	port = zk_transport_port(b.t);
	RIG_CHECK(write(out, &port, sizeof(port)) == sizeof(port), "write");
	while (read(in, &byte, 1) > 0)
		continue;
	rig_close(&b);
	return 0;
}

static void
two_processes(void)
{
	struct member a, b;
	int up[2], down[2];
	uint16_t port;
	pid_t pid;

	RIG_CHECK(pipe(up) == 0 && pipe(down) == 0, "pipe");
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		(void)close(down[1]);
		_exit(serve(up[1], down[0]));
	}
	(void)close(down[0]);
	RIG_CHECK(read(up[0], &port, sizeof(port)) == sizeof(port), "read");
	rig_init(&a, "a", 1);
	rig_init(&b, "b", 2);
	(void)snprintf(b.address, sizeof(b.address), "127.0.0.1:%u",
	    (unsigned)port);
	a.hook = wake;
	rig_open(&a);
	rig_know(&a, &b, 1);
	RIG_AWAIT(&a, a.ups == 1);
	ping("round trip, two processes", &a, &b);
	stream("bulk, two processes", &a, &b);
	rig_close(&a);
	(void)close(down[1]);
	(void)waitpid(pid, NULL, 0);
}

static void
one_process(void)
{
	static struct member members[2];

	rig_init(&members[0], "a", 1);
	rig_init(&members[1], "b", 2);
	members[0].hook = wake;
	members[1].hook = echo;
	rig_open_all(members, 2);
	ping("round trip, one process", &members[0], &members[1]);
	stream("bulk, one process", &members[0], &members[1]);
	rig_close(&members[0]);
	rig_close(&members[1]);
}

int
main(void)
{
	RIG_CHECK(sem_init(&answered, 0, 0) == 0, "sem_init");
	/* Forks come before the first use of nng in this process. */
	plain();
	two_processes();
	one_process();
	return 0;
}

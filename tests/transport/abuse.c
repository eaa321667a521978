/*
 * A member in a process of its own is dialed 500 times by clients that
 * vanish: at once, with a reset, in the middle of a handshake, as a proved
 * peer, and while the process is stopped.  After each kind a real member must
 * find it usable; nor may it burn the processor or keep descriptors.
 */

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static pid_t victim;

#define RIG_CHECK(cond, ...)                                                   \
	do {                                                                   \
		if (!(cond)) {                                                 \
			(void)fprintf(stderr, __VA_ARGS__);                    \
			(void)fprintf(stderr, "\n");                           \
			if (victim > 0)                                        \
				(void)kill(victim, SIGKILL);                   \
			exit(1);                                               \
		}                                                              \
	} while (0)
#include "tests/transport/raw.h"
#include "tests/transport/rig.h"

enum { ROUNDS = 500, WHILE_STOPPED = 100 };

static struct member self;

static void
echo(struct member *m, const struct zk_transport_frame *frame)
{
	const struct iovec iov = {(void *)(uintptr_t)frame->bytes, frame->len};

	(void)zk_transport_send(m->t, frame->peer, frame->lane, 0, &iov, 1);
}

/* Ends when nobody can write to `in` any more. */
static int
serve(int out, int in)
{
	static struct member m;
	uint16_t port;
	char byte;

	/* It ends with its parent, however that ends. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	rig_init(&m, "victim", 2);
	m.hook = echo;
	rig_open(&m);
	port = zk_transport_port(m.t);
	RIG_CHECK(write(out, &port, sizeof(port)) == sizeof(port), "write");
	while (read(in, &byte, 1) > 0)
		continue;
	rig_close(&m);
	return 0;
}

static int
dial_victim(void)
{
	struct sockaddr_in sa = {
	    .sin_family = AF_INET,
	    .sin_addr = {htonl(INADDR_LOOPBACK)},
	};
	const int fd =
	    socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const char *port = strrchr(self.address, ':') + 1;
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	RIG_CHECK(fd >= 0, "socket: %d", errno);
	sa.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		(void)poll(&p, 1, 1000);
	return fd;
}

static void
vanish(int fd, bool reset)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};

	if (reset)
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	(void)close(fd);
}

static void
connect_and_close(unsigned i)
{
	const int fd = dial_victim();

	if (i % 4 == 1)
		(void)send(fd, "zkhi\1\0\x40", 7, MSG_NOSIGNAL);
	if (i % 4 == 2)
		(void)send(fd, "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL);
	if (i % 4 == 3)
		(void)shutdown(fd, SHUT_WR);
	vanish(fd, i % 3 != 0);
}

static uint64_t
victim_cpu_ticks(void)
{
	char path[64], text[1024] = "", *at, *user_end;
	uint64_t user;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)victim);
	f = fopen(path, "re");
	RIG_CHECK(f != NULL, "stat");
	at = fgets(text, sizeof(text), f);
	(void)fclose(f);
	/* Fields 14 and 15; the second one is the name, in brackets. */
	at = at != NULL ? strrchr(text, ')') : NULL;
	for (unsigned i = 2; i < 14 && at != NULL; i++)
		at = strchr(at + 1, ' ');
	RIG_CHECK(at != NULL, "stat");
	user = strtoull(at, &user_end, 10);
	return user + strtoull(user_end, NULL, 10);
}

static unsigned
victim_descriptors(void)
{
	unsigned count = 0;
	char path[64];
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)victim);
	dir = opendir(path);
	RIG_CHECK(dir != NULL, "fd");
	while (readdir(dir) != NULL)
		count++;
	(void)closedir(dir);
	return count;
}

/* A member that joins, is answered on both lanes, and leaves. */
static void
expect_usable(const char *after)
{
	static uint64_t incarnation;
	struct zk_transport_peer peer = {"victim", self.address, 0};
	struct member m;

	rig_init(&m, "a", 1);
	m.options.incarnation = ++incarnation;
	rig_open(&m);
	RIG_CHECK(zk_transport_set_peers(m.t, &peer, 1) == 0, "peers");
	RIG_AWAIT(&m, m.ups == 1);
	for (unsigned lane = 0; lane < 2; lane++) {
		char hello[] = "hello";
		const struct iovec iov = {hello, 5};

		RIG_CHECK(zk_transport_send(m.t, 2, lane, 0, &iov, 1) == 0,
		    "%s: send", after);
		RIG_AWAIT(&m, m.received[lane] == 1);
	}
	rig_close(&m);
	(void)printf("  ABUSE   transport: usable after %s\n", after);
}

static void
while_stopped(void)
{
	struct zk_transport_peer peer = {"victim", self.address, 0};
	struct member m;

	rig_init(&m, "b", 3);
	m.options.silence_ms = 400;
	m.options.keepalive_ms = 100;
	rig_open(&m);
	RIG_CHECK(zk_transport_set_peers(m.t, &peer, 1) == 0, "peers");
	RIG_AWAIT(&m, m.ups == 1);
	RIG_CHECK(kill(victim, SIGSTOP) == 0, "stop");
	/* To its peer it is as good as dead, though its kernel answers. */
	RIG_AWAIT(&m, m.downs == 1);
	for (unsigned i = 0; i < WHILE_STOPPED; i++)
		connect_and_close(i);
	RIG_CHECK(kill(victim, SIGCONT) == 0, "continue");
	RIG_AWAIT(&m, m.ups == 2);
	rig_close(&m);
}

/* A proved peer that vanishes, and one that does in the handshake. */
static void
proved(unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		const struct zk_identity id = raw_identity("r", 9, 0);
		struct raw raw = {.fd = -1};

		raw.fd = dial_victim();
		(void)fcntl(raw.fd, F_SETFL, 0);
		zk_auth_init(&raw.auth, 1,
		    &(struct zk_auth_key){.len = 32, .bytes = RIG_KEY}, &id,
		    (uint8_t[ZK_AUTH_NONCE_BYTES]){(uint8_t)i}, &raw.out);
		raw_write(&raw);
		if (i % 3 > 0) {
			RIG_CHECK(raw_step(&raw) == 0, "challenge");
			raw_write(&raw);
		}
		if (i % 3 > 1)
			RIG_CHECK(raw_step(&raw) == 0, "welcome");
		vanish(raw.fd, i % 2 == 0);
	}
}

int
main(void)
{
	unsigned before;
	uint64_t ticks;
	int out[2], in[2], status = -1;
	uint16_t port;

	RIG_CHECK(pipe(out) == 0 && pipe(in) == 0, "pipe");
	victim = fork();
	if (victim == 0) {
		(void)close(in[1]);
		exit(serve(out[1], in[0]));
	}
	(void)close(in[0]);
	RIG_CHECK(read(out[0], &port, sizeof(port)) == sizeof(port), "read");
	(void)snprintf(self.address, sizeof(self.address), "127.0.0.1:%u",
	    (unsigned)port);
	expect_usable("nothing");
	before = victim_descriptors();
	for (unsigned i = 0; i < ROUNDS; i++)
		connect_and_close(i);
	expect_usable("500 clients that vanished");
	proved(60);
	expect_usable("60 peers that vanished");
	while_stopped();
	expect_usable("100 more while it was stopped");
	/* What is left of all that must be gone after a handshake's time. */
	for (unsigned i = 0; i < 100 && victim_descriptors() > before; i++)
		(void)poll(NULL, 0, 100);
	RIG_CHECK(victim_descriptors() <= before, "%u descriptors, %u before",
	    victim_descriptors(), before);
	ticks = victim_cpu_ticks();
	(void)poll(NULL, 0, 1000);
	ticks = victim_cpu_ticks() - ticks;
	RIG_CHECK(ticks <= 20, "idle, but %llu ticks of processor",
	    (unsigned long long)ticks);
	/* Sanitizers speak at the end. */
	(void)close(in[1]);
	(void)waitpid(victim, &status, 0);
	RIG_CHECK(status == 0, "it ended with %d", status);
	return 0;
}

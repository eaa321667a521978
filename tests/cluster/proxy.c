/*
 * proxy PORT HOST TARGET-PORT MARK: what one member says to another, on its
 * way.  Listens on PORT of all addresses and joins each connection with one
 * of its own to HOST, whose packets carry MARK, so that the rule that leads
 * here does not lead them here again.  "up" is towards HOST.
 *
 * Commands come on standard input, one a line; they hold until the next.
 *
 *   pass            hand on what comes, at once
 *   delay MS        so much later
 *   stall up|down|both   read nothing and hand on nothing, that way
 *   cut BYTES       end each connection after so many more bytes, in the
 *                   middle of whatever that is, with a reset
 *   slow BYTES      so many bytes every 10 ms
 *   refuse          reset every connection that comes, as soon as it comes
 *
 * and these happen once:
 *
 *   reset           all connections, both sides
 *   half            say the end (FIN) towards HOST, on all connections; what
 *                   comes down still does
 *
 * It ends when standard input does.  One thread; a bounded number of
 * connections with a bounded number of bytes on their way.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define JOINTS_MAX  16
#define BYTES_MAX   262144u
#define CHUNKS_MAX  1024u
#define SLOW_MS     10
#define COMMAND_MAX 64

enum { UP, DOWN, WAYS };

/* What has come and is not handed on: bytes, and when each of them came. */
struct way {
	int from, to;
	uint8_t bytes[BYTES_MAX];
	size_t len;
	struct {
		int64_t at_ms;
		size_t len;
	} chunks[CHUNKS_MAX];
	size_t chunk_count;
	int64_t slow_ms;  /* bytes may go again from then on */
	bool ended, told; /* FIN came; and was handed on */
};

struct joint {
	bool used, connecting;
	struct way ways[WAYS];
	uint64_t left; /* bytes until the cut */
};

static struct {
	int listener, mark;
	struct sockaddr_in target;
	struct joint joints[JOINTS_MAX];
	bool stall[WAYS], refuse, cut;
	int64_t delay_ms;
	uint64_t cut_bytes, slow_bytes;
	char line[COMMAND_MAX];
	size_t line_len;
} the;

static int64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void
close_one(int fd, bool reset)
{
	const struct linger linger = {1, 0};

	if (reset)
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger,
		    sizeof(linger));
	(void)close(fd);
}

static void
end_joint(struct joint *joint, bool reset)
{
	close_one(joint->ways[UP].from, reset);
	close_one(joint->ways[UP].to, reset);
	joint->used = false;
}

/* --- commands ------------------------------------------------------------- */

static void
pass(void)
{
	the.stall[UP] = the.stall[DOWN] = the.refuse = the.cut = false;
	the.delay_ms = 0;
	the.slow_bytes = 0;
}

static void
end_all(bool half)
{
	for (int i = 0; i < JOINTS_MAX; i++) {
		struct joint *joint = &the.joints[i];

		if (!joint->used)
			continue;
		if (half)
			(void)shutdown(joint->ways[UP].to, SHUT_WR);
		else
			end_joint(joint, true);
	}
}

static void
stall(const char *which)
{
	the.stall[UP] = strcmp(which, "down") != 0;
	the.stall[DOWN] = strcmp(which, "up") != 0;
}

static void
cut_after(uint64_t bytes)
{
	the.cut = true;
	the.cut_bytes = bytes;
	for (int i = 0; i < JOINTS_MAX; i++)
		the.joints[i].left = bytes;
}

static void
obey(const char *line)
{
	const size_t len = strcspn(line, " ");
	const char *rest = line + len + (line[len] == ' ');
	const uint64_t number = strtoull(rest, NULL, 10);

	if (strncmp(line, "reset", len) == 0) {
		end_all(false);
		return;
	}
	if (strncmp(line, "half", len) == 0) {
		end_all(true);
		return;
	}
	pass();
	if (strncmp(line, "delay", len) == 0)
		the.delay_ms = (int64_t)number;
	else if (strncmp(line, "stall", len) == 0)
		stall(rest);
	else if (strncmp(line, "cut", len) == 0)
		cut_after(number);
	else if (strncmp(line, "slow", len) == 0)
		the.slow_bytes = number;
	else if (strncmp(line, "refuse", len) == 0)
		the.refuse = true;
	else if (strncmp(line, "pass", len) != 0)
		(void)fprintf(stderr, "proxy: what is '%s'?\n", line);
}

/* False: nobody commands any more. */
static bool
read_commands(void)
{
	const ssize_t got = read(STDIN_FILENO, the.line + the.line_len,
	    sizeof(the.line) - 1 - the.line_len);
	char *end;

	if (got <= 0)
		return got < 0 && errno == EINTR;
	the.line_len += (size_t)got;
	the.line[the.line_len] = '\0';
	while ((end = strchr(the.line, '\n')) != NULL) {
		*end = '\0';
		obey(the.line);
		the.line_len -= (size_t)(end + 1 - the.line);
		memmove(the.line, end + 1, the.line_len + 1);
	}
	return the.line_len < sizeof(the.line) - 1;
}

/* --- bytes ---------------------------------------------------------------- */

static bool
has_room(const struct way *way)
{
	return way->len < BYTES_MAX && way->chunk_count < CHUNKS_MAX &&
	    !way->ended;
}

/* How many of the bytes may go now; *ret_at: when that changes by itself. */
static size_t
may_go(const struct way *way, int which, int64_t now, int64_t *ret_at)
{
	size_t len = 0;

	if (the.stall[which])
		return 0;
	for (size_t i = 0; i < way->chunk_count; i++) {
		const int64_t due = way->chunks[i].at_ms + the.delay_ms;

		if (due > now) {
			if (due < *ret_at)
				*ret_at = due;
			break;
		}
		len += way->chunks[i].len;
	}
	if (the.slow_bytes == 0 || len == 0)
		return len;
	if (way->slow_ms > now) {
		if (way->slow_ms < *ret_at)
			*ret_at = way->slow_ms;
		return 0;
	}
	return len < the.slow_bytes ? len : (size_t)the.slow_bytes;
}

static bool
take_in(struct way *way, int64_t now)
{
	const ssize_t got = recv(way->from, way->bytes + way->len,
	    BYTES_MAX - way->len, MSG_DONTWAIT);

	if (got < 0)
		return errno == EAGAIN || errno == EINTR;
	if (got == 0) {
		way->ended = true;
		return true;
	}
	way->len += (size_t)got;
	way->chunks[way->chunk_count].at_ms = now;
	way->chunks[way->chunk_count++].len = (size_t)got;
	return true;
}

static void
forget(struct way *way, size_t len)
{
	size_t gone = 0;

	way->len -= len;
	memmove(way->bytes, way->bytes + len, way->len);
	while (len > 0 && len >= way->chunks[gone].len)
		len -= way->chunks[gone++].len;
	way->chunk_count -= gone;
	memmove(way->chunks, way->chunks + gone,
	    way->chunk_count * sizeof(way->chunks[0]));
	if (len > 0)
		way->chunks[0].len -= len;
}

/* False: the connection is over. */
static bool
hand_on(struct joint *joint, struct way *way, size_t len, int64_t now)
{
	ssize_t put;

	if (the.cut && len > joint->left)
		len = (size_t)joint->left;
	put = send(way->to, way->bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (put < 0)
		return errno == EAGAIN || errno == EINTR;
	forget(way, (size_t)put);
	way->slow_ms = now + SLOW_MS;
	if (the.cut)
		joint->left -= (uint64_t)put;
	return !the.cut || joint->left > 0;
}

/* --- connections ---------------------------------------------------------- */

static void
accept_one(void)
{
	const int from = accept4(the.listener, NULL, NULL, SOCK_CLOEXEC);
	struct joint *joint = NULL;
	const int one = 1;
	int to;

	if (from < 0)
		return;
	for (int i = 0; i < JOINTS_MAX && joint == NULL; i++)
		if (!the.joints[i].used)
			joint = &the.joints[i];
	to = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (the.refuse || joint == NULL || to < 0 ||
	    setsockopt(to, SOL_SOCKET, SO_MARK, &the.mark, sizeof(the.mark)) <
	        0 ||
	    (connect(to, (struct sockaddr *)&the.target, sizeof(the.target)) <
	            0 &&
	        errno != EINPROGRESS)) {
		close_one(from, true);
		if (to >= 0)
			(void)close(to);
		return;
	}
	(void)setsockopt(from, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	joint->used = joint->connecting = true;
	joint->left = the.cut_bytes;
	for (int which = UP; which < WAYS; which++) {
		struct way *way = &joint->ways[which];

		way->from = which == UP ? from : to;
		way->to = which == UP ? to : from;
		way->len = way->chunk_count = 0;
		way->ended = way->told = false;
		way->slow_ms = 0;
	}
}

static bool
has_connected(struct joint *joint)
{
	int error = 0;
	socklen_t len = sizeof(error);

	joint->connecting = false;
	return getsockopt(joint->ways[UP].to, SOL_SOCKET, SO_ERROR, &error,
	           &len) == 0 &&
	    error == 0;
}

/* What poll(2) said of both sockets: [0] the member's, [1] ours to HOST. */
static bool
work(struct joint *joint, const struct pollfd pfds[2], int64_t now)
{
	int64_t ignored = INT64_MAX;

	if (joint->connecting && pfds[1].revents != 0 && !has_connected(joint))
		return false;
	if (joint->connecting)
		return true;
	for (int which = UP; which < WAYS; which++) {
		struct way *way = &joint->ways[which];
		size_t len;

		if ((pfds[which].revents & (POLLIN | POLLHUP | POLLERR)) != 0 &&
		    !the.stall[which] && has_room(way) && !take_in(way, now))
			return false;
		len = may_go(way, which, now, &ignored);
		if (len > 0 && !hand_on(joint, way, len, now))
			return false;
		if (way->ended && way->len == 0 && !way->told) {
			(void)shutdown(way->to, SHUT_WR);
			way->told = true;
		}
	}
	return !joint->ways[UP].told || !joint->ways[DOWN].told;
}

/* What to wait for; a socket of which nothing is wanted is not watched. */
static void
prepare(const struct joint *joint, struct pollfd pfds[2], int64_t now,
    int64_t *ret_at)
{
	pfds[0] = pfds[1] = (struct pollfd){.fd = -1};
	if (!joint->used)
		return;
	if (joint->connecting) {
		pfds[1].fd = joint->ways[UP].to;
		pfds[1].events = POLLOUT;
		return;
	}
	for (int which = UP; which < WAYS; which++) {
		const struct way *way = &joint->ways[which];

		if (!the.stall[which] && has_room(way))
			pfds[which].events |= POLLIN;
		if (may_go(way, which, now, ret_at) > 0)
			pfds[1 - which].events |= POLLOUT;
	}
	for (int side = 0; side < 2; side++)
		if (pfds[side].events != 0)
			pfds[side].fd = joint->ways[side].from;
}

static void
turn(void)
{
	struct pollfd pfds[2 + 2 * JOINTS_MAX];
	int64_t now = now_ms(), at = INT64_MAX;
	int count;

	pfds[0] = (struct pollfd){STDIN_FILENO, POLLIN, 0};
	pfds[1] = (struct pollfd){the.listener, POLLIN, 0};
	for (int i = 0; i < JOINTS_MAX; i++)
		prepare(&the.joints[i], &pfds[2 + 2 * i], now, &at);
	count = poll(pfds, 2 + 2 * JOINTS_MAX,
	    at == INT64_MAX ? -1 : (int)(at - now));
	if (count < 0 && errno != EINTR)
		exit(1);
	now = now_ms();
	for (int i = 0; i < JOINTS_MAX; i++)
		if (the.joints[i].used &&
		    !work(&the.joints[i], &pfds[2 + 2 * i], now))
			end_joint(&the.joints[i], true);
	if (pfds[1].revents != 0)
		accept_one();
	if (pfds[0].revents != 0 && !read_commands())
		exit(0);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	const int one = 1;

	if (argc != 5) {
		(void)fputs("usage: proxy PORT HOST TARGET-PORT MARK\n",
		    stderr);
		return 2;
	}
	any.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
	the.target.sin_family = AF_INET;
	the.target.sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10));
	the.mark = (int)strtol(argv[4], NULL, 10);
	the.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (inet_pton(AF_INET, argv[2], &the.target.sin_addr) != 1 ||
	    the.listener < 0 ||
	    setsockopt(the.listener, SOL_SOCKET, SO_REUSEADDR, &one,
	        sizeof(one)) < 0 ||
	    bind(the.listener, (struct sockaddr *)&any, sizeof(any)) < 0 ||
	    listen(the.listener, JOINTS_MAX) < 0) {
		perror("proxy");
		return 1;
	}
	for (;;)
		turn();
}

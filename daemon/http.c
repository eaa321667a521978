#include "daemon/http.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/err.h"

/* More wait in the kernel, and beyond that they are refused. */
#define CLIENTS_MAX 16
#define BACKLOG     16

/* From the first byte of a request to the last of its answer. */
#define CLIENT_MS 5000

#define REQUEST_MAX 4096u
#define HEAD_MAX    512u
#define BODY_MAX    (64u << 10)

struct client {
	int fd; /* -1: free */
	int64_t deadline_ms;
	size_t in_len, out_len, out_pos;
	char in[REQUEST_MAX];
	char *out; /* NULL: the request is not whole yet */
};

struct zk_http {
	int listen_fd, stop_fd;
	struct zk_report *report;
	bool started;
	pthread_t thread;
	struct client clients[CLIENTS_MAX];
};

/* --- one client ----------------------------------------------------------- */

static void
drop(struct client *client)
{
	(void)close(client->fd);
	free(client->out);
	*client = (struct client){.fd = -1};
}

static void
put_answer(struct client *client, const char *status, const char *type,
    const char *body, size_t len, bool head_only)
{
	const int n = snprintf(client->out, HEAD_MAX,
	    "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
	    "Connection: close\r\n\r\n",
	    status, type, len);

	ZK_ASSERT(n > 0 && (size_t)n < HEAD_MAX);
	client->out_len = (size_t)n;
	if (head_only)
		return;
	/* The body of an error is its status; that of metrics is in place. */
	memmove(client->out + client->out_len, body, len);
	client->out_len += len;
}

static void
put_error(struct client *client, const char *status, bool head_only)
{
	char body[64];
	const int n = snprintf(body, sizeof(body), "%s\n", status);

	put_answer(client, status, "text/plain; charset=utf-8", body, (size_t)n,
	    head_only);
}

static void
put_metrics(struct zk_report *report, struct client *client, bool head_only)
{
	char *body = client->out + HEAD_MAX;
	size_t len;

	if (zk_report_text(report, "metrics", body, BODY_MAX, &len) < 0)
		put_error(client, "503 Service Unavailable", head_only);
	else
		put_answer(client, "200 OK",
		    "application/openmetrics-text; version=1.0.0; "
		    "charset=utf-8",
		    body, len, head_only);
}

/* "METHOD PATH HTTP/...", where a query after PATH does not count. */
static void
answer(struct zk_report *report, struct client *client)
{
	char method[8] = "", path[64] = "", version[8] = "";
	const bool parsed =
	    sscanf(client->in, "%7[A-Z] %63[^ \r\n] HTTP/%7[0-9.]", method,
	        path, version) == 3;
	const bool head_only = strcmp(method, "HEAD") == 0;

	client->out = malloc(HEAD_MAX + BODY_MAX);
	if (client->out == NULL) {
		drop(client);
		return;
	}
	path[strcspn(path, "?")] = '\0';
	if (!parsed)
		put_error(client, "400 Bad Request", false);
	else if (!head_only && strcmp(method, "GET") != 0)
		put_error(client, "405 Method Not Allowed", false);
	else if (strcmp(path, "/metrics") != 0)
		put_error(client, "404 Not Found", head_only);
	else
		put_metrics(report, client, head_only);
}

static void
take(struct zk_report *report, struct client *client)
{
	const ssize_t n = recv(client->fd, client->in + client->in_len,
	    REQUEST_MAX - 1 - client->in_len, MSG_DONTWAIT);

	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			drop(client);
		return;
	}
	client->in_len += (size_t)n;
	client->in[client->in_len] = '\0';
	if (strstr(client->in, "\r\n\r\n") != NULL ||
	    strstr(client->in, "\n\n") != NULL)
		answer(report, client);
	else if (client->in_len == REQUEST_MAX - 1)
		drop(client);
}

static void
give(struct client *client)
{
	const ssize_t n = send(client->fd, client->out + client->out_pos,
	    client->out_len - client->out_pos, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		drop(client);
		return;
	}
	client->out_pos += n > 0 ? (size_t)n : 0;
	if (client->out_pos == client->out_len)
		drop(client);
}

/* --- all of them ---------------------------------------------------------- */

static struct client *
free_slot(struct zk_http *http)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (http->clients[i].fd < 0)
			return &http->clients[i];
	return NULL;
}

static void
accept_one(struct zk_http *http, struct client *slot)
{
	const int fd =
	    accept4(http->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	slot->fd = fd;
	slot->deadline_ms = (int64_t)zk_clock_ms() + CLIENT_MS;
}

/* Ends those that took too long; until the next end, or -1. */
static int
expire(struct zk_http *http)
{
	const int64_t now = (int64_t)zk_clock_ms();
	int64_t next = -1;

	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &http->clients[i];
		const int64_t left = client->deadline_ms - now;

		if (client->fd < 0)
			continue;
		if (left <= 0)
			drop(client);
		else if (next < 0 || left < next)
			next = left;
	}
	return (int)next;
}

static void
serve_client(struct zk_http *http, struct client *client, short revents)
{
	if (client->fd < 0 || revents == 0)
		return;
	if (client->out == NULL)
		take(http->report, client);
	else
		give(client);
}

static void *
serve(void *arg)
{
	struct zk_http *http = arg;
	struct pollfd pfds[CLIENTS_MAX + 2];
	struct client *slot;

	pfds[0] = (struct pollfd){.fd = http->stop_fd, .events = POLLIN};
	for (;;) {
		const int wait_ms = expire(http);

		slot = free_slot(http);
		/* A negative descriptor is not looked at. */
		pfds[1] = (struct pollfd){
		    .fd = slot != NULL ? http->listen_fd : -1,
		    .events = POLLIN,
		};
		for (size_t i = 0; i < CLIENTS_MAX; i++)
			pfds[2 + i] = (struct pollfd){
			    .fd = http->clients[i].fd,
			    .events =
			        http->clients[i].out != NULL ? POLLOUT : POLLIN,
			};
		if (poll(pfds, CLIENTS_MAX + 2, wait_ms) <= 0)
			continue;
		if (pfds[0].revents != 0)
			return NULL;
		for (size_t i = 0; i < CLIENTS_MAX; i++)
			serve_client(http, &http->clients[i],
			    pfds[2 + i].revents);
		if (pfds[1].revents != 0 && slot->fd < 0)
			accept_one(http, slot);
	}
}

/* --- opening and closing -------------------------------------------------- */

static int
listen_on(const struct addrinfo *info)
{
	const int one = 1;
	const int fd = socket(info->ai_family,
	    info->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 &&
	    listen(fd, BACKLOG) == 0)
		return fd;
	rc = -errno;
	(void)close(fd);
	return rc;
}

static int
listen_at(const struct zk_address *address, struct zk_fault *ret_fault)
{
	const struct addrinfo hints = {
	    .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	    .ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *list = NULL;
	char port[8];
	int rc;

	(void)snprintf(port, sizeof(port), "%u", (unsigned)address->port);
	rc = getaddrinfo(address->host, port, &hints, &list);
	if (rc != 0)
		return zk_fault_set(ret_fault, -EADDRNOTAVAIL, ZK_EXIT_USAGE,
		    "http=%s:%s: %s", address->host, port, gai_strerror(rc));
	rc = listen_on(list);
	freeaddrinfo(list);
	if (rc < 0)
		return zk_fault_set(ret_fault, rc, ZK_EXIT_MOUNT,
		    "http=%s:%s: %s", address->host, port, zk_err_text(rc));
	return rc;
}

int
zk_http_open(const struct zk_address *address, struct zk_http **ret_http,
    struct zk_fault *ret_fault)
{
	struct zk_http *http;
	int fd;

	*ret_http = NULL;
	if (address->host[0] == '\0')
		return 0;
	fd = listen_at(address, ret_fault);
	if (fd < 0)
		return fd;
	http = calloc(1, sizeof(*http));
	if (http == NULL) {
		(void)close(fd);
		return zk_fault_set(ret_fault, -ENOMEM, ZK_EXIT_SYSTEM, "%s",
		    zk_err_text(-ENOMEM));
	}
	http->listen_fd = fd;
	http->stop_fd = -1;
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		http->clients[i].fd = -1;
	*ret_http = http;
	return 0;
}

int
zk_http_start(struct zk_http *http, struct zk_report *report,
    struct zk_fault *ret_fault)
{
	sigset_t all, old;
	int rc;

	if (http == NULL)
		return 0;
	http->report = report;
	http->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (http->stop_fd < 0)
		return zk_fault_set(ret_fault, -errno, ZK_EXIT_SYSTEM,
		    "http: %s", zk_err_text(-errno));
	/* Signals are for the main thread. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&http->thread, NULL, serve, http);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc != 0)
		return zk_fault_set(ret_fault, -rc, ZK_EXIT_SYSTEM,
		    "cannot start a thread: %s", zk_err_text(-rc));
	http->started = true;
	return 0;
}

void
zk_http_close(struct zk_http *http)
{
	const uint64_t one = 1;

	if (http == NULL)
		return;
	if (http->started) {
		(void)!write(http->stop_fd, &one, sizeof(one));
		(void)pthread_join(http->thread, NULL);
	}
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (http->clients[i].fd >= 0)
			drop(&http->clients[i]);
	if (http->stop_fd >= 0)
		(void)close(http->stop_fd);
	(void)close(http->listen_fd);
	free(http);
}

/* What the transport asks of nng beyond bytes: listening, dialing, TLS. */

#include "consensus/transport_impl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"

#define PEM_BYTES_MAX 1048576

int
zk_net_error(int nng_code)
{
	static const struct {
		int code, err;
	} known[] = {
	    {NNG_ENOMEM, ENOMEM},
	    {NNG_EINVAL, EINVAL},
	    {NNG_ETIMEDOUT, ETIMEDOUT},
	    {NNG_ECONNREFUSED, ECONNREFUSED},
	    {NNG_EADDRINUSE, EADDRINUSE},
	    {NNG_EADDRINVAL, EADDRNOTAVAIL},
	    {NNG_EPERM, EACCES},
	    {NNG_ENOFILES, EMFILE},
	    {NNG_ENOTSUP, ENOTSUP},
	    {NNG_ECRYPTO, EBADMSG},
	    {NNG_EPEERAUTH, EBADMSG},
	};

	if (nng_code == 0)
		return 0;
	if ((nng_code & NNG_ESYSERR) != 0)
		return -(nng_code & ~NNG_ESYSERR);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].code == nng_code)
			return -known[i].err;
	return -EIO;
}

bool
zk_net_address_is_good(const char *address)
{
	const size_t len = strlen(address);
	const char *colon = strrchr(address, ':');
	unsigned port = 0;

	if (len > ZK_TRANSPORT_ADDRESS_MAX || colon == NULL ||
	    colon == address || colon[1] == '\0' || strlen(colon + 1) > 5)
		return false;
	for (const char *c = colon + 1; *c != '\0'; c++) {
		if (*c < '0' || *c > '9')
			return false;
		port = port * 10 + (unsigned)(*c - '0');
	}
	/* What stands before it must be one host and no other part of a URL. */
	for (const char *c = address; c < colon; c++) {
		if (*c <= ' ' || *c >= 0x7f || strchr("/@?#%\\*", *c) != NULL)
			return false;
		if (*c == ':' && (address[0] != '[' || colon[-1] != ']'))
			return false;
	}
	return port <= 65535;
}

/* --- TLS ------------------------------------------------------------------ */

static int
read_pem(const char *path, char **ret_text)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = NULL;
	struct stat st;
	ssize_t got;
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		rc = -errno;
		goto out;
	}
	if (st.st_size < 1 || st.st_size > PEM_BYTES_MAX) {
		rc = -EBADMSG;
		goto out;
	}
	text = malloc((size_t)st.st_size + 1);
	if (text == NULL) {
		rc = -ENOMEM;
		goto out;
	}
	got = read(fd, text, (size_t)st.st_size);
	if (got != st.st_size) {
		rc = got < 0 ? -errno : -EBADMSG;
		goto out;
	}
	text[got] = '\0';
	*ret_text = text;
	text = NULL;
out:
	free(text);
	(void)close(fd);
	return rc;
}

/* name: whose certificate is expected, NULL for a listener's. */
static int
tls_new(const struct zk_transport *t, const char *name,
    nng_tls_config **ret_tls)
{
	nng_tls_config *tls;
	int rc;

	rc = nng_tls_config_alloc(&tls,
	    name != NULL ? NNG_TLS_MODE_CLIENT : NNG_TLS_MODE_SERVER);
	if (rc != 0)
		return zk_net_error(rc);
	rc = nng_tls_config_auth_mode(tls, NNG_TLS_AUTH_MODE_REQUIRED);
	if (rc == 0)
		rc = nng_tls_config_ca_chain(tls, t->ca_pem, NULL);
	if (rc == 0)
		rc =
		    nng_tls_config_own_cert(tls, t->cert_pem, t->key_pem, NULL);
	/* Without a name the certificate of any host would do. */
	if (rc == 0 && name != NULL)
		rc = nng_tls_config_server_name(tls, name);
	if (rc != 0) {
		nng_tls_config_free(tls);
		return rc == NNG_ENOMEM ? -ENOMEM : -EBADMSG;
	}
	*ret_tls = tls;
	return 0;
}

int
zk_net_tls_load(struct zk_transport *t,
    const struct zk_transport_options *options)
{
	int rc;

	rc = read_pem(options->tls_cert, &t->cert_pem);
	if (rc == 0)
		rc = read_pem(options->tls_key, &t->key_pem);
	if (rc == 0)
		rc = read_pem(options->tls_ca, &t->ca_pem);
	if (rc == 0)
		rc = tls_new(t, NULL, &t->listener_tls);
	return rc;
}

/* --- listening ------------------------------------------------------------ */

static void
on_accepted(void *arg)
{
	struct zk_transport *t = arg;

	(void)pthread_mutex_lock(&t->lock);
	t->accept_done = true;
	(void)pthread_mutex_unlock(&t->lock);
	zk_transport_wake(t);
}

static int
listener_open(struct zk_transport *t)
{
	nng_stream_listener *l;
	int rc, port = 0;

	rc = nng_stream_listener_alloc(&l, t->listen_url);
	if (rc != 0)
		return zk_net_error(rc);
	rc = nng_stream_listener_set_bool(l, NNG_OPT_TCP_NODELAY, true);
	if (rc == 0 && t->listener_tls != NULL)
		rc = nng_stream_listener_set_ptr(l, NNG_OPT_TLS_CONFIG,
		    t->listener_tls);
	if (rc == 0)
		rc = nng_stream_listener_listen(l);
	if (rc == 0)
		rc = nng_stream_listener_get_int(l, NNG_OPT_TCP_BOUND_PORT,
		    &port);
	if (rc != 0) {
		nng_stream_listener_free(l);
		return zk_net_error(rc);
	}
	t->listener = l;
	if (t->port == 0)
		t->port = (uint16_t)port;
	return 0;
}

int
zk_net_listen(struct zk_transport *t)
{
	char *colon;
	int rc;

	rc = zk_net_error(nng_aio_alloc(&t->accept_aio, on_accepted, t));
	if (rc == 0)
		rc = listener_open(t);
	if (rc < 0)
		return rc;
	/* Should it have to be opened again, then on the same port. */
	colon = strrchr(t->listen_url, ':');
	(void)snprintf(colon, sizeof(":65535"), ":%u", (unsigned)t->port);
	return 0;
}

void
zk_net_accept_step(struct zk_transport *t)
{
	nng_stream *stream = NULL;
	bool done;
	int rc = 0;

	if (!t->is_listening)
		return;
	(void)pthread_mutex_lock(&t->lock);
	done = t->accept_done;
	t->accept_done = false;
	(void)pthread_mutex_unlock(&t->lock);
	if (done) {
		t->accepting = false;
		rc = nng_aio_result(t->accept_aio);
		if (rc == 0)
			stream = nng_aio_get_output(t->accept_aio, 0);
		else
			t->accept_ms = t->now_ms + ZK_LISTEN_RETRY_MS;
	}
	/* Out of descriptors: wait.  Closed itself: open it again. */
	if (rc == NNG_ECLOSED) {
		nng_stream_listener_free(t->listener);
		t->listener = NULL;
	}
	if (stream != NULL)
		zk_session_accept(t, stream);
	if (t->accepting)
		return;
	if (t->now_ms < t->accept_ms) {
		zk_transport_wake_at(t, t->accept_ms);
		return;
	}
	if (t->listener == NULL && listener_open(t) < 0) {
		t->accept_ms = t->now_ms + ZK_LISTEN_RETRY_MS;
		zk_transport_wake_at(t, t->accept_ms);
		return;
	}
	t->accepting = true;
	nng_stream_listener_accept(t->listener, t->accept_aio);
}

void
zk_net_listen_stop(struct zk_transport *t)
{
	nng_stream *stream;

	if (t->listener != NULL)
		nng_stream_listener_close(t->listener);
	if (t->accept_aio != NULL) {
		nng_aio_stop(t->accept_aio);
		stream = t->accepting && nng_aio_result(t->accept_aio) == 0
		    ? nng_aio_get_output(t->accept_aio, 0)
		    : NULL;
		if (stream != NULL)
			nng_stream_free(stream);
		nng_aio_free(t->accept_aio);
	}
	if (t->listener != NULL)
		nng_stream_listener_free(t->listener);
	if (t->listener_tls != NULL)
		nng_tls_config_free(t->listener_tls);
	t->accept_aio = NULL;
	t->listener = NULL;
	t->listener_tls = NULL;
}

/* --- dialing -------------------------------------------------------------- */

int
zk_net_dial(struct conn *conn)
{
	struct zk_transport *t = conn->t;
	struct slot *slot = conn->slot;
	char url[ZK_TRANSPORT_ADDRESS_MAX + 16];
	int rc = 0;

	if (t->ca_pem != NULL && slot->tls == NULL)
		rc = tls_new(t, slot->name, &slot->tls);
	if (rc < 0)
		return rc;
	(void)snprintf(url, sizeof(url), "%s%s",
	    slot->tls != NULL ? "tls+tcp://" : "tcp://", slot->address);
	rc = nng_stream_dialer_alloc(&conn->dialer, url);
	if (rc != 0) {
		conn->dialer = NULL;
		return zk_net_error(rc);
	}
	rc =
	    nng_stream_dialer_set_bool(conn->dialer, NNG_OPT_TCP_NODELAY, true);
	if (rc == 0 && slot->tls != NULL)
		rc = nng_stream_dialer_set_ptr(conn->dialer, NNG_OPT_TLS_CONFIG,
		    slot->tls);
	if (rc != 0)
		return zk_net_error(rc);
	(void)atomic_fetch_add(&t->dials, 1);
	/*
	 * Without nng's own time-out, whose thread may be about to cancel what
	 * we free at the same time; conn->deadline_ms is the bound.
	 */
	nng_stream_dialer_dial(conn->dialer, conn->dial_aio);
	return 0;
}

int
zk_net_dial_take(struct conn *conn)
{
	const int rc = nng_aio_result(conn->dial_aio);

	if (rc != 0)
		return zk_net_error(rc);
	conn->stream = nng_aio_get_output(conn->dial_aio, 0);
	ZK_ASSERT(conn->stream != NULL);
	return 0;
}

void
zk_net_dial_stop(struct conn *conn)
{
	if (conn->dialer == NULL)
		return;
	nng_stream_dialer_close(conn->dialer);
	nng_aio_stop(conn->dial_aio);
	/* It may have come about just now, with nobody to take it. */
	if (conn->stream == NULL && nng_aio_result(conn->dial_aio) == 0)
		conn->stream = nng_aio_get_output(conn->dial_aio, 0);
	nng_stream_dialer_free(conn->dialer);
	conn->dialer = NULL;
}

void
zk_net_remote(nng_stream *stream, char *address, size_t address_size,
    char *host, size_t host_size)
{
	nng_sockaddr sa;

	(void)snprintf(host, host_size, "unknown");
	(void)snprintf(address, address_size, "unknown");
	if (nng_stream_get_addr(stream, NNG_OPT_REMADDR, &sa) != 0)
		return;
	if (sa.s_family == NNG_AF_INET) {
		(void)inet_ntop(AF_INET, &sa.s_in.sa_addr, host,
		    (socklen_t)host_size);
		(void)snprintf(address, address_size, "%s:%u", host,
		    (unsigned)ntohs(sa.s_in.sa_port));
	} else if (sa.s_family == NNG_AF_INET6) {
		(void)inet_ntop(AF_INET6, &sa.s_in6.sa_addr, host,
		    (socklen_t)host_size);
		(void)snprintf(address, address_size, "[%s]:%u", host,
		    (unsigned)ntohs(sa.s_in6.sa_port));
	}
}

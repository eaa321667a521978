#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/log.h"
#include "daemon/cluster_impl.h"

/* What members say to each other of members; see cluster.h.  Under the lock. */

/* Clocks that differ by more than this are told of. */
#define CLOCK_OFF_S 60

static void
say(struct zk_cluster *c, uint64_t to, const struct zk_enc *enc)
{
	const struct iovec iov = {enc->buf, enc->len};
	int rc;

	ZK_ASSERT(!enc->failed);
	rc = zk_transport_send(c->transport, to, ZK_LANE_FAST, ZK_GROUP_CONTROL,
	    &iov, 1);
	/* What is not heard now is said at the next connection: make one. */
	if (rc < 0 && rc != -ENOTCONN)
		zk_transport_disconnect(c->transport, to);
}

void
zk_cluster_say_found(struct zk_cluster *c, uint64_t to)
{
	uint8_t directory[ZK_DIRECTORY_BYTES_MAX];
	uint8_t bytes[ZK_CONTROL_BYTES_MAX];
	struct zk_enc enc;

	zk_enc_init(&enc, bytes, sizeof(bytes));
	zk_enc_u8(&enc, ZK_CONTROL_FOUND);
	zk_enc_raw(&enc, c->ensemble, sizeof(c->ensemble));
	zk_enc_raw(&enc, directory,
	    zk_directory_encode(&c->directory, directory));
	say(c, to, &enc);
}

/* Who has that name, or 0. */
static uint64_t
node_of(const struct zk_cluster *c, const char *name)
{
	const int i = zk_directory_find(&c->directory, name);

	return i >= 0 ? c->directory.members[i].node : 0;
}

void
zk_cluster_say_stranger(struct zk_cluster *c,
    const struct zk_cluster_session *session)
{
	const uint64_t node = node_of(c, session->name);
	uint8_t bytes[32];
	struct zk_enc enc;

	if (node != 0)
		zk_log_warnx("STRANGER member=%s node=%016" PRIx64
		             " expected=%016" PRIx64
		             " reason=it has another data directory",
		    session->name, session->node, node);
	else
		zk_log_warnx("STRANGER member=%s node=%016" PRIx64
		             " reason=not a member of this ensemble",
		    session->name, session->node);
	zk_enc_init(&enc, bytes, sizeof(bytes));
	zk_enc_u8(&enc, ZK_CONTROL_STRANGER);
	zk_enc_u64(&enc, node);
	zk_enc_u64(&enc, c->directory.index);
	say(c, session->node, &enc);
}

void
zk_cluster_say_refused(struct zk_cluster *c,
    const struct zk_cluster_session *session, int rc)
{
	uint8_t bytes[32];
	struct zk_enc enc;

	ZK_ASSERT(rc < 0);
	zk_enc_init(&enc, bytes, sizeof(bytes));
	zk_enc_u8(&enc, ZK_CONTROL_REFUSED);
	zk_enc_u32(&enc, (uint32_t)-rc);
	zk_enc_u64(&enc, node_of(c, session->name));
	say(c, session->node, &enc);
}

void
zk_cluster_say_join(struct zk_cluster *c, uint64_t to)
{
	uint8_t bytes[ZK_TRANSPORT_ADDRESS_MAX + 8];
	struct zk_enc enc;

	zk_enc_init(&enc, bytes, sizeof(bytes));
	zk_enc_u8(&enc, ZK_CONTROL_JOIN);
	zk_enc_bytes(&enc, c->address, strlen(c->address));
	say(c, to, &enc);
}

static int64_t
wall_s(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec;
}

void
zk_cluster_say_hello(struct zk_cluster *c, uint64_t to)
{
	uint8_t bytes[16];
	struct zk_enc enc;

	zk_enc_init(&enc, bytes, sizeof(bytes));
	zk_enc_u8(&enc, ZK_CONTROL_HELLO);
	zk_enc_i64(&enc, wall_s());
	say(c, to, &enc);
}

/* --- and hear ------------------------------------------------------------- */

static int
hear_found(struct zk_cluster *c, const struct zk_cluster_session *session,
    struct zk_dec *dec)
{
	const void *ensemble = zk_dec_raw(dec, ZK_ENSEMBLE_BYTES);
	struct zk_directory directory;

	if (ensemble == NULL)
		return -EPROTO;
	if (zk_directory_decode(dec->buf + dec->pos, dec->len - dec->pos,
	        &directory) < 0)
		return -EPROTO;
	if (c->formed) {
		/* Newer than what our log has told us: whom to talk to. */
		if (memcmp(ensemble, c->ensemble, ZK_ENSEMBLE_BYTES) == 0 &&
		    directory.index > c->directory.index &&
		    zk_cluster_is_known(&directory, c->name, c->self))
			zk_cluster_adopt(c, &directory);
		return 0;
	}
	/* Only those whom we look for can tell. */
	if (c->found || zk_directory_find(&c->source, session->name) < 0)
		return 0;
	memcpy(c->found_ensemble, ensemble, sizeof(c->found_ensemble));
	c->found_directory = directory;
	c->found = true;
	return 0;
}

/* The index that let us in, as far as we know. */
static uint64_t
own_since(const struct zk_cluster *c)
{
	const int i = zk_directory_find_node(&c->directory, c->self);

	return i >= 0 ? c->directory.members[i].since : 0;
}

static int
hear_stranger(struct zk_cluster *c, struct zk_dec *dec)
{
	const uint64_t node = zk_dec_u64(dec);
	const uint64_t index = zk_dec_u64(dec);

	if (!zk_dec_done(dec))
		return -EPROTO;
	c->stranger = true;
	c->stranger_node = node;
	/* Who is behind may not have heard of us yet. */
	if (!c->formed || c->is_removed || index < own_since(c))
		return 0;
	c->is_removed = true;
	c->removed(c->arg);
	return 0;
}

static int
hear_refused(struct zk_cluster *c, struct zk_dec *dec)
{
	const uint32_t reason = zk_dec_u32(dec);
	const uint64_t node = zk_dec_u64(dec);

	if (!zk_dec_done(dec) || reason == 0 || reason > 4095)
		return -EPROTO;
	if (c->formed)
		return 0;
	/* The rest may be otherwise when we ask again. */
	if (reason != EEXIST && reason != ENOTUNIQ && reason != EUSERS &&
	    reason != EINVAL)
		return 0;
	c->refused = -(int)reason;
	c->stranger_node = node;
	return 0;
}

static int
hear_join(struct zk_cluster *c, struct zk_cluster_session *session,
    struct zk_dec *dec)
{
	size_t len;
	const void *address = zk_dec_bytes(dec, ZK_TRANSPORT_ADDRESS_MAX, &len);

	if (address == NULL || !zk_dec_done(dec))
		return -EPROTO;
	if (c->formed)
		zk_cluster_let_in(c, session, address, len);
	return 0;
}

static int
hear_hello(const struct zk_cluster_session *session, struct zk_dec *dec)
{
	const int64_t theirs = zk_dec_i64(dec);
	const int64_t ours = wall_s();

	if (!zk_dec_done(dec))
		return -EPROTO;
	if (theirs > ours + CLOCK_OFF_S || ours > theirs + CLOCK_OFF_S)
		zk_log_warnx("CLOCK member=%s ahead_s=%" PRId64
		             " reason=its clock and ours differ: times in the "
		             "tree are the leader's",
		    session->name, theirs - ours);
	return 0;
}

int
zk_cluster_hear(struct zk_cluster *c, struct zk_cluster_session *session,
    const struct zk_transport_frame *frame)
{
	struct zk_dec dec;

	zk_dec_init(&dec, frame->bytes, frame->len);
	switch (zk_dec_u8(&dec)) {
	case ZK_CONTROL_FOUND:
		return hear_found(c, session, &dec);
	case ZK_CONTROL_STRANGER:
		return hear_stranger(c, &dec);
	case ZK_CONTROL_JOIN:
		return hear_join(c, session, &dec);
	case ZK_CONTROL_REFUSED:
		return hear_refused(c, &dec);
	case ZK_CONTROL_HELLO:
		return hear_hello(session, &dec);
	default:
		return -EPROTO;
	}
}

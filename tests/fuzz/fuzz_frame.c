/*
 * What a stranger can send: heads of frames, and the messages of the
 * handshake, to either side and in any state.  Whatever comes, nobody who
 * does not hold the key may get through.
 */

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "consensus/auth.h"
#include "consensus/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
	if (!holds)
		abort();
}

static void
fuzz_head(const uint8_t *data, size_t size, bool repair)
{
	uint8_t head[ZK_FRAME_HEAD_BYTES], again[ZK_FRAME_HEAD_BYTES];
	struct zk_frame frame;
	uint32_t crc;

	if (size < sizeof(head) + 2)
		return;
	memcpy(head, data + 2, sizeof(head));
	crc = zk_crc32c(0, head, sizeof(head) - 4);
	for (unsigned i = 0; repair && i < 4; i++)
		head[sizeof(head) - 4 + i] = (uint8_t)(crc >> 8 * i);
	if (zk_frame_decode(head, data[0] % ZK_LANES_MAX, data[1], &frame) < 0)
		return;
	must(frame.len <= zk_frame_body_max(frame.lane));
	zk_frame_encode(&frame, again);
	must(memcmp(head, again, sizeof(head)) == 0);
	size -= sizeof(head) + 2;
	if (frame.len <= size)
		(void)zk_frame_check(&frame, data + sizeof(head) + 2);
}

static void
start(struct zk_auth *auth, bool dials, const char *name, uint64_t node,
    struct zk_auth_out *out)
{
	const struct zk_auth_key key = {.len = 32, .bytes = "of the ensemble"};
	struct zk_identity self = {.node = node, .session = 5, .lanes = 2};
	uint8_t nonce[ZK_AUTH_NONCE_BYTES] = {(uint8_t)node};

	memcpy(self.name, name, strlen(name) + 1);
	zk_auth_init(auth, 1, &key, &self, nonce, dials ? out : NULL);
}

/* A stranger talks to one side. */
static void
fuzz_side(const uint8_t *data, size_t size, bool dials)
{
	struct zk_auth_out out;
	struct zk_auth auth;
	size_t len;

	start(&auth, dials, "self", 1, &out);
	while (size >= ZK_AUTH_PREFIX_BYTES) {
		if (zk_auth_length(data, &len) < 0 || len > size)
			break;
		if (zk_auth_step(&auth, data, len, &out) < 0)
			break;
		must(out.len <= ZK_AUTH_MESSAGE_MAX);
		must(auth.state != ZK_AUTH_JUDGE);
		must(auth.state != ZK_AUTH_DONE);
		data += len;
		size -= len;
	}
	zk_auth_fini(&auth);
}

/* Two who hold the key, and somebody between them who changes one message. */
static void
fuzz_between(const uint8_t *data, size_t size)
{
	struct zk_auth sides[2]; /* the dialer, the listener */
	struct zk_auth_out out = {0};
	bool changed = false;
	const unsigned which = size > 0 ? data[0] % 4 : 0;

	start(&sides[0], true, "dialer", 1, &out);
	start(&sides[1], false, "listener", 2, NULL);
	for (unsigned i = 0; i < 4; i++) {
		struct zk_auth *to = &sides[(i + 1) % 2];
		struct zk_auth_out in = out;

		for (size_t j = 1; i == which && j + 1 < size; j += 2) {
			in.bytes[data[j] % in.len] ^= data[j + 1];
			changed = memcmp(&in, &out, sizeof(in)) != 0;
		}
		if (zk_auth_step(to, in.bytes, in.len, &out) < 0)
			break;
		if (to->state == ZK_AUTH_JUDGE)
			zk_auth_judge(to, ZK_REFUSED_NOT, &out);
	}
	/* A WELCOME that was changed leaves the listener content. */
	if (changed) {
		must(sides[0].state != ZK_AUTH_DONE);
		must(sides[1].state != ZK_AUTH_DONE || which == 3);
	} else {
		must(sides[0].state == ZK_AUTH_DONE);
		must(sides[1].state == ZK_AUTH_DONE);
	}
	zk_auth_fini(&sides[0]);
	zk_auth_fini(&sides[1]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	switch (data[0] % 5) {
	case 0:
	case 1:
		fuzz_head(data + 1, size - 1, data[0] % 5 == 0);
		break;
	case 2:
	case 3:
		fuzz_side(data + 1, size - 1, data[0] % 5 == 2);
		break;
	default:
		fuzz_between(data + 1, size - 1);
		break;
	}
	return 0;
}

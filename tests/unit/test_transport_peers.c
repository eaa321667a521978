#include "tests/unit/transport_rig.h"

#include "tests/transport/raw.h"

TestSuite(transport_peers, .init = setup, .fini = teardown);

static long
rss_kib(void)
{
	const char *resident;
	char line[128];
	FILE *f = fopen("/proc/self/statm", "re");

	cr_assert_not_null(f);
	resident = fgets(line, sizeof(line), f);
	(void)fclose(f);
	cr_assert_not_null(resident);
	resident = strchr(line, ' ');
	cr_assert_not_null(resident);
	return strtol(resident, NULL, 10) * (sysconf(_SC_PAGESIZE) / 1024);
}

/* --- whom not to talk to -------------------------------------------------- */

static void
expect_refused(enum zk_refusal reason)
{
	rig_open(A);
	rig_open(B);
	rig_know(A, B, 1);
	RIG_AWAIT(A, A->refusals > 0);
	cr_expect_eq(A->refusal, reason, "%s", zk_refusal_text(A->refusal));
	cr_expect_eq(A->ups + B->ups, 0);
}

Test(transport_peers, another_key_is_refused)
{
	B->options.key = "another key of thirty-two bytes.";
	expect_refused(ZK_REFUSED_KEY);
	RIG_AWAIT(B, B->refusals > 0);
	cr_expect_eq(B->refusal, ZK_REFUSED_KEY);
	cr_expect(A->refused_by_peer);
	cr_expect_not(B->refused_by_peer);
}

Test(transport_peers, no_key_where_one_is_wanted_is_refused)
{
	B->options.key = NULL;
	B->options.insecure = true;
	expect_refused(ZK_REFUSED_KEYLESS);
}

Test(transport_peers, another_version_is_refused)
{
	B->options.version = 2;
	expect_refused(ZK_REFUSED_VERSION);
}

Test(transport_peers, another_ensemble_is_refused_and_none_yet_is_not)
{
	uint8_t other[ZK_ENSEMBLE_BYTES] = {2};

	A->options.ensemble[0] = 1;
	B->options.ensemble[0] = 2;
	expect_refused(ZK_REFUSED_ENSEMBLE);
	zk_transport_set_ensemble(A->t, other);
	RIG_AWAIT(A, A->ups == 1);
	other[0] = 0;
	zk_transport_set_ensemble(A->t, other);
	zk_transport_disconnect(A->t, 2);
	RIG_AWAIT(A, A->ups == 2);
	cr_expect_eq(A->last_up.identity.ensemble[0], 2);
}

Test(transport_peers, dialing_oneself_is_refused)
{
	struct zk_transport_peer self = {"b", NULL, 0};

	rig_open(A);
	self.address = A->address;
	cr_assert_eq(zk_transport_set_peers(A->t, &self, 1), 0);
	RIG_AWAIT(A, A->refusals > 0);
	cr_expect_eq(A->refusal, ZK_REFUSED_SELF);
	cr_expect_eq(A->ups, 0);
}

Test(transport_peers, an_address_that_is_anothers_is_refused)
{
	struct zk_transport_peer wrong = {"c", NULL, 0};

	rig_open(A);
	rig_open(B);
	wrong.address = B->address;
	cr_assert_eq(zk_transport_set_peers(A->t, &wrong, 1), 0);
	RIG_AWAIT(A, A->refusals > 0);
	cr_expect_eq(A->refusal, ZK_REFUSED_UNEXPECTED);
	wrong = (struct zk_transport_peer){"b", B->address, 22};
	cr_assert_eq(zk_transport_set_peers(A->t, &wrong, 1), 0);
	RIG_AWAIT(A, A->refusals > 1);
	cr_expect_eq(A->refusal, ZK_REFUSED_UNEXPECTED);
	cr_expect_eq(A->ups, 0);
}

Test(transport_peers, names_and_node_ids_are_one_members)
{
	struct zk_identity id = raw_identity("b", 22, 0);
	struct raw raw;

	rig_open_all(members, 2);
	cr_expect_eq(raw_join(&raw, A, &id), -EACCES);
	cr_expect_eq(raw.auth.reason, ZK_REFUSED_NAME);
	(void)close(raw.fd);
	id = raw_identity("x", 2, 0);
	cr_expect_eq(raw_join(&raw, A, &id), -EACCES);
	cr_expect_eq(raw.auth.reason, ZK_REFUSED_NODE);
	(void)close(raw.fd);
	id = raw_identity("a", 5, 0);
	cr_expect_eq(raw_join(&raw, A, &id), -EACCES);
	cr_expect_eq(raw.auth.reason, ZK_REFUSED_NAME);
	(void)close(raw.fd);
	/* An older process of B. */
	id = raw_identity("b", 2, 0);
	id.incarnation = 0;
	cr_expect_eq(raw_join(&raw, A, &id), -EACCES);
	cr_expect_eq(raw.auth.reason, ZK_REFUSED_STALE);
	(void)close(raw.fd);
	cr_expect_eq(A->downs + B->downs, 0, "B was not disturbed");
}

/* --- bad peers ------------------------------------------------------------ */

static void
expect_still_usable(void)
{
	rig_open(B);
	rig_know(A, B, 1);
	RIG_AWAIT(A, A->last_up.identity.node == 2);
	send_numbered(A, B, 0, 0, 8);
	RIG_AWAIT(B, B->received[0] == 1);
}

Test(transport_peers, garbage_is_closed_and_claims_no_memory)
{
	static const uint8_t ours[] = {'z', 'k', 'h', 'i', 1, 0, 255, 255};
	static const uint8_t nngs[] = {0, 'S', 'P', 0, 0, 16, 0, 0, 128, 0};
	struct zk_transport_stats stats;
	uint8_t buf[4096];
	uint64_t seed = 1;
	long before;
	int fd;

	rig_open(A);
	before = rss_kib();
	for (unsigned i = 0; i < 300; i++) {
		for (size_t j = 0; j < sizeof(buf); j++) {
			seed =
			    seed * 6364136223846793005u + 1442695040888963407u;
			buf[j] = (uint8_t)(seed >> 56);
		}
		if (i % 3 == 1) /* ours, and a message of 64 KiB */
			memcpy(buf, ours, sizeof(ours));
		if (i % 3 == 2) /* what nng's own protocols begin with */
			memcpy(buf, nngs, sizeof(nngs));
		fd = rig_connect(A);
		cr_assert_geq(fd, 0);
		(void)send(fd, buf, sizeof(buf), MSG_NOSIGNAL);
		cr_assert(rig_is_closed(fd), "%u", i);
		(void)close(fd);
	}
	/* The client sees the end before the count does. */
	for (unsigned i = 0; i < 1000; i++) {
		zk_transport_stats(A->t, &stats);
		if (stats.strangers == 0)
			break;
		(void)poll(NULL, 0, 1);
	}
	cr_expect_eq(stats.strangers, 0);
	cr_expect_eq(stats.refused, 300);
	cr_expect(rss_kib() < before + 8192, "%ld KiB", rss_kib() - before);
	expect_still_usable();
}

Test(transport_peers, what_is_no_frame_ends_the_session_of_a_proved_peer)
{
	uint8_t head[ZK_FRAME_HEAD_BYTES];
	struct zk_transport_stats stats;
	struct zk_frame frame = {.kind = ZK_FRAME_DATA, .lane = 1};
	struct raw lanes[2];
	long before;

	rig_open(A);
	before = rss_kib();
	for (unsigned i = 0; i < 30; i++) {
		raw_join_all(lanes, A, "r", 9);
		RIG_AWAIT(A, A->ups == i + 1);
		/* The largest, of which nothing comes, or of another place. */
		frame.len = i % 3 == 0 ? ZK_FRAME_BULK_MAX : 0;
		frame.number = i % 3 == 1 ? 1 : 0;
		zk_frame_encode(&frame, head);
		if (i % 3 == 2)
			head[11] = 0xff; /* 4 GB */
		(void)send(lanes[1].fd, head, sizeof(head), MSG_NOSIGNAL);
		if (i % 3 == 0)
			(void)shutdown(lanes[1].fd, SHUT_WR);
		cr_expect(rig_is_closed(lanes[0].fd));
		cr_expect(rig_is_closed(lanes[1].fd));
		(void)close(lanes[0].fd);
		(void)close(lanes[1].fd);
		RIG_AWAIT(A, A->downs == i + 1);
	}
	zk_transport_stats(A->t, &stats);
	cr_expect_eq(stats.bad_frames, 20);
	cr_expect(rss_kib() < before + 16384, "%ld KiB", rss_kib() - before);
	expect_still_usable();
}

Test(transport_peers, a_recorded_handshake_is_refused)
{
	const struct zk_identity id = raw_identity("r", 9, 0);
	struct zk_auth_out hello, proof;
	struct raw raw, replay;

	rig_open(A);
	raw_hello(&raw, A, &id);
	hello = raw.out;
	cr_assert_eq(raw_step(&raw), 0);
	proof = raw.out;
	raw_write(&raw);
	cr_assert_eq(raw_step(&raw), 0);

	raw_hello(&replay, A, &id);
	cr_assert_eq(hello.len, replay.out.len);
	cr_assert_eq(raw_step(&replay), 0);
	replay.out = proof;
	raw_write(&replay);
	cr_expect_eq(raw_step(&replay), -EACCES);
	cr_expect_eq(replay.auth.reason, ZK_REFUSED_KEY);
	(void)close(raw.fd);
	(void)close(replay.fd);
}

Test(transport_peers, clients_that_say_nothing_keep_nobody_out)
{
	enum { SLOW = 60 };
	struct zk_transport_stats stats;
	int fds[SLOW];
	uint64_t start;

	A->options.handshake_ms = 500;
	rig_open(A);
	for (unsigned i = 0; i < SLOW; i++) {
		fds[i] = rig_connect(A);
		cr_assert_geq(fds[i], 0);
		if (i % 2 == 0)
			(void)send(fds[i], "zkhi", 3, MSG_NOSIGNAL);
	}
	start = now_ms();
	expect_still_usable();
	zk_transport_stats(A->t, &stats);
	cr_expect(stats.strangers <= ZK_TRANSPORT_STRANGERS_MAX);
	for (unsigned i = 0; i < SLOW; i++) {
		cr_expect(rig_is_closed(fds[i]));
		(void)close(fds[i]);
	}
	cr_expect(now_ms() - start < 5000);
	zk_transport_stats(A->t, &stats);
	cr_expect(stats.evicted >= SLOW - ZK_TRANSPORT_STRANGERS_MAX);
}

/* One byte at a time is reading, but not proving. */
Test(transport_peers, a_slow_handshake_ends_in_time)
{
	const struct zk_identity id = raw_identity("r", 9, 0);
	const uint64_t start = now_ms();
	struct raw raw;
	size_t i = 0;

	A->options.handshake_ms = 400;
	rig_open(A);
	raw.fd = rig_connect(A);
	zk_auth_init(&raw.auth, 1,
	    &(struct zk_auth_key){.len = 32, .bytes = RIG_KEY}, &id,
	    (uint8_t[ZK_AUTH_NONCE_BYTES]){0}, &raw.out);
	while (now_ms() - start < 10000 && i < raw.out.len &&
	    send(raw.fd, raw.out.bytes + i, 1, MSG_NOSIGNAL) == 1) {
		i++;
		(void)poll(NULL, 0, 20);
	}
	cr_expect(rig_is_closed(raw.fd));
	cr_expect(now_ms() - start < 10000);
	cr_expect_eq(A->refusal, ZK_REFUSED_TIMEOUT);
	(void)close(raw.fd);
}

Test(transport_peers, a_peer_that_falls_silent_is_given_up)
{
	struct raw lanes[2];
	uint64_t start;

	A->options.silence_ms = 300;
	A->options.keepalive_ms = 60;
	rig_open(A);
	raw_join_all(lanes, A, "r", 9);
	RIG_AWAIT(A, A->ups == 1);
	start = now_ms();
	RIG_AWAIT(A, A->downs == 1);
	cr_expect_str_eq(A->down_reason, "silent for too long");
	cr_expect(now_ms() - start >= 250);
	cr_expect(now_ms() - start < 2000);
	(void)close(lanes[0].fd);
	(void)close(lanes[1].fd);
}

#include "tests/unit/transport_rig.h"

#include "tests/transport/raw.h"

TestSuite(transport, .init = setup, .fini = teardown);

/* --- frames --------------------------------------------------------------- */

Test(transport, frames_arrive_once_and_in_order_on_every_lane)
{
	rig_open_all(members, 2);
	for (uint64_t i = 0; i < 3000; i++) {
		send_numbered(A, B, ZK_LANE_FAST, i, 64);
		send_numbered(A, B, ZK_LANE_BULK, i, 64 + i % 7000);
		send_numbered(B, A, ZK_LANE_FAST, i, 8 + i % 100);
	}
	RIG_AWAIT(B, B->received[ZK_LANE_FAST] == 3000);
	RIG_AWAIT(B, B->received[ZK_LANE_BULK] == 3000);
	RIG_AWAIT(A, A->received[ZK_LANE_FAST] == 3000);
	cr_expect_eq(A->out_of_order, 0);
	cr_expect_eq(B->out_of_order, 0);
	cr_expect_eq(B->last_group, 7);
	cr_expect_eq(A->last_up.identity.node, 2);
	cr_expect_eq(A->last_up.identity.incarnation, 1);
	cr_expect_str_eq(B->last_up.identity.name, "a");
	cr_expect(A->last_up.dialed, "the lower name dials");
	cr_expect_not(B->last_up.dialed);
}

Test(transport, the_largest_frame_passes_and_a_larger_one_is_refused)
{
	static uint8_t big[ZK_FRAME_BULK_MAX + 1];
	const struct iovec three[] = {{big, 5}, {big + 5, 0}, {big + 5, 7}};

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 31 >> 3);
	rig_open_all(members, 2);
	cr_expect_eq(rig_send(A, B, ZK_LANE_BULK, big, sizeof(big)), -EMSGSIZE);
	cr_expect_eq(rig_send(A, B, ZK_LANE_FAST, big, ZK_FRAME_FAST_MAX + 1),
	    -EMSGSIZE);
	cr_expect_eq(rig_send(A, B, ZK_LANE_BULK, big, ZK_FRAME_BULK_MAX), 0);
	RIG_AWAIT(B, B->received[ZK_LANE_BULK] == 1);
	cr_expect_eq(B->last_crc, zk_crc32c(0, big, ZK_FRAME_BULK_MAX));
	cr_expect_eq(rig_send(A, B, ZK_LANE_FAST, big, ZK_FRAME_FAST_MAX), 0);
	RIG_AWAIT(B, B->received[ZK_LANE_FAST] == 1);
	/* Small ones after it, and one in parts, and one that is empty. */
	for (unsigned i = 0; i < 200; i++)
		cr_expect_eq(rig_send(A, B, ZK_LANE_BULK, big, i % 8), 0);
	cr_expect_eq(zk_transport_send(A->t, 2, ZK_LANE_BULK, 9, three, 3), 0);
	RIG_AWAIT(B, B->received[ZK_LANE_BULK] == 202);
	cr_expect_eq(B->last_crc, zk_crc32c(0, big, 12));
	cr_expect_eq(B->last_group, 9);
}

Test(transport, what_is_queued_comes_with_the_next_or_when_it_is_pushed)
{
	static uint64_t body[512];
	const struct iovec iov = {body, sizeof(body)};
	uint64_t sent = 0;

	rig_open_all(members, 2);
	for (; sent < 3; sent++) {
		body[0] = sent;
		cr_expect_eq(
		    zk_transport_queue(A->t, 2, ZK_LANE_FAST, 7, &iov, 1), 0);
	}
	send_numbered(A, B, ZK_LANE_FAST, sent++, 64);
	RIG_AWAIT(B, B->received[ZK_LANE_FAST] == 4);
	body[0] = sent++;
	cr_expect_eq(zk_transport_queue(A->t, 2, ZK_LANE_FAST, 7, &iov, 1), 0);
	zk_transport_push(A->t, 2, ZK_LANE_FAST);
	RIG_AWAIT(B, B->received[ZK_LANE_FAST] == 5);
	/* Nothing to write, and nobody to write to. */
	zk_transport_push(A->t, 2, ZK_LANE_FAST);
	zk_transport_push(A->t, 9, ZK_LANE_FAST);
	/* What is much does not wait. */
	for (; sent < 5 + 9; sent++) {
		body[0] = sent;
		cr_expect_eq(
		    zk_transport_queue(A->t, 2, ZK_LANE_FAST, 7, &iov, 1), 0);
	}
	RIG_AWAIT(B, B->received[ZK_LANE_FAST] >= 5 + 7);
	zk_transport_push(A->t, 2, ZK_LANE_FAST);
	RIG_AWAIT(B, B->received[ZK_LANE_FAST] == 5 + 9);
	cr_expect_eq(B->out_of_order, 0);
}

Test(transport, a_receiver_without_room_stops_the_sender_and_nothing_is_lost)
{
	enum { FRAME = 60000 };
	static uint8_t buf[FRAME];
	uint64_t sent = 0, more = 0;
	int rc;

	rig_open_all(members, 2);
	(void)pthread_mutex_lock(&B->lock);
	B->full = true;
	(void)pthread_mutex_unlock(&B->lock);
	do {
		memcpy(buf, &sent, sizeof(sent));
		rc = rig_send(A, B, ZK_LANE_BULK, buf, FRAME);
		sent += rc == 0;
	} while (rc == 0);
	cr_assert_eq(rc, -EAGAIN);
	cr_expect(sent * FRAME > ZK_TRANSPORT_BULK_QUEUE_BYTES / 2);
	/* The other lane is not held up, nor the other direction. */
	send_numbered(A, B, ZK_LANE_FAST, 0, 64);
	send_numbered(B, A, ZK_LANE_BULK, 0, 64);
	RIG_AWAIT(B, B->received[ZK_LANE_FAST] == 1);
	RIG_AWAIT(A, A->received[ZK_LANE_BULK] == 1);
	cr_expect_eq(B->received[ZK_LANE_BULK], 0);

	(void)pthread_mutex_lock(&B->lock);
	B->full = false;
	(void)pthread_mutex_unlock(&B->lock);
	zk_transport_resume(B->t, 1);
	for (; more < 100; more++)
		send_numbered(A, B, ZK_LANE_BULK, sent + more, FRAME);
	RIG_AWAIT(B, B->received[ZK_LANE_BULK] == sent + more);
	cr_expect_eq(B->out_of_order, 0);
	cr_expect_eq(A->downs + B->downs, 0);
}

Test(transport, a_pause_longer_than_the_allowed_silence_breaks_nothing)
{
	A->options.silence_ms = B->options.silence_ms = 300;
	A->options.keepalive_ms = B->options.keepalive_ms = 50;
	rig_open_all(members, 2);
	B->full = true;
	send_numbered(A, B, ZK_LANE_BULK, 0, 64);
	/* An idle lane, and one that is not read, for twice that time. */
	for (const uint64_t end = now_ms() + 700; now_ms() < end;)
		(void)poll(NULL, 0, 10);
	cr_expect_eq(A->downs + B->downs, 0);
	B->full = false;
	zk_transport_resume(B->t, 1);
	RIG_AWAIT(B, B->received[ZK_LANE_BULK] == 1);
	cr_expect_eq(A->downs + B->downs, 0);
}

/* --- who meets whom ------------------------------------------------------- */

Test(transport, three_members_and_one_that_only_dials_join)
{
	static struct member observer;

	rig_open_all(members, 3);
	rig_init(&observer, "0", 77);
	observer.options.listen = NULL;
	rig_open(&observer);
	rig_know(&observer, members, 3);
	RIG_AWAIT(&observer, observer.ups == 3);
	RIG_AWAIT(C, C->ups == 3);
	send_numbered(C, &observer, ZK_LANE_BULK, 0, 99);
	RIG_AWAIT(&observer, observer.received[ZK_LANE_BULK] == 1);
	rig_close(&observer);
	RIG_AWAIT(A, A->downs == 1);
	RIG_AWAIT(C, C->downs == 1);
	cr_expect_eq(rig_send(C, &observer, 0, "x", 1), -ENOTCONN);
}

Test(transport, when_both_dial_one_session_stays)
{
	struct zk_transport_stats stats;
	int rc;

	for (int round = 0; round < 10; round++) {
		A->options.dial_all = B->options.dial_all = true;
		A->options.incarnation++;
		B->options.incarnation++;
		A->ups = A->downs = B->ups = B->downs = 0;
		A->received[0] = B->received[0] = 0;
		rig_open_all(members, 2);
		/* Just now one of two sessions may be making room. */
		rc = rig_send(A, B, 0, "12345678", 8);
		cr_assert(rc == 0 || rc == -ENOTCONN, "%d", rc);
		RIG_AWAIT(B, B->received[0] >= 1 || A->downs > 0);
		RIG_AWAIT(A, A->ups == A->downs + 1);
		RIG_AWAIT(B, B->ups == B->downs + 1);
		zk_transport_stats(A->t, &stats);
		cr_expect_eq(stats.peers_up, 1);
		cr_expect_eq(stats.refused, 0);
		zk_transport_close(A->t);
		zk_transport_close(B->t);
		A->t = B->t = NULL;
	}
}

Test(transport, a_peer_that_starts_again_is_joined_again)
{
	rig_open_all(members, 2);
	for (unsigned i = 2; i < 5; i++) {
		zk_transport_close(B->t);
		RIG_AWAIT(A, A->downs == i - 1);
		cr_expect_eq(rig_send(A, B, 0, "x", 1), -ENOTCONN);
		B->options.incarnation = i;
		rig_open(B);
		RIG_AWAIT(A, A->ups == i);
		cr_expect_eq(A->last_up.identity.incarnation, i);
		send_numbered(A, B, 0, 0, 8);
		RIG_AWAIT(B, B->received[0] == i - 1);
	}
	cr_expect_eq(B->out_of_order, 0);
}

Test(transport, who_leaves_the_list_is_disconnected_and_may_come_back)
{
	rig_open_all(members, 2);
	rig_know(A, B, 0);
	RIG_AWAIT(B, B->downs == 1);
	rig_know(A, B, 1);
	RIG_AWAIT(B, B->ups == 2);
	zk_transport_disconnect(B->t, 1);
	RIG_AWAIT(A, A->ups == 3);
	RIG_AWAIT(B, B->ups == 3);
}

Test(transport, a_session_needs_all_its_lanes)
{
	const struct zk_identity first = raw_identity("r", 9, 0);
	struct zk_identity second = raw_identity("r", 9, 1);
	struct raw lanes[2];

	A->options.handshake_ms = 300;
	rig_open(A);
	cr_assert_eq(raw_join(&lanes[0], A, &first), 0);
	second.session++;
	cr_expect_eq(raw_join(&lanes[1], A, &second), -EACCES);
	cr_expect_eq(lanes[1].auth.reason, ZK_REFUSED_SESSION);
	cr_expect(rig_is_closed(lanes[0].fd), "not for ever");
	cr_expect_eq(A->ups, 0);
	(void)close(lanes[0].fd);
	(void)close(lanes[1].fd);
}

/* --- starting and stopping ------------------------------------------------ */

Test(transport, stopping_waits_for_no_peer)
{
	static uint8_t buf[1000000];
	struct zk_transport_peer nowhere = {"z", "192.0.2.1:9", 0};
	struct raw lanes[2];
	int quiet, rc;
	uint64_t start;

	rig_open(A);
	cr_assert_eq(zk_transport_set_peers(A->t, &nowhere, 1), 0);
	raw_join_all(lanes, A, "r", 9);
	RIG_AWAIT(A, A->ups == 1);
	/* It reads nothing, and the queue is full. */
	do {
		const struct iovec iov = {buf, sizeof(buf)};

		rc = zk_transport_send(A->t, 9, ZK_LANE_BULK, 0, &iov, 1);
	} while (rc == 0);
	cr_assert_eq(rc, -EAGAIN);
	quiet = rig_connect(A);
	start = now_ms();
	zk_transport_stop(A->t);
	cr_expect(now_ms() - start < 1000);
	cr_expect_eq(A->downs, 1);
	cr_expect_eq(rig_send(A, B, 0, "x", 1), -ENOTCONN);
	zk_transport_stop(A->t);
	(void)close(quiet);
	(void)close(lanes[0].fd);
	(void)close(lanes[1].fd);
}

Test(transport, what_cannot_work_is_said_at_once)
{
	struct zk_transport_options good, bad;
	struct zk_transport *t;

	rig_open(A);
	good = B->options;
	bad = good;
	bad.listen = A->address;
	cr_expect_eq(zk_transport_open(&bad, &t), -EADDRINUSE);
	bad.listen = "192.0.2.1:0";
	cr_expect_eq(zk_transport_open(&bad, &t), -EADDRNOTAVAIL);
	bad = good;
	bad.key = NULL;
	cr_expect_eq(zk_transport_open(&bad, &t), -ENOKEY);
	bad = good;
	bad.key_len = 31;
	cr_expect_eq(zk_transport_open(&bad, &t), -EINVAL);
	bad = good;
	bad.tls_cert = "/nonexistent";
	cr_expect_eq(zk_transport_open(&bad, &t), -EINVAL);
	bad.tls_key = bad.tls_ca = bad.tls_cert;
	cr_expect_eq(zk_transport_open(&bad, &t), -ENOENT);
	bad.tls_cert = bad.tls_key = bad.tls_ca = "/proc/self/exe";
	cr_expect_lt(zk_transport_open(&bad, &t), 0);
	for (unsigned i = 0; i < 9; i++) {
		static const char *const addresses[] = {"", "host",
		    "host:", ":80", "a:b:1", "host:65536", "ho/st:1", "h:1x",
		    "a@b:1"};

		bad = good;
		bad.listen = addresses[i];
		cr_expect_eq(zk_transport_open(&bad, &t), -EINVAL, "%s",
		    addresses[i]);
	}
}

Test(transport, ipv6_joins_too)
{
	struct zk_transport_peer peer = {"a", NULL, 0};
	char address[64];

	(void)snprintf(A->listen, sizeof(A->listen), "[::1]:0");
	if (zk_transport_open(&A->options, &A->t) == -EADDRNOTAVAIL)
		cr_skip_test("no IPv6 here");
	cr_assert_eq(zk_transport_start(A->t), 0);
	(void)snprintf(address, sizeof(address), "[::1]:%u",
	    (unsigned)zk_transport_port(A->t));
	peer.address = address;
	B->options.dial_all = true;
	rig_open(B);
	cr_assert_eq(zk_transport_set_peers(B->t, &peer, 1), 0);
	RIG_AWAIT(B, B->ups == 1);
	RIG_AWAIT(A, A->ups == 1);
	cr_expect_eq(strncmp(A->last_up.address, "[::1]:", 6), 0);
}

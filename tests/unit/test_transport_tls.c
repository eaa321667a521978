#include "tests/unit/transport_rig.h"

#include "tests/transport/certs.h"

static char tls_dir[] = "/tmp/zkfs-tls.XXXXXX";

static const char *
pem(const char *name, const char *text)
{
	static char paths[16][64];
	static unsigned count;
	char *path = paths[count++ % 16];
	FILE *f;

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", tls_dir, name);
	f = fopen(path, "we");
	cr_assert_not_null(f);
	cr_assert_gt(fputs(text, f), 0);
	cr_assert_eq(fclose(f), 0);
	return path;
}

static void
tls_setup(void)
{
	setup();
	cr_assert_not_null(mkdtemp(tls_dir));
	A->options.tls_cert = pem("a", CERT_A);
	A->options.tls_key = pem("ak", CERT_A_KEY);
	B->options.tls_cert = pem("b", CERT_B);
	B->options.tls_key = pem("bk", CERT_B_KEY);
	C->options.tls_cert = pem("c", CERT_OTHER);
	C->options.tls_key = pem("ck", CERT_OTHER_KEY);
	A->options.tls_ca = B->options.tls_ca = pem("ca", CERT_CA);
	C->options.tls_ca = A->options.tls_ca;
	(void)pem("other", CERT_OTHER_CA);
}

static void
tls_teardown(void)
{
	static const char *const names[] = {"a", "ak", "b", "bk", "c", "ck",
	    "ca", "other"};
	char path[64];

	teardown();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", tls_dir, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(tls_dir);
}

TestSuite(tls, .init = tls_setup, .fini = tls_teardown);

Test(tls, members_with_certificates_join)
{
	rig_open_all(members, 2);
	for (uint64_t i = 0; i < 300; i++) {
		send_numbered(A, B, ZK_LANE_BULK, i, 100 + i * 100);
		send_numbered(B, A, ZK_LANE_FAST, i, 64);
	}
	send_numbered(A, B, ZK_LANE_BULK, 300, ZK_FRAME_BULK_MAX);
	RIG_AWAIT(B, B->received[ZK_LANE_BULK] == 301);
	RIG_AWAIT(A, A->received[ZK_LANE_FAST] == 300);
	cr_expect_eq(A->out_of_order + B->out_of_order, 0);
	zk_transport_disconnect(B->t, 1);
	RIG_AWAIT(A, A->ups == 2);
}

/* Sessions that end in the middle of everything, on either side. */
Test(tls, sessions_end_and_begin_under_load)
{
	static uint8_t buf[30000];

	rig_open_all(members, 2);
	for (unsigned i = 0; i < 60; i++) {
		const unsigned ups = A->ups, other = B->ups;

		for (unsigned j = 0; j < 50; j++) {
			(void)rig_send(A, B, ZK_LANE_BULK, buf, sizeof(buf));
			(void)rig_send(B, A, ZK_LANE_BULK, buf, sizeof(buf));
			(void)rig_send(A, B, ZK_LANE_FAST, buf, 64);
		}
		if (i % 3 == 0) {
			zk_transport_close(B->t);
			B->t = NULL;
			B->options.incarnation++;
			rig_open(B);
		} else {
			zk_transport_disconnect(i % 3 == 1 ? A->t : B->t,
			    i % 3 == 1 ? 2 : 1);
		}
		RIG_AWAIT(A, A->ups > ups);
		RIG_AWAIT(B, B->ups > other);
	}
	memset(A->received, 0, sizeof(A->received));
	send_numbered(B, A, ZK_LANE_BULK, 0, 100);
	RIG_AWAIT(A, A->received[ZK_LANE_BULK] > 0);
	cr_expect_neq(A->refusal, ZK_REFUSED_MUTE);
	cr_expect_neq(B->refusal, ZK_REFUSED_MUTE);
}

Test(tls, a_certificate_of_another_authority_is_refused)
{
	rig_open(A);
	rig_open(C);
	rig_know(A, C, 1);
	RIG_AWAIT(A, A->refusals > 0);
	cr_expect_eq(A->refusal, ZK_REFUSED_TLS);
	cr_expect_eq(A->ups + C->ups, 0);
}

Test(tls, a_certificate_of_another_member_is_refused)
{
	B->options.tls_cert = A->options.tls_cert;
	B->options.tls_key = A->options.tls_key;
	rig_open(A);
	rig_open(B);
	rig_know(A, B, 1);
	RIG_AWAIT(A, A->refusals > 0);
	cr_expect_eq(A->refusal, ZK_REFUSED_TLS);
	cr_expect_eq(A->ups + B->ups, 0);
}

Test(tls, a_client_without_tls_is_refused)
{
	B->options.tls_cert = B->options.tls_key = B->options.tls_ca = NULL;
	rig_open(A);
	rig_open(B);
	B->options.dial_all = true;
	rig_know(B, A, 1);
	for (unsigned i = 0; i < 50; i++) {
		const int fd = rig_connect(A);

		(void)send(fd, "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL);
		cr_expect(rig_is_closed(fd));
		(void)close(fd);
	}
	RIG_AWAIT(A, A->refusals >= 50);
	cr_expect_eq(A->refusal, ZK_REFUSED_TLS);
	cr_expect_eq(A->ups + B->ups, 0);
}

/* Whoever dials, either side can say what may be wrong. */
Test(tls, who_dials_a_member_without_tls_is_told)
{
	B->options.tls_cert = B->options.tls_key = B->options.tls_ca = NULL;
	rig_open(A);
	rig_open(B);
	rig_know(A, B, 1);
	RIG_AWAIT(B, B->refusal == ZK_REFUSED_TLS);
	RIG_AWAIT(A, A->refusal == ZK_REFUSED_MUTE);
	cr_expect_eq(A->ups + B->ups, 0);
}

Test(tls, who_dials_without_tls_is_told)
{
	B->options.tls_cert = B->options.tls_key = B->options.tls_ca = NULL;
	rig_open(A);
	rig_open(B);
	rig_know(B, A, 1);
	RIG_AWAIT(A, A->refusal == ZK_REFUSED_TLS);
	RIG_AWAIT(B, B->refusal == ZK_REFUSED_MUTE);
	cr_expect_eq(A->ups + B->ups, 0);
}

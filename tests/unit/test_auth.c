#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "consensus/auth.h"

enum { VERSION = 3 };

static struct zk_auth_key key;
static struct zk_identity a, b;
static uint8_t nonce_a[ZK_AUTH_NONCE_BYTES], nonce_b[ZK_AUTH_NONCE_BYTES];
static struct zk_auth dialer, listener;
static struct zk_auth_out hello, challenge, proof, welcome;

static void
setup(void)
{
	key = (struct zk_auth_key){.len = 40};
	memset(key.bytes, 'k', key.len);
	a = (struct zk_identity){
	    .name = "a",
	    .wants = "b",
	    .node = 1,
	    .incarnation = 5,
	    .session = 99,
	    .features = 6,
	    .lane = 1,
	    .lanes = 2,
	};
	b = (struct zk_identity){
	    .name = "b",
	    .node = 2,
	    .incarnation = 8,
	    .lanes = 2,
	};
	memset(a.ensemble, 'e', sizeof(a.ensemble));
	memset(b.ensemble, 'e', sizeof(b.ensemble));
	memset(nonce_a, 'A', sizeof(nonce_a));
	memset(nonce_b, 'B', sizeof(nonce_b));
}

TestSuite(auth, .init = setup);

static void
begin(void)
{
	zk_auth_init(&dialer, VERSION, &key, &a, nonce_a, &hello);
	zk_auth_init(&listener, VERSION, &key, &b, nonce_b, NULL);
}

/* Each step, or the first that fails: its side's reason. */
static enum zk_refusal
shake(void)
{
	if (zk_auth_step(&listener, hello.bytes, hello.len, &challenge) < 0)
		return listener.reason;
	if (zk_auth_step(&dialer, challenge.bytes, challenge.len, &proof) < 0)
		return dialer.reason;
	if (zk_auth_step(&listener, proof.bytes, proof.len, &welcome) < 0)
		return listener.reason;
	cr_assert_eq(listener.state, ZK_AUTH_JUDGE);
	zk_auth_judge(&listener, ZK_REFUSED_NOT, &welcome);
	if (zk_auth_step(&dialer, welcome.bytes, welcome.len, &proof) < 0)
		return dialer.reason;
	cr_assert_eq(proof.len, 0);
	return ZK_REFUSED_NOT;
}

Test(auth, two_members_with_one_key_prove_each_other)
{
	begin();
	cr_assert_eq(shake(), ZK_REFUSED_NOT);
	cr_expect_eq(dialer.state, ZK_AUTH_DONE);
	cr_expect_eq(listener.state, ZK_AUTH_DONE);
	cr_expect_str_eq(dialer.peer.name, "b");
	cr_expect_str_eq(listener.peer.name, "a");
	cr_expect_eq(dialer.peer.incarnation, 8);
	cr_expect_eq(listener.peer.incarnation, 5);
	cr_expect_eq(listener.peer.node, 1);
	cr_expect_eq(listener.peer.session, 99);
	cr_expect_eq(listener.peer.lane, 1);
	cr_expect_eq(listener.peer.features, 6);
}

Test(auth, without_a_key_on_either_side_they_do_too)
{
	key.len = 0;
	begin();
	cr_expect_eq(shake(), ZK_REFUSED_NOT);
}

Test(auth, what_differs_is_refused_with_its_reason)
{
	struct zk_auth_key other = key;
	char label[32];

	begin();
	other.bytes[39] ^= 1;
	zk_auth_init(&listener, VERSION, &other, &b, nonce_b, NULL);
	cr_expect_eq(shake(), ZK_REFUSED_KEY);

	begin();
	other = (struct zk_auth_key){0};
	zk_auth_init(&listener, VERSION, &other, &b, nonce_b, NULL);
	cr_expect_eq(shake(), ZK_REFUSED_KEYLESS);

	begin();
	zk_auth_init(&listener, VERSION + 1, &key, &b, nonce_b, NULL);
	cr_expect_eq(shake(), ZK_REFUSED_VERSION);
	cr_expect_str_eq(listener.peer.name, "a");
	/* The refusal is understood across versions. */
	cr_expect_eq(
	    zk_auth_step(&dialer, challenge.bytes, challenge.len, &proof),
	    -EACCES);
	cr_expect_eq(dialer.reason, ZK_REFUSED_VERSION);
	cr_expect(dialer.told);

	for (int i = 0; i < 5; i++) {
		enum zk_refusal want = ZK_REFUSED_NOT;

		setup();
		switch (i) {
		case 0:
			b.ensemble[15] ^= 1;
			want = ZK_REFUSED_ENSEMBLE;
			break;
		case 1:
			b.node = a.node;
			want = ZK_REFUSED_SELF;
			break;
		case 2:
			(void)strcpy(b.name, "a");
			want = ZK_REFUSED_NAME;
			break;
		case 3:
			(void)strcpy(a.wants, "c");
			want = ZK_REFUSED_UNEXPECTED;
			break;
		default:
			b.lanes = 3;
			want = ZK_REFUSED_LANES;
			break;
		}
		begin();
		(void)snprintf(label, sizeof(label), "case %d", i);
		cr_expect_eq(shake(), want, "%s", label);
	}
}

Test(auth, an_ensemble_not_yet_formed_meets_any)
{
	memset(a.ensemble, 0, sizeof(a.ensemble));
	begin();
	cr_expect_eq(shake(), ZK_REFUSED_NOT);
}

Test(auth, the_listener_may_refuse_who_is_proved)
{
	begin();
	cr_assert_eq(
	    zk_auth_step(&listener, hello.bytes, hello.len, &challenge), 0);
	cr_assert_eq(
	    zk_auth_step(&dialer, challenge.bytes, challenge.len, &proof), 0);
	cr_assert_eq(zk_auth_step(&listener, proof.bytes, proof.len, &welcome),
	    0);
	zk_auth_judge(&listener, ZK_REFUSED_STALE, &welcome);
	cr_expect_eq(zk_auth_step(&dialer, welcome.bytes, welcome.len, &proof),
	    -EACCES);
	cr_expect_eq(dialer.reason, ZK_REFUSED_STALE);
	cr_expect(dialer.told);
}

/* Takes both sides to where message `which` is due, and returns it. */
static struct zk_auth_out *
reach(int which, struct zk_auth **ret_side)
{
	begin();
	*ret_side = which % 2 == 0 ? &listener : &dialer;
	if (which == 0)
		return &hello;
	cr_assert_eq(
	    zk_auth_step(&listener, hello.bytes, hello.len, &challenge), 0);
	if (which == 1)
		return &challenge;
	cr_assert_eq(
	    zk_auth_step(&dialer, challenge.bytes, challenge.len, &proof), 0);
	if (which == 2)
		return &proof;
	cr_assert_eq(zk_auth_step(&listener, proof.bytes, proof.len, &welcome),
	    0);
	zk_auth_judge(&listener, ZK_REFUSED_NOT, &welcome);
	return &welcome;
}

Test(auth, every_truncated_message_is_refused)
{
	struct zk_auth_out sink;
	struct zk_auth *side;

	for (int which = 0; which < 4; which++) {
		const size_t whole = reach(which, &side)->len;

		for (size_t len = 0; len < whole; len++) {
			struct zk_auth_out *out = reach(which, &side);

			cr_assert_eq(zk_auth_step(side, out->bytes, len, &sink),
			    -EACCES, "message %d, %zu bytes", which, len);
			/* Also when the length in it says so. */
			out = reach(which, &side);
			out->bytes[6] = (uint8_t)len;
			out->bytes[7] = 0;
			cr_assert_eq(zk_auth_step(side, out->bytes, len, &sink),
			    -EACCES, "message %d, cut to %zu", which, len);
		}
	}
}

/*
 * A changed introduction may be taken at first, as it proves nothing yet: then
 * the proofs do not fit it.
 */
Test(auth, every_flipped_bit_fails_the_handshake)
{
	struct zk_auth *side;

	for (int which = 0; which < 4; which++) {
		const size_t bits = reach(which, &side)->len * 8;

		for (size_t bit = 0; bit < bits; bit++) {
			struct zk_auth_out *out = reach(which, &side), next;
			int rc;

			out->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
			rc = zk_auth_step(side, out->bytes, out->len, &next);
			if (rc == 0 && which == 0) {
				rc = zk_auth_step(&dialer, next.bytes, next.len,
				    &proof);
				if (rc == 0)
					rc = zk_auth_step(&listener,
					    proof.bytes, proof.len, &next);
			} else if (rc == 0 && which == 1) {
				rc = zk_auth_step(&listener, next.bytes,
				    next.len, &welcome);
			}
			cr_assert_eq(rc, -EACCES, "message %d, bit %zu", which,
			    bit);
		}
	}
}

Test(auth, a_recorded_proof_is_worth_nothing_later)
{
	struct zk_auth_out old_proof, old_welcome, sink;

	begin();
	cr_assert_eq(shake(), ZK_REFUSED_NOT);
	(void)reach(3, &(struct zk_auth *){NULL});
	old_proof = proof;
	old_welcome = welcome;

	/* A new connection with the recorded HELLO: the nonce is another. */
	nonce_b[0] ^= 1;
	begin();
	cr_assert_eq(
	    zk_auth_step(&listener, hello.bytes, hello.len, &challenge), 0);
	cr_expect_eq(
	    zk_auth_step(&listener, old_proof.bytes, old_proof.len, &sink),
	    -EACCES);
	cr_expect_eq(listener.reason, ZK_REFUSED_KEY);

	cr_assert_eq(
	    zk_auth_step(&dialer, challenge.bytes, challenge.len, &sink), 0);
	cr_expect_eq(
	    zk_auth_step(&dialer, old_welcome.bytes, old_welcome.len, &sink),
	    -EACCES);
	cr_expect_eq(dialer.reason, ZK_REFUSED_KEY);
}

/* Whoever answers a dialer with the dialer's own words. */
Test(auth, a_reflected_message_is_refused)
{
	struct zk_auth_out sink;

	begin();
	cr_expect_eq(zk_auth_step(&dialer, hello.bytes, hello.len, &sink),
	    -EACCES);

	begin();
	cr_assert_eq(
	    zk_auth_step(&listener, hello.bytes, hello.len, &challenge), 0);
	cr_assert_eq(
	    zk_auth_step(&dialer, challenge.bytes, challenge.len, &proof), 0);
	proof.bytes[8] = 4; /* calls itself a WELCOME */
	cr_expect_eq(zk_auth_step(&dialer, proof.bytes, proof.len, &sink),
	    -EACCES);
}

Test(auth, lengths_are_bounded_before_anything_is_read)
{
	uint8_t prefix[ZK_AUTH_PREFIX_BYTES];
	size_t len;

	begin();
	memcpy(prefix, hello.bytes, sizeof(prefix));
	cr_assert_eq(zk_auth_length(prefix, &len), 0);
	cr_expect_eq(len, hello.len);
	prefix[7] = 0xff;
	cr_expect_eq(zk_auth_length(prefix, &len), -EPROTO);
	prefix[7] = 0;
	prefix[6] = 9;
	cr_expect_eq(zk_auth_length(prefix, &len), -EPROTO);
	memcpy(prefix, "GET / HT", sizeof(prefix));
	cr_expect_eq(zk_auth_length(prefix, &len), -EPROTO);
}

Test(auth, names_are_plain)
{
	static const char *const bad[] = {"", "a b", "a\nb", "\x80"};
	struct zk_auth_out sink;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		begin();
		hello.bytes[88] = (uint8_t)strlen(bad[i]);
		memset(hello.bytes + 89, 0, ZK_AUTH_NAME_MAX);
		memcpy(hello.bytes + 89, bad[i], strlen(bad[i]));
		cr_expect_eq(
		    zk_auth_step(&listener, hello.bytes, hello.len, &sink),
		    -EACCES, "%zu", i);
		cr_expect_eq(listener.reason, ZK_REFUSED_GARBAGE);
	}
	begin();
	hello.bytes[88] = 1;
	hello.bytes[89] = 'z';
	cr_expect_eq(zk_auth_step(&listener, hello.bytes, hello.len, &sink), 0);
	cr_expect_str_eq(listener.peer.name, "z");
}

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "fs/window.h"

static struct zk_window w;
static uint64_t done_to[4];

static void
on_done(void *arg, const struct zk_window_piece *piece, uint64_t off)
{
	(void)arg;
	cr_assert(off > done_to[piece->number], "it goes on");
	done_to[piece->number] = off;
}

static void
add(uint32_t number, uint64_t off, const char *text)
{
	const struct zk_window_piece piece = {
	    .number = number,
	    .since = 1,
	    .off = off,
	    .len = strlen(text),
	};
	char *to = zk_window_reserve(&w, strlen(text));

	cr_assert_not_null(to);
	memcpy(to, text, piece.len);
	cr_assert_eq(zk_window_add(&w, &piece), 0);
}

static void
expect(uint64_t pos, size_t size, const char *want)
{
	const char *bytes;
	size_t len;

	cr_assert_eq(zk_window_seek(&w, pos, size, on_done, NULL), 0);
	len = zk_window_take(&w, pos, size, &bytes);
	cr_assert_eq(len, strlen(want), "%zu bytes", len);
	cr_assert_eq(memcmp(bytes, want, len), 0);
}

static void
fini(void)
{
	zk_window_fini(&w);
}

TestSuite(window, .fini = fini);

Test(window, a_read_acknowledges_whole_records_before_it)
{
	add(0, 100, "one\ntwo\nthree\n");
	expect(0, 6, "one\ntw");
	cr_expect_eq(done_to[0], 0);
	expect(6, 100, "o\nthree\n");
	cr_expect_eq(done_to[0], 104);
	expect(14, 100, "");
	cr_expect_eq(done_to[0], 114);
}

Test(window, who_seeks_back_gets_the_same_again)
{
	add(0, 0, "one\ntwo\n");
	expect(0, 8, "one\ntwo\n");
	expect(4, 8, "two\n");
	expect(4, 8, "two\n");
	cr_expect_eq(zk_window_seek(&w, 3, 1, on_done, NULL), -ENODATA);
	cr_expect_eq(zk_window_seek(&w, 9, 1, on_done, NULL), -EINVAL);
}

Test(window, pieces_of_several_partitions_are_done_each_for_itself)
{
	add(0, 0, "a\nb\n");
	add(1, 50, "c\n");
	add(0, 4, "d\n");
	expect(0, 100, "a\nb\nc\nd\n");
	expect(5, 100, "\nd\n");
	cr_expect_eq(done_to[0], 4);
	cr_expect_eq(done_to[1], 0);
	expect(8, 1, "");
	cr_expect_eq(done_to[0], 6);
	cr_expect_eq(done_to[1], 52);
}

Test(window, what_was_not_told_is_taken_back)
{
	uint64_t end = 0;

	add(0, 0, "a\nb\n");
	add(1, 50, "c\nd\n");
	add(0, 4, "e\n");
	cr_expect(zk_window_revoke(&w, 0, 1, &end));
	expect(0, 100, "c\nd\n");
	cr_expect_not(zk_window_revoke(&w, 1, 1, &end));
	cr_expect_eq(end, 54);
	cr_assert_eq(zk_window_seek(&w, 1, 100, on_done, NULL), 0);
	/* The reader is inside of c: that he gets to the end. */
	cr_expect_not(zk_window_revoke(&w, 1, 1, &end));
	cr_expect_eq(end, 52);
	expect(1, 100, "\n");
	cr_expect_eq(zk_window_end(&w), 2);
	expect(2, 100, "");
	cr_expect_eq(done_to[1], 52);
	cr_expect(zk_window_revoke(&w, 1, 1, &end));
	cr_expect_eq(done_to[0], 0);
}

/* Readers of all kinds, against the text as it should come. */
Test(window, every_record_comes_once_to_whoever_reads_on)
{
	uint64_t seed = 7, pos = 0, off[2] = {0, 0}, next = 0, seen = 0;

	for (int round = 0; round < 20000; round++) {
		const uint32_t number = zk_prng_next(&seed) % 2;
		char text[64];
		const size_t size = zk_prng_next(&seed) % 30;
		const char *bytes;
		size_t len;

		if (zk_window_end(&w) < pos + 200) {
			(void)snprintf(text, sizeof(text), "%llu\n",
			    (unsigned long long)next++);
			add(number, off[number], text);
			off[number] += strlen(text);
		}
		cr_assert_eq(zk_window_seek(&w, pos, size, on_done, NULL), 0);
		len = zk_window_take(&w, pos, size, &bytes);
		/* Take some whole lines of it, and go back to behind them. */
		while (len > 0) {
			const char *end = memchr(bytes, '\n', len);

			if (end == NULL || zk_prng_next(&seed) % 4 == 0)
				break;
			cr_assert_eq(strtoull(bytes, NULL, 10), seen++);
			len -= (size_t)(end - bytes) + 1;
			pos += (size_t)(end - bytes) + 1;
			bytes = end + 1;
		}
	}
	cr_assert(seen > 5000, "%llu", (unsigned long long)seen);
}

/* Who reads less than what he was told may have the rest, and go on behind. */
Test(window, what_was_told_stays_where_it_is)
{
	uint64_t end = 0;

	add(0, 0, "a\nb\nc\n");
	expect(0, 100, "a\nb\nc\n");
	add(1, 0, "d\n");
	expect(2, 1, "b");
	cr_expect_not(zk_window_revoke(&w, 0, 1, &end));
	cr_expect_eq(end, 6);
	cr_expect_eq(zk_window_end(&w), 8);
	cr_expect_eq(zk_window_seek(&w, 7, 1, on_done, NULL), -EINVAL);
	expect(6, 1, "d");
	cr_expect_eq(done_to[0], 6);
	cr_expect_eq(done_to[1], 0);
	cr_expect(zk_window_revoke(&w, 0, 1, &end));
}

/*
 * Reads of any size at any place, while partitions are taken back: what was
 * told is the same until it is done, or until all of it is read once more.
 */
Test(window, no_byte_that_was_told_becomes_another)
{
	static char said[1 << 20];
	uint64_t seed = 11, pos = 0, told = 0, off[3] = {0, 0, 0}, end = 0;

	for (int round = 0; round < 20000; round++) {
		const uint32_t number = (uint32_t)(zk_prng_next(&seed) % 3);
		const size_t size = zk_prng_next(&seed) % 40;
		char text[64];
		const char *bytes;
		size_t len;

		if (zk_window_end(&w) < pos + 100) {
			(void)snprintf(text, sizeof(text), "%d\n",
			    round % 2 == 0 ? round : round % 10);
			add(number, off[number], text);
			off[number] += strlen(text);
		}
		pos = w.pos + zk_prng_next(&seed) % (told - w.pos + 1);
		if (pos + size >= told)
			told = pos;
		cr_assert_eq(zk_window_seek(&w, pos, size, on_done, NULL), 0);
		if (zk_prng_next(&seed) % 4 == 0) {
			end = off[number];
			(void)zk_window_revoke(&w, number, 1, &end);
			cr_assert(end <= off[number]);
		}
		len = zk_window_take(&w, pos, size, &bytes);
		for (size_t i = 0; i < len; i++) {
			cr_assert(pos + i < sizeof(said));
			cr_assert(pos + i >= told || said[pos + i] == bytes[i]);
			said[pos + i] = bytes[i];
		}
		told = pos + len > told ? pos + len : told;
		cr_assert_eq(told, w.told);
	}
	cr_assert(w.pos > 50000, "%llu", (unsigned long long)w.pos);
}

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/hash.h"
#include "store/journal.h"

#define NAME  "journal"
#define BYTES ZK_JOURNAL_BYTES_MIN
#define BLOCK 4096u

static struct {
	char dir[64];
	int dir_fd;
	struct zk_journal *j;
	uint8_t *buf;
	uint64_t seen; /* records that a replay has given */
	size_t lens[4096];
} rig;

static void
set_up(void)
{
	(void)strcpy(rig.dir, "/tmp/zkfs-unit.XXXXXX");
	cr_assert_not_null(mkdtemp(rig.dir));
	rig.dir_fd = open(rig.dir, O_RDONLY | O_DIRECTORY);
	rig.buf = malloc(2 * BYTES);
	cr_assert_eq(zk_journal_make(rig.dir_fd, NAME, BYTES, &rig.j), 0);
}

static void
tear_down(void)
{
	zk_journal_close(rig.j);
	(void)unlinkat(rig.dir_fd, NAME, 0);
	(void)close(rig.dir_fd);
	(void)rmdir(rig.dir);
	free(rig.buf);
}

TestSuite(journal, .init = set_up, .fini = tear_down);

/* A record's bytes follow from its number. */
static void
append(uint64_t sequence, size_t len)
{
	memset(rig.buf + ZK_JOURNAL_HEAD, (int)(sequence & 0xff), len);
	rig.lens[sequence] = len;
	cr_assert_eq(zk_journal_append(rig.j, rig.buf, len), 0);
	cr_assert_eq(zk_journal_last(rig.j), sequence);
}

static struct zk_checkpoint
checkpoint(uint8_t meta)
{
	struct zk_checkpoint c;

	memset(c.meta, meta, sizeof(c.meta));
	zk_journal_mark(rig.j, &c);
	cr_assert_eq(zk_journal_checkpoint(rig.j, &c), 0);
	zk_journal_release(rig.j, &c);
	return c;
}

static int
see(void *arg, uint64_t sequence, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	cr_assert_eq(sequence, *(uint64_t *)arg + 1);
	cr_assert_eq(len, rig.lens[sequence]);
	for (size_t i = 0; i < len; i++)
		if (p[i] != (sequence & 0xff))
			return -EPROTO;
	*(uint64_t *)arg = sequence;
	rig.seen++;
	return 0;
}

/* As after a crash; what replay says. */
static int
reopen(struct zk_checkpoint *ret_checkpoint)
{
	uint64_t at;
	int rc;

	zk_journal_close(rig.j);
	rig.j = NULL;
	rig.seen = 0;
	rc = zk_journal_open(rig.dir_fd, NAME, &rig.j, ret_checkpoint);
	if (rc < 0)
		return rc;
	at = ret_checkpoint->sequence;
	return zk_journal_replay(rig.j, see, &at);
}

static void
damage(uint64_t off, size_t len)
{
	const int fd = openat(rig.dir_fd, NAME, O_RDWR);
	uint8_t bytes[16];

	cr_assert(len <= sizeof(bytes));
	cr_assert_eq(pread(fd, bytes, len, (off_t)off), (ssize_t)len);
	for (size_t i = 0; i < len; i++)
		bytes[i] ^= 0x55;
	cr_assert_eq(pwrite(fd, bytes, len, (off_t)off), (ssize_t)len);
	(void)close(fd);
}

Test(journal, without_a_checkpoint_there_is_none)
{
	struct zk_checkpoint c;

	cr_expect_eq(reopen(&c), -ENOENT);
	(void)unlinkat(rig.dir_fd, NAME, 0);
	cr_expect_eq(reopen(&c), -ENOENT);
}

Test(journal, what_came_after_the_checkpoint_is_given_again)
{
	struct zk_checkpoint c;

	(void)checkpoint(1);
	append(1, 100);
	append(2, 5000);
	cr_assert_eq(reopen(&c), 0);
	cr_expect_eq(c.meta[0], 1);
	cr_expect_eq(rig.seen, 2);
	append(3, 0);
	(void)checkpoint(2);
	append(4, 1);
	cr_assert_eq(reopen(&c), 0);
	cr_expect_eq(c.meta[0], 2);
	cr_expect_eq(c.sequence, 3);
	cr_expect_eq(rig.seen, 1);
	cr_assert_eq(reopen(&c), 0);
	cr_expect_eq(rig.seen, 1, "until there is another checkpoint");
}

Test(journal, goes_round_for_ever)
{
	uint64_t seed = 1, sequence = 0, since = 0;
	struct zk_checkpoint c;

	(void)checkpoint(0);
	for (unsigned i = 0; i < 3000; i++) {
		const uint64_t draw = zk_prng_next(&seed);
		const size_t len = draw % 16 == 0
		    ? (draw >> 8) % zk_journal_record_max(rig.j)
		    : (draw >> 8) % 6000;

		if (!zk_journal_has_room(rig.j, len)) {
			(void)checkpoint((uint8_t)i);
			since = 0;
		}
		cr_assert(zk_journal_has_room(rig.j, len));
		append(++sequence, len);
		since++;
		if (draw % 50 == 1) {
			cr_assert_eq(reopen(&c), 0);
			cr_assert_eq(rig.seen, since);
		}
	}
}

static int
add_up(void *arg, uint64_t sequence, const void *bytes, size_t len)
{
	(void)bytes;
	(void)len;
	*(uint64_t *)arg = *(uint64_t *)arg * 10 + sequence;
	return 0;
}

Test(journal, a_void_record_never_was)
{
	struct zk_checkpoint c;
	uint64_t digits = 0;

	(void)checkpoint(1);
	append(1, 10);
	append(2, 10);
	cr_assert_eq(zk_journal_void(rig.j), 0);
	append(4, 10);
	zk_journal_close(rig.j);
	cr_assert_eq(zk_journal_open(rig.dir_fd, NAME, &rig.j, &c), 0);
	cr_assert_eq(zk_journal_replay(rig.j, add_up, &digits), 0);
	cr_expect_eq(digits, 14, "the first and the fourth");
	cr_expect_eq(zk_journal_last(rig.j), 4);
}

Test(journal, a_torn_end_was_never_acknowledged)
{
	struct zk_checkpoint c;

	(void)checkpoint(1);
	append(1, 100);
	append(2, 9000);
	damage(2 * BLOCK + BLOCK + 5000, 4);
	cr_assert_eq(reopen(&c), 0);
	cr_expect_eq(rig.seen, 1);
	append(2, 30);
	cr_assert_eq(reopen(&c), 0);
	cr_expect_eq(rig.seen, 2);
}

Test(journal, damage_before_the_end_is_damage)
{
	struct zk_checkpoint c;

	(void)checkpoint(1);
	append(1, 100);
	append(2, 9000);
	append(3, 10);
	damage(2 * BLOCK + BLOCK + 5000, 4);
	cr_expect_eq(reopen(&c), -ZK_ECORRUPT);
}

Test(journal, one_of_two_slots_is_always_whole)
{
	struct zk_checkpoint c;

	(void)checkpoint(1);
	append(1, 100);
	(void)checkpoint(2);
	append(2, 100);
	/* Generation 2 is in the first slot, and generation 1 in the other. */
	damage(40, 8);
	cr_assert_eq(reopen(&c), 0);
	cr_expect_eq(c.meta[0], 1);
	cr_expect_eq(rig.seen, 2);
	damage(BLOCK + 40, 8);
	cr_expect_eq(reopen(&c), -ZK_ECORRUPT);
}

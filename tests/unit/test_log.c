#include <errno.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/hash.h"
#include "store/log.h"
#include "store/table.h"
#include "store_rig.h"

TestSuite(log, .init = rig_init, .fini = rig_fini);

static uint8_t payload[ZK_COMMAND_MAX], buf[ZK_COMMAND_MAX];

/* Bytes that differ by index and place. */
static void
fill(uint64_t index, size_t len)
{
	for (size_t i = 0; i < len; i++)
		payload[i] = (uint8_t)zk_mix64(index << 32 | i);
}

static void
append(uint64_t index, uint64_t term, size_t len)
{
	const struct zk_entry entry = {
	    .index = index,
	    .term = term,
	    .kind = ZK_PAYLOAD_COMMAND,
	    .time = {.sec = -5, .nsec = 7},
	    .payload = payload,
	    .payload_len = len,
	};

	fill(index, len);
	cr_assert_eq(zk_log_append(rig.tx, &entry), 0);
}

static void
expect(uint64_t index, uint64_t term, size_t len)
{
	struct zk_entry entry;

	cr_assert_eq(zk_log_get(rig.tx, index, buf, sizeof(buf), &entry), 0);
	cr_expect_eq(entry.index, index);
	cr_expect_eq(entry.term, term);
	cr_expect_eq(entry.kind, ZK_PAYLOAD_COMMAND);
	cr_expect_eq(entry.time.sec, -5);
	cr_expect_eq(entry.time.nsec, 7);
	cr_assert_eq(entry.payload_len, len);
	fill(index, len);
	cr_expect_eq(memcmp(entry.payload, payload, len), 0);
}

static void
expect_bounds(uint64_t want_first, uint64_t want_last)
{
	uint64_t first, last;

	cr_assert_eq(zk_log_bounds(rig.tx, &first, &last), 0);
	cr_expect_eq(first, want_first);
	cr_expect_eq(last, want_last);
}

Test(log, lengths_around_a_part_come_back)
{
	static const size_t lens[] = {0, 1, ZK_LOG_PART_BYTES - 1,
	    ZK_LOG_PART_BYTES, ZK_LOG_PART_BYTES + 1,
	    (size_t)2 * ZK_LOG_PART_BYTES, (size_t)2 * ZK_LOG_PART_BYTES + 1,
	    ZK_COMMAND_MAX};
	const size_t count = sizeof(lens) / sizeof(lens[0]);

	rig_begin();
	expect_bounds(0, 0);
	for (size_t i = 0; i < count; i++)
		append(10 + i, 3, lens[i]);
	expect_bounds(10, 10 + count - 1);
	for (size_t i = 0; i < count; i++)
		expect(10 + i, 3, lens[i]);
	rig_commit();
	rig_begin();
	for (size_t i = 0; i < count; i++)
		expect(10 + i, 3, lens[i]);
}

Test(log, what_is_not_there_or_does_not_fit_is_told)
{
	struct zk_entry entry = {.index = 77};

	rig_begin();
	append(1, 1, 100);
	cr_expect_eq(zk_log_get(rig.tx, 2, buf, sizeof(buf), &entry), -ENOENT);
	cr_expect_eq(zk_log_get(rig.tx, 1, buf, 99, &entry), -ERANGE);
	cr_expect_eq(entry.index, 77, "an output is set on success only");
	cr_expect_eq(rig.tx->fatal, 0);
	cr_expect_eq(zk_log_get(rig.tx, 1, buf, 100, &entry), 0);
}

Test(log, a_conflict_is_cut_off_and_written_over)
{
	rig_begin();
	for (uint64_t i = 1; i <= 6; i++)
		append(i, 1, 40000);
	cr_assert_eq(zk_log_truncate(rig.tx, 4), 0);
	expect_bounds(1, 3);
	append(4, 2, 10);
	expect(4, 2, 10);
	expect_bounds(1, 4);
	cr_assert_eq(zk_log_truncate(rig.tx, 9), 0, "beyond the end: nothing");
	expect_bounds(1, 4);
	cr_assert_eq(zk_log_truncate(rig.tx, 1), 0);
	expect_bounds(0, 0);
	append(100, 5, 1); /* an empty log may begin anywhere */
	expect_bounds(100, 100);
}

Test(log, the_front_goes_in_lots)
{
	rig_begin();
	for (uint64_t i = 5; i <= 14; i++)
		append(i, 1, 20000);
	cr_assert_eq(zk_log_trim(rig.tx, 12, 3), 0);
	expect_bounds(8, 14);
	cr_assert_eq(zk_log_trim(rig.tx, 12, 100), 0);
	expect_bounds(12, 14);
	cr_assert_eq(zk_log_trim(rig.tx, 12, 100), 0);
	expect_bounds(12, 14);
	cr_assert_eq(zk_log_trim(rig.tx, 1000, 100), 0);
	expect_bounds(0, 0);
}

static void
sum_terms(void *arg, uint64_t index, uint64_t term)
{
	uint64_t *sum = arg;

	*sum = *sum * 100 + index * 10 + term;
}

Test(log, terms_come_in_order)
{
	uint64_t sum = 0;

	rig_begin();
	cr_assert_eq(zk_log_terms(rig.tx, sum_terms, &sum), 0);
	cr_expect_eq(sum, 0);
	append(3, 1, 40000);
	append(4, 1, 0);
	append(5, 2, 9);
	cr_assert_eq(zk_log_terms(rig.tx, sum_terms, &sum), 0);
	cr_expect_eq(sum, 314152);
}

Test(log, other_tables_are_not_the_log)
{
	const struct zk_hard_state hard = {.term = 1};

	rig_begin();
	cr_assert_eq(zk_hard_state_put(rig.tx, &hard), 0);
	expect_bounds(0, 0);
	append(1, 1, 5);
	expect_bounds(1, 1);
	rig_verify();
}

static struct zk_key
part_key(uint64_t index, uint32_t part)
{
	struct zk_key key = zk_key1(ZK_TABLE_LOG, index);

	zk_key_u32(&key, part);
	return key;
}

Test(log, a_missing_part_is_damage)
{
	const struct zk_key key = part_key(1, 1);
	struct zk_verify_report report;
	struct zk_entry entry;

	rig_begin();
	append(1, 1, (size_t)3 * ZK_LOG_PART_BYTES);
	cr_assert_eq(zk_row_delete(rig.tx, &key), 0);
	cr_expect_eq(zk_verify(rig.tx, &report), -ZK_ECORRUPT);
	rig.tx->fatal = 0;
	cr_expect_eq(zk_log_get(rig.tx, 1, buf, sizeof(buf), &entry),
	    -ZK_ECORRUPT);
	cr_expect_eq(rig.tx->fatal, -ZK_ECORRUPT);
}

Test(log, a_part_of_another_length_is_damage)
{
	const struct zk_key key = part_key(1, 1);
	struct zk_entry entry;

	rig_begin();
	append(1, 1, (size_t)2 * ZK_LOG_PART_BYTES);
	cr_assert_eq(zk_row_put(rig.tx, &key, payload, 100), 0);
	cr_expect_eq(zk_log_get(rig.tx, 1, buf, sizeof(buf), &entry),
	    -ZK_ECORRUPT);
}

Test(log, a_hole_between_entries_is_damage)
{
	const struct zk_key key = part_key(2, 0);
	struct zk_verify_report report;
	uint64_t sum = 0;

	rig_begin();
	for (uint64_t i = 1; i <= 3; i++)
		append(i, 1, 10);
	cr_assert_eq(zk_row_delete(rig.tx, &key), 0);
	cr_expect_eq(zk_log_terms(rig.tx, sum_terms, &sum), -ZK_ECORRUPT);
	cr_expect_eq(zk_verify(rig.tx, &report), -ZK_ECORRUPT);
	cr_expect(strstr(report.problem, "log entry 3") != NULL, "%s",
	    report.problem);
}

Test(log, verify_sees_a_part_too_many_and_a_term_that_goes_back)
{
	const struct zk_key key = part_key(1, 1);
	struct zk_verify_report report;

	rig_begin();
	append(1, 2, 10);
	cr_assert_eq(zk_row_put(rig.tx, &key, "x", 1), 0);
	cr_expect_eq(zk_verify(rig.tx, &report), -ZK_ECORRUPT);
	cr_assert_eq(zk_log_truncate(rig.tx, 1), 0);
	append(1, 2, 10);
	append(2, 1, 10);
	cr_expect_eq(zk_verify(rig.tx, &report), -ZK_ECORRUPT);
	cr_expect(strstr(report.problem, "term") != NULL, "%s", report.problem);
}

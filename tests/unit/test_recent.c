#include <criterion/criterion.h>
#include <string.h>

#include "daemon/recent.h"

static struct zk_entry
entry_of(uint64_t index, const void *payload, size_t len)
{
	return (struct zk_entry){
	    .index = index,
	    .term = 3,
	    .kind = ZK_PAYLOAD_COMMAND,
	    .payload = payload,
	    .payload_len = len,
	};
}

Test(recent, knows_what_was_put)
{
	struct zk_recent *recent = zk_recent_new();
	struct zk_entry entry = entry_of(7, "seven", 5), got;

	cr_assert_not(zk_recent_get(recent, 7, &got));
	cr_assert_not(zk_recent_get(recent, 0, &got));
	zk_recent_put(recent, &entry);
	cr_assert(zk_recent_get(recent, 7, &got));
	cr_assert_eq(got.term, 3);
	cr_assert_eq(got.payload_len, 5);
	cr_assert_arr_eq(got.payload, "seven", 5);
	cr_assert_not(zk_recent_get(recent, 7 + ZK_RECENT_ENTRIES, &got));
	zk_recent_free(recent);
}

Test(recent, an_index_is_what_was_put_last)
{
	struct zk_recent *recent = zk_recent_new();
	struct zk_entry first = entry_of(7, "first", 5),
	                second = entry_of(7, "second", 6), got;

	zk_recent_put(recent, &first);
	zk_recent_clear(recent);
	cr_assert_not(zk_recent_get(recent, 7, &got));
	zk_recent_put(recent, &second);
	cr_assert(zk_recent_get(recent, 7, &got));
	cr_assert_arr_eq(got.payload, "second", 6);
	zk_recent_free(recent);
}

/* Payloads of all sizes, round the ring many times: right, or not known. */
Test(recent, never_tells_anything_else)
{
	static uint8_t bytes[ZK_RECENT_BYTES / 8 + 1];
	struct zk_recent *recent = zk_recent_new();
	size_t known = 0, large = 0;

	for (uint64_t index = 1; index < 20000; index++) {
		const size_t len =
		    index % 5000 == 0 ? sizeof(bytes) : index * 7919 % 9001;
		struct zk_entry entry = entry_of(index, bytes, len), got;

		memset(bytes, (int)(index % 251), len);
		zk_recent_put(recent, &entry);
		large += len == sizeof(bytes);
		cr_assert_eq(zk_recent_get(recent, index, &got),
		    len < sizeof(bytes));
		for (uint64_t old = index; old > 0 && old + 64 > index; old--) {
			const uint8_t *p;

			if (!zk_recent_get(recent, old, &got))
				continue;
			known++;
			cr_assert_eq(got.payload_len, old * 7919 % 9001);
			p = got.payload;
			for (size_t i = 0; i < got.payload_len; i += 997)
				cr_assert_eq(p[i], old % 251);
		}
	}
	cr_assert_gt(known, 1140000u);
	cr_assert_eq(large, 3);
	zk_recent_free(recent);
}

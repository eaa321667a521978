#include <criterion/criterion.h>
#include <string.h>

#include "queue/partitioner.h"

/* The vectors of Apache Kafka's own UtilsTest.testMurmur2. */
Test(partitioner, hashes_as_kafkas_clients_do)
{
	static const struct {
		const char *key;
		int32_t want;
	} cases[] = {
	    {"21", -973932308},
	    {"foobar", -790332482},
	    {"a-little-bit-long-string", -985981536},
	    {"a-little-bit-longer-string", -1486304829},
	    {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
	    {"abc", 479470107},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(
		    (int32_t)zk_murmur2(cases[i].key, strlen(cases[i].key)),
		    cases[i].want, "%s", cases[i].key);
}

Test(partitioner, a_negative_hash_still_names_a_partition)
{
	cr_expect_eq(zk_partition_of("21", 2, 8),
	    ((uint32_t)-973932308 & INT32_MAX) % 8);
	for (uint32_t n = 1; n < 20; n++)
		cr_expect(zk_partition_of("foobar", 6, n) < n);
}

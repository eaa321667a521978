#include <criterion/criterion.h>
#include <stdint.h>

/* NOLINTNEXTLINE(bugprone-suspicious-include) */
#include "ctl/latency.c"

Test(ctl_latency, quantiles)
{
	struct zk_latency all = {0}, one = {0};

	cr_assert_eq(zk_latency_quantile(&all, 500), 0);
	for (uint64_t i = 1; i <= 1000; i++)
		zk_latency_add(i % 2 == 0 ? &all : &one, i * 1000);
	zk_latency_merge(&all, &one);
	cr_assert_eq(all.count, 1000);
	cr_assert_eq(all.max_ns, 1000000);
	cr_assert_eq(zk_latency_quantile(&all, 1000), 1000000);
	cr_assert(zk_latency_quantile(&all, 500) >= 500000);
	cr_assert(zk_latency_quantile(&all, 500) <= 500000 / 16 * 17 + 1);
	cr_assert(zk_latency_quantile(&all, 990) >= 990000);
}

/* Each class ends where the next one begins. */
Test(ctl_latency, ends)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		struct zk_latency one = {0};
		const uint64_t ns = (uint64_t)1 << bit;

		zk_latency_add(&one, ns);
		cr_assert_eq(zk_latency_quantile(&one, 500), ns);
		zk_latency_add(&one, UINT64_MAX);
		cr_assert(zk_latency_quantile(&one, 500) >= ns);
		cr_assert(zk_latency_quantile(&one, 500) - ns <= ns / 16);
	}
}

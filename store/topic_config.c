#include "store/topic_config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"

#define DAY_MS 86400000ull

/* Far from where sums could wrap, and still ten thousand years. */
#define TIME_MS_MAX (3652425ull * DAY_MS)
#define BYTES_MAX   (1ull << 60)

struct unit {
	const char *name;
	uint64_t factor;
};

/* The largest first: text is printed in the first that divides. */
static const struct unit times[] = {
    {"d", DAY_MS},
    {"h", 3600000},
    {"m", 60000},
    {"s", 1000},
    {"ms", 1},
};
static const struct unit sizes[] = {
    {"T", 1ull << 40},
    {"G", 1ull << 30},
    {"M", 1ull << 20},
    {"K", 1ull << 10},
    {"", 1},
};
#define UNITS 5u
_Static_assert(sizeof(times) / sizeof(times[0]) == UNITS, "both have five");
_Static_assert(sizeof(sizes) / sizeof(sizes[0]) == UNITS, "both have five");

void
zk_topic_config_init(struct zk_topic_config *ret_config)
{
	*ret_config = (struct zk_topic_config){
	    .partitions = 1,
	    .replicas = 3,
	    .retention_ms = 7 * DAY_MS,
	    .record_max = ZK_RECORD_MAX,
	    .deliveries_max = 5,
	};
}

/* A stretch of the text. */
struct word {
	const char *at;
	size_t len;
};

static bool
is_word(const struct word *word, const char *text)
{
	return word->len == strlen(text) &&
	    memcmp(word->at, text, word->len) == 0;
}

/* Digits; what follows them is left in *word. */
static int
take_number(struct word *word, uint64_t *ret_value)
{
	uint64_t value = 0;
	size_t i = 0;

	for (; i < word->len && word->at[i] >= '0' && word->at[i] <= '9'; i++) {
		const uint64_t digit = (uint64_t)(word->at[i] - '0');

		if (value > (UINT64_MAX - digit) / 10)
			return -EINVAL;
		value = value * 10 + digit;
	}
	if (i == 0)
		return -EINVAL;
	word->at += i;
	word->len -= i;
	*ret_value = value;
	return 0;
}

static int
parse_count(struct word word, uint64_t min, uint64_t max, uint32_t *ret_value)
{
	uint64_t value;
	int rc = take_number(&word, &value);

	if (rc < 0 || word.len > 0 || value < min || value > max)
		return -EINVAL;
	*ret_value = (uint32_t)value;
	return 0;
}

/* A number and a unit; `none`, which is 0.  Without a unit: `plain` each. */
static int
parse_amount(struct word word, const struct unit *units, uint64_t plain,
    uint64_t max, uint64_t *ret_value)
{
	uint64_t value, factor = word.len == 0 ? 0 : plain;
	int rc;

	if (is_word(&word, "none")) {
		*ret_value = 0;
		return 0;
	}
	rc = take_number(&word, &value);
	if (rc < 0)
		return rc;
	for (size_t i = 0; word.len > 0 && i < UNITS; i++)
		if (is_word(&word, units[i].name)) {
			factor = units[i].factor;
			word.len = 0;
		}
	/* 0 would read as "keep nothing", which nobody wants. */
	if (word.len > 0 || value == 0 || factor == 0 || value > max / factor)
		return -EINVAL;
	*ret_value = value * factor;
	return 0;
}

static int
apply_key(struct zk_topic_config *config, const struct word *key,
    struct word value)
{
	uint64_t bytes = 0;
	int rc;

	if (is_word(key, "partitions"))
		return parse_count(value, config->partitions, ZK_PARTITIONS_MAX,
		    &config->partitions);
	if (is_word(key, "replicas"))
		return parse_count(value, 1, ZK_REPLICAS_MAX,
		    &config->replicas);
	if (is_word(key, "max.deliveries"))
		return parse_count(value, 1, UINT32_MAX,
		    &config->deliveries_max);
	if (is_word(key, "retention.time"))
		return parse_amount(value, times, 1000, TIME_MS_MAX,
		    &config->retention_ms);
	if (is_word(key, "retention.bytes"))
		return parse_amount(value, sizes, 1, BYTES_MAX,
		    &config->retention_bytes);
	if (!is_word(key, "max.record"))
		return -EINVAL;
	rc = parse_amount(value, sizes, 1, ZK_RECORD_MAX, &bytes);
	if (rc < 0 || bytes == 0)
		return -EINVAL;
	config->record_max = (uint32_t)bytes;
	return 0;
}

static int
apply_line(struct zk_topic_config *config, const struct word *line)
{
	const char *equals;
	struct word key, value;

	if (line->len == 0 || line->at[0] == '#')
		return 0;
	equals = memchr(line->at, '=', line->len);
	if (equals == NULL)
		return -EINVAL;
	key.at = line->at;
	key.len = (size_t)(equals - line->at);
	value.at = equals + 1;
	value.len = line->len - key.len - 1;
	return apply_key(config, &key, value);
}

int
zk_topic_config_apply(struct zk_topic_config *config, const char *text,
    size_t len)
{
	struct zk_topic_config changed = *config;

	while (len > 0) {
		const char *end = memchr(text, '\n', len);
		const struct word line = {
		    .at = text,
		    .len = end == NULL ? len : (size_t)(end - text),
		};
		const size_t step = line.len + (end != NULL);
		const int rc = apply_line(&changed, &line);

		if (rc < 0)
			return rc;
		text += step;
		len -= step;
	}
	*config = changed;
	return 0;
}

static void
print_amount(char *buf, size_t cap, const struct unit *units, uint64_t value)
{
	size_t i = 0;

	if (value == 0) {
		(void)snprintf(buf, cap, "none");
		return;
	}
	while (value % units[i].factor != 0)
		i++;
	(void)snprintf(buf, cap, "%" PRIu64 "%s", value / units[i].factor,
	    units[i].name);
}

size_t
zk_topic_config_text(const struct zk_topic_config *config, char *buf,
    size_t cap)
{
	char time[32], bytes[32];
	int len;

	print_amount(time, sizeof(time), times, config->retention_ms);
	print_amount(bytes, sizeof(bytes), sizes, config->retention_bytes);
	/* The largest record is not a round number: plain bytes. */
	len = snprintf(buf, cap,
	    "partitions=%" PRIu32 "\n"
	    "replicas=%" PRIu32 "\n"
	    "retention.time=%s\n"
	    "retention.bytes=%s\n"
	    "max.record=%" PRIu32 "\n"
	    "max.deliveries=%" PRIu32 "\n",
	    config->partitions, config->replicas, time, bytes,
	    config->record_max, config->deliveries_max);
	ZK_ASSERT(len > 0);
	ZK_ASSERT((size_t)len < cap);
	return (size_t)len;
}

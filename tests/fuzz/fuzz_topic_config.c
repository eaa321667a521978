/*
 * What a user can write to a topic's config: a text is taken as a whole or
 * changes nothing; what is taken is within its bounds, and what is read from
 * the file then says the same again.
 */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "store/topic_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
	if (!holds)
		abort();
}

static bool
is_same(const struct zk_topic_config *a, const struct zk_topic_config *b)
{
	return a->partitions == b->partitions && a->replicas == b->replicas &&
	    a->retention_ms == b->retention_ms &&
	    a->retention_bytes == b->retention_bytes &&
	    a->record_max == b->record_max &&
	    a->deliveries_max == b->deliveries_max;
}

static void
check_bounds(const struct zk_topic_config *config)
{
	must(config->partitions >= 1);
	must(config->partitions <= ZK_PARTITIONS_MAX);
	must(config->replicas >= 1);
	must(config->replicas <= ZK_REPLICAS_MAX);
	must(config->record_max >= 1);
	must(config->record_max <= ZK_RECORD_MAX);
	must(config->deliveries_max >= 1);
	/* Sums with times and offsets do not wrap. */
	must(config->retention_ms < UINT64_MAX / 1024);
	must(config->retention_bytes <= UINT64_MAX / 16);
}

/* What it prints is what it takes, and comes to the same. */
static void
check_text(const struct zk_topic_config *config)
{
	char text[ZK_TOPIC_CONFIG_TEXT_MAX], again[ZK_TOPIC_CONFIG_TEXT_MAX];
	struct zk_topic_config read;
	size_t len;

	zk_topic_config_init(&read);
	len = zk_topic_config_text(config, text, sizeof(text));
	must(zk_topic_config_apply(&read, text, len) == 0);
	must(is_same(&read, config));
	must(zk_topic_config_text(&read, again, sizeof(again)) == len);
	must(memcmp(text, again, len) == 0);
}

/* One line after the other comes to the same as all at once. */
static void
check_lines(const char *text, size_t size, const struct zk_topic_config *want)
{
	struct zk_topic_config config;

	zk_topic_config_init(&config);
	while (size > 0) {
		const char *end = memchr(text, '\n', size);
		const size_t len =
		    end == NULL ? size : (size_t)(end - text) + 1;

		must(zk_topic_config_apply(&config, text, len) == 0);
		text += len;
		size -= len;
	}
	must(is_same(&config, want));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zk_topic_config config, before;
	/* A copy of its own, so that a look beyond it is seen. */
	char *text = malloc(size + (size == 0));

	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	zk_topic_config_init(&config);
	before = config;
	if (zk_topic_config_apply(&config, text, size) < 0) {
		must(is_same(&config, &before));
	} else {
		check_bounds(&config);
		check_text(&config);
		check_lines(text, size, &config);
	}
	free(text);
	return 0;
}

#ifndef ZK_STORE_TOPIC_CONFIG_H
#define ZK_STORE_TOPIC_CONFIG_H

#include <stddef.h>
#include <stdint.h>

/*
 * The settings of a topic, as values and as the text of its config file.
 * Pure: text comes from anyone who may write the file.  Any thread.
 */
struct zk_topic_config {
	uint32_t partitions;
	uint32_t replicas;
	uint64_t retention_ms;    /* 0: for ever */
	uint64_t retention_bytes; /* of each partition; 0: no bound */
	uint32_t record_max;      /* bytes, without the newline */
	uint32_t deliveries_max;  /* tries before a record is dead */
};

/* What mkdir(2) gives a topic. */
void zk_topic_config_init(struct zk_topic_config *ret_config);

/*
 * Apply lines KEY=VALUE to *config; empty lines and those that begin with #
 * are skipped.  -EINVAL for anything else, with *config unchanged: an unknown
 * key, a value that is none or out of bounds, a NUL, fewer partitions than
 * there are.
 */
int zk_topic_config_apply(struct zk_topic_config *config, const char *text,
    size_t len);

/* All settings, a line each.  Returns the length, which is below cap. */
#define ZK_TOPIC_CONFIG_TEXT_MAX 256u
size_t zk_topic_config_text(const struct zk_topic_config *config, char *buf,
    size_t cap);

#endif

#include "daemon/recent.h"

#include <stdlib.h>
#include <string.h>

/* A larger entry would push out all the others. */
#define ENTRY_MAX (ZK_RECENT_BYTES / 8)

struct slot {
	struct zk_entry entry; /* index 0: none; the payload is in the ring */
	uint64_t place;        /* of the payload, counted for ever */
};

struct zk_recent {
	uint64_t end; /* place of the next payload */
	struct slot slots[ZK_RECENT_ENTRIES];
	uint8_t ring[ZK_RECENT_BYTES];
};

struct zk_recent *
zk_recent_new(void)
{
	struct zk_recent *recent = calloc(1, sizeof(*recent));

	return recent;
}

void
zk_recent_free(struct zk_recent *recent)
{
	free(recent);
}

/* A place where that many bytes are in one piece. */
static uint64_t
place_for(const struct zk_recent *recent, size_t len)
{
	const uint64_t left = ZK_RECENT_BYTES - recent->end % ZK_RECENT_BYTES;

	return len <= left ? recent->end : recent->end + left;
}

void
zk_recent_put(struct zk_recent *recent, const struct zk_entry *entry)
{
	struct slot *slot = &recent->slots[entry->index % ZK_RECENT_ENTRIES];
	uint8_t *bytes;

	slot->entry.index = 0;
	if (entry->payload_len > ENTRY_MAX)
		return;
	slot->entry = *entry;
	slot->place = place_for(recent, entry->payload_len);
	bytes = recent->ring + slot->place % ZK_RECENT_BYTES;
	if (entry->payload_len > 0)
		memcpy(bytes, entry->payload, entry->payload_len);
	slot->entry.payload = bytes;
	recent->end = slot->place + entry->payload_len;
}

void
zk_recent_clear(struct zk_recent *recent)
{
	for (size_t i = 0; i < ZK_RECENT_ENTRIES; i++)
		recent->slots[i].entry.index = 0;
}

bool
zk_recent_get(const struct zk_recent *recent, uint64_t index,
    struct zk_entry *ret_entry)
{
	const struct slot *slot = &recent->slots[index % ZK_RECENT_ENTRIES];

	if (index == 0 || slot->entry.index != index ||
	    recent->end - slot->place > ZK_RECENT_BYTES)
		return false;
	*ret_entry = slot->entry;
	return true;
}

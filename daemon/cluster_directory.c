#include "daemon/cluster_directory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"

#define FORMAT 2u

_Static_assert(ZK_ROSTER_NAME_MAX == ZK_AUTH_NAME_MAX, "names fit");
_Static_assert(ZK_ROSTER_ADDRESS_MAX == ZK_TRANSPORT_ADDRESS_MAX,
    "addresses fit");

size_t
zk_directory_encode(const struct zk_directory *directory, uint8_t *buf)
{
	struct zk_enc enc;

	ZK_ASSERT(directory->count <= ZK_DIRECTORY_MAX);

	zk_enc_init(&enc, buf, ZK_DIRECTORY_BYTES_MAX);
	zk_enc_u8(&enc, FORMAT);
	zk_enc_u64(&enc, directory->index);
	zk_enc_u8(&enc, (uint8_t)directory->count);
	for (size_t i = 0; i < directory->count; i++) {
		const struct zk_directory_member *m = &directory->members[i];

		zk_enc_u64(&enc, m->node);
		zk_enc_u64(&enc, m->since);
		zk_enc_u8(&enc, m->votes ? 1 : 0);
		zk_enc_bytes(&enc, m->name, strlen(m->name));
		zk_enc_bytes(&enc, m->address, strlen(m->address));
	}
	ZK_ASSERT(!enc.failed);
	return enc.len;
}

/* A string without a NUL inside. */
static int
decode_text(struct zk_dec *dec, char *buf, size_t cap)
{
	size_t len;
	const void *bytes = zk_dec_bytes(dec, cap - 1, &len);

	if (bytes == NULL || memchr(bytes, '\0', len) != NULL)
		return -EPROTO;
	memcpy(buf, bytes, len);
	buf[len] = '\0';
	return 0;
}

static int
decode_member(struct zk_dec *dec, struct zk_directory *directory)
{
	struct zk_directory_member *m = &directory->members[directory->count];
	uint8_t votes;

	m->node = zk_dec_u64(dec);
	m->since = zk_dec_u64(dec);
	votes = zk_dec_u8(dec);
	m->votes = votes == 1;
	if (decode_text(dec, m->name, sizeof(m->name)) < 0 ||
	    decode_text(dec, m->address, sizeof(m->address)) < 0)
		return -EPROTO;
	if (votes > 1 || m->name[0] == '\0' ||
	    (m->node == 0 && directory->index == 0) ||
	    zk_directory_find_node(directory, m->node) >= 0 ||
	    zk_directory_find(directory, m->name) >= 0)
		return -EPROTO;
	directory->count++;
	return 0;
}

int
zk_directory_decode(const void *bytes, size_t len,
    struct zk_directory *ret_directory)
{
	struct zk_directory directory = {0};
	struct zk_dec dec;
	uint8_t count;

	zk_dec_init(&dec, bytes, len);
	if (zk_dec_u8(&dec) != FORMAT)
		return -EPROTO;
	directory.index = zk_dec_u64(&dec);
	count = zk_dec_u8(&dec);
	if (directory.index == 0 && count > ZK_ROSTER_VOTERS_MAX)
		return -EPROTO;
	if (count == 0 || count > ZK_DIRECTORY_MAX)
		return -EPROTO;
	for (uint8_t i = 0; i < count; i++)
		if (decode_member(&dec, &directory) < 0)
			return -EPROTO;
	if (!zk_dec_done(&dec))
		return -EPROTO;
	*ret_directory = directory;
	return 0;
}

int
zk_directory_find(const struct zk_directory *directory, const char *name)
{
	for (size_t i = 0; i < directory->count; i++)
		if (strcmp(directory->members[i].name, name) == 0)
			return (int)i;
	return -1;
}

int
zk_directory_find_node(const struct zk_directory *directory, uint64_t node)
{
	for (size_t i = 0; node != 0 && i < directory->count; i++)
		if (directory->members[i].node == node)
			return (int)i;
	return -1;
}

void
zk_directory_founders(const struct zk_directory *directory,
    struct zk_roster *ret_roster)
{
	ZK_ASSERT(directory->count <= ZK_ROSTER_VOTERS_MAX);

	ret_roster->count = directory->count;
	for (size_t i = 0; i < directory->count; i++) {
		const struct zk_directory_member *m = &directory->members[i];
		struct zk_roster_row *row = &ret_roster->rows[i];

		*row = (struct zk_roster_row){.node = m->node};
		memcpy(row->name, m->name, sizeof(row->name));
		memcpy(row->address, m->address, sizeof(row->address));
	}
}

static void
of_roster(const struct zk_roster *roster, uint64_t index,
    struct zk_directory *ret_directory)
{
	ret_directory->index = index;
	ret_directory->count = roster->count;
	for (size_t i = 0; i < roster->count; i++) {
		const struct zk_roster_row *row = &roster->rows[i];
		struct zk_directory_member *m = &ret_directory->members[i];

		m->node = row->node;
		m->since = row->since;
		m->votes = row->role == ZK_ROSTER_VOTER;
		memcpy(m->name, row->name, sizeof(m->name));
		memcpy(m->address, row->address, sizeof(m->address));
	}
}

static int
load_stored(struct zk_tx *tx, struct zk_directory *ret_directory)
{
	uint8_t bytes[ZK_DIRECTORY_BYTES_MAX];
	size_t len;
	int rc;

	rc = zk_peers_get(tx, bytes, sizeof(bytes), &len);
	if (rc < 0)
		return rc;
	rc = zk_directory_decode(bytes, len, ret_directory);
	return rc < 0 ? -ZK_ECORRUPT : 0;
}

int
zk_directory_load(struct zk_store *store, struct zk_directory *ret_directory)
{
	struct zk_roster *roster = malloc(sizeof(*roster));
	struct zk_state state;
	struct zk_tx *tx;
	int rc;

	if (roster == NULL)
		return -ENOMEM;
	rc = zk_read_begin(store, &tx);
	if (rc == 0) {
		rc = zk_state_get(tx, &state);
		if (rc == 0)
			rc = zk_roster_load(tx, roster);
		if (rc == 0 && roster->count > 0)
			of_roster(roster, state.applied_index, ret_directory);
		else if (rc == 0)
			rc = load_stored(tx, ret_directory);
		zk_read_end(tx);
	}
	free(roster);
	return rc;
}

int
zk_directory_store(struct zk_tx *tx, const struct zk_directory *directory)
{
	uint8_t bytes[ZK_DIRECTORY_BYTES_MAX];
	const size_t len = zk_directory_encode(directory, bytes);

	return zk_peers_put(tx, bytes, len);
}

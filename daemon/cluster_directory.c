#include "daemon/cluster_directory.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"

#define FORMAT 1u

size_t
zk_directory_encode(const struct zk_directory *directory, uint8_t *buf)
{
	struct zk_enc enc;

	ZK_ASSERT(directory->count <= ZK_DIRECTORY_MAX);

	zk_enc_init(&enc, buf, ZK_DIRECTORY_BYTES_MAX);
	zk_enc_u8(&enc, FORMAT);
	zk_enc_u8(&enc, (uint8_t)directory->count);
	for (size_t i = 0; i < directory->count; i++) {
		const struct zk_directory_member *m = &directory->members[i];

		zk_enc_u64(&enc, m->node);
		zk_enc_bytes(&enc, m->name, strlen(m->name));
		zk_enc_bytes(&enc, m->address, strlen(m->address));
	}
	ZK_ASSERT(!enc.failed);
	return enc.len;
}

/* A string without a NUL inside; "" is refused, too. */
static int
decode_text(struct zk_dec *dec, char *buf, size_t cap)
{
	size_t len;
	const void *bytes = zk_dec_bytes(dec, cap - 1, &len);

	if (bytes == NULL || len == 0 || memchr(bytes, '\0', len) != NULL)
		return -EPROTO;
	memcpy(buf, bytes, len);
	buf[len] = '\0';
	return 0;
}

static int
decode_member(struct zk_dec *dec, struct zk_directory *directory)
{
	struct zk_directory_member *m = &directory->members[directory->count];
	const uint64_t node = zk_dec_u64(dec);

	if (node == 0 || zk_directory_find_node(directory, node) >= 0)
		return -EPROTO;
	if (decode_text(dec, m->name, sizeof(m->name)) < 0 ||
	    decode_text(dec, m->address, sizeof(m->address)) < 0)
		return -EPROTO;
	if (zk_directory_find(directory, m->name) >= 0)
		return -EPROTO;
	m->node = node;
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
	count = zk_dec_u8(&dec);
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
	for (size_t i = 0; i < directory->count; i++)
		if (directory->members[i].node == node)
			return (int)i;
	return -1;
}

int
zk_directory_load(struct zk_store *store, struct zk_directory *ret_directory)
{
	uint8_t bytes[ZK_DIRECTORY_BYTES_MAX];
	struct zk_tx *tx;
	size_t len;
	int rc;

	rc = zk_read_begin(store, &tx);
	if (rc < 0)
		return rc;
	rc = zk_peers_get(tx, bytes, sizeof(bytes), &len);
	zk_read_end(tx);
	if (rc < 0)
		return rc;
	rc = zk_directory_decode(bytes, len, ret_directory);
	return rc < 0 ? -ZK_ECORRUPT : 0;
}

int
zk_directory_store(struct zk_tx *tx, const struct zk_directory *directory)
{
	uint8_t bytes[ZK_DIRECTORY_BYTES_MAX];
	const size_t len = zk_directory_encode(directory, bytes);

	return zk_peers_put(tx, bytes, len);
}

/*
 * alter DATADIR NODE FROM TO: in the partitions of a member that is stopped,
 * whose id is NODE (hex), the first record that has FROM in it gets TO, of the
 * same length, in its place.  Its checksum is right: nothing but another
 * replica can tell.
 */
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "queue/plog.h"

static char payload[ZK_BATCH_MAX];

/* 1: this was it; 0: it is not in this one; or a code. */
static int
alter_entry(struct zk_tx *tx, uint64_t id, uint64_t index, const char *from,
    const char *to)
{
	struct zk_pentry entry;
	char *found;
	int rc;

	rc = zk_plog_head(tx, id, index, &entry);
	if (rc < 0 || entry.kind != ZK_PENTRY_DATA)
		return rc;
	rc = zk_plog_bytes(tx, id, &entry, 0, payload, entry.len);
	if (rc < 0)
		return rc;
	found = memmem(payload, entry.len, from, strlen(from));
	if (found == NULL)
		return 0;
	memcpy(found, to, strlen(to));
	entry.payload = payload;
	rc = zk_plog_append(tx, id, &entry);
	return rc < 0 ? rc : 1;
}

static int
alter(struct zk_tx *tx, const char *from, const char *to)
{
	struct zk_pstate state;
	uint64_t id = 0, last;
	int rc;

	while ((rc = zk_pstate_next(tx, id, &id)) == 0) {
		rc = zk_pstate_get(tx, id, &state);
		if (rc == 0)
			rc = zk_plog_last(tx, id, state.base_index, &last);
		for (uint64_t i = state.base_index + 1; rc == 0 && i <= last;
		     i++)
			rc = alter_entry(tx, id, i, from, to);
		if (rc != 0)
			return rc;
	}
	return rc;
}

int
main(int argc, char *argv[])
{
	struct zk_plog_options options = {0};
	struct zk_plog *plog;
	struct zk_tx tx;
	int rc;

	if (argc != 5 || strlen(argv[3]) != strlen(argv[4]))
		errx(2, "usage: alter DATADIR NODE FROM TO");
	options.dir = argv[1];
	options.self = strtoull(argv[2], NULL, 16);
	rc = zk_plog_open(&options, &plog);
	if (rc < 0)
		errx(1, "%s: %s", argv[1], zk_err_text(rc));
	rc = zk_env_begin(zk_plog_env(plog), &tx);
	if (rc == 0)
		rc = alter(&tx, argv[3], argv[4]);
	if (rc <= 0)
		errx(1, "%s: %s", argv[3], zk_err_text(rc));
	rc = zk_env_commit(&tx);
	if (rc == 0)
		rc = zk_env_checkpoint(zk_plog_env(plog));
	if (rc < 0)
		errx(1, "%s: %s", argv[1], zk_err_text(rc));
	zk_plog_close(plog);
	return 0;
}

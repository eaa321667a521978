#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "daemon/replica_impl.h"

/* Bytes in flight to one follower, and proposed but not committed. */
#define WINDOW_MAX      (8u * ZK_MIB)
#define UNCOMMITTED_MAX (64u * ZK_MIB)

/* Configurations in entries that are not applied: at most a few. */
#define CONFS_MAX 16u

struct recovery {
	struct zk_raft_start *start;
	uint64_t first;
	int rc;
};

/* The first entry kept stands for all that came before it. */
static void
recover_entry(void *arg, uint64_t index, uint64_t term)
{
	struct recovery *recovery = arg;

	if (recovery->rc < 0)
		return;
	if (recovery->first == 0) {
		recovery->first = index;
		if (index > 1) {
			recovery->start->base_index = index;
			recovery->start->base_term = term;
			return;
		}
	}
	recovery->rc = zk_raft_start_entry(recovery->start, index, term);
}

/* The members as applied, or those that found the ensemble. */
static int
recover_conf(struct zk_replica *r, struct zk_conf_entry *ret_conf)
{
	const struct zk_ident *ident = zk_store_ident(r->store);
	uint8_t bytes[ZK_CONF_BYTES_MAX];
	struct zk_dec dec;
	size_t len;
	int rc;

	_Static_assert(ZK_CONF_WIRE_MAX <= ZK_CONF_BYTES_MAX,
	    "a membership fits its row");
	rc = zk_conf_row_get(r->tx, bytes, sizeof(bytes), &len,
	    &ret_conf->index);
	if (rc == -ENOENT) {
		ret_conf->index = 0;
		if (r->options.founders != NULL) {
			ret_conf->conf = *r->options.founders;
			return 0;
		}
		ret_conf->conf = (struct zk_conf){
		    .count = 1,
		    .voter_bits = 1,
		    .ids = {ident->node},
		};
		return 0;
	}
	if (rc < 0)
		return rc;
	zk_dec_init(&dec, bytes, len);
	rc = zk_conf_decode(&dec, &ret_conf->conf);
	return rc < 0 || !zk_dec_done(&dec) ? -ZK_ECORRUPT : 0;
}

/* The core asks for terms that it remembers no more. */
static uint64_t
term_of(void *arg, uint64_t index)
{
	struct zk_replica *r = arg;
	struct zk_entry entry;

	/* It asks while it steps, in a turn: what the turn wrote counts. */
	if (zk_replica_tx(r) < 0 || zk_replica_entry(r, index, &entry) < 0)
		return 0;
	return entry.term;
}

/* Configurations in the part of the log that is not applied. */
static int
recover_later_confs(struct zk_replica *r, uint64_t last,
    struct zk_conf_entry confs[CONFS_MAX], size_t *ret_count)
{
	*ret_count = 0;
	for (uint64_t index = r->applied + 1; index <= last; index++) {
		struct zk_entry entry;
		struct zk_dec dec;
		int rc;

		rc = zk_log_get(r->tx, index, r->payload, ZK_COMMAND_MAX,
		    &entry);
		if (rc < 0)
			return rc;
		if (entry.kind != ZK_PAYLOAD_CONFIG)
			continue;
		if (*ret_count == CONFS_MAX)
			return -ZK_ECORRUPT;
		zk_dec_init(&dec, entry.payload, entry.payload_len);
		confs[*ret_count].index = index;
		if (zk_conf_decode(&dec, &confs[*ret_count].conf) < 0)
			return -ZK_ECORRUPT;
		(*ret_count)++;
	}
	return 0;
}

int
zk_replica_recover(struct zk_replica *r)
{
	struct zk_conf_entry confs[CONFS_MAX];
	struct zk_hard_state hard = {0};
	struct zk_raft_start start = {
	    .self = zk_store_ident(r->store)->node,
	    .seed = r->options.seed,
	    .election_ms = r->options.election_ms,
	    .heartbeat_ms = r->options.heartbeat_ms,
	    .append_bytes_max = APPEND_BYTES_MAX,
	    .window_bytes_max = WINDOW_MAX,
	    .uncommitted_bytes_max = r->options.uncommitted_max,
	    .commit_index = r->tx->state.applied_index,
	    .confs = confs,
	    .term_of = term_of,
	    .term_arg = r,
	};
	struct recovery recovery = {.start = &start};
	int rc;

	rc = zk_hard_state_get(r->tx, &hard);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	start.term = hard.term;
	start.vote = hard.vote;
	rc = zk_log_terms(r->tx, recover_entry, &recovery);
	if (rc == 0)
		rc = recovery.rc;
	if (rc == 0)
		rc = recover_conf(r, &start.conf);
	r->applied = r->tx->state.applied_index;
	zk_replica_note_digest(r);
	r->log_first = recovery.first != 0 ? recovery.first : 1;
	if (rc == 0)
		rc = recover_later_confs(r,
		    start.last_index > start.base_index ? start.last_index
		                                        : start.base_index,
		    confs, &start.conf_count);
	return rc < 0 ? rc : zk_raft_init(&r->raft, &start);
}

int
zk_replica_open(const struct zk_replica_options *options, struct zk_stamp now,
    struct zk_replica **ret_replica)
{
	struct zk_replica *r = calloc(1, sizeof(*r));
	bool more = false;
	int rc;

	if (r == NULL)
		return -ENOMEM;
	r->options = *options;
	r->store = options->store;
	if (r->options.log_keep == 0)
		r->options.log_keep = LOG_KEEP;
	if (r->options.snapshot_part == 0)
		r->options.snapshot_part = SNAPSHOT_PART;
	if (r->options.uncommitted_max == 0)
		r->options.uncommitted_max = UNCOMMITTED_MAX;
	r->payload = malloc(ZK_COMMAND_MAX);
	r->frame = malloc(APPEND_FRAME_MAX);
	r->recent = zk_recent_new();
	rc = r->payload == NULL || r->frame == NULL || r->recent == NULL
	    ? -ENOMEM
	    : 0;
	if (rc < 0)
		goto fail;
	rc = zk_store_begin(r->store, &r->tx);
	if (rc < 0)
		goto fail;
	rc = zk_store_count_boot(r->tx);
	r->wrote = true;
	if (rc == 0 && r->tx->state.applied_index == 0 &&
	    options->ensemble != NULL)
		rc = zk_store_join(r->tx, options->ensemble);
	if (rc == 0)
		rc = zk_replica_recover(r);
	r->now = now;
	r->raft_before = r->raft;
	if (rc < 0)
		zk_store_abort(r->tx);
	if (rc < 0)
		r->tx = NULL;
	/* A group of one elects itself in this very turn. */
	if (rc == 0)
		rc = zk_replica_tick(r, 1);
	if (rc == 0)
		rc = zk_replica_end(r, &more);
	while (rc == 0 && more) {
		zk_replica_begin(r, now);
		rc = zk_replica_end(r, &more);
	}
	/* The turns to come may be another thread's. */
	if (rc == 0)
		rc = zk_store_settle(r->store);
	if (rc < 0)
		goto fail;
	*ret_replica = r;
	return 0;
fail:
	zk_replica_close(r);
	return rc;
}

void
zk_replica_close(struct zk_replica *r)
{
	if (r == NULL)
		return;
	if (r->tx != NULL)
		zk_store_abort(r->tx);
	zk_replica_snapshot_close(r);
	zk_news_fini(&r->news);
	free(r->answers);
	free(r->held);
	zk_recent_free(r->recent);
	free(r->payload);
	free(r->frame);
	free(r);
}

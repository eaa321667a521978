/* The subject that is the tree: each stage is one transaction of it. */
#include "fault.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/command.h"
#include "base/hash.h"
#include "store/apply.h"
#include "store/log.h"
#include "store/store.h"
#include "store/verify.h"

#define LOG_KEPT 12u

/* The tree has a root. */
#define STAGE_BOOTSTRAP 2u

struct fingerprint {
	uint64_t applied, digest, nodes, row_bytes;
	uint64_t log_last, term; /* its beginning depends on checkpoints */
};

/* What it must look like after each stage. */
static struct fingerprint expected[STAGES];

static void
no_change(void *arg, const struct zk_change *change)
{
	(void)arg;
	(void)change;
}

static void
no_answer(void *arg, uint64_t session, uint64_t number,
    const struct zk_outcome *outcome)
{
	(void)arg;
	(void)session;
	(void)number;
	(void)outcome;
}

/* Apply what the log has and the tree has not, as a member does. */
static int
apply_rest(struct zk_tx *tx)
{
	static const struct zk_apply_sink sink = {
	    .change = no_change,
	    .answer = no_answer,
	};
	static uint8_t buf[ZK_COMMAND_MAX];
	uint64_t first, last;
	int rc;

	rc = zk_log_bounds(tx, &first, &last);
	while (rc == 0 && tx->state.applied_index < last) {
		struct zk_entry entry;

		rc = zk_log_get(tx, tx->state.applied_index + 1, buf,
		    sizeof(buf), &entry);
		if (rc == 0)
			rc = zk_apply(tx, &entry, &sink);
	}
	return rc;
}

static int
catch_up(struct zk_store *store)
{
	uint64_t applied;
	struct zk_tx *tx;
	int rc;

	rc = zk_store_begin(store, &tx);
	if (rc < 0)
		return rc;
	applied = tx->state.applied_index;
	rc = apply_rest(tx);
	if (rc < 0 || tx->state.applied_index == applied) {
		zk_store_abort(tx);
		return rc;
	}
	return zk_store_commit(tx);
}

static int
open_with(const char *dir, bool background, void **ret_it)
{
	const struct zk_store_options options = {
	    .dir = dir,
	    .member = "z1",
	    .map_bytes = (size_t)256 << 20,
	    .seed = 7,
	    /* Small, so that it goes round, and checkpoints are many. */
	    .journal_bytes = (size_t)1 << 20,
	    .background = background,
	};
	struct zk_store *store;
	char *why = NULL;
	int rc;

	rc = zk_store_open(&options, &why, &store);
	if (rc < 0)
		fprintf(stderr, "open: %d: %s\n", rc, why);
	free(why);
	if (rc < 0)
		return rc;
	rc = catch_up(store);
	if (rc < 0)
		zk_store_abandon(store);
	else
		*ret_it = store;
	return rc;
}

static int
tree_open(const char *dir, void **ret_it)
{
	return open_with(dir, false, ret_it);
}

/* Flushed by a thread, as in a daemon. */
static int
tree_open_flushed(const char *dir, void **ret_it)
{
	return open_with(dir, true, ret_it);
}

/* The command is the next entry: into the log and, as if agreed, applied. */
static int
do_command(struct zk_tx *tx, const struct zk_command *cmd)
{
	static const struct zk_apply_sink sink = {
	    .change = no_change,
	    .answer = no_answer,
	};
	static uint8_t buf[ZK_COMMAND_MAX];
	struct zk_entry entry = {
	    .index = tx->state.applied_index + 1,
	    .term = 1 + tx->state.applied_index / 20,
	    .kind = ZK_PAYLOAD_COMMAND,
	    .time = {.sec = 1000 + (int64_t)tx->state.applied_index},
	    .payload = buf,
	};
	int rc;

	rc = zk_command_encode(cmd, buf, sizeof(buf), &entry.payload_len);
	if (rc == 0)
		rc = zk_log_append(tx, &entry);
	if (rc == 0)
		rc = zk_apply(tx, &entry, &sink);
	return rc;
}

static int
one_command(struct zk_tx *tx, uint64_t draw)
{
	static const size_t lens[] = {10, 900, 1500, 9000, 40000, 200000};
	static uint8_t data[200000];
	char name[16], name2[16];
	struct zk_command cmd = {
	    .session = 1,
	    .number = tx->state.applied_index + 1,
	    .acked = tx->state.applied_index,
	    .ino = ZK_INO_ROOT,
	    .ino2 = ZK_INO_ROOT,
	    .name = name,
	    .name2 = name2,
	    .data = data,
	};

	cmd.name_len = (size_t)snprintf(name, sizeof(name), "f%u",
	    (unsigned int)(draw >> 8) % 9);
	cmd.name2_len = (size_t)snprintf(name2, sizeof(name2), "f%u",
	    (unsigned int)(draw >> 16) % 9);
	memset(data, (int)(draw >> 24), sizeof(data));
	switch (draw % 8) {
	case 0:
	case 1:
		cmd.op = ZK_OP_CREATE;
		cmd.mode = S_IFREG | 0644;
		break;
	case 2:
		cmd.op = ZK_OP_UNLINK;
		break;
	case 3:
		cmd.op = ZK_OP_RENAME;
		break;
	case 4:
		cmd.op = ZK_OP_LOCK;
		cmd.ino = 2 + (draw >> 8) % 9;
		cmd.owner = draw >> 16 & 1;
		cmd.flags = ZK_F_FLOCK | ZK_F_WAIT;
		cmd.lock_type = 1 + (uint32_t)(draw >> 20) % 3;
		break;
	default:
		cmd.op = ZK_OP_WRITE;
		cmd.ino = 2 + (draw >> 8) % 9;
		cmd.data_len = lens[(draw >> 16) % 6];
		cmd.off = (draw >> 20) % 3 * 5000;
	}
	return do_command(tx, &cmd);
}

static int
first_commands(struct zk_tx *tx)
{
	struct zk_command cmd = {
	    .op = ZK_OP_SESSION_OPEN,
	    .handle = 1,
	    .name = "z1",
	    .name_len = 2,
	};
	int rc;

	rc = do_command(tx, &cmd);
	for (uint64_t i = 0; rc == 0 && i < 9; i++)
		rc = one_command(tx, i << 8);
	return rc;
}

/* An entry that is to be applied later. */
static int
append_only(struct zk_tx *tx)
{
	const struct zk_entry entry = {
	    .index = tx->state.applied_index + 1,
	    .term = 1 + tx->state.applied_index / 20,
	    .kind = ZK_PAYLOAD_NOOP,
	    .time = {.sec = 1000 + (int64_t)tx->state.applied_index},
	};

	return zk_log_append(tx, &entry);
}

static bool
is_for_later(uint32_t stage)
{
	return stage > STAGE_BOOTSTRAP + 1 && stage % 4 == 1;
}

/* It applies what was appended before, and appends. */
static bool
is_ahead(uint32_t stage)
{
	return stage > STAGE_BOOTSTRAP + 1 && stage % 4 == 2;
}

/* Its flush is begun before its commit. */
static bool
is_begun(uint32_t stage)
{
	return stage > STAGE_BOOTSTRAP + 1 && stage % 4 == 3;
}

static int
stage_body(struct zk_tx *tx, uint32_t stage)
{
	const struct zk_hard_state hard = {.term = stage, .vote = 9};
	const struct zk_stamp now = {.sec = 1000};
	const uint64_t durable = zk_store_durable_index(tx->store);
	uint64_t seed = stage, first, last;
	uint64_t count = 1 + stage % 4;
	int rc = 0;

	if (stage == STAGE_BOOTSTRAP)
		return zk_store_bootstrap(tx, now, 0, 0);
	if (stage == STAGE_BOOTSTRAP + 1)
		return first_commands(tx);
	rc = apply_rest(tx);
	if (rc == 0 && is_for_later(stage))
		return append_only(tx);
	if (rc == 0 && stage % 5 == 0)
		rc = zk_hard_state_put(tx, &hard);
	while (rc == 0 && count-- > 0)
		rc = one_command(tx, zk_prng_next(&seed));
	if (rc == 0 && stage % 3 == 0)
		rc = zk_log_bounds(tx, &first, &last);
	if (rc == 0 && stage % 3 == 0 && last > LOG_KEPT)
		rc = zk_log_trim(tx,
		    last - LOG_KEPT < durable ? last - LOG_KEPT : durable, 8);
	return rc;
}

static int
tree_stage(void *it, uint32_t stage)
{
	struct zk_store *store = it;
	struct zk_tx *tx;
	int rc;

	if (stage == 6)
		(void)zk_store_has_room(store, 0); /* lengthens the file */
	rc = zk_store_begin(store, &tx);
	if (rc < 0)
		return rc;
	rc = stage_body(tx, stage);
	if (rc == 0 && is_begun(stage))
		rc = zk_store_begin_flush(tx);
	if (rc < 0) {
		zk_store_abort(tx);
		return zk_store_broken(store) < 0 ? -EIO : rc;
	}
	if (is_for_later(stage))
		return zk_store_commit_later(tx);
	if (!is_ahead(stage))
		return zk_store_commit(tx);
	rc = zk_store_commit_ahead(tx);
	return rc == 0 ? zk_store_flush(store) : rc;
}

/* Verifies it, too.  *ret_why gets a static line. */
static int
fingerprint(struct zk_store *store, struct fingerprint *ret_print,
    const char **ret_why)
{
	static struct zk_verify_report report;
	struct zk_hard_state hard = {0};
	struct zk_state state;
	struct zk_tx *tx;
	int rc;

	*ret_why = "cannot be read";
	rc = catch_up(store);
	if (rc < 0)
		return rc;
	rc = zk_read_begin(store, &tx);
	if (rc < 0)
		return rc;
	rc = zk_verify(tx, &report);
	if (rc < 0)
		*ret_why = report.problem;
	if (rc == 0)
		rc = zk_state_get(tx, &state);
	if (rc == 0)
		rc = zk_hard_state_get(tx, &hard);
	zk_read_end(tx);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	*ret_print = (struct fingerprint){
	    .applied = state.applied_index,
	    .digest = report.digest,
	    .nodes = report.nodes,
	    .row_bytes = report.row_bytes,
	    .log_last = report.log_last,
	    .term = hard.term,
	};
	return 0;
}

static int
tree_close(void *it, bool flush)
{
	if (flush)
		return zk_store_close(it);
	zk_store_abandon(it);
	return 0;
}

static int
tree_expect(const char *dir)
{
	const char *why = "";
	void *it = NULL;
	int rc;

	rc = tree_open(dir, &it);
	if (rc < 0)
		return rc;
	for (uint32_t stage = STAGE_MADE; rc == 0 && stage < STAGES; stage++) {
		if (stage > STAGE_MADE)
			rc = tree_stage(it, stage);
		if (rc == 0)
			rc = fingerprint(it, &expected[stage], &why);
		if (rc < 0)
			fprintf(stderr, "stage %u: %d: %s\n", stage, rc, why);
	}
	(void)tree_close(it, false);
	return rc;
}

static bool
is_stage(const struct fingerprint *print, uint32_t stage)
{
	return stage < STAGES &&
	    memcmp(print, &expected[stage], sizeof(*print)) == 0;
}

static const char *
check_store(struct zk_store *store, uint32_t stage)
{
	struct fingerprint print;
	const char *why;

	if (fingerprint(store, &print, &why) < 0)
		return why;
	/* A store that was not made yet is made by opening it. */
	if (stage < STAGE_MADE || !is_stage(&print, stage))
		stage++;
	if (!is_stage(&print, stage))
		return "neither the old state nor the new";
	if (++stage == STAGES)
		return NULL;
	if (tree_stage(store, stage) < 0 ||
	    fingerprint(store, &print, &why) < 0 || !is_stage(&print, stage))
		return "cannot carry on";
	return NULL;
}

static const char *
tree_check(const char *dir, uint32_t acked)
{
	const char *why;
	void *it = NULL;

	if (tree_open(dir, &it) < 0)
		return "does not open";
	why = check_store(it, acked);
	(void)tree_close(it, false);
	return why;
}

const struct subject subject_tree = {
    .name = "tree",
    .expect = tree_expect,
    .open = tree_open,
    .stage = tree_stage,
    .close = tree_close,
    .check = tree_check,
    .survives_full = true,
    .step = 1,
};

const struct subject subject_flushed = {
    .name = "flushed",
    .expect = tree_expect,
    .open = tree_open_flushed,
    .stage = tree_stage,
    .close = tree_close,
    .check = tree_check,
};

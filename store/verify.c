#include "store/verify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/err.h"
#include "store/datadir.h"
#include "store/history.h"
#include "store/log.h"
#include "store/roster.h"
#include "store/session.h"
#include "store/store.h"
#include "store/verify_impl.h"

#define PROGRESS_ROWS 4096u

int
zk_verify_fail(struct zk_verifier *v, const char *fmt, ...)
{
	char *text = v->report->problem;
	va_list ap;

	if (text[0] == '\0') {
		va_start(ap, fmt);
		(void)vsnprintf(text, sizeof(v->report->problem), fmt, ap);
		va_end(ap);
	}
	return -ZK_ECORRUPT;
}

void *
zk_verify_add(struct zk_verify_list *list, size_t item_size)
{
	if (list->count == list->cap) {
		const size_t cap = list->cap == 0 ? 64 : 2 * list->cap;
		void *items = reallocarray(list->items, cap, item_size);

		if (items == NULL)
			return NULL;
		list->items = items;
		list->cap = cap;
	}
	return (uint8_t *)list->items + list->count++ * item_size;
}

/* --- sessions and their answers ------------------------------------------- */

static int
compare_session(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int
zk_verify_session(struct zk_verifier *v, uint64_t session, const char *what)
{
	if (v->sessions.count == 0 ||
	    bsearch(&session, v->sessions.items, v->sessions.count,
	        sizeof(session), compare_session) == NULL)
		return zk_verify_fail(v,
		    "%s of session %" PRIu64 ", which is over", what, session);
	return 0;
}

static int
load_sessions(struct zk_verifier *v)
{
	struct zk_session session = {.id = 0};
	int rc;

	while ((rc = zk_session_next(v->tx, session.id, &session)) == 0) {
		uint64_t *id = zk_verify_add(&v->sessions, sizeof(*id));

		if (id == NULL)
			return -ENOMEM;
		*id = session.id;
	}
	if (rc == -ZK_ECORRUPT)
		return zk_verify_fail(v, "session after %" PRIu64 ": damaged",
		    session.id);
	return rc == -ENOENT ? 0 : rc;
}

static int
answer_row(struct zk_verifier *v, const struct zk_scan *scan)
{
	if (scan->at.len != 1 + 8 + 8)
		return zk_verify_fail(v, "answer with a key of %zu bytes",
		    scan->at.len);
	return zk_verify_session(v, zk_get_be64(scan->at.bytes + 1), "answer");
}

static int
session_row(struct zk_verifier *v, const struct zk_scan *scan)
{
	const uint64_t id = zk_get_be64(scan->at.bytes + 1);

	if (scan->at.len != 1 + 8)
		return zk_verify_fail(v, "session with a key of %zu bytes",
		    scan->at.len);
	if (id == 0 || id > v->state.applied_index)
		return zk_verify_fail(v, "session %" PRIu64 " of the future",
		    id);
	return 0;
}

/* The whole of it is small: it is looked at with its first row. */
static int
roster_row(struct zk_verifier *v, const struct zk_scan *scan)
{
	struct zk_roster *roster;
	int rc;

	if (scan->at.len != 1 + 8)
		return zk_verify_fail(v, "member with a key of %zu bytes",
		    scan->at.len);
	roster = malloc(sizeof(*roster));
	if (roster == NULL)
		return -ENOMEM;
	rc = zk_roster_load(v->tx, roster);
	free(roster);
	return rc == -ZK_ECORRUPT ? zk_verify_fail(v, "members: damaged") : rc;
}

/* --- the log -------------------------------------------------------------- */

static int
log_complete(struct zk_verifier *v)
{
	if (v->log_parts == v->log_parts_due)
		return 0;
	return zk_verify_fail(v,
	    "log entry %" PRIu64 " has %" PRIu64 " parts, not %" PRIu64,
	    v->log_index, v->log_parts, v->log_parts_due);
}

static int
log_row(struct zk_verifier *v, const struct zk_scan *scan)
{
	const uint64_t index = zk_get_be64(scan->at.bytes + 1);
	struct zk_entry entry;
	int rc;

	if (scan->at.len != 1 + 8 + 4)
		return zk_verify_fail(v, "log row with a key of %zu bytes",
		    scan->at.len);
	if (v->log_parts > 0 && index == v->log_index) {
		v->log_parts++;
		return 0;
	}
	rc = log_complete(v);
	if (rc < 0)
		return rc;
	if (v->log_parts > 0 && index != v->log_index + 1)
		return zk_verify_fail(v,
		    "log entry %" PRIu64 " follows %" PRIu64, index,
		    v->log_index);
	if (v->log_parts == 0)
		v->report->log_first = index;
	rc = zk_log_get(v->tx, index, v->log_buf, ZK_COMMAND_MAX, &entry);
	if (rc == -ZK_ECORRUPT || rc == -ENOENT)
		return zk_verify_fail(v, "log entry %" PRIu64 ": damaged",
		    index);
	if (rc < 0)
		return rc;
	if (entry.term < v->log_term)
		return zk_verify_fail(v,
		    "log entry %" PRIu64 ": its term goes back", index);
	v->log_index = index;
	v->log_term = entry.term;
	v->report->log_last = index;
	v->log_parts = 1;
	v->log_parts_due = entry.payload_len == 0
	    ? 1
	    : (entry.payload_len + ZK_LOG_PART_BYTES - 1) / ZK_LOG_PART_BYTES;
	return 0;
}

static int
log_end(struct zk_verifier *v)
{
	const struct zk_verify_report *report = v->report;
	const uint64_t applied = v->state.applied_index;
	int rc;

	rc = log_complete(v);
	if (rc < 0 || report->log_last == 0)
		return rc;
	if (report->log_first > applied + 1)
		return zk_verify_fail(v,
		    "the log begins at %" PRIu64 ", the tree ends at %" PRIu64,
		    report->log_first, applied);
	if (report->log_last < applied)
		return zk_verify_fail(v,
		    "the log ends at %" PRIu64 ", the tree at %" PRIu64,
		    report->log_last, applied);
	return 0;
}

static int
history_row(struct zk_verifier *v, const struct zk_scan *scan)
{
	if (zk_history_check(scan, v->state.applied_index) == 0)
		return 0;
	return zk_verify_fail(v, "history of entry %" PRIu64 ": damaged",
	    zk_get_be64(scan->at.bytes + 1));
}

/* --- the walk ------------------------------------------------------------- */

static int
own_row(struct zk_verifier *v, const struct zk_scan *scan)
{
	if (scan->at.len != 1)
		return zk_verify_fail(v, "row %c with a key of %zu bytes",
		    scan->at.bytes[0], scan->at.len);
	return 0;
}

typedef int (*row_fn)(struct zk_verifier *v, const struct zk_scan *scan);

static row_fn
checker_of(uint8_t table)
{
	static const struct {
		enum zk_table table;
		row_fn fn;
	} checkers[] = {
	    {ZK_TABLE_IDENT, own_row},
	    {ZK_TABLE_HARD, own_row},
	    {ZK_TABLE_STATE, own_row},
	    {ZK_TABLE_PEERS, own_row},
	    {ZK_TABLE_JOURNAL, own_row},
	    {ZK_TABLE_TOPICS_ID, own_row},
	    {ZK_TABLE_CONF, own_row},
	    {ZK_TABLE_HISTORY, history_row},
	    {ZK_TABLE_LOG, log_row},
	    {ZK_TABLE_ANSWER, answer_row},
	    {ZK_TABLE_DIRENT, zk_verify_dirent_row},
	    {ZK_TABLE_EPHEMERAL, zk_verify_ephemeral_row},
	    {ZK_TABLE_CHUNK, zk_verify_chunk_row},
	    {ZK_TABLE_INODE, zk_verify_inode_row},
	    {ZK_TABLE_LOCK, zk_verify_lock_row},
	    {ZK_TABLE_NAME, zk_verify_name_row},
	    {ZK_TABLE_MEMBER, zk_verify_member_row},
	    {ZK_TABLE_SEAT, zk_verify_seat_row},
	    {ZK_TABLE_PARTITION, zk_verify_partition_row},
	    {ZK_TABLE_SHARE, zk_verify_share_row},
	    {ZK_TABLE_TOPIC, zk_verify_topic_row},
	    {ZK_TABLE_ORPHAN, zk_verify_orphan_row},
	    {ZK_TABLE_ROSTER, roster_row},
	    {ZK_TABLE_SESSION, session_row},
	    {ZK_TABLE_WAITER, zk_verify_waiter_row},
	    {ZK_TABLE_XATTR, zk_verify_xattr_row},
	};

	for (size_t i = 0; i < sizeof(checkers) / sizeof(checkers[0]); i++)
		if (checkers[i].table == table)
			return checkers[i].fn;
	return NULL;
}

/* Every key but those of own_row() begins with a number. */
static int
check_row(struct zk_verifier *v, const struct zk_scan *scan)
{
	const uint8_t table = scan->at.bytes[0];
	const row_fn fn = checker_of(table);
	const uint8_t *crc = (const uint8_t *)scan->value + scan->value_len;
	int rc;

	rc = zk_verify_pages_note(v, scan);
	if (rc < 0)
		return rc;
	if (!v->has_state)
		return zk_verify_fail(v, "there are rows, but no state");
	if (fn == NULL)
		return zk_verify_fail(v, "row of unknown table 0x%02x", table);
	if (fn != own_row && scan->at.len < 1 + 8)
		return zk_verify_fail(v, "row %c with a key of %zu bytes",
		    table, scan->at.len);
	if (zk_table_is_replicated(table)) {
		v->report->rows++;
		v->report->row_bytes += scan->at.len + scan->value_len + 4;
		v->report->digest += zk_row_digest(scan->at.bytes, scan->at.len,
		    zk_get_be32(crc));
	}
	return fn(v, scan);
}

static int
compare_key(const struct zk_key *a, const struct zk_key *b)
{
	const size_t len = a->len < b->len ? a->len : b->len;
	const int order = memcmp(a->bytes, b->bytes, len);

	return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

static int
walk(struct zk_verifier *v, void (*progress)(void *arg), void *arg)
{
	struct zk_key from = {.len = 1};
	struct zk_scan scan;
	uint64_t seen = 0;
	int rc;

	rc = zk_scan_begin(v->tx, &from, 0, &scan);
	if (rc < 0)
		return rc;
	while ((rc = zk_scan_next(&scan)) == 0) {
		const struct zk_key *at = &scan.at;

		/* Pages that are linked wrongly would lead us in circles. */
		if (seen > 0 && compare_key(&from, at) >= 0) {
			rc = zk_verify_fail(v, "rows out of order");
			break;
		}
		from = *at;
		rc = check_row(v, &scan);
		if (rc == -ENOENT) /* not the end: a row it led to */
			rc = -ZK_ECORRUPT;
		if (rc < 0)
			break;
		if (++seen % PROGRESS_ROWS == 0 && progress != NULL)
			progress(arg);
	}
	if (rc == -ZK_ECORRUPT)
		rc = zk_verify_fail(v,
		    "row of table 0x%02x, or the next: damaged", from.bytes[0]);
	zk_scan_end(&scan);
	return rc == -ENOENT ? 0 : rc;
}

static int
compare_state(struct zk_verifier *v)
{
	const struct zk_verify_report *report = v->report;

	if (report->nodes != v->state.nodes)
		return zk_verify_fail(v,
		    "%" PRIu64 " nodes, but %" PRIu64 " are counted",
		    report->nodes, v->state.nodes);
	if (report->row_bytes != v->state.row_bytes)
		return zk_verify_fail(v,
		    "%" PRIu64 " bytes of rows, but %" PRIu64 " are counted",
		    report->row_bytes, v->state.row_bytes);
	if (report->digest != v->state.digest)
		return zk_verify_fail(v,
		    "the digest is %016" PRIx64 ", not %016" PRIx64,
		    report->digest, v->state.digest);
	return 0;
}

/* Rows of another version may be anything: look at this one first. */
static int
check_version(struct zk_verifier *v)
{
	const void *value;
	struct zk_dec dec;
	struct zk_key key;
	size_t len;
	int rc;

	zk_key_init(&key, ZK_TABLE_IDENT);
	rc = zk_row_get(v->tx, &key, &value, &len);
	if (rc == -ZK_ECORRUPT)
		return zk_verify_fail(v, "identity: damaged");
	if (rc < 0)
		return rc;
	zk_dec_init(&dec, value, len);
	return zk_dec_u32(&dec) == ZK_STORE_FORMAT ? 0 : -ZK_EVERSION;
}

/*
 * Identity and state are made together, before all else.  A crash before
 * that leaves a tree without any row.
 */
static int
load_state(struct zk_verifier *v)
{
	int rc;

	rc = check_version(v);
	if (rc == -ENOENT && !v->tx->write)
		return 0;
	v->has_state = true;
	if (v->tx->write) {
		/* The row is written at commit. */
		v->state = v->tx->state;
		return rc == -ENOENT ? 0 : rc;
	}
	if (rc == 0)
		rc = zk_state_get(v->tx, &v->state);
	if (rc == -ENOENT || rc == -ZK_ECORRUPT)
		return zk_verify_fail(v, "state: missing or damaged");
	return rc;
}

static int
verify(struct zk_verifier *v, void (*progress)(void *arg), void *arg)
{
	int rc;

	v->log_buf = malloc(ZK_COMMAND_MAX);
	if (v->log_buf == NULL)
		return -ENOMEM;
	rc = load_state(v);
	if (rc == 0)
		rc = zk_verify_pages_begin(v);
	if (rc == 0)
		rc = load_sessions(v);
	if (rc == 0)
		rc = walk(v, progress, arg);
	if (rc == 0)
		rc = log_end(v);
	if (rc == 0)
		rc = zk_verify_tree_end(v);
	if (rc == 0)
		rc = compare_state(v);
	if (rc == 0)
		rc = zk_verify_pages_end(v);
	return rc;
}

int
zk_verify_watched(struct zk_tx *tx, void (*progress)(void *arg), void *arg,
    struct zk_verify_report *ret_report)
{
	struct zk_verifier v = {.tx = tx, .report = ret_report};
	int rc;

	*ret_report = (struct zk_verify_report){0};
	rc = verify(&v, progress, arg);
	free(v.sessions.items);
	free(v.names.items);
	free(v.dirs.items);
	free(v.chunks.items);
	free(v.log_buf);
	free(v.pages);
	return rc;
}

int
zk_verify(struct zk_tx *tx, struct zk_verify_report *ret_report)
{
	return zk_verify_watched(tx, NULL, NULL, ret_report);
}

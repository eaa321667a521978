#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/log.h"
#include "store/apply.h"
#include "store/backup.h"
#include "store/datadir.h"
#include "store/dirent.h"
#include "store/group_row.h"
#include "store/history.h"
#include "store/session.h"
#include "store/snapshot.h"
#include "store/topic.h"
#include "store/verify.h"

/* How a tree comes out of a backup; see backup.h. */

#define CRC_BYTES 4u

/* What the rows of a backup add up to, against its head. */
struct sums {
	uint64_t digest, row_bytes, nodes;
};

/* --- the file ------------------------------------------------------------- */

static int
read_all(int fd, void *buf, size_t len)
{
	uint8_t *bytes = buf;

	while (len > 0) {
		const ssize_t n = read(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ZK_ECORRUPT;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
check_rest(int fd, struct zk_backup_check *check)
{
	uint8_t *buf = malloc(ZK_MIB);
	ssize_t n = 0;

	if (buf == NULL)
		return -ENOMEM;
	do {
		n = read(fd, buf, ZK_MIB);
		if (n > 0)
			zk_backup_check_add(check, buf, (size_t)n);
	} while (n > 0 || (n < 0 && errno == EINTR));
	free(buf);
	return n < 0 ? -errno : zk_backup_check_end(check);
}

int
zk_backup_check_file(int fd, struct zk_backup_head *ret_head)
{
	struct zk_backup_check check = {0};
	uint8_t head[ZK_BACKUP_HEAD_BYTES] = {0};
	int rc;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	rc = read_all(fd, head, sizeof(head));
	/* What is shorter than a head has no magic, or is cut. */
	if (rc == 0 || rc == -ZK_ECORRUPT)
		rc = zk_backup_head_decode(head, sizeof(head), ret_head);
	if (rc == 0 && ret_head->format != ZK_STORE_FORMAT)
		rc = -ZK_EVERSION;
	if (rc < 0)
		return rc;
	zk_backup_check_add(&check, head, sizeof(head));
	return check_rest(fd, &check);
}

/* The next part, with its length; -ENOENT: the tail comes. */
static int
read_part(int fd, uint8_t *part, size_t *ret_len)
{
	struct zk_dec dec;
	uint8_t head[4];
	int rc;

	rc = read_all(fd, head, sizeof(head));
	if (rc < 0)
		return rc;
	zk_dec_init(&dec, head, sizeof(head));
	*ret_len = zk_dec_u32(&dec);
	if (*ret_len == 0)
		return -ENOENT;
	return *ret_len > ZK_SNAPSHOT_PART_MAX ? -ZK_ECORRUPT
	                                       : read_all(fd, part, *ret_len);
}

/* --- the rows ------------------------------------------------------------- */

static void
count_row(struct sums *sums, const struct zk_key *key, const void *value,
    size_t len)
{
	const uint32_t crc =
	    zk_crc32c(zk_crc32c(0, key->bytes, key->len), value, len);

	sums->digest += zk_row_digest(key->bytes, key->len, crc);
	sums->row_bytes += key->len + len + CRC_BYTES;
	sums->nodes += key->bytes[0] == ZK_TABLE_INODE;
}

/* Names are kept by a hash whose key is the ensemble's. */
static int
put_name(struct zk_tx *tx, const struct zk_key *key, const void *value,
    size_t len)
{
	struct zk_entry_ref ref;
	const char *name;
	size_t name_len;
	int rc;

	rc = zk_dirent_decode(key, value, len, &ref, &name, &name_len);
	if (rc < 0)
		return rc;
	return zk_dirent_put(tx, zk_get_be64(key->bytes + 1), name, name_len,
	    &ref);
}

static int
put_row(struct zk_tx *tx, const struct zk_key *key, const void *value,
    size_t len)
{
	if (!zk_table_is_replicated(key->bytes[0]))
		return -ZK_ECORRUPT;
	switch (key->bytes[0]) {
	case ZK_TABLE_CONF:
	case ZK_TABLE_ROSTER:
		return 0; /* the members of another ensemble */
	case ZK_TABLE_DIRENT:
		return put_name(tx, key, value, len);
	default:
		return zk_row_put(tx, key, value, len);
	}
}

static int
put_part(struct zk_tx *tx, const uint8_t *part, size_t len, struct sums *sums)
{
	struct zk_dec dec;
	int rc;

	rc = zk_snapshot_rows(part, len, &dec);
	while (rc == 0) {
		struct zk_key key;
		const void *value;
		size_t value_len;

		rc = zk_snapshot_row(&dec, &key, &value, &value_len);
		if (rc < 0)
			break;
		count_row(sums, &key, value, value_len);
		rc = put_row(tx, &key, value, value_len);
	}
	if (rc == -ENOENT)
		return 0;
	return rc == -EPROTO ? -ZK_ECORRUPT : rc;
}

static int
put_parts(struct zk_tx *tx, int fd, const struct zk_backup_head *head)
{
	uint8_t *part = malloc(ZK_SNAPSHOT_PART_MAX);
	struct sums sums = {0};
	size_t len;
	int rc = 0;

	if (part == NULL)
		return -ENOMEM;
	if (lseek(fd, ZK_BACKUP_HEAD_BYTES, SEEK_SET) < 0)
		rc = -errno;
	while (rc == 0 && (rc = read_part(fd, part, &len)) == 0)
		rc = put_part(tx, part, len, &sums);
	free(part);
	if (rc != -ENOENT)
		return rc;
	if (sums.digest != head->digest || sums.row_bytes != head->row_bytes ||
	    sums.nodes != head->nodes)
		return -ZK_ECORRUPT;
	return 0;
}

/* --- what does not outlive its ensemble ----------------------------------- */

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

static int
end_sessions(struct zk_tx *tx)
{
	static const struct zk_apply_sink sink = {
	    .change = no_change,
	    .answer = no_answer,
	};
	const struct zk_command cmd = {.op = ZK_OP_SESSION_END};
	struct zk_outcome outcome = {0};
	struct zk_apply ap = {
	    .tx = tx,
	    .sink = &sink,
	    .index = tx->state.applied_index,
	    .now = tx->state.time,
	    .cmd = &cmd,
	    .outcome = &outcome,
	    .quiet = true,
	};
	struct zk_session session;
	int rc;

	while ((rc = zk_session_next(tx, 0, &session)) == 0) {
		rc = zk_session_finish(&ap, session.id);
		if (rc < 0)
			return rc;
	}
	return rc == -ENOENT ? 0 : rc;
}

/* Nobody of those who kept them is a member here. */
static int
found_partitions(struct zk_tx *tx)
{
	const uint64_t node = zk_store_ident(tx->store)->node;
	struct zk_partition p = {.topic = 0};
	int rc;

	while ((rc = zk_partition_next(tx, p.topic, p.number, &p)) == 0) {
		p.changed = tx->state.applied_index;
		p.founder_count = p.replica_count = 1;
		p.founders[0] = p.replicas[0] = node;
		rc = zk_partition_put(tx, &p);
		if (rc < 0)
			return rc;
		p.number++;
	}
	return rc == -ENOENT ? 0 : rc;
}

/* The partitions have no records: groups begin at the start. */
static int
rewind_groups(struct zk_tx *tx)
{
	struct zk_share share;
	struct zk_scan scan;
	struct zk_key from;
	int rc;

	zk_key_init(&from, ZK_TABLE_SHARE);
	rc = zk_scan_begin(tx, &from, from.len, &scan);
	if (rc < 0)
		return rc;
	while ((rc = zk_scan_next(&scan)) == 0) {
		rc = zk_share_decode(&scan.at, scan.value, scan.value_len,
		    &share);
		share.committed = 0;
		if (rc == 0)
			rc = zk_share_put(tx, &share);
		if (rc < 0)
			break;
	}
	zk_scan_end(&scan);
	return rc == -ENOENT ? 0 : rc;
}

/* --- all of it ------------------------------------------------------------ */

static void
set_state(struct zk_tx *tx, const struct zk_backup_head *head)
{
	struct zk_state *state = &tx->state;

	/* Digest and bytes are counted by the rows. */
	state->applied_index = head->index + 1;
	state->applied_term = head->term;
	state->time = head->time;
	if (++state->time.nsec == 1000000000u) {
		state->time.nsec = 0;
		state->time.sec++;
	}
	state->ino_next = head->ino_next;
	state->nodes = head->nodes;
	tx->whole = true; /* by no entry that the log has */
}

/* The one entry stands for all before it, as after a snapshot. */
static int
begin_log(struct zk_tx *tx, const void *conf, size_t conf_len)
{
	const struct zk_hard_state hard = {.term = tx->state.applied_term};
	const struct zk_entry base = {
	    .index = tx->state.applied_index,
	    .term = tx->state.applied_term,
	    .kind = ZK_PAYLOAD_NOOP,
	    .time = tx->state.time,
	};
	int rc;

	rc = zk_conf_row_put(tx, base.index, conf, conf_len);
	if (rc == 0)
		rc = zk_log_append(tx, &base);
	if (rc == 0)
		rc = zk_hard_state_put(tx, &hard);
	if (rc == 0)
		rc = zk_history_restart(tx, base.index);
	return rc;
}

static int
verify(struct zk_tx *tx)
{
	struct zk_verify_report report;
	const int rc = zk_verify(tx, &report);

	if (rc < 0)
		zk_log_error("RESTORE problem=%s", report.problem);
	return rc;
}

int
zk_backup_install(struct zk_store *store, int fd,
    const struct zk_backup_head *head, const void *conf, size_t conf_len)
{
	struct zk_tx *tx;
	int rc;

	rc = zk_store_begin(store, &tx);
	if (rc < 0)
		return rc;
	set_state(tx, head);
	rc = put_parts(tx, fd, head);
	if (rc == 0)
		rc = end_sessions(tx);
	if (rc == 0)
		rc = found_partitions(tx);
	if (rc == 0)
		rc = rewind_groups(tx);
	if (rc == 0)
		rc = begin_log(tx, conf, conf_len);
	if (rc == 0)
		rc = tx->fatal;
	if (rc == 0)
		rc = verify(tx);
	if (rc < 0) {
		zk_store_abort(tx);
		return rc;
	}
	return zk_store_commit(tx);
}

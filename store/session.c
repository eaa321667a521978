#include "store/session.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"
#include "store/answer.h"
#include "store/group.h"
#include "store/lock.h"
#include "store/memo.h"
#include "store/names.h"

/*
 * SESSION row: key id; value: incarnation u64, node u64, acked u64, timeout
 * u32, opened i64 u32, then the member's name.  EPHEMERAL row: key session, handle;
 * value: ino u64, parent u64, then the name.
 */

static int
session_decode(struct zk_tx *tx, uint64_t id, const void *value, size_t len,
    struct zk_session *ret_session)
{
	struct zk_session session = {.id = id};
	struct zk_dec dec;
	const void *name;
	size_t name_len;

	zk_dec_init(&dec, value, len);
	session.incarnation = zk_dec_u64(&dec);
	session.node = zk_dec_u64(&dec);
	session.acked = zk_dec_u64(&dec);
	session.timeout_ms = zk_dec_u32(&dec);
	session.opened.sec = zk_dec_i64(&dec);
	session.opened.nsec = zk_dec_u32(&dec);
	name_len = dec.len - dec.pos;
	name = zk_dec_raw(&dec, name_len);
	if (dec.failed || name_len >= sizeof(session.member))
		return tx->fatal = -ZK_ECORRUPT;
	memcpy(session.member, name, name_len);
	*ret_session = session;
	return 0;
}

int
zk_session_get(struct zk_tx *tx, uint64_t id, struct zk_session *ret_session)
{
	const struct zk_key key = zk_key1(ZK_TABLE_SESSION, id);
	struct zk_memo *memo = tx->memo;
	const void *value;
	size_t len;
	int rc;

	if (memo != NULL && memo->session.id == id && id != 0) {
		*ret_session = memo->session;
		return 0;
	}
	rc = zk_row_get(tx, &key, &value, &len);
	if (rc == 0)
		rc = session_decode(tx, id, value, len, ret_session);
	if (rc == 0 && memo != NULL)
		memo->session = *ret_session;
	return rc;
}

int
zk_session_put(struct zk_tx *tx, const struct zk_session *session)
{
	const struct zk_key key = zk_key1(ZK_TABLE_SESSION, session->id);
	uint8_t value[128];
	struct zk_enc enc;

	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u64(&enc, session->incarnation);
	zk_enc_u64(&enc, session->node);
	zk_enc_u64(&enc, session->acked);
	zk_enc_u32(&enc, session->timeout_ms);
	zk_enc_i64(&enc, session->opened.sec);
	zk_enc_u32(&enc, session->opened.nsec);
	zk_enc_raw(&enc, session->member, strlen(session->member));
	ZK_ASSERT(!enc.failed);
	return zk_row_put(tx, &key, value, enc.len);
}

int
zk_session_next(struct zk_tx *tx, uint64_t after,
    struct zk_session *ret_session)
{
	const struct zk_key from = zk_key1(ZK_TABLE_SESSION, after + 1);
	struct zk_scan scan;
	int rc;

	rc = zk_scan_begin(tx, &from, 1, &scan);
	if (rc < 0)
		return rc;
	rc = zk_scan_next(&scan);
	if (rc == 0)
		rc = session_decode(tx, zk_get_be64(scan.at.bytes + 1),
		    scan.value, scan.value_len, ret_session);
	zk_scan_end(&scan);
	return rc;
}

/* --- ephemerals ----------------------------------------------------------- */

int
zk_ephemeral_put(struct zk_tx *tx, uint64_t session, uint64_t handle,
    const struct zk_ephemeral *eph)
{
	const struct zk_key key = zk_key2(ZK_TABLE_EPHEMERAL, session, handle);
	uint8_t value[16 + ZK_NAME_MAX];
	struct zk_enc enc;

	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u64(&enc, eph->ino);
	zk_enc_u64(&enc, eph->parent);
	zk_enc_raw(&enc, eph->name, eph->name_len);
	ZK_ASSERT(!enc.failed);
	return zk_row_put(tx, &key, value, enc.len);
}

static int
ephemeral_decode(struct zk_tx *tx, const void *value, size_t len,
    struct zk_ephemeral *ret_eph)
{
	struct zk_dec dec;
	const void *name;

	zk_dec_init(&dec, value, len);
	ret_eph->ino = zk_dec_u64(&dec);
	ret_eph->parent = zk_dec_u64(&dec);
	ret_eph->name_len = dec.len - dec.pos;
	name = zk_dec_raw(&dec, ret_eph->name_len);
	if (dec.failed || ret_eph->name_len > ZK_NAME_MAX)
		return tx->fatal = -ZK_ECORRUPT;
	memcpy(ret_eph->name, name, ret_eph->name_len);
	return 0;
}

int
zk_ephemeral_get(struct zk_tx *tx, uint64_t session, uint64_t handle,
    struct zk_ephemeral *ret_eph)
{
	const struct zk_key key = zk_key2(ZK_TABLE_EPHEMERAL, session, handle);
	const void *value;
	size_t len;
	int rc;

	rc = zk_row_get(tx, &key, &value, &len);
	if (rc < 0)
		return rc;
	return ephemeral_decode(tx, value, len, ret_eph);
}

int
zk_ephemeral_delete(struct zk_tx *tx, uint64_t session, uint64_t handle)
{
	const struct zk_key key = zk_key2(ZK_TABLE_EPHEMERAL, session, handle);

	return zk_row_delete(tx, &key);
}

static int
end_ephemerals(struct zk_apply *ap, uint64_t id)
{
	const struct zk_key from = zk_key1(ZK_TABLE_EPHEMERAL, id);
	struct zk_ephemeral eph;
	struct zk_scan scan;
	int rc;

	rc = zk_scan_begin(ap->tx, &from, from.len, &scan);
	if (rc < 0)
		return rc;
	while ((rc = zk_scan_next(&scan)) == 0) {
		rc = ephemeral_decode(ap->tx, scan.value, scan.value_len, &eph);
		if (rc == 0)
			rc = zk_names_remove_ephemeral(ap, &eph);
		if (rc < 0)
			break;
	}
	zk_scan_end(&scan);
	return rc == -ENOENT ? 0 : rc;
}

/* --- the life of a session ------------------------------------------------ */

int
zk_session_finish(struct zk_apply *ap, uint64_t id)
{
	const struct zk_key key = zk_key1(ZK_TABLE_SESSION, id);
	struct zk_session session;
	int rc;

	rc = zk_session_get(ap->tx, id, &session);
	if (rc == -ENOENT)
		return 0;
	if (rc == 0)
		rc = zk_apply_by(ap, &session);
	if (rc == 0)
		rc = zk_row_delete(ap->tx, &key);
	ap->quiet = true;
	if (rc == 0)
		rc = end_ephemerals(ap, id);
	if (rc == 0)
		rc = zk_lock_drop_session(ap, id);
	if (rc == 0)
		rc = zk_group_leave_all(ap, id);
	if (rc == 0)
		rc = zk_names_reap_session(ap, id);
	if (rc == 0)
		rc = zk_answer_forget_all(ap->tx, id);
	return rc;
}

/*
 * There may be a session of an earlier start, and at most one: an overtaken
 * request finds the later one and is refused before anything is changed.
 */
int
zk_session_open(struct zk_apply *ap)
{
	const struct zk_command *cmd = ap->cmd;
	struct zk_session old,
	    session = {
	        .id = ap->index,
	        .incarnation = cmd->handle,
	        .node = cmd->ino2,
	        .timeout_ms = (uint32_t)cmd->len,
	        .opened = ap->now,
	    };
	uint64_t after = 0;
	int rc;

	if (cmd->name_len == 0 || cmd->name_len >= sizeof(session.member))
		return -EINVAL;
	memcpy(session.member, cmd->name, cmd->name_len);
	while ((rc = zk_session_next(ap->tx, after, &old)) == 0) {
		after = old.id;
		if (old.node != session.node ||
		    strcmp(old.member, session.member) != 0)
			continue;
		if (old.incarnation == session.incarnation) {
			ap->outcome->index = old.id;
			return 0;
		}
		/* A request that was overtaken by that of a later start. */
		if (old.incarnation > session.incarnation)
			return -ESTALE;
		rc = zk_session_finish(ap, old.id);
		if (rc < 0)
			return rc;
	}
	if (rc != -ENOENT)
		return rc;
	ap->tx->news |= ZK_TX_SESSIONS;
	return zk_session_put(ap->tx, &session);
}

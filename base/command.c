#include "base/command.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"

/*
 * Format: op u8, then a u32 with a bit for each field that is not zero, then
 * those fields in the order of the bits.  Most commands use few fields, so
 * this is both short and one piece of code for all of them.
 */
enum field {
	F_FLAGS,
	F_SESSION,
	F_NUMBER,
	F_ACKED,
	F_UID,
	F_GID,
	F_INO,
	F_INO2,
	F_HANDLE,
	F_OFF,
	F_LEN,
	F_EXPECT,
	F_MODE,
	F_RDEV,
	F_ATIME,
	F_MTIME,
	F_OWNER,
	F_LOCK_TYPE,
	F_PID,
	F_GROUPS,
	F_NAME,
	F_NAME2,
	F_DATA,
	F_END
};

_Static_assert(F_END <= 32, "a u32 names the fields");

static uint32_t
field_bit(enum field field, bool present)
{
	return present ? 1u << field : 0;
}

static bool
stamp_is_set(const struct zk_stamp *stamp)
{
	return stamp->sec != 0 || stamp->nsec != 0;
}

static uint32_t
fields_of(const struct zk_command *c)
{
	return field_bit(F_FLAGS, c->flags) | field_bit(F_SESSION, c->session) |
	    field_bit(F_NUMBER, c->number) | field_bit(F_ACKED, c->acked) |
	    field_bit(F_UID, c->uid) | field_bit(F_GID, c->gid) |
	    field_bit(F_INO, c->ino) | field_bit(F_INO2, c->ino2) |
	    field_bit(F_HANDLE, c->handle) | field_bit(F_OFF, c->off) |
	    field_bit(F_LEN, c->len) | field_bit(F_EXPECT, c->expect) |
	    field_bit(F_MODE, c->mode) | field_bit(F_RDEV, c->rdev) |
	    field_bit(F_ATIME, stamp_is_set(&c->atime)) |
	    field_bit(F_MTIME, stamp_is_set(&c->mtime)) |
	    field_bit(F_OWNER, c->owner) |
	    field_bit(F_LOCK_TYPE, c->lock_type) | field_bit(F_PID, c->pid) |
	    field_bit(F_GROUPS, c->group_count) |
	    field_bit(F_NAME, c->name_len) | field_bit(F_NAME2, c->name2_len) |
	    field_bit(F_DATA, c->data_len);
}

size_t
zk_command_size(const struct zk_command *cmd)
{
	/* 5 of head, 22 fields of at most 12, and what has a length. */
	return 5 + 22 * 12 + 4 * cmd->group_count + cmd->name_len +
	    cmd->name2_len + cmd->data_len;
}

static void
enc_opt64(struct zk_enc *enc, uint64_t value)
{
	if (value != 0)
		zk_enc_u64(enc, value);
}

static void
enc_opt32(struct zk_enc *enc, uint32_t value)
{
	if (value != 0)
		zk_enc_u32(enc, value);
}

static void
enc_opt_stamp(struct zk_enc *enc, const struct zk_stamp *stamp)
{
	if (!stamp_is_set(stamp))
		return;
	zk_enc_i64(enc, stamp->sec);
	zk_enc_u32(enc, stamp->nsec);
}

static void
enc_opt_bytes(struct zk_enc *enc, const void *data, size_t len)
{
	if (len != 0)
		zk_enc_bytes(enc, data, len);
}

int
zk_command_encode(const struct zk_command *cmd, void *buf, size_t cap,
    size_t *ret_len)
{
	struct zk_enc enc;

	ZK_ASSERT(cmd->op > 0);
	ZK_ASSERT(cmd->op < ZK_OP_MAX);

	if (cmd->group_count > ZK_GROUPS_MAX || cmd->data_len > ZK_WRITE_MAX)
		return -EMSGSIZE;
	zk_enc_init(&enc, buf, cap);
	zk_enc_u8(&enc, (uint8_t)cmd->op);
	zk_enc_u32(&enc, fields_of(cmd));
	enc_opt32(&enc, cmd->flags);
	enc_opt64(&enc, cmd->session);
	enc_opt64(&enc, cmd->number);
	enc_opt64(&enc, cmd->acked);
	enc_opt32(&enc, cmd->uid);
	enc_opt32(&enc, cmd->gid);
	enc_opt64(&enc, cmd->ino);
	enc_opt64(&enc, cmd->ino2);
	enc_opt64(&enc, cmd->handle);
	enc_opt64(&enc, cmd->off);
	enc_opt64(&enc, cmd->len);
	enc_opt64(&enc, cmd->expect);
	enc_opt32(&enc, cmd->mode);
	enc_opt64(&enc, cmd->rdev);
	enc_opt_stamp(&enc, &cmd->atime);
	enc_opt_stamp(&enc, &cmd->mtime);
	enc_opt64(&enc, cmd->owner);
	enc_opt32(&enc, cmd->lock_type);
	enc_opt32(&enc, cmd->pid);
	enc_opt32(&enc, (uint32_t)cmd->group_count);
	for (size_t i = 0; i < cmd->group_count; i++)
		zk_enc_u32(&enc, cmd->groups[i]);
	enc_opt_bytes(&enc, cmd->name, cmd->name_len);
	enc_opt_bytes(&enc, cmd->name2, cmd->name2_len);
	enc_opt_bytes(&enc, cmd->data, cmd->data_len);
	if (enc.failed)
		return -EMSGSIZE;
	*ret_len = enc.len;
	return 0;
}

void
zk_command_stamp(void *buf, size_t len, uint64_t session, uint64_t number,
    uint64_t acked)
{
	struct zk_dec dec;
	struct zk_enc enc;
	uint32_t fields;
	size_t at = 1 + 4;

	ZK_ASSERT(session != 0 && number != 0 && acked != 0);

	zk_dec_init(&dec, buf, len);
	(void)zk_dec_u8(&dec);
	fields = zk_dec_u32(&dec);
	ZK_ASSERT(fields & 1u << F_SESSION);
	ZK_ASSERT(fields & 1u << F_NUMBER);
	ZK_ASSERT(fields & 1u << F_ACKED);
	if (fields & 1u << F_FLAGS)
		at += 4;
	zk_enc_init(&enc, buf, len);
	enc.len = at;
	zk_enc_u64(&enc, session);
	zk_enc_u64(&enc, number);
	zk_enc_u64(&enc, acked);
	ZK_ASSERT(!enc.failed);
}

struct reader {
	struct zk_dec dec;
	uint32_t fields;
};

static bool
has(const struct reader *in, enum field field)
{
	return (in->fields & 1u << field) != 0;
}

static uint64_t
dec_opt64(struct reader *in, enum field field)
{
	return has(in, field) ? zk_dec_u64(&in->dec) : 0;
}

static uint32_t
dec_opt32(struct reader *in, enum field field)
{
	return has(in, field) ? zk_dec_u32(&in->dec) : 0;
}

static struct zk_stamp
dec_opt_stamp(struct reader *in, enum field field)
{
	struct zk_stamp stamp = {0};

	if (has(in, field)) {
		stamp.sec = zk_dec_i64(&in->dec);
		stamp.nsec = zk_dec_u32(&in->dec);
		if (stamp.nsec >= 1000000000u)
			in->dec.failed = true;
	}
	return stamp;
}

static const void *
dec_opt_bytes(struct reader *in, enum field field, size_t max, size_t *ret_len)
{
	*ret_len = 0;
	if (!has(in, field))
		return NULL;
	return zk_dec_bytes(&in->dec, max, ret_len);
}

static void
dec_groups(struct reader *in, uint32_t *groups, struct zk_command *cmd)
{
	const uint32_t count = dec_opt32(in, F_GROUPS);

	if (count > ZK_GROUPS_MAX) {
		in->dec.failed = true;
		return;
	}
	for (uint32_t i = 0; i < count; i++)
		groups[i] = zk_dec_u32(&in->dec);
	cmd->groups = groups;
	cmd->group_count = count;
}

int
zk_command_decode(const void *buf, size_t len, uint32_t *groups,
    struct zk_command *ret_cmd)
{
	struct reader in;
	struct zk_command c = {0};
	uint8_t op;

	zk_dec_init(&in.dec, buf, len);
	op = zk_dec_u8(&in.dec);
	in.fields = zk_dec_u32(&in.dec);
	if (op == 0 || op >= ZK_OP_MAX || in.fields >> F_END != 0)
		return -EPROTO;
	c.op = (enum zk_op)op;
	c.flags = dec_opt32(&in, F_FLAGS);
	c.session = dec_opt64(&in, F_SESSION);
	c.number = dec_opt64(&in, F_NUMBER);
	c.acked = dec_opt64(&in, F_ACKED);
	c.uid = dec_opt32(&in, F_UID);
	c.gid = dec_opt32(&in, F_GID);
	c.ino = dec_opt64(&in, F_INO);
	c.ino2 = dec_opt64(&in, F_INO2);
	c.handle = dec_opt64(&in, F_HANDLE);
	c.off = dec_opt64(&in, F_OFF);
	c.len = dec_opt64(&in, F_LEN);
	c.expect = dec_opt64(&in, F_EXPECT);
	c.mode = dec_opt32(&in, F_MODE);
	c.rdev = dec_opt64(&in, F_RDEV);
	c.atime = dec_opt_stamp(&in, F_ATIME);
	c.mtime = dec_opt_stamp(&in, F_MTIME);
	c.owner = dec_opt64(&in, F_OWNER);
	c.lock_type = dec_opt32(&in, F_LOCK_TYPE);
	c.pid = dec_opt32(&in, F_PID);
	dec_groups(&in, groups, &c);
	c.name = dec_opt_bytes(&in, F_NAME, ZK_NAME_MAX, &c.name_len);
	c.name2 = dec_opt_bytes(&in, F_NAME2, ZK_NAME_MAX, &c.name2_len);
	c.data = dec_opt_bytes(&in, F_DATA, ZK_WRITE_MAX, &c.data_len);
	/* One form only: a field that is present is not zero. */
	if (!zk_dec_done(&in.dec) || fields_of(&c) != in.fields)
		return -EPROTO;
	*ret_cmd = c;
	return 0;
}

const char *
zk_op_name(enum zk_op op)
{
	static const char *const names[ZK_OP_MAX] = {
	    [ZK_OP_NOP] = "nop",
	    [ZK_OP_SESSION_OPEN] = "session-open",
	    [ZK_OP_SESSION_END] = "session-end",
	    [ZK_OP_CREATE] = "create",
	    [ZK_OP_LINK] = "link",
	    [ZK_OP_UNLINK] = "unlink",
	    [ZK_OP_RMDIR] = "rmdir",
	    [ZK_OP_RENAME] = "rename",
	    [ZK_OP_SETATTR] = "setattr",
	    [ZK_OP_WRITE] = "write",
	    [ZK_OP_FALLOCATE] = "fallocate",
	    [ZK_OP_XATTR_SET] = "setxattr",
	    [ZK_OP_XATTR_REMOVE] = "removexattr",
	    [ZK_OP_EPHEMERAL] = "ephemeral",
	    [ZK_OP_RELEASE] = "release",
	    [ZK_OP_REAP] = "reap",
	    [ZK_OP_LOCK] = "lock",
	    [ZK_OP_LOCK_CANCEL] = "lock-cancel",
	    [ZK_OP_UNLOCK_OWNER] = "unlock",
	    [ZK_OP_TXN] = "txn",
	    [ZK_OP_MEMBER] = "member",
	    [ZK_OP_JOIN] = "join",
	    [ZK_OP_ACK] = "ack",
	};

	ZK_ASSERT(op > 0);
	ZK_ASSERT(op < ZK_OP_MAX);
	return names[op];
}

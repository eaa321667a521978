#include "store/roster.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"
#include "store/topic.h"

/*
 * ROSTER row: key id; value: node u64, since u64, role u8, name and address
 * (u32 length and bytes each).  The id is the index of the entry that made
 * the row, shifted, and a number among its rows, so that it is never reused.
 */
#define ID_SHIFT 8

_Static_assert(ZK_ROSTER_MAX <= 1u << ID_SHIFT, "ids of one entry differ");

/* --- rows ----------------------------------------------------------------- */

static void
dec_text(struct zk_dec *dec, char *buf, size_t cap)
{
	size_t len;
	const void *bytes = zk_dec_bytes(dec, cap - 1, &len);

	buf[0] = '\0';
	if (bytes == NULL)
		return;
	if (memchr(bytes, '\0', len) != NULL) {
		dec->failed = true;
		return;
	}
	memcpy(buf, bytes, len);
	buf[len] = '\0';
}

static int
decode_row(const struct zk_scan *scan, struct zk_roster_row *ret_row)
{
	struct zk_dec dec;
	uint8_t role;

	*ret_row = (struct zk_roster_row){
	    .id = zk_get_be64(scan->at.bytes + 1),
	};
	zk_dec_init(&dec, scan->value, scan->value_len);
	ret_row->node = zk_dec_u64(&dec);
	ret_row->since = zk_dec_u64(&dec);
	role = zk_dec_u8(&dec);
	dec_text(&dec, ret_row->name, sizeof(ret_row->name));
	dec_text(&dec, ret_row->address, sizeof(ret_row->address));
	if (!zk_dec_done(&dec) || role < ZK_ROSTER_OBSERVER ||
	    role > ZK_ROSTER_LEAVING || ret_row->name[0] == '\0')
		return -ZK_ECORRUPT;
	ret_row->role = (enum zk_roster_role)role;
	return 0;
}

static int
put_row(struct zk_tx *tx, const struct zk_roster_row *row)
{
	const struct zk_key key = zk_key1(ZK_TABLE_ROSTER, row->id);
	uint8_t value[32 + ZK_ROSTER_NAME_MAX + ZK_ROSTER_ADDRESS_MAX];
	struct zk_enc enc;

	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u64(&enc, row->node);
	zk_enc_u64(&enc, row->since);
	zk_enc_u8(&enc, (uint8_t)row->role);
	zk_enc_bytes(&enc, row->name, strlen(row->name));
	zk_enc_bytes(&enc, row->address, strlen(row->address));
	ZK_ASSERT(!enc.failed);
	return zk_row_put(tx, &key, value, enc.len);
}

static int
delete_row(struct zk_tx *tx, const struct zk_roster_row *row)
{
	const struct zk_key key = zk_key1(ZK_TABLE_ROSTER, row->id);

	return zk_row_delete(tx, &key);
}

int
zk_roster_load(struct zk_tx *tx, struct zk_roster *ret_roster)
{
	struct zk_key from;
	struct zk_scan scan;
	int rc;

	ret_roster->count = 0;
	zk_key_init(&from, ZK_TABLE_ROSTER);
	rc = zk_scan_begin(tx, &from, from.len, &scan);
	if (rc < 0)
		return rc;
	while ((rc = zk_scan_next(&scan)) == 0) {
		rc = ret_roster->count == ZK_ROSTER_MAX || scan.at.len != 1 + 8
		    ? -ZK_ECORRUPT
		    : decode_row(&scan, &ret_roster->rows[ret_roster->count]);
		if (rc < 0)
			break;
		ret_roster->count++;
	}
	zk_scan_end(&scan);
	if (rc == -ZK_ECORRUPT)
		tx->fatal = rc;
	return rc == -ENOENT ? 0 : rc;
}

const struct zk_roster_row *
zk_roster_find(const struct zk_roster *roster, const char *name)
{
	for (size_t i = 0; i < roster->count; i++)
		if (strcmp(roster->rows[i].name, name) == 0)
			return &roster->rows[i];
	return NULL;
}

const struct zk_roster_row *
zk_roster_find_node(const struct zk_roster *roster, uint64_t node)
{
	for (size_t i = 0; node != 0 && i < roster->count; i++)
		if (roster->rows[i].node == node)
			return &roster->rows[i];
	return NULL;
}

/* Voters, those to come included, and the rest: each kind has its bound. */
static size_t
count_voters(const struct zk_roster *roster)
{
	size_t voters = 0;

	for (size_t i = 0; i < roster->count; i++)
		voters += roster->rows[i].role == ZK_ROSTER_VOTER;
	return voters;
}

bool
zk_roster_name_is_good(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		const char c = name[i];
		const bool alnum = (c >= '0' && c <= '9') ||
		    (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if (!alnum && (i == 0 || (c != '.' && c != '_' && c != '-')))
			return false;
	}
	return len > 0 && len <= ZK_ROSTER_NAME_MAX;
}

/* --- the founders --------------------------------------------------------- */

size_t
zk_roster_found_encode(const struct zk_roster *roster, uint8_t *buf)
{
	struct zk_enc enc;

	ZK_ASSERT(roster->count <= ZK_ROSTER_VOTERS_MAX);

	zk_enc_init(&enc, buf, ZK_ROSTER_FOUND_BYTES_MAX);
	zk_enc_u8(&enc, (uint8_t)roster->count);
	for (size_t i = 0; i < roster->count; i++) {
		const struct zk_roster_row *row = &roster->rows[i];

		zk_enc_u64(&enc, row->node);
		zk_enc_bytes(&enc, row->name, strlen(row->name));
		zk_enc_bytes(&enc, row->address, strlen(row->address));
	}
	ZK_ASSERT(!enc.failed);
	return enc.len;
}

static int
decode_founder(struct zk_dec *dec, struct zk_roster *roster)
{
	struct zk_roster_row row = {.role = ZK_ROSTER_VOTER};

	row.node = zk_dec_u64(dec);
	dec_text(dec, row.name, sizeof(row.name));
	dec_text(dec, row.address, sizeof(row.address));
	if (dec->failed || row.node == 0 ||
	    !zk_roster_name_is_good(row.name, strlen(row.name)) ||
	    zk_roster_find(roster, row.name) != NULL ||
	    zk_roster_find_node(roster, row.node) != NULL)
		return -EINVAL;
	roster->rows[roster->count++] = row;
	return 0;
}

static int
found(struct zk_apply *ap, struct zk_roster *roster)
{
	const struct zk_command *cmd = ap->cmd;
	struct zk_dec dec;
	uint8_t count;
	int rc = 0;

	if (roster->count > 0)
		return 0;
	zk_dec_init(&dec, cmd->data, cmd->data_len);
	count = zk_dec_u8(&dec);
	if (count == 0 || count > ZK_ROSTER_VOTERS_MAX)
		return -EINVAL;
	for (uint8_t i = 0; rc == 0 && i < count; i++)
		rc = decode_founder(&dec, roster);
	if (rc < 0 || !zk_dec_done(&dec))
		return -EINVAL;
	for (size_t i = 0; rc == 0 && i < roster->count; i++) {
		roster->rows[i].id = (ap->index << ID_SHIFT) + i;
		roster->rows[i].since = ap->index;
		rc = put_row(ap->tx, &roster->rows[i]);
	}
	return rc;
}

/* --- changes -------------------------------------------------------------- */

/* One change: the row it is about, if there is one. */
struct change {
	const struct zk_roster *roster;
	const struct zk_roster_row *old; /* NULL: none of that name */
	struct zk_roster_row row;        /* a copy, or a new one */
};

static bool
has_room(const struct zk_roster *roster, enum zk_roster_role role)
{
	const size_t voters = count_voters(roster);

	return role == ZK_ROSTER_VOTER
	    ? voters < ZK_ROSTER_VOTERS_MAX
	    : roster->count - voters < ZK_ROSTER_OBSERVERS_MAX;
}

static bool
address_is_taken(const struct zk_roster *roster, const char *address)
{
	for (size_t i = 0; i < roster->count; i++)
		if (strcmp(roster->rows[i].address, address) == 0)
			return true;
	return false;
}

static int
add(struct zk_apply *ap, struct change *c)
{
	if (c->old != NULL)
		return -EEXIST;
	if (c->row.address[0] == '\0')
		return -EINVAL;
	if (address_is_taken(c->roster, c->row.address))
		return -EADDRINUSE;
	if (!has_room(c->roster, ZK_ROSTER_VOTER))
		return -EUSERS;
	c->row.role = ZK_ROSTER_VOTER;
	return put_row(ap->tx, &c->row);
}

static int
join(struct zk_apply *ap, struct change *c)
{
	const uint64_t node = ap->cmd->ino;
	const struct zk_roster_row *same = zk_roster_find_node(c->roster, node);

	if (node == 0)
		return -EINVAL;
	if (c->old != NULL && c->old->node == node) {
		ap->outcome->index = c->old->since;
		if (strcmp(c->old->address, c->row.address) == 0)
			return 0;
		return put_row(ap->tx, &c->row);
	}
	if (same != NULL)
		return -ENOTUNIQ;
	if (c->old != NULL && c->old->node != 0)
		return -EEXIST;
	if (c->old == NULL && !has_room(c->roster, ZK_ROSTER_OBSERVER))
		return -EUSERS;
	if (c->old == NULL)
		c->row.role = ZK_ROSTER_OBSERVER;
	c->row.node = node;
	c->row.since = ap->index;
	return put_row(ap->tx, &c->row);
}

static int
promote(struct zk_apply *ap, struct change *c)
{
	if (c->old == NULL)
		return -ENOENT;
	if (c->old->role == ZK_ROSTER_LEAVING)
		return -EBUSY;
	if (c->old->role == ZK_ROSTER_VOTER)
		return 0;
	/* Voters must reach each other, whoever dials. */
	if (c->old->address[0] == '\0')
		return -EADDRNOTAVAIL;
	if (!has_room(c->roster, ZK_ROSTER_VOTER))
		return -EUSERS;
	c->row.role = ZK_ROSTER_VOTER;
	return put_row(ap->tx, &c->row);
}

/* Voters that are here, and stay. */
static size_t
count_staying(const struct zk_roster *roster)
{
	size_t staying = 0;

	for (size_t i = 0; i < roster->count; i++)
		staying += roster->rows[i].role == ZK_ROSTER_VOTER &&
		    roster->rows[i].node != 0;
	return staying;
}

static int
remove_member(struct zk_apply *ap, struct change *c)
{
	int rc;

	if (c->old == NULL)
		return -ENOENT;
	if (c->old->node == 0)
		return delete_row(ap->tx, c->old);
	if (c->old->role == ZK_ROSTER_LEAVING)
		return 0;
	if (c->old->role == ZK_ROSTER_VOTER && count_staying(c->roster) == 1)
		return -EBUSY;
	c->row.role = ZK_ROSTER_LEAVING;
	rc = put_row(ap->tx, &c->row);
	/* What it keeps of topics others take over before it goes. */
	return rc == 0 ? zk_topics_replace(ap) : rc;
}

static int
forget(struct zk_apply *ap, struct change *c)
{
	if (c->old == NULL || c->old->role != ZK_ROSTER_LEAVING ||
	    c->old->node != ap->cmd->ino)
		return -ENOENT;
	return delete_row(ap->tx, c->old);
}

static int
transfer(const struct change *c)
{
	if (c->old == NULL)
		return -ENOENT;
	return c->old->role == ZK_ROSTER_VOTER && c->old->node != 0 ? 0
	                                                            : -EINVAL;
}

/* What the command is about; an address is given, or stays. */
static int
look(struct zk_apply *ap, const struct zk_roster *roster,
    struct change *ret_change)
{
	const struct zk_command *cmd = ap->cmd;
	struct change *c = ret_change;
	char name[ZK_ROSTER_NAME_MAX + 1];

	if (!zk_roster_name_is_good(cmd->name, cmd->name_len) ||
	    cmd->data_len > ZK_ROSTER_ADDRESS_MAX ||
	    (cmd->data_len > 0 &&
	        memchr(cmd->data, '\0', cmd->data_len) != NULL))
		return -EINVAL;
	memcpy(name, cmd->name, cmd->name_len);
	name[cmd->name_len] = '\0';
	*c = (struct change){
	    .roster = roster,
	    .old = zk_roster_find(roster, name),
	    .row.id = ap->index << ID_SHIFT,
	};
	if (c->old != NULL)
		c->row = *c->old;
	memcpy(c->row.name, name, sizeof(name));
	if (cmd->data_len > 0) {
		memcpy(c->row.address, cmd->data, cmd->data_len);
		c->row.address[cmd->data_len] = '\0';
	}
	return 0;
}

static int
change(struct zk_apply *ap, const struct zk_roster *roster)
{
	struct change c;
	int rc;

	rc = look(ap, roster, &c);
	if (rc < 0)
		return rc;
	if (roster->count == 0)
		return -EAGAIN;
	switch (ap->cmd->mode) {
	case ZK_MEMBER_ADD:
		return add(ap, &c);
	case ZK_MEMBER_REMOVE:
		return remove_member(ap, &c);
	case ZK_MEMBER_PROMOTE:
		return promote(ap, &c);
	case ZK_MEMBER_TRANSFER:
		rc = transfer(&c);
		if (rc == 0 && ap->sink->members != NULL)
			ap->sink->members(ap->sink->arg, c.old->node);
		return rc;
	case ZK_MEMBER_JOIN:
		return join(ap, &c);
	case ZK_MEMBER_FORGET:
		return forget(ap, &c);
	default:
		return -EINVAL;
	}
}

int
zk_roster_apply(struct zk_apply *ap)
{
	const uint64_t changes = ap->tx->changes;
	struct zk_roster *roster = malloc(sizeof(*roster));
	int rc;

	/* Like any apply it must not fail on one member only. */
	if (roster == NULL)
		return ap->tx->fatal = -ENOMEM;
	rc = zk_roster_load(ap->tx, roster);
	if (rc == 0)
		rc = ap->cmd->mode == ZK_MEMBER_FOUND ? found(ap, roster)
		                                      : change(ap, roster);
	free(roster);
	if (ap->tx->changes != changes && ap->sink->members != NULL)
		ap->sink->members(ap->sink->arg, 0);
	return rc;
}

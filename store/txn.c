#include "store/txn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "store/inode.h"
#include "store/names.h"
#include "store/nodes.h"
#include "store/path.h"
#include "store/store.h"
#include "store/txn_parse.h"

#define FILE_MODE (S_IFREG | 0644)
#define DIR_MODE  (S_IFDIR | 0755)

/* A line's own command, run in the place of the transaction's. */
static int
run(struct zk_apply *ap, const struct zk_command *cmd,
    int (*fn)(struct zk_apply *ap))
{
	const struct zk_command *whole = ap->cmd;
	int rc;

	ap->cmd = cmd;
	rc = fn(ap);
	ap->cmd = whole;
	return rc;
}

static struct zk_command
command_in(const struct zk_apply *ap, const struct zk_place *place)
{
	return (struct zk_command){
	    .session = ap->cmd->session,
	    .uid = ap->cmd->uid,
	    .gid = ap->cmd->gid,
	    .ino = place->dir.ino,
	    .name = place->name,
	    .name_len = place->name_len,
	};
}

static int
set_value(struct zk_apply *ap, uint64_t ino, const struct zk_line *line)
{
	struct zk_command cmd = {
	    .op = ZK_OP_WRITE,
	    .flags = ZK_F_TRUNCATE | (ap->cmd->uid != 0 ? ZK_F_KILL_PRIV : 0),
	    .session = ap->cmd->session,
	    .ino = ino,
	    .len = ap->cmd->len,
	    .data = line->value,
	    .data_len = line->value_len,
	};

	return run(ap, &cmd, zk_nodes_write);
}

static int
line_check(struct zk_apply *ap, const struct zk_line *line,
    const struct zk_place *place)
{
	struct zk_attr attr;
	int rc;

	if (line->want == ZK_VERSION_ABSENT)
		return place->ref.ino == 0 ? 0 : -EEXIST;
	if (place->ref.ino == 0)
		return -ENOENT;
	rc = zk_inode_attr(ap->tx, place->ref.ino, &attr);
	if (rc < 0 || line->want == ZK_VERSION_ANY)
		return rc;
	return attr.version == line->version ? 0 : -EAGAIN;
}

static int
line_set(struct zk_apply *ap, const struct zk_line *line,
    const struct zk_place *place)
{
	struct zk_attr attr = {0};
	int rc;

	if (place->ref.ino == 0)
		return -ENOENT;
	rc = zk_inode_attr(ap->tx, place->ref.ino, &attr);
	if (rc < 0)
		return rc;
	if (S_ISLNK(attr.mode))
		return -ELOOP;
	rc = zk_path_access(&attr, ap->cmd, ZK_MAY_WRITE);
	if (rc < 0)
		return rc;
	/* Somebody has it open, and open for writing is his alone. */
	if (attr.session != 0)
		return -EBUSY;
	return set_value(ap, attr.ino, line);
}

static int
line_make(struct zk_apply *ap, const struct zk_line *line,
    const struct zk_place *place)
{
	struct zk_command cmd = command_in(ap, place);
	int rc;

	if (place->ref.ino != 0)
		return -EEXIST;
	rc = zk_path_access(&place->dir, ap->cmd, ZK_MAY_WRITE | ZK_MAY_EXEC);
	if (rc < 0)
		return rc;
	cmd.op = ZK_OP_CREATE;
	cmd.mode = line->op == ZK_LINE_MKDIR ? DIR_MODE : FILE_MODE;
	rc = run(ap, &cmd, zk_names_create);
	if (rc < 0 || line->op == ZK_LINE_MKDIR || line->value_len == 0)
		return rc;
	return set_value(ap, ap->outcome->attr.ino, line);
}

static int
line_delete(struct zk_apply *ap, const struct zk_place *place)
{
	const struct zk_command cmd = command_in(ap, place);
	const struct zk_attr *dir = &place->dir;
	struct zk_attr attr = {0};
	int rc;

	if (place->ref.ino == 0)
		return -ENOENT;
	rc = zk_path_access(dir, ap->cmd, ZK_MAY_WRITE | ZK_MAY_EXEC);
	if (rc == 0)
		rc = zk_inode_attr(ap->tx, place->ref.ino, &attr);
	if (rc < 0)
		return rc;
	if ((dir->mode & S_ISVTX) && ap->cmd->uid != 0 &&
	    ap->cmd->uid != attr.uid && ap->cmd->uid != dir->uid)
		return -EPERM;
	return run(ap, &cmd,
	    S_ISDIR(attr.mode) ? zk_names_rmdir : zk_names_unlink);
}

static int
run_line(struct zk_apply *ap, const struct zk_line *line)
{
	struct zk_place place;
	int rc;

	rc = zk_path_walk(ap->tx, ap->cmd, line->path, line->path_len, &place);
	if (rc < 0)
		return rc;
	if (place.name_len == 0 && line->op != ZK_LINE_CHECK)
		return -EBUSY; /* the root */
	switch (line->op) {
	case ZK_LINE_CHECK:
		return line_check(ap, line, &place);
	case ZK_LINE_SET:
		return line_set(ap, line, &place);
	case ZK_LINE_CREATE:
	case ZK_LINE_MKDIR:
		return line_make(ap, line, &place);
	case ZK_LINE_DELETE:
		return line_delete(ap, &place);
	case ZK_LINE_NONE:
		break;
	}
	return 0;
}

/* Every line's syntax, before any line has an effect. */
static int
check_text(struct zk_txn_text in, struct zk_line *line, uint32_t *ret_line)
{
	uint32_t ops = 0;
	int rc;

	while ((rc = zk_txn_next(&in, line)) == 0) {
		if (line->op == ZK_LINE_NONE)
			continue;
		rc = zk_path_check(line->path, line->path_len);
		if (rc == 0 && ++ops > ZK_TXN_OPS_MAX)
			rc = -E2BIG;
		if (rc < 0)
			break;
	}
	*ret_line = in.line;
	return rc == -ENOENT ? 0 : rc;
}

static int
run_text(struct zk_apply *ap, struct zk_txn_text in, struct zk_line *line)
{
	int rc;

	while ((rc = zk_txn_next(&in, line)) == 0) {
		if (line->op == ZK_LINE_NONE)
			continue;
		rc = run_line(ap, line);
		if (rc < 0) {
			ap->outcome->line = in.line;
			return rc;
		}
	}
	return rc == -ENOENT ? 0 : rc;
}

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

/*
 * All or nothing by trying first: the lines run in a transaction that is
 * undone and tells nobody, and only when all of them succeed, for real.
 */
static int
try_then_run(struct zk_apply *ap, const struct zk_txn_text *in,
    struct zk_line *line)
{
	static const struct zk_apply_sink silent = {
	    .change = no_change,
	    .answer = no_answer,
	};
	struct zk_apply attempt = *ap;
	struct zk_tx trial;
	int rc, fatal;

	fatal = zk_store_trial_begin(ap->tx, &trial);
	if (fatal < 0)
		return fatal;
	attempt.tx = &trial;
	attempt.sink = &silent;
	attempt.history = NULL;
	rc = run_text(&attempt, *in, line);
	fatal = zk_store_trial_end(ap->tx, &trial);
	if (fatal < 0 || rc < 0)
		return fatal < 0 ? fatal : rc;
	rc = run_text(ap, *in, line);
	ZK_ASSERT(rc == 0 || ap->tx->fatal < 0);
	return rc;
}

int
zk_txn_apply(struct zk_apply *ap)
{
	const struct zk_command *cmd = ap->cmd;
	struct zk_txn_text in = {.text = cmd->data, .len = cmd->data_len};
	struct zk_line *line;
	int rc = -ENOMEM;

	ap->quiet = true;
	in.value = malloc(cmd->data_len + 1);
	line = malloc(sizeof(*line));
	if (in.value == NULL || line == NULL) {
		ap->tx->fatal = rc; /* other members may have the memory */
	} else {
		rc = check_text(in, line, &ap->outcome->line);
		if (rc == 0) {
			ap->outcome->line = 0;
			rc = try_then_run(ap, &in, line);
		}
	}
	/* What the transaction as a whole made has no single node. */
	memset(&ap->outcome->attr, 0, sizeof(ap->outcome->attr));
	ap->outcome->name_len = 0;
	free(line);
	free(in.value);
	return rc;
}

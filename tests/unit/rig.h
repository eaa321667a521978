#ifndef ZK_TESTS_UNIT_RIG_H
#define ZK_TESTS_UNIT_RIG_H

/*
 * A state machine on a store in a directory of its own, for tests that apply
 * commands by hand.  Include it once a test file.
 */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "store/apply.h"
#include "store/read.h"
#include "store/session.h"
#include "store/store.h"
#include "store/verify.h"

struct rig {
	char dir[64];
	struct zk_store *store;
	struct zk_tx *tx;
	uint64_t session, number;
	/* What the last command told. */
	struct zk_outcome out;
	bool answered;
	size_t change_count, orphan_count;
	uint64_t orphan;
	/* The last answer to an earlier command. */
	uint64_t late_number;
	struct zk_outcome late;

	void (*watch)(const struct zk_change *change); /* or NULL */
};

static struct rig rig;

static void
rig_change(void *arg, const struct zk_change *change)
{
	(void)arg;
	rig.change_count++;
	if (rig.watch != NULL)
		rig.watch(change);
	if (change->orphan) {
		rig.orphan_count++;
		rig.orphan = change->kind == ZK_CHANGE_RENAME ? change->ino2
		                                              : change->ino;
	}
}

static void
rig_answer(void *arg, uint64_t session, uint64_t number,
    const struct zk_outcome *outcome)
{
	(void)arg;
	(void)session;
	if (number == rig.number) {
		rig.out = *outcome;
		rig.answered = true;
	} else {
		rig.late_number = number;
		rig.late = *outcome;
	}
}

/* Applies cmd as number `number` of its session; what zk_apply() returns. */
static int
rig_enter(struct zk_command *cmd, uint64_t number)
{
	static uint8_t buf[ZK_COMMAND_MAX];
	const struct zk_apply_sink sink = {
	    .change = rig_change,
	    .answer = rig_answer,
	};
	struct zk_entry entry = {
	    .index = rig.tx->state.applied_index + 1,
	    .term = 1,
	    .kind = ZK_PAYLOAD_COMMAND,
	    .time = {1000, 0},
	    .payload = buf,
	};

	cmd->session = cmd->session != 0 ? cmd->session : rig.session;
	cmd->number = rig.number = number;
	rig.answered = false;
	rig.change_count = rig.orphan_count = 0;
	memset(&rig.out, 0, sizeof(rig.out));
	cr_assert_eq(
	    zk_command_encode(cmd, buf, sizeof(buf), &entry.payload_len), 0);
	return zk_apply(rig.tx, &entry, &sink);
}

/* As rig_enter(), which must succeed; returns the outcome's rc. */
static int
rig_apply_as(struct zk_command *cmd, uint64_t number)
{
	cr_assert_eq(rig_enter(cmd, number), 0, "fatal %d", rig.tx->fatal);
	return rig.out.rc;
}

__attribute__((unused)) static int
rig_apply(struct zk_command cmd)
{
	static uint64_t last;

	return rig_apply_as(&cmd, ++last);
}

static uint64_t
rig_open_session(const char *member, uint64_t incarnation)
{
	struct zk_command cmd = {
	    .op = ZK_OP_SESSION_OPEN,
	    .session = 1,
	    .handle = incarnation,
	    .name = member,
	    .name_len = strlen(member),
	};

	cr_assert_eq(rig_apply_as(&cmd, 1000000 + incarnation), 0);
	return rig.out.index;
}

static void
rig_setup(void)
{
	const struct zk_stamp now = {1, 0};
	struct zk_store_options options = {
	    .dir = rig.dir,
	    .member = "test",
	    .map_bytes = 256 * ZK_MIB,
	    .seed = 7,
	    .journal_bytes = 256 * ZK_KIB,
	};

	(void)snprintf(rig.dir, sizeof(rig.dir), "/tmp/zkfs-unit.XXXXXX");
	cr_assert_not_null(mkdtemp(rig.dir));
	cr_assert_eq(zk_store_open(&options, NULL, &rig.store), 0);
	cr_assert_eq(zk_store_begin(rig.store, &rig.tx), 0);
	cr_assert_eq(zk_store_bootstrap(rig.tx, now, 0, 0), 0);
	rig.session = rig_open_session("test", 1);
}

/*
 * Whatever a test did, the tree must hold together.  Criterion does not count
 * what fails in a suite's fini, so this belongs to the test itself.
 */
static void
rig_verify(void)
{
	struct zk_verify_report report;

	cr_expect_eq(zk_verify(rig.tx, &report), 0, "%s", report.problem);
}

#define RIG_TEST(suite, name)                                                  \
	static void rig_body_##name(void);                                     \
	Test(suite, name)                                                      \
	{                                                                      \
		rig_body_##name();                                             \
		rig_verify();                                                  \
	}                                                                      \
	static void rig_body_##name(void)

static void
rig_teardown(void)
{
	static const char *const files[] = {"tree.mdb", "tree.mdb-lock",
	    "journal", "tree.new"};
	char path[128];

	cr_expect_eq(zk_store_commit(rig.tx), 0);
	zk_store_close(rig.store);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", rig.dir, files[i]);
		(void)unlink(path);
	}
	(void)rmdir(rig.dir);
}

/* --- commands in short ---------------------------------------------------- */

__attribute__((unused)) static int
make(uint64_t dir, const char *name, uint32_t mode)
{
	return rig_apply((struct zk_command){
	    .op = ZK_OP_CREATE,
	    .ino = dir,
	    .name = name,
	    .name_len = strlen(name),
	    .mode = mode,
	});
}

__attribute__((unused)) static int
remove_at(uint64_t dir, const char *name, bool is_dir)
{
	return rig_apply((struct zk_command){
	    .op = is_dir ? ZK_OP_RMDIR : ZK_OP_UNLINK,
	    .ino = dir,
	    .name = name,
	    .name_len = strlen(name),
	});
}

__attribute__((unused)) static int
move_to(uint64_t dir, const char *name, uint64_t dir2, const char *name2,
    uint32_t flags)
{
	return rig_apply((struct zk_command){
	    .op = ZK_OP_RENAME,
	    .ino = dir,
	    .name = name,
	    .name_len = strlen(name),
	    .ino2 = dir2,
	    .name2 = name2,
	    .name2_len = strlen(name2),
	    .mode = flags,
	});
}

__attribute__((unused)) static int
write_at(uint64_t ino, uint32_t flags, uint64_t off, const void *data,
    size_t len)
{
	return rig_apply((struct zk_command){
	    .op = ZK_OP_WRITE,
	    .flags = flags,
	    .ino = ino,
	    .off = off,
	    .data = data,
	    .data_len = len,
	});
}

__attribute__((unused)) static uint64_t
ino_of(uint64_t dir, const char *name)
{
	struct zk_attr attr;

	if (zk_read_lookup(rig.tx, dir, name, strlen(name), &attr) < 0)
		return 0;
	return attr.ino;
}

__attribute__((unused)) static struct zk_attr
attr_of(uint64_t ino)
{
	struct zk_attr attr = {0};

	(void)zk_inode_attr(rig.tx, ino, &attr);
	return attr;
}

#endif

#include "rig.h"

#include <linux/fs.h>

#include "base/err.h"
#include "base/hash.h"
#include "store/dirent.h"

#define ROOT      ZK_INO_ROOT
#define FILE_MODE (S_IFREG | 0644)
#define DIR_MODE  (S_IFDIR | 0755)

TestSuite(apply, .init = rig_setup, .fini = rig_teardown);

RIG_TEST(apply, a_created_file_is_found_and_counted)
{
	cr_assert_eq(make(ROOT, "f", FILE_MODE), 0);
	cr_expect_eq(ino_of(ROOT, "f"), rig.out.attr.ino);
	cr_expect_eq(rig.out.attr.nlink, 1);
	cr_expect_eq(rig.out.attr.czxid, rig.tx->state.applied_index);
	cr_expect_eq(rig.tx->state.nodes, 2);
	cr_expect_eq(make(ROOT, "f", FILE_MODE), -EEXIST);
	cr_expect_eq(attr_of(ROOT).cversion, 1);
}

RIG_TEST(apply, names_that_no_kernel_sends_are_refused)
{
	cr_expect_eq(make(ROOT, ".", FILE_MODE), -EINVAL);
	cr_expect_eq(make(ROOT, "..", FILE_MODE), -EINVAL);
	cr_expect_eq(make(ROOT, "a/b", FILE_MODE), -EINVAL);
	cr_expect_eq(make(ROOT, "", FILE_MODE), -EINVAL);
	cr_expect_eq(make(77, "f", FILE_MODE), -ENOENT);
}

RIG_TEST(apply, a_sequential_name_gets_the_directorys_next_number)
{
	cr_assert_eq(make(ROOT, "job-XXXXXXXXXX", FILE_MODE), 0);
	cr_expect_str_eq(rig.out.name, "job-0000000000");
	cr_assert_eq(remove_at(ROOT, "job-0000000000", false), 0);
	cr_assert_eq(make(ROOT, "job-XXXXXXXXXX", DIR_MODE), 0);
	cr_expect_str_eq(rig.out.name, "job-0000000001");
	cr_assert_eq(make(ROOT, "x0000000002", FILE_MODE), 0);
	cr_assert_eq(make(ROOT, "xXXXXXXXXXX", FILE_MODE), 0);
	cr_expect_str_eq(rig.out.name, "x0000000003");
}

RIG_TEST(apply, an_unlinked_file_lives_until_its_holder_lets_go)
{
	uint64_t ino;
	uint8_t buf[8];
	size_t len;

	cr_assert_eq(make(ROOT, "f", FILE_MODE), 0);
	ino = rig.out.attr.ino;
	cr_assert_eq(write_at(ino, 0, 0, "abc", 3), 0);
	cr_assert_eq(remove_at(ROOT, "f", false), 0);
	cr_expect_eq(rig.orphan_count, 1);
	cr_expect_eq(rig.orphan, ino);
	cr_expect_eq(attr_of(ino).nlink, 0);
	cr_assert_eq(zk_read_content(rig.tx, ino, 0, buf, 8, &len), 0);
	cr_expect_eq(len, 3);
	cr_expect_eq(write_at(ino, 0, 3, "d", 1), 0);

	cr_assert_eq(rig_apply((struct zk_command){
	                 .op = ZK_OP_REAP,
	                 .data = &ino,
	                 .data_len = sizeof(ino),
	             }),
	    0);
	cr_expect_eq(attr_of(ino).ino, 0);
	cr_expect_eq(write_at(ino, 0, 0, "x", 1), -ENOENT);
}

RIG_TEST(apply, a_session_that_ends_takes_its_ephemerals_and_holds_along)
{
	uint64_t old = rig.session, ino, held;

	cr_assert_eq(rig_apply((struct zk_command){
	                 .op = ZK_OP_CREATE,
	                 .flags = ZK_F_EPHEMERAL,
	                 .ino = ROOT,
	                 .name = "e",
	                 .name_len = 1,
	                 .mode = FILE_MODE,
	                 .handle = 9,
	             }),
	    0);
	ino = rig.out.attr.ino;
	cr_expect(rig.out.attr.mode & S_ISVTX);
	cr_assert_eq(make(ROOT, "held", FILE_MODE), 0);
	held = rig.out.attr.ino;
	cr_assert_eq(remove_at(ROOT, "held", false), 0);

	rig.session = rig_open_session("test", 2);
	cr_expect_neq(rig.session, old);
	cr_expect_eq(ino_of(ROOT, "e"), 0);
	cr_expect_eq(attr_of(ino).nlink, 0);
	cr_expect_eq(attr_of(held).ino, 0);
	/* The old session's commands are refused from now on. */
	cr_expect_eq(rig_apply((struct zk_command){
	                 .op = ZK_OP_NOP,
	                 .session = old,
	             }),
	    -ZK_ESESSION);
	/* The same incarnation once more is the same session. */
	cr_expect_eq(rig_open_session("test", 2), rig.session);
}

/* It counts its sessions anew, and knows nothing of the old one's answers. */
RIG_TEST(apply, a_member_on_a_new_disk_is_not_the_one_before)
{
	struct zk_command open = {
	    .op = ZK_OP_SESSION_OPEN,
	    .handle = 1,
	    .ino2 = 77,
	    .name = "test",
	    .name_len = 4,
	    .len = 10000,
	};
	uint64_t before;

	cr_assert_eq(rig_apply(open), 0);
	before = rig.out.index;
	cr_assert_eq(rig_apply(open), 0);
	cr_expect_eq(rig.out.index, before);
	open.ino2 = 78;
	cr_assert_eq(rig_apply(open), 0);
	cr_expect_neq(rig.out.index, before);
}

RIG_TEST(apply, closing_removes_the_ephemeral_under_its_present_name)
{
	cr_assert_eq(make(ROOT, "d", DIR_MODE), 0);
	cr_assert_eq(make(ROOT, "f", FILE_MODE), 0);
	const uint64_t ino = rig.out.attr.ino;
	cr_assert_eq(rig_apply((struct zk_command){
	                 .op = ZK_OP_EPHEMERAL,
	                 .ino = ino,
	                 .handle = 5,
	             }),
	    0);
	cr_assert_eq(move_to(ROOT, "f", ino_of(ROOT, "d"), "g", 0), 0);
	cr_expect_eq(rig_apply((struct zk_command){
	                 .op = ZK_OP_LINK,
	                 .ino = ROOT,
	                 .ino2 = ino,
	                 .name = "l",
	                 .name_len = 1,
	             }),
	    -EPERM);
	cr_assert_eq(rig_apply((struct zk_command){
	                 .op = ZK_OP_RELEASE,
	                 .ino = ino,
	                 .handle = 5,
	             }),
	    0);
	cr_expect_eq(ino_of(ino_of(ROOT, "d"), "g"), 0);
	/* Closing again, as a retry would, changes nothing. */
	cr_expect_eq(rig_apply((struct zk_command){
	                 .op = ZK_OP_RELEASE,
	                 .ino = ino,
	                 .handle = 5,
	             }),
	    0);
}

static int
make_ephemeral(const char *name, uint64_t handle)
{
	return rig_apply((struct zk_command){
	    .op = ZK_OP_CREATE,
	    .flags = ZK_F_EPHEMERAL,
	    .ino = ROOT,
	    .name = name,
	    .name_len = strlen(name),
	    .mode = FILE_MODE,
	    .handle = handle,
	});
}

RIG_TEST(apply, an_open_file_owns_one_ephemeral_and_no_more)
{
	cr_assert_eq(make_ephemeral("first", 9), 0);
	cr_expect_eq(make_ephemeral("second", 9), -EINVAL);
	cr_expect_eq(ino_of(ROOT, "second"), 0);
	cr_assert_eq(make(ROOT, "plain", FILE_MODE), 0);
	const uint64_t plain = rig.out.attr.ino;
	struct zk_command tie = {
	    .op = ZK_OP_EPHEMERAL,
	    .ino = plain,
	    .handle = 9,
	};
	cr_expect_eq(rig_apply(tie), -EINVAL);
	cr_expect_eq(attr_of(plain).session, 0);
	/* The first one still ends with its owner, and alone. */
	cr_assert_eq(rig_apply((struct zk_command){
	                 .op = ZK_OP_RELEASE,
	                 .ino = plain,
	                 .handle = 9,
	             }),
	    0);
	cr_expect_eq(ino_of(ROOT, "first"), 0);
	cr_expect_eq(ino_of(ROOT, "plain"), plain);
	/* What was unlinked is owned no more. */
	cr_assert_eq(make_ephemeral("third", 10), 0);
	cr_assert_eq(remove_at(ROOT, "third", false), 0);
	cr_expect_eq(make_ephemeral("fourth", 10), 0);
	/* Asked for again it is what it is. */
	tie.handle = 11;
	cr_expect_eq(rig_apply(tie), 0);
	cr_expect_eq(rig_apply(tie), 0);
}

/* Not RIG_TEST: the tree is damaged, on purpose. */
Test(apply, an_ephemeral_without_its_name_stops_the_member)
{
	struct zk_command end = {
	    .op = ZK_OP_SESSION_END,
	    .ino = rig.session,
	    .session = rig.session,
	};

	cr_assert_eq(make_ephemeral("e", 9), 0);
	cr_assert_eq(zk_dirent_delete(rig.tx, ROOT, "e", 1), 0);
	cr_expect_eq(rig_enter(&end, 5000), -ZK_ECORRUPT,
	    "it is not the end of the session's rows");
	cr_expect_eq(rig.tx->fatal, -ZK_ECORRUPT);
}

RIG_TEST(apply, the_owner_of_an_unlinked_ephemeral_is_fenced)
{
	cr_assert_eq(rig_apply((struct zk_command){
	                 .op = ZK_OP_CREATE,
	                 .flags = ZK_F_EPHEMERAL,
	                 .ino = ROOT,
	                 .name = "e",
	                 .name_len = 1,
	                 .mode = FILE_MODE,
	                 .handle = 9,
	             }),
	    0);
	const uint64_t ino = rig.out.attr.ino;
	cr_assert_eq(write_at(ino, ZK_F_FENCED, 0, "a", 1), 0);
	cr_assert_eq(remove_at(ROOT, "e", false), 0);
	cr_expect_eq(write_at(ino, ZK_F_FENCED, 0, "b", 1), -ESTALE);
}

RIG_TEST(apply, a_retry_is_answered_and_not_applied_again)
{
	struct zk_command append = {
	    .op = ZK_OP_WRITE,
	    .flags = ZK_F_APPEND,
	    .data = "x",
	    .data_len = 1,
	};
	struct zk_outcome first;

	cr_assert_eq(make(ROOT, "f", FILE_MODE), 0);
	append.ino = rig.out.attr.ino;
	cr_assert_eq(rig_apply_as(&append, 5000), 0);
	first = rig.out;
	cr_assert_eq(rig_apply_as(&append, 5000), 0);
	cr_expect(rig.answered);
	cr_expect_eq(rig.out.index, first.index);
	cr_expect_eq(rig.out.offset, first.offset);
	cr_expect_eq(attr_of(append.ino).size, 1);

	/* Acknowledged answers are forgotten, and then refused. */
	append.acked = 6000;
	cr_assert_eq(rig_apply_as(&append, 6000), 0);
	append.acked = 0;
	cr_expect_eq(rig_apply_as(&append, 5000), -ZK_ESESSION);
	cr_expect_eq(attr_of(append.ino).size, 2);
}

RIG_TEST(apply, an_unexpected_version_changes_nothing)
{
	cr_assert_eq(make(ROOT, "f", FILE_MODE), 0);
	const uint64_t ino = rig.out.attr.ino;
	struct zk_command cas = {
	    .op = ZK_OP_WRITE,
	    .flags = ZK_F_EXPECT | ZK_F_TRUNCATE,
	    .ino = ino,
	    .expect = 0,
	    .data = "one",
	    .data_len = 3,
	};
	cr_assert_eq(rig_apply(cas), 0);
	cr_expect_eq(rig.out.attr.version, 1);
	cr_expect_eq(rig_apply(cas), -EAGAIN);
	cr_expect_eq(attr_of(ino).size, 3);
	cas.expect = 1;
	cas.data_len = 1;
	cr_expect_eq(rig_apply(cas), 0);
	cr_expect_eq(attr_of(ino).size, 1);
}

RIG_TEST(apply, time_never_stands_still_or_goes_back)
{
	struct zk_stamp last = {0, 0};

	for (int i = 0; i < 10; i++) {
		struct zk_attr attr;

		cr_assert_eq(make(ROOT, "fXXXXXXXXXX", FILE_MODE), 0);
		attr = rig.out.attr;
		cr_expect(attr.ctime.sec > last.sec ||
		    (attr.ctime.sec == last.sec &&
		        attr.ctime.nsec > last.nsec));
		last = attr.ctime;
	}
}

RIG_TEST(apply, a_command_without_a_node_is_refused)
{
	for (int op = ZK_OP_SESSION_OPEN + 1; op < ZK_OP_MAX; op++) {
		struct zk_command cmd = {.op = (enum zk_op)op, .handle = 1};

		if (op == ZK_OP_REAP || op == ZK_OP_TXN)
			continue;
		cr_expect_eq(rig_apply(cmd), -EINVAL, "%s", zk_op_name(cmd.op));
	}
}

/* rename(2), case by case. */
RIG_TEST(apply, rename_follows_posix)
{
	static const struct {
		const char *label, *from, *to;
		uint32_t flags;
		int want;
	} cases[] = {
	    {"missing", "nothing", "x", 0, -ENOENT},
	    {"file over directory", "f", "empty", 0, -EISDIR},
	    {"directory over file", "empty", "f", 0, -ENOTDIR},
	    {"directory over a full one", "empty", "full", 0, -ENOTEMPTY},
	    {"onto what exists", "f", "g", RENAME_NOREPLACE, -EEXIST},
	    {"exchange with nothing", "f", "x", RENAME_EXCHANGE, -ENOENT},
	    {"whiteout", "f", "x", RENAME_WHITEOUT, -EINVAL},
	    {"two names of one file", "f", "link", 0, 0},
	    {"exchange", "f", "full", RENAME_EXCHANGE, 0},
	    {"file over file", "g", "h", 0, 0},
	};

	cr_assert_eq(make(ROOT, "f", FILE_MODE), 0);
	const uint64_t f = rig.out.attr.ino;
	cr_assert_eq(make(ROOT, "g", FILE_MODE), 0);
	cr_assert_eq(make(ROOT, "h", FILE_MODE), 0);
	cr_assert_eq(make(ROOT, "empty", DIR_MODE), 0);
	cr_assert_eq(make(ROOT, "full", DIR_MODE), 0);
	const uint64_t full = rig.out.attr.ino;
	cr_assert_eq(make(full, "sub", DIR_MODE), 0);
	const uint64_t sub = rig.out.attr.ino;
	cr_assert_eq(rig_apply((struct zk_command){
	                 .op = ZK_OP_LINK,
	                 .ino = ROOT,
	                 .ino2 = f,
	                 .name = "link",
	                 .name_len = 4,
	             }),
	    0);
	cr_expect_eq(move_to(ROOT, "full", sub, "x", 0), -EINVAL,
	    "a directory into itself");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_expect_eq(move_to(ROOT, cases[i].from, ROOT, cases[i].to,
		                 cases[i].flags),
		    cases[i].want, "%s", cases[i].label);
		rig_verify();
	}
	cr_expect_eq(ino_of(ROOT, "full"), f);
	cr_expect_eq(ino_of(ROOT, "f"), full);
	cr_expect_eq(ino_of(ROOT, "link"), f, "both names stay");
}

/* Content against a plain buffer, over the border of inline and chunks. */
RIG_TEST(apply, content_equals_that_of_a_plain_buffer)
{
	enum { MODEL_MAX = 80000 };
	static uint8_t model[MODEL_MAX], data[20000], got[MODEL_MAX];
	uint64_t seed = 42, size = 0, ino;

	cr_assert_eq(make(ROOT, "f", FILE_MODE), 0);
	ino = rig.out.attr.ino;
	for (int round = 0; round < 3000; round++) {
		const uint64_t what = zk_prng_next(&seed) % 10;
		/* Small files half of the time, so that all forms occur. */
		const uint64_t span = zk_prng_next(&seed) % 2 ? 3000 : 50000;
		const uint64_t off = zk_prng_next(&seed) % span;
		const size_t len = zk_prng_next(&seed) % (span / 4) + 1;
		size_t got_len = 0;

		for (size_t i = 0; i < len; i++)
			data[i] = (uint8_t)zk_prng_next(&seed);
		if (what < 5) {
			cr_assert_eq(write_at(ino, 0, off, data, len), 0);
			memcpy(model + off, data, len);
			size = off + len > size ? off + len : size;
		} else if (what < 8) {
			cr_assert_eq(rig_apply((struct zk_command){
			                 .op = ZK_OP_SETATTR,
			                 .flags = ZK_SET_SIZE,
			                 .ino = ino,
			                 .len = off,
			             }),
			    0);
			if (off < size)
				memset(model + off, 0, size - off);
			size = off;
		} else {
			cr_assert_eq(rig_apply((struct zk_command){
			                 .op = ZK_OP_FALLOCATE,
			                 .mode = 3, /* punch, keep the size */
			                 .ino = ino,
			                 .off = off,
			                 .len = len,
			             }),
			    0);
			if (off < size)
				memset(model + off, 0,
				    off + len < size ? len : size - off);
		}
		cr_assert_eq(attr_of(ino).size, size);
		cr_assert_eq(
		    zk_read_content(rig.tx, ino, 0, got, MODEL_MAX, &got_len),
		    0);
		cr_assert_eq(got_len, size);
		cr_assert_eq(memcmp(got, model, size), 0, "round %d", round);
	}
}

/* Random names on few places; verify() says whether the tree holds together. */
RIG_TEST(apply, random_changes_of_names_leave_a_sound_tree)
{
	uint64_t seed = 3, dirs[8] = {ROOT};
	size_t dir_count = 1;

	for (int round = 0; round < 4000; round++) {
		const uint64_t dir = dirs[zk_prng_next(&seed) % dir_count];
		const uint64_t dir2 = dirs[zk_prng_next(&seed) % dir_count];
		char name[2] = {(char)('a' + zk_prng_next(&seed) % 6), 0};
		char name2[2] = {(char)('a' + zk_prng_next(&seed) % 6), 0};

		switch (zk_prng_next(&seed) % 7) {
		case 0:
			if (make(dir, name, DIR_MODE) == 0 && dir_count < 8)
				dirs[dir_count++] = rig.out.attr.ino;
			break;
		case 1:
			(void)make(dir, name, FILE_MODE);
			break;
		case 2:
			(void)remove_at(dir, name, false);
			break;
		case 3:
			(void)remove_at(dir, name, true);
			break;
		case 4:
			(void)move_to(dir, name, dir2, name2, 0);
			break;
		case 5:
			(void)move_to(dir, name, dir2, name2, RENAME_EXCHANGE);
			break;
		default:
			(void)rig_apply((struct zk_command){
			    .op = ZK_OP_LINK,
			    .ino = dir,
			    .ino2 = ino_of(dir2, name2),
			    .name = name,
			    .name_len = 1,
			});
			break;
		}
		if (round % 500 == 0)
			rig_verify();
	}
}

static int
txn(const char *text)
{
	return rig_apply((struct zk_command){
	    .op = ZK_OP_TXN,
	    .data = text,
	    .data_len = strlen(text),
	});
}

RIG_TEST(apply, a_transaction_applies_all_lines_or_none)
{
	uint8_t buf[16];
	size_t len;

	cr_assert_eq(txn("mkdir /a\ncreate /a/b one two\n# remark\n\n"
	                 "set a/b three\\c\ncheck /a/b 2\nmkdir /a/c\n"
	                 "delete a/c"),
	    0);
	const uint64_t b = ino_of(ino_of(ROOT, "a"), "b");
	cr_assert_neq(b, 0);
	cr_assert_eq(zk_read_content(rig.tx, b, 0, buf, sizeof(buf), &len), 0);
	cr_expect_eq(len, 5);
	cr_expect_eq(memcmp(buf, "three", 5), 0);

	const uint64_t digest = rig.tx->state.row_bytes;
	cr_expect_eq(txn("create /x 1\ncreate /y 2\ncheck /a/b 9\n"), -EAGAIN);
	cr_expect_eq(rig.out.line, 3);
	cr_expect_eq(ino_of(ROOT, "x"), 0);
	cr_expect_eq(rig.change_count, 0, "a refused transaction is no news");
	cr_expect(rig.tx->state.row_bytes < digest + 200);
}

RIG_TEST(apply, a_transactions_lines_are_refused_for_their_reasons)
{
	static const struct {
		const char *text;
		int want;
		uint32_t line;
	} cases[] = {
	    {"create", -EINVAL, 1},
	    {"frob /x", -EINVAL, 1},
	    {"check /d 1x", -EINVAL, 1},
	    {"create /d/../x", -EINVAL, 1},
	    {"create /x \\q", -EINVAL, 1},
	    {"\n\ncreate /.zkfs/x", -EPERM, 3},
	    {"delete /", -EBUSY, 1},
	    {"set /d v", -EISDIR, 1},
	    {"set /l v", -ELOOP, 1},
	    {"create /l/x v", -ELOOP, 1},
	    {"create /f/x v", -ENOTDIR, 1},
	    {"set /none v", -ENOENT, 1},
	    {"check /none *", -ENOENT, 1},
	    {"check /f -", -EEXIST, 1},
	    {"create /f v", -EEXIST, 1},
	    {"mkdir /d\n", -EEXIST, 1},
	    {"check / 0\ncheck /none -\ndelete /d", 0, 0},
	};

	cr_assert_eq(make(ROOT, "d", DIR_MODE), 0);
	cr_assert_eq(make(ROOT, "f", FILE_MODE), 0);
	cr_assert_eq(rig_apply((struct zk_command){
	                 .op = ZK_OP_CREATE,
	                 .ino = ROOT,
	                 .name = "l",
	                 .name_len = 1,
	                 .mode = S_IFLNK | 0777,
	                 .data = "d",
	                 .data_len = 1,
	             }),
	    0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_expect_eq(txn(cases[i].text), cases[i].want, "%s: %d",
		    cases[i].text, rig.out.rc);
		cr_expect_eq(rig.out.line, cases[i].line, "%s: line %u",
		    cases[i].text, rig.out.line);
	}
}

RIG_TEST(apply, a_transaction_respects_permissions)
{
	const uint32_t groups[] = {50};
	struct zk_command cmd = {
	    .op = ZK_OP_TXN,
	    .uid = 1000,
	    .gid = 1000,
	    .groups = groups,
	    .group_count = 1,
	};

	cr_assert_eq(make(ROOT, "d", DIR_MODE), 0);
	cr_assert_eq(make(ROOT, "f", FILE_MODE), 0);
	cmd.data = "create /d/x v";
	cmd.data_len = strlen(cmd.data);
	cr_expect_eq(rig_apply(cmd), -EACCES);
	cmd.data = "set /f v";
	cmd.data_len = strlen(cmd.data);
	cr_expect_eq(rig_apply(cmd), -EACCES);
	cr_assert_eq(rig_apply((struct zk_command){
	                 .op = ZK_OP_SETATTR,
	                 .flags = ZK_SET_MODE | ZK_SET_GID,
	                 .ino = ino_of(ROOT, "d"),
	                 .mode = 01775,
	                 .gid = 50,
	             }),
	    0);
	cmd.data = "create /d/x v";
	cmd.data_len = strlen(cmd.data);
	cr_expect_eq(rig_apply(cmd), 0);
	cr_assert_eq(make(ino_of(ROOT, "d"), "roots", FILE_MODE), 0);
	cmd.data = "delete /d/roots";
	cmd.data_len = strlen(cmd.data);
	cr_expect_eq(rig_apply(cmd), -EPERM, "the sticky bit");
}

#include "rig.h"

#include <linux/fs.h>

#include "base/err.h"

#define ROOT      ZK_INO_ROOT
#define FILE_MODE (S_IFREG | 0644)
#define DIR_MODE  (S_IFDIR | 0755)

/*
 * Each change that a command makes, as a word: kind, type, names left, place.
 * "+" create, "-" delete, ">" rename, "<>" exchange, "=" content, "@"
 * attributes; "!" not known to the kernel, "~" orphan.
 */
static char told[4096];
static uint64_t told_rev;
static uint32_t told_sub;

static void
watch(const struct zk_change *c)
{
	static const char *const kinds[] = {"+", "-", ">", "=", "@"};
	const size_t len = strlen(told);

	if (c->sub != 0) {
		cr_expect_eq(c->rev, told_rev);
		cr_expect_eq(c->sub, told_sub + 1);
	}
	told_rev = c->rev;
	told_sub = c->sub;
	(void)snprintf(told + len, sizeof(told) - len,
	    "%s%s%s%u:%llu/%.*s%s%.*s%s%s", len == 0 ? "" : " ",
	    c->exchange ? "<>" : kinds[c->kind], S_ISDIR(c->type) ? "d" : "f",
	    c->nlink, (unsigned long long)c->parent, (int)c->name_len,
	    c->name_len > 0 ? c->name : "", c->name2_len > 0 ? ">" : "",
	    (int)c->name2_len, c->name2_len > 0 ? c->name2 : "",
	    c->orphan ? "~" : "", c->known ? "" : "!");
}

static void
setup(void)
{
	rig_setup();
	rig.watch = watch;
	told[0] = '\0';
}

TestSuite(change, .init = setup, .fini = rig_teardown);

/* What has been told since the last look. */
static void
expect(const char *want)
{
	cr_expect_str_eq(told, want);
	told[0] = '\0';
}

static int
link_to(uint64_t ino, uint64_t dir, const char *name)
{
	return rig_apply((struct zk_command){
	    .op = ZK_OP_LINK,
	    .ino = dir,
	    .ino2 = ino,
	    .name = name,
	    .name_len = strlen(name),
	});
}

RIG_TEST(change, every_command_tells_exactly_what_it_did)
{
	uint64_t f;

	cr_assert_eq(make(ROOT, "d", DIR_MODE), 0);
	expect("+d2:1/d");
	cr_assert_eq(make(2, "f", FILE_MODE), 0);
	f = rig.out.attr.ino;
	expect("+f1:2/f");
	cr_assert_eq(write_at(f, 0, 0, "x", 1), 0);
	expect("=f1:2/f");
	cr_assert_eq(rig_apply((struct zk_command){
	                 .op = ZK_OP_SETATTR,
	                 .flags = ZK_SET_MODE,
	                 .ino = f,
	                 .mode = 0600,
	             }),
	    0);
	expect("@f1:2/f");
	cr_assert_eq(move_to(2, "f", ROOT, "g", 0), 0);
	expect(">f1:2/f>g");
	cr_assert_eq(write_at(f, 0, 0, "y", 1), 0);
	expect("=f1:1/g");
	cr_assert_eq(remove_at(ROOT, "g", false), 0);
	expect("-f0:1/g~");
	cr_assert_eq(write_at(f, 0, 0, "z", 1), 0);
	expect("=f0:1/");
	cr_assert_eq(remove_at(ROOT, "d", true), 0);
	expect("-d0:1/d~");
}

RIG_TEST(change, what_is_refused_tells_nothing)
{
	cr_assert_eq(make(ROOT, "d", DIR_MODE), 0);
	cr_assert_eq(make(2, "f", FILE_MODE), 0);
	told[0] = '\0';
	cr_expect_eq(make(ROOT, "d", DIR_MODE), -EEXIST);
	cr_expect_eq(remove_at(ROOT, "d", true), -ENOTEMPTY);
	cr_expect_eq(remove_at(ROOT, "x", false), -ENOENT);
	cr_expect_eq(move_to(2, "f", ROOT, "d", 0), -EISDIR);
	cr_expect_eq(move_to(ROOT, "d", 2, "x", 0), -EINVAL);
	cr_expect_eq(move_to(2, "f", 2, "f", 0), 0);
	expect("");
}

RIG_TEST(change, a_rename_tells_what_it_replaced_or_exchanged)
{
	cr_assert_eq(make(ROOT, "a", FILE_MODE), 0);
	cr_assert_eq(make(ROOT, "b", FILE_MODE), 0);
	told[0] = '\0';
	cr_assert_eq(move_to(ROOT, "a", ROOT, "b", RENAME_EXCHANGE), 0);
	expect("<>f1:1/a>b");
	cr_assert_eq(move_to(ROOT, "a", ROOT, "b", 0), 0);
	expect(">f1:1/a>b~");
}

RIG_TEST(change, a_file_with_several_names_tells_one_that_it_has)
{
	uint64_t f;

	cr_assert_eq(make(ROOT, "a", FILE_MODE), 0);
	f = rig.out.attr.ino;
	cr_assert_eq(link_to(f, ROOT, "b"), 0);
	cr_assert_eq(link_to(f, ROOT, "c"), 0);
	expect("+f1:1/a +f2:1/b +f3:1/c");
	cr_assert_eq(remove_at(ROOT, "c", false), 0);
	cr_assert_eq(write_at(f, 0, 0, "x", 1), 0);
	expect("-f2:1/c =f2:1/a");
	cr_assert_eq(move_to(ROOT, "a", ROOT, "e", 0), 0);
	cr_assert_eq(write_at(f, 0, 0, "x", 1), 0);
	expect(">f2:1/a>e =f2:1/e");
	cr_assert_eq(remove_at(ROOT, "e", false), 0);
	cr_assert_eq(write_at(f, 0, 0, "x", 1), 0);
	expect("-f1:1/e =f1:1/b");
	cr_assert_eq(link_to(f, ROOT, "a"), 0);
	cr_assert_eq(make(ROOT, "n", FILE_MODE), 0);
	told[0] = '\0';
	cr_assert_eq(move_to(ROOT, "n", ROOT, "a", 0), 0);
	cr_assert_eq(write_at(f, 0, 0, "x", 1), 0);
	expect(">f1:1/n>a =f1:1/b");
}

RIG_TEST(change, what_happens_on_the_side_is_not_known_to_the_kernel)
{
	uint64_t old = rig.session;

	cr_assert_eq(rig_apply((struct zk_command){
	                 .op = ZK_OP_CREATE,
	                 .flags = ZK_F_EPHEMERAL,
	                 .ino = ROOT,
	                 .name = "e",
	                 .name_len = 1,
	                 .mode = FILE_MODE,
	                 .handle = 5,
	             }),
	    0);
	expect("+f1:1/e");
	rig.session = rig_open_session("other", 1);
	cr_assert_eq(rig_apply((struct zk_command){
	                 .op = ZK_OP_SESSION_END,
	                 .ino = old,
	             }),
	    0);
	expect("-f0:1/e~!");
	cr_assert_eq(rig_apply((struct zk_command){
	                 .op = ZK_OP_TXN,
	                 .data = "mkdir /d\ncreate /d/f v\n",
	                 .data_len = 23,
	             }),
	    0);
	expect("+d2:1/d! +f1:3/f! =f1:3/f!");
}

#include "rig.h"

#include <linux/fs.h>

#include "base/err.h"
#include "base/past.h"
#include "store/history.h"

#define ROOT      ZK_INO_ROOT
#define FILE_MODE (S_IFREG | 0644)
#define DIR_MODE  (S_IFDIR | 0755)

/* The whole history as text, a change a line; stops after `limit` changes. */
static char text[262144];
static size_t limit;
static struct zk_past_reader reader;

static bool
note(void *arg, const struct zk_past *past)
{
	static const char *const kinds[] = {"create", "delete", "rename",
	    "modify", "attrib"};
	const size_t len = strlen(text);

	(void)arg;
	if (limit-- == 0)
		return false;
	if (!zk_past_may_see(&past->at, &reader))
		return true;
	(void)snprintf(text + len, sizeof(text) - len, "%s %.*s%s%.*s %.*s\n",
	    past->exchange ? "exchange" : kinds[past->kind],
	    (int)past->at.path_len, past->at.path_len > 0 ? past->at.path : "",
	    past->to.path_len > 0 ? ">" : "", (int)past->to.path_len,
	    past->to.path_len > 0 ? past->to.path : "", (int)past->host_len,
	    past->host);
	return true;
}

static int
read_from(uint64_t rev, size_t at_most)
{
	struct zk_past_at at = {rev, 0};

	text[0] = '\0';
	limit = at_most;
	return zk_history_read(rig.tx, &at, UINT32_MAX, note, NULL);
}

static void
expect(const char *want)
{
	cr_assert_eq(read_from(1, SIZE_MAX), 0);
	cr_expect_str_eq(text, want);
}

static int
mode_of(uint64_t ino, uint32_t mode)
{
	return rig_apply((struct zk_command){
	    .op = ZK_OP_SETATTR,
	    .flags = ZK_SET_MODE,
	    .ino = ino,
	    .mode = mode,
	});
}

static int
owner_of(uint64_t ino, uint32_t uid, uint32_t gid)
{
	return rig_apply((struct zk_command){
	    .op = ZK_OP_SETATTR,
	    .flags = ZK_SET_UID | ZK_SET_GID,
	    .ino = ino,
	    .uid = uid,
	    .gid = gid,
	});
}

static void
setup(void)
{
	rig_setup();
	reader = (struct zk_past_reader){.uid = 0};
}

TestSuite(history, .init = setup, .fini = rig_teardown);

RIG_TEST(history, paths_are_those_of_the_moment)
{
	uint64_t d, f;

	cr_assert_eq(make(ROOT, "d", DIR_MODE), 0);
	d = rig.out.attr.ino;
	cr_assert_eq(make(d, "f", FILE_MODE), 0);
	f = rig.out.attr.ino;
	cr_assert_eq(write_at(f, 0, 0, "x", 1), 0);
	cr_assert_eq(move_to(ROOT, "d", ROOT, "e", 0), 0);
	cr_assert_eq(write_at(f, 0, 0, "y", 1), 0);
	cr_assert_eq(make(ROOT, "g", FILE_MODE), 0);
	cr_assert_eq(move_to(d, "f", ROOT, "g", RENAME_EXCHANGE), 0);
	cr_assert_eq(remove_at(ROOT, "g", false), 0);
	cr_assert_eq(write_at(f, 0, 0, "z", 1), 0);
	cr_assert_eq(mode_of(ROOT, 0755), 0);
	expect("create /d test\ncreate /d/f test\nmodify /d/f test\n"
	       "rename /d>/e test\nmodify /e/f test\ncreate /g test\n"
	       "exchange /e/f>/g test\ndelete /g test\nmodify  test\n"
	       "attrib / test\n");
}

RIG_TEST(history, who_may_not_list_a_directory_learns_no_names)
{
	uint64_t d, e;

	cr_assert_eq(make(ROOT, "d", DIR_MODE), 0);
	d = rig.out.attr.ino;
	cr_assert_eq(make(d, "e", DIR_MODE), 0);
	e = rig.out.attr.ino;
	cr_assert_eq(owner_of(d, 7, 8), 0);
	cr_assert_eq(mode_of(d, 0710), 0);
	cr_assert_eq(make(d, "1", FILE_MODE), 0);
	cr_assert_eq(make(e, "2", FILE_MODE), 0);
	cr_assert_eq(mode_of(d, 0077), 0);
	cr_assert_eq(make(d, "3", FILE_MODE), 0);
#define OPEN                                                                   \
	"create /d test\ncreate /d/e test\nattrib /d test\nattrib /d test\n"
	reader.uid = 9;
	expect(OPEN "attrib /d test\ncreate /d/3 test\n");
	/* The group may pass, and list what is open below. */
	reader.gid = 8;
	expect(OPEN "create /d/e/2 test\nattrib /d test\ncreate /d/3 test\n");
	reader.gid = 0;
	reader.groups = (const uint32_t[]){3, 8};
	reader.group_count = 2;
	expect(OPEN "create /d/e/2 test\nattrib /d test\ncreate /d/3 test\n");
	/* The owner's bits are his, whatever others may do. */
	reader = (struct zk_past_reader){.uid = 7};
	expect(OPEN "create /d/1 test\ncreate /d/e/2 test\nattrib /d test\n");
	reader.uid = 0;
	expect(OPEN "create /d/1 test\ncreate /d/e/2 test\nattrib /d test\n"
	            "create /d/3 test\n");
}

static bool
count_one(void *arg, const struct zk_past *past)
{
	struct zk_past_at *last = arg;

	/* In order, and none is left out within an entry. */
	if (past->rev == last->rev)
		cr_expect_eq(past->sub, last->sub + 1);
	else
		cr_expect(past->rev > last->rev);
	if (past->rev != last->rev)
		cr_expect_eq(past->sub, 0);
	*last = (struct zk_past_at){past->rev, past->sub};
	return limit-- > 1;
}

/* More changes by one entry than a row holds; read a few at a time. */
RIG_TEST(history, a_large_entry_is_read_in_pieces)
{
	struct zk_past_at at = {1, 0}, last = {0, 0};
	struct zk_command cmd = {
	    .op = ZK_OP_CREATE,
	    .flags = ZK_F_EPHEMERAL,
	    .ino = ROOT,
	    .mode = FILE_MODE,
	};
	const uint64_t old = rig.session;
	uint64_t count = 0;
	char name[64];

	for (uint64_t i = 1; i <= 1500; i++) {
		cmd.name_len = (size_t)snprintf(name, sizeof(name),
		    "an-ephemeral-with-a-rather-long-name-%05u", (unsigned)i);
		cmd.name = name;
		cmd.handle = i;
		cr_assert_eq(rig_apply(cmd), 0);
	}
	rig.session = rig_open_session("other", 1);
	cr_assert_eq(rig_apply((struct zk_command){
	                 .op = ZK_OP_SESSION_END,
	                 .ino = old,
	             }),
	    0);
	while (at.rev <= rig.tx->state.applied_index) {
		const struct zk_past_at before = at;

		limit = 100;
		cr_assert_eq(
		    zk_history_read(rig.tx, &at, UINT32_MAX, count_one, &last),
		    0);
		cr_assert(at.rev > before.rev || at.sub > before.sub);
		count += 100 - limit;
		/* The one that was refused comes again. */
		if (at.rev <= rig.tx->state.applied_index) {
			count--;
			last = (struct zk_past_at){at.rev,
			    at.sub == 0 ? 0 : at.sub - 1};
			if (at.sub == 0)
				last.rev--;
		}
	}
	cr_expect_eq(count, 3000);
	/* Told as the end of that host's session, not of who noticed it. */
	cr_assert_eq(read_from(rig.tx->state.applied_index, 1), 0);
	cr_expect_str_eq(text,
	    "delete /an-ephemeral-with-a-rather-long-name-00001 test\n");
}

RIG_TEST(history, what_is_forgotten_is_told)
{
	const struct zk_history_limits all = {1u << 20, 1u << 30},
	                               few = {1000, 1u << 30},
	                               small = {1u << 20, 20000};
	struct zk_past_at at = {1, 0};
	uint64_t f;

	cr_assert_eq(make(ROOT, "f", FILE_MODE), 0);
	f = rig.out.attr.ino;
	for (int i = 0; i < 1200; i++)
		cr_assert_eq(write_at(f, 0, 0, "x", 1), 0);
	cr_assert_eq(zk_history_trim(rig.tx, &all), 0);
	cr_expect_eq(read_from(1, SIZE_MAX), 0);
	cr_assert_eq(zk_history_trim(rig.tx, &few), 0);
	cr_expect_eq(read_from(1, SIZE_MAX), -ENODATA);
	/* 256 rows are gone, from the entry after the session's on. */
	cr_expect_eq(read_from(2 + 255, SIZE_MAX), -ENODATA);
	cr_expect_eq(read_from(2 + 256, SIZE_MAX), 0);
	cr_assert_eq(zk_history_trim(rig.tx, &few), 0);
	cr_expect_eq(read_from(2 + 256, SIZE_MAX), 0);
	for (int i = 0; i < 5; i++)
		cr_assert_eq(zk_history_trim(rig.tx, &small), 0);
	cr_expect_eq(read_from(2 + 256, SIZE_MAX), -ENODATA);
	at.rev = rig.tx->state.applied_index + 1;
	cr_expect_eq(zk_history_read(rig.tx, &at, UINT32_MAX, note, NULL), 0);
	cr_assert_eq(zk_history_restart(rig.tx, at.rev - 1), 0);
	cr_expect_eq(zk_history_read(rig.tx, &at, UINT32_MAX, note, NULL), 0);
	at.rev--;
	cr_expect_eq(zk_history_read(rig.tx, &at, UINT32_MAX, note, NULL),
	    -ENODATA);
}

RIG_TEST(history, a_path_that_is_too_long_is_roots_to_see)
{
	char name[201];
	uint64_t dir = ROOT;

	memset(name, 'n', 200);
	name[200] = '\0';
	for (int i = 0; i < 25; i++) {
		cr_assert_eq(make(dir, name, DIR_MODE), 0);
		dir = rig.out.attr.ino;
	}
	cr_assert_eq(read_from(rig.tx->state.applied_index, SIZE_MAX), 0);
	cr_expect_str_eq(text, "create  test\n");
	reader.uid = 5;
	cr_assert_eq(read_from(rig.tx->state.applied_index, SIZE_MAX), 0);
	cr_expect_str_eq(text, "");
}

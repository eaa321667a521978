#include <criterion/criterion.h>
#include <string.h>
#include <sys/stat.h>

#include "base/past.h"
#include "fs/events_line.h"

static char line[ZK_EVENTS_LINE_MAX];
static uint8_t closed[ZK_PAST_GUARD_BYTES];
static const struct zk_past_reader root = {.uid = 0}, user = {.uid = 5};

static struct zk_past_place
place(const char *path, bool hidden)
{
	zk_past_guard(closed, 1, 1, 0700, true);
	return (struct zk_past_place){
	    .path = path,
	    .path_len = strlen(path),
	    .guards = closed,
	    .guard_count = hidden ? 1 : 0,
	};
}

static struct zk_past
past(enum zk_change_kind kind, const char *path, bool hidden)
{
	return (struct zk_past){
	    .kind = kind,
	    .rev = 7,
	    .sub = 1,
	    .time = {1, 5},
	    .session = 3,
	    .host = "z1",
	    .host_len = 2,
	    .ino = 9,
	    .type = S_IFREG,
	    .nlink = 1,
	    .at = place(path, hidden),
	};
}

static void
expect(const struct zk_past *what, const struct zk_past_reader *who,
    const char *want)
{
	const size_t len = zk_events_line(what, who, line);

	line[len] = '\0';
	cr_expect_str_eq(line, want);
}

#define HEAD "{\"rev\":7,\"sub\":1,\"time\":\"1970-01-01T00:00:01.000000005Z\","
#define TAIL "\"type\":\"file\",\"ino\":9,\"session\":3,\"host\":\"z1\"}\n"

Test(events_line, a_change_is_a_line)
{
	const struct zk_past p = past(ZK_CHANGE_MODIFY, "/a/b", false);

	expect(&p, &user, HEAD "\"op\":\"modify\",\"path\":\"/a/b\"," TAIL);
}

Test(events_line, every_byte_can_be_had_back)
{
	const struct zk_past p = past(ZK_CHANGE_CREATE,
	    "/\"\\\n\x7f\xc3\xa9\xff\xc3\xe2\x82\xac\xed\xa0\x80\xf0\x9f\x98"
	    "\x80",
	    false);

	expect(&p, &user,
	    HEAD "\"op\":\"create\",\"path\":\"/\\\"\\\\\\u000a\\u007f\xc3\xa9"
	         "\\udcff\\udcc3\xe2\x82\xac\\udced\\udca0\\udc80"
	         "\xf0\x9f\x98\x80\"," TAIL);
}

Test(events_line, the_longest_path_fits)
{
	static char path[ZK_PAST_PATH_MAX + 1];
	struct zk_past p;

	memset(path, '\xff', sizeof(path) - 1);
	path[0] = '/';
	p = past(ZK_CHANGE_RENAME, path, false);
	p.to = p.at;
	p.ino2 = UINT64_MAX;
	p.rev = p.session = p.ino = UINT64_MAX;
	cr_expect(zk_events_line(&p, &root, line) > 12ul * 4094);
}

Test(events_line, a_hidden_place_is_not_told)
{
	struct zk_past p = past(ZK_CHANGE_DELETE, "/s/x", true);

	expect(&p, &user, "");
	expect(&p, &root, HEAD "\"op\":\"delete\",\"path\":\"/s/x\"," TAIL);
	p.at.guard_count = ZK_PAST_ROOT_ONLY;
	p.at.path_len = 0;
	expect(&p, &user, "");
	expect(&p, &root, HEAD "\"op\":\"delete\",\"path\":null," TAIL);
}

Test(events_line, of_a_rename_the_end_is_told_that_may_be_seen)
{
	struct zk_past p = past(ZK_CHANGE_RENAME, "/s/x", true);

	p.to = place("/y", false);
	p.ino2 = 12;
	p.type2 = S_IFDIR;
	expect(&p, &user, HEAD "\"op\":\"create\",\"path\":\"/y\"," TAIL);
	expect(&p, &root,
	    HEAD "\"op\":\"rename\",\"path\":\"/s/x\",\"to\":\"/y\","
	         "\"replaced\":12," TAIL);
	p.at = place("/y", false);
	p.to = place("/s/x", true);
	expect(&p, &user, HEAD "\"op\":\"delete\",\"path\":\"/y\"," TAIL);
	p.exchange = true;
	expect(&p, &user,
	    HEAD "\"op\":\"create\",\"path\":\"/y\",\"type\":\"directory\","
	         "\"ino\":12,\"session\":3,\"host\":\"z1\"}\n");
	p.to = place("/s/x", false);
	expect(&p, &user,
	    HEAD "\"op\":\"exchange\",\"path\":\"/y\",\"to\":\"/s/x\","
	         "\"ino2\":12," TAIL);
}

Test(events_line, only_proper_names_have_a_revision)
{
	uint64_t rev = 77;

	cr_expect(zk_events_parse("events@0", &rev) && rev == 0);
	cr_expect(zk_events_parse("events@4611686018427387903", &rev));
	cr_expect(rev == ZK_EVENTS_REV_MAX);
	cr_expect_not(zk_events_parse("events@4611686018427387904", &rev));
	cr_expect_not(zk_events_parse("events@99999999999999999999999", &rev));
	cr_expect_not(zk_events_parse("events@18446744073709551616", &rev));
	cr_expect_not(zk_events_parse("events@184467440737095516161", &rev));
	cr_expect_not(zk_events_parse("events@", &rev));
	cr_expect_not(zk_events_parse("events@01", &rev));
	cr_expect_not(zk_events_parse("events@-1", &rev));
	cr_expect_not(zk_events_parse("events@1x", &rev));
	cr_expect_not(zk_events_parse("events", &rev));
}

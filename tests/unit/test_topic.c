#include "base/codec.h"
#include "consensus/msg_codec.h"
#include "store/group_row.h"
#include "store/placement.h"
#include "store/read.h"
#include "store/topic.h"
#include "store_rig.h"

#include <linux/fs.h>
#include <sys/stat.h>

static uint64_t session, topics;

static void
set_members(uint32_t count)
{
	uint8_t buf[ZK_CONF_WIRE_MAX];
	struct zk_conf conf = {.count = count};
	struct zk_enc enc;
	const struct zk_apply_sink sink = {
	    .change = rig_sink_change,
	    .answer = rig_sink_answer,
	};
	struct zk_entry entry = {
	    .index = rig.index + 1,
	    .term = 1,
	    .kind = ZK_PAYLOAD_CONFIG,
	    .time = {.sec = 1000000000 + (int64_t)rig.index},
	    .payload = buf,
	};

	conf.voter_bits = (1u << count) - 1;
	for (uint32_t i = 0; i < count; i++)
		conf.ids[i] = 100 + i;
	zk_enc_init(&enc, buf, sizeof(buf));
	zk_conf_encode(&enc, &conf);
	entry.payload_len = enc.len;
	cr_assert_eq(zk_apply(rig.tx, &entry, &sink), 0);
	rig.index++;
}

static int
command(const struct zk_command *cmd, struct zk_outcome *ret_out)
{
	struct zk_command mine = *cmd;
	const struct zk_outcome *out;

	mine.session = session;
	out = rig_apply(&mine);
	CHECK(out != NULL, "no answer");
	if (ret_out != NULL)
		*ret_out = *out;
	return out->rc;
}

static int
make_dir(uint64_t parent, const char *name, uint64_t *ret_ino)
{
	const struct zk_command cmd = {
	    .op = ZK_OP_CREATE,
	    .ino = parent,
	    .mode = S_IFDIR | 0755,
	    .name = name,
	    .name_len = strlen(name),
	};
	struct zk_outcome out;
	int rc = command(&cmd, &out);

	if (rc == 0 && ret_ino != NULL)
		*ret_ino = out.attr.ino;
	return rc;
}

static int
removal(enum zk_op op, uint64_t parent, const char *name)
{
	const struct zk_command cmd = {
	    .op = op,
	    .ino = parent,
	    .name = name,
	    .name_len = strlen(name),
	};

	return command(&cmd, NULL);
}

static int
write_text(uint64_t ino, const char *text, uint32_t flags)
{
	const struct zk_command cmd = {
	    .op = ZK_OP_WRITE,
	    .flags = flags,
	    .ino = ino,
	    .handle = 77,
	    .data = text,
	    .data_len = strlen(text),
	};

	return command(&cmd, NULL);
}

static uint64_t
find(uint64_t parent, const char *name)
{
	struct zk_attr attr;
	int rc = zk_read_lookup(rig.tx, parent, name, strlen(name), &attr);

	return rc == 0 ? attr.ino : 0;
}

static void
expect_text(uint64_t ino, const char *want)
{
	char buf[512];
	size_t len = 0;

	cr_assert_eq(
	    zk_read_content(rig.tx, ino, 0, buf, sizeof(buf) - 1, &len), 0);
	buf[len] = '\0';
	cr_assert_str_eq(buf, want);
}

static void
init(void)
{
	rig_init();
	rig_begin();
	session = rig_session("z1");
	cr_assert_eq(make_dir(ZK_INO_ROOT, "topics", &topics), 0);
	set_members(3);
}

static void
fini(void)
{
	rig_verify();
	rig_fini();
}

TestSuite(topic, .init = init, .fini = fini);

Test(topic, making_a_directory_makes_its_files)
{
	static const char *const names[] = {"config", "p0", "by-key", "any",
	    "groups"};
	uint64_t topic;

	cr_assert_eq(make_dir(topics, "messages", &topic), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		cr_expect_neq(find(topic, names[i]), 0, "%s", names[i]);
	expect_text(find(topic, "config"),
	    "partitions=1\nreplicas=3\nretention.time=7d\n"
	    "retention.bytes=none\nmax.record=1044480\nmax.deliveries=5\n");
}

Test(topic, the_directory_of_topics_stays_where_it_is)
{
	const struct zk_command move = {
	    .op = ZK_OP_RENAME,
	    .ino = ZK_INO_ROOT,
	    .ino2 = ZK_INO_ROOT,
	    .name = "topics",
	    .name_len = 6,
	    .name2 = "other",
	    .name2_len = 5,
	};

	cr_expect_eq(removal(ZK_OP_RMDIR, ZK_INO_ROOT, "topics"), -EBUSY);
	cr_expect_eq(command(&move, NULL), -EBUSY);
}

Test(topic, its_files_cannot_be_made_or_removed_by_hand)
{
	struct zk_command file = {
	    .op = ZK_OP_CREATE,
	    .ino = topics,
	    .mode = S_IFREG | 0644,
	    .name = "file",
	    .name_len = 4,
	};
	uint64_t topic;

	cr_assert_eq(make_dir(topics, "t", &topic), 0);
	cr_expect_eq(command(&file, NULL), -EPERM);
	file.ino = topic;
	cr_expect_eq(command(&file, NULL), -EPERM);
	cr_expect_eq(make_dir(topic, "dir", NULL), -EPERM);
	cr_expect_eq(removal(ZK_OP_UNLINK, topic, "p0"), -EPERM);
	cr_expect_eq(removal(ZK_OP_RMDIR, topic, "groups"), -EPERM);
	cr_expect_eq(write_text(find(topic, "p0"), "x\n", 0), -EPERM);
}

Test(topic, it_is_renamed_within_topics_alone)
{
	struct zk_command move = {
	    .op = ZK_OP_RENAME,
	    .ino = topics,
	    .ino2 = topics,
	    .name = "a",
	    .name_len = 1,
	    .name2 = "b",
	    .name2_len = 1,
	};
	uint64_t topic;

	cr_assert_eq(make_dir(topics, "a", &topic), 0);
	cr_expect_eq(command(&move, NULL), 0);
	cr_expect_eq(find(topics, "b"), topic);
	move.name = "b";
	move.ino2 = ZK_INO_ROOT;
	cr_expect_eq(command(&move, NULL), -EPERM);
	move.mode = RENAME_EXCHANGE;
	move.name2 = "topics";
	move.name2_len = 6;
	cr_expect_eq(command(&move, NULL), -EPERM);
}

Test(topic, removing_it_takes_everything_along)
{
	const uint64_t before = rig.tx->state.nodes;
	struct zk_partition p;
	uint64_t topic, groups;

	cr_assert_eq(make_dir(topics, "t", &topic), 0);
	groups = find(topic, "groups");
	cr_assert_eq(write_text(find(topic, "config"), "partitions=9\n", 0), 0);
	cr_assert_eq(make_dir(groups, "g", NULL), 0);
	cr_expect_eq(removal(ZK_OP_RMDIR, topics, "t"), -ENOTEMPTY);
	cr_expect_eq(removal(ZK_OP_RMDIR, groups, "g"), 0);
	cr_expect_eq(removal(ZK_OP_RMDIR, topics, "t"), 0);
	cr_expect_eq(find(topics, "t"), 0);
	cr_expect_eq(zk_partition_next(rig.tx, 0, 0, &p), -ENOENT);
	/* Whoever has one of them open holds it, but no longer. */
	rig_verify();
	cr_assert_eq(command(&(struct zk_command){.op = ZK_OP_SESSION_END,
	                         .ino = session},
	                 NULL),
	    0);
	cr_expect_eq(rig.tx->state.nodes, before);
}

Test(topic, settings_change_by_line_or_not_at_all)
{
	uint64_t topic, config;

	cr_assert_eq(make_dir(topics, "t", &topic), 0);
	config = find(topic, "config");
	cr_expect_eq(write_text(config,
	                 "partitions=3\nretention.time=90m\n"
	                 "retention.bytes=1G\n",
	                 0),
	    0);
	expect_text(config,
	    "partitions=3\nreplicas=3\nretention.time=90m\n"
	    "retention.bytes=1G\nmax.record=1044480\nmax.deliveries=5\n");
	cr_expect_neq(find(topic, "p2"), 0);
	cr_expect_eq(find(topic, "p3"), 0);
	cr_expect_eq(write_text(config, "partitions=4\nretention.time=x\n", 0),
	    -EINVAL);
	cr_expect_eq(find(topic, "p3"), 0);
	cr_expect_eq(write_text(config, "partitions=2\n", 0), -EINVAL);
	/* A shell's > sets just what it says, too. */
	cr_expect_eq(write_text(config, "max.record=100", ZK_F_TRUNCATE), 0);
	expect_text(config,
	    "partitions=3\nreplicas=3\nretention.time=90m\n"
	    "retention.bytes=1G\nmax.record=100\nmax.deliveries=5\n");
}

static const char *const bad_lines[] = {"partitions",
    "partitions=", "partitions=0", "partitions=1025", "partitions=1 ",
    " partitions=1", "partitions=+1", "partitions=99999999999999999999",
    "replicas=0", "replicas=8", "retention.time=0", "retention.time=-1",
    "retention.time=1w2", "retention.time=99999999999d", "retention.bytes=1X",
    "retention.bytes=", "max.record=0", "max.record=none", "max.record=2M",
    "max.deliveries=0", "=1", "nonsense=1", "partitions=2\npartitions=1"};

Test(topic, bad_lines_are_refused)
{
	struct zk_topic_config config, before;

	zk_topic_config_init(&config);
	before = config;
	for (size_t i = 0; i < sizeof(bad_lines) / sizeof(bad_lines[0]); i++) {
		cr_expect_eq(zk_topic_config_apply(&config, bad_lines[i],
		                 strlen(bad_lines[i])),
		    -EINVAL, "%s", bad_lines[i]);
		cr_expect_eq(memcmp(&config, &before, sizeof(config)), 0);
	}
	cr_expect_eq(zk_topic_config_apply(&config, "partitions=1\0", 13),
	    -EINVAL);
	cr_expect_eq(zk_topic_config_apply(&config, "\n# fine\n", 8), 0);
}

/* What the members keep and lead, over all partitions. */
static void
count_all(uint32_t members, unsigned kept[8], unsigned led[8])
{
	struct zk_partition p = {.topic = 0};

	memset(kept, 0, 8 * sizeof(*kept));
	memset(led, 0, 8 * sizeof(*led));
	while (zk_partition_next(rig.tx, p.topic, p.number, &p) == 0) {
		for (uint32_t i = 0; i < p.replica_count; i++) {
			CHECK(p.replicas[i] - 100 < members, "not a member");
			for (uint32_t j = 0; j < i; j++)
				CHECK(p.replicas[i] != p.replicas[j], "twice");
			kept[p.replicas[i] - 100]++;
		}
		led[p.replicas[0] - 100]++;
		p.number++;
	}
}

static void
expect_even(uint32_t members, unsigned kept_each, unsigned led_each)
{
	unsigned kept[8], led[8];

	count_all(members, kept, led);
	for (uint32_t i = 0; i < members; i++) {
		cr_expect(kept[i] + 1 >= kept_each && kept[i] <= kept_each + 1,
		    "member %u of %u keeps %u", i, members, kept[i]);
		cr_expect(led[i] + 2 >= led_each && led[i] <= led_each + 2,
		    "member %u of %u leads %u", i, members, led[i]);
	}
}

Test(topic, partitions_are_spread_over_the_members)
{
	uint64_t topic;

	cr_assert_eq(make_dir(topics, "t", &topic), 0);
	cr_assert_eq(write_text(find(topic, "config"), "partitions=12\n", 0),
	    0);
	expect_even(3, 12, 4);
	set_members(5);
	expect_even(5, 7, 2);
	set_members(4);
	expect_even(4, 9, 3);
	set_members(2);
	expect_even(2, 12, 6);
	set_members(3);
	expect_even(3, 12, 4);
	cr_assert_eq(write_text(find(topic, "config"), "replicas=1\n", 0), 0);
	expect_even(3, 4, 4);
}

Test(topic, founders_do_not_change_with_the_replicas)
{
	struct zk_partition before, after;
	uint64_t topic;

	cr_assert_eq(make_dir(topics, "t", &topic), 0);
	cr_assert_eq(zk_partition_get(rig.tx, topic, 0, &before), 0);
	set_members(2);
	cr_assert_eq(zk_partition_get(rig.tx, topic, 0, &after), 0);
	cr_expect_eq(after.replica_count, 2);
	cr_expect_eq(after.founder_count, 3);
	cr_expect_eq(
	    memcmp(before.founders, after.founders, sizeof(before.founders)),
	    0);
	cr_expect_neq(before.changed, after.changed);
}

#include <sys/stat.h>

#include "base/hash.h"
#include "store/table.h"
#include "store_rig.h"

static uint64_t seed, handles = 1000, accepted;

static uint64_t
draw(uint64_t below)
{
	return (zk_prng_next(&seed) >> 16) % below;
}

/*
 * Any command on anything that may be there.  Half of them are refused, and
 * none may leave a tree that does not hold together.
 */
static void
random_command(uint64_t sessions[2])
{
	static const char *const names[] = {"a", "b", "c", "d", "n-XXXXXXXXXX"};
	static const enum zk_op ops[] = {ZK_OP_CREATE, ZK_OP_CREATE,
	    ZK_OP_CREATE, ZK_OP_LINK, ZK_OP_UNLINK, ZK_OP_UNLINK, ZK_OP_RMDIR,
	    ZK_OP_RENAME, ZK_OP_RENAME, ZK_OP_RENAME, ZK_OP_SETATTR,
	    ZK_OP_WRITE, ZK_OP_WRITE, ZK_OP_FALLOCATE, ZK_OP_XATTR_SET,
	    ZK_OP_XATTR_REMOVE, ZK_OP_EPHEMERAL, ZK_OP_RELEASE, ZK_OP_LOCK,
	    ZK_OP_UNLOCK_OWNER};
	static const uint32_t types[] = {S_IFREG, S_IFREG, S_IFDIR, S_IFDIR,
	    S_IFLNK, S_IFIFO};
	static const uint32_t falloc[] = {0, 1, 3, 16};
	static uint8_t data[20000];
	const struct zk_outcome *out;
	const enum zk_op op = ops[draw(sizeof(ops) / sizeof(ops[0]))];
	struct zk_command cmd = {
	    .op = op,
	    .session = sessions[draw(2)],
	    .ino = 1 + draw(24),
	    .ino2 = 1 + draw(24),
	    .name = names[draw(5)],
	    .name2 = names[draw(4)],
	    .name2_len = 1,
	    .handle = 1 + draw(6),
	    .owner = draw(3),
	    .off = draw(3) == 0 ? draw(30000) : draw(1500),
	    .lock_type = 1 + (uint32_t)draw(3),
	    .data = data,
	};

	cmd.name_len = strlen(cmd.name);
	/* An open file is opened once, by one. */
	if (op == ZK_OP_CREATE || op == ZK_OP_EPHEMERAL)
		cmd.handle = ++handles;
	else if (op == ZK_OP_RELEASE)
		cmd.handle = handles - draw(30);
	if (op == ZK_OP_CREATE) {
		cmd.mode = types[draw(6)] | 0644;
		cmd.data_len = S_ISLNK(cmd.mode) ? 1 + draw(100) : 0;
		cmd.flags = draw(4) == 0 ? ZK_F_EPHEMERAL : 0;
	} else if (op == ZK_OP_RENAME) {
		cmd.mode = (uint32_t)draw(3);
	} else if (op == ZK_OP_SETATTR) {
		cmd.flags = draw(2) ? ZK_SET_SIZE : ZK_SET_MODE;
	} else if (op == ZK_OP_WRITE) {
		cmd.flags = (draw(4) == 0 ? ZK_F_TRUNCATE : 0) |
		    (draw(3) == 0 ? ZK_F_APPEND : 0);
		cmd.data_len = draw(2) ? draw(1200) : draw(sizeof(data));
	} else if (op == ZK_OP_FALLOCATE) {
		cmd.mode = falloc[draw(4)];
		cmd.len = 1 + draw(20000);
	} else if (op == ZK_OP_LOCK) {
		cmd.flags =
		    (draw(2) ? ZK_F_WAIT : 0) | (draw(2) ? ZK_F_FLOCK : 0);
		cmd.len = draw(100);
	} else if (op == ZK_OP_XATTR_SET) {
		cmd.data_len = draw(50);
	}
	/* The last node seen is the newest: let the numbers follow it. */
	if (rig.tx->state.ino_next > 24) {
		cmd.ino += draw(2) * (rig.tx->state.ino_next - 25);
		cmd.ino2 += draw(2) * (rig.tx->state.ino_next - 25);
		if (draw(4) == 0)
			cmd.ino = ZK_INO_ROOT;
	}
	out = rig_apply(&cmd);
	accepted += out != NULL && out->rc == 0;
}

/* A mount has forgotten all nodes that have no name. */
static void
reap_all(uint64_t of_session)
{
	uint8_t inos[8 * ZK_REAP_MAX];
	struct zk_command cmd = {
	    .op = ZK_OP_REAP,
	    .session = of_session,
	    .data = inos,
	};
	struct zk_scan scan;
	struct zk_key from;

	zk_key_init(&from, ZK_TABLE_ORPHAN);
	CHECK(zk_scan_begin(rig.tx, &from, 1, &scan) == 0, "scan");
	while (cmd.data_len < sizeof(inos) && zk_scan_next(&scan) == 0) {
		for (size_t i = 0; i < 8; i++)
			inos[cmd.data_len + i] = scan.at.bytes[8 - i];
		cmd.data_len += 8;
	}
	zk_scan_end(&scan);
	(void)rig_apply(&cmd);
}

static void
random_life(uint64_t with_seed, int steps)
{
	uint64_t sessions[2];
	char name[16];

	seed = with_seed;
	rig_begin();
	for (unsigned int i = 0; i < 2; i++) {
		(void)snprintf(name, sizeof(name), "s%u", i);
		sessions[i] = rig_session(name);
	}
	for (int i = 0; i < steps; i++) {
		random_command(sessions);
		if (i % 50 == 0)
			rig_verify();
		if (i % 150 == 0)
			reap_all(sessions[draw(2)]);
		if (i % 333 == 0) {
			const uint64_t which = draw(2);
			const struct zk_command end = {
			    .op = ZK_OP_SESSION_END,
			    .ino = sessions[which],
			};

			(void)rig_send(&end);
			rig_verify();
			(void)snprintf(name, sizeof(name), "n%d", i);
			sessions[which] = rig_session(name);
		}
	}
	rig_verify();
	rig_commit();
}

TestSuite(verify_life, .init = rig_init, .fini = rig_fini);

Test(verify_life, random_lives_leave_good_trees)
{
	char *why = NULL;

	random_life(11, 6000);
	random_life(12, 6000);
	rig_close();
	cr_expect_eq(zk_verify_dir(rig.dir, &why), 0, "%s", why);
	cr_expect(accepted > 2000, "%d of 12000", (int)accepted);
	rig_open();
}

#ifndef ZK_TESTS_UNIT_STORE_RIG_H
#define ZK_TESTS_UNIT_STORE_RIG_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/command.h"
#include "store/apply.h"
#include "store/datadir.h"
#include "store/log.h"
#include "store/store.h"
#include "store/verify.h"

/*
 * A store in a directory of its own, and a state machine that is fed one
 * command after the other.  One per test: each test is its own process.
 */

#define RIG __attribute__((unused)) static

/* Criterion reports every check to its runner, which is slow: only failures. */
#define CHECK(cond, ...)                                                       \
	do {                                                                   \
		if (!(cond))                                                   \
			cr_assert(false, __VA_ARGS__);                         \
	} while (0)

#define RIG_ANSWERS_MAX 4096u

struct rig_answer {
	uint64_t session, number;
	struct zk_outcome outcome;
};

static struct rig {
	char dir[64];
	pid_t cleaner;
	int alive_fd; /* its other end tells the cleaner that we are gone */
	struct zk_store *store;
	struct zk_tx *tx; /* the write transaction, while one is open */
	uint64_t index;
	uint64_t number; /* of the last command sent */
	struct rig_answer answers[RIG_ANSWERS_MAX];
	size_t answer_count;
} rig;

RIG void
rig_path(char *buf, size_t cap, const char *name)
{
	(void)snprintf(buf, cap, "%s/%s", rig.dir, name);
}

RIG void
rig_open(void)
{
	const struct zk_store_options options = {
	    .dir = rig.dir,
	    .member = "z1",
	    .map_bytes = (size_t)256 << 20,
	    .journal_bytes = (size_t)256 << 10,
	    .seed = 7,
	};
	char *why = NULL;
	int rc = zk_store_open(&options, &why, &rig.store);

	cr_assert_eq(rc, 0, "%d: %s", rc, why);
}

RIG void
rig_close(void)
{
	if (rig.tx != NULL)
		zk_store_abort(rig.tx);
	rig.tx = NULL;
	zk_store_close(rig.store);
	rig.store = NULL;
}

RIG void
rig_begin(void)
{
	cr_assert_eq(zk_store_begin(rig.store, &rig.tx), 0);
}

RIG void
rig_commit(void)
{
	struct zk_tx *tx = rig.tx;

	rig.tx = NULL;
	cr_assert_eq(zk_store_commit(tx), 0);
}

RIG void
rig_remove(void)
{
	static const char *const names[] = {ZK_DATADIR_TREE, ZK_DATADIR_LOCK,
	    ZK_DATADIR_JOURNAL, ZK_DATADIR_PID, ZK_DATADIR_MAKING,
	    ZK_DATADIR_TOPICS, ZK_DATADIR_TOPICS_LOCK,
	    ZK_DATADIR_TOPICS_JOURNAL};
	char path[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		rig_path(path, sizeof(path), names[i]);
		(void)unlink(path);
	}
	(void)rmdir(rig.dir);
}

/*
 * Criterion ends a failing test on the spot.  So a child waits for the test's
 * end, however it comes, and removes the directory.
 */
RIG void
rig_start_cleaner(void)
{
	int fds[2];
	char byte;
	pid_t pid;

	CHECK(pipe2(fds, O_CLOEXEC) == 0, "pipe");
	pid = fork();
	if (pid == 0) {
		/* Criterion must hear nothing from this process. */
		(void)close(fds[1]);
		while (read(fds[0], &byte, 1) < 0 && errno == EINTR)
			;
		rig_remove();
		_exit(0);
	}
	CHECK(pid > 0, "fork");
	rig.cleaner = pid;
	(void)close(fds[0]);
	rig.alive_fd = fds[1];
}

/* A new store with a root. */
RIG void
rig_init(void)
{
	(void)snprintf(rig.dir, sizeof(rig.dir), "/tmp/zkfs-unit-XXXXXX");
	cr_assert_not_null(mkdtemp(rig.dir));
	rig_start_cleaner();
	rig_open();
	rig_begin();
	cr_assert_eq(zk_store_bootstrap(rig.tx,
	                 (struct zk_stamp){.sec = 1000000000}, 0, 0),
	    0);
	rig_commit();
}

RIG void
rig_fini(void)
{
	rig_close();
	(void)close(rig.alive_fd);
	while (waitpid(rig.cleaner, NULL, 0) < 0 && errno == EINTR)
		;
}

RIG void
rig_sink_change(void *arg, const struct zk_change *change)
{
	(void)arg;
	(void)change;
}

RIG void
rig_sink_answer(void *arg, uint64_t session, uint64_t number,
    const struct zk_outcome *outcome)
{
	(void)arg;
	CHECK(rig.answer_count < RIG_ANSWERS_MAX, "too many answers");
	rig.answers[rig.answer_count++] = (struct rig_answer){
	    .session = session,
	    .number = number,
	    .outcome = *outcome,
	};
}

/* The answer of a command that was answered since rig_apply() began. */
RIG const struct zk_outcome *
rig_answer(uint64_t session, uint64_t number)
{
	for (size_t i = 0; i < rig.answer_count; i++)
		if (rig.answers[i].session == session &&
		    rig.answers[i].number == number)
			return &rig.answers[i].outcome;
	return NULL;
}

/*
 * Apply one command as the next entry, in the open transaction.  Returns its
 * answer, or NULL when it waits; valid until the next call.
 */
RIG const struct zk_outcome *
rig_send(const struct zk_command *cmd)
{
	static const struct zk_apply_sink sink = {
	    .change = rig_sink_change,
	    .answer = rig_sink_answer,
	};
	static uint8_t buf[ZK_COMMAND_MAX];
	struct zk_entry entry = {
	    .index = rig.index + 1,
	    .term = 1,
	    .kind = ZK_PAYLOAD_COMMAND,
	    .time = {.sec = 1000000000 + (int64_t)rig.index},
	    .payload = buf,
	};

	int rc;

	rig.answer_count = 0;
	rc = zk_command_encode(cmd, buf, sizeof(buf), &entry.payload_len);
	CHECK(rc == 0, "encode: %d", rc);
	rc = zk_apply(rig.tx, &entry, &sink);
	CHECK(rc == 0, "apply: %d", rc);
	rig.index++;
	return rig_answer(cmd->session, cmd->number);
}

/* As rig_send(), under the next number. */
RIG const struct zk_outcome *
rig_apply(const struct zk_command *cmd)
{
	struct zk_command numbered = *cmd;

	numbered.number = ++rig.number;
	return rig_send(&numbered);
}

/* Opens a session of a member of that name; returns its id. */
RIG uint64_t
rig_session(const char *member)
{
	const struct zk_command cmd = {
	    .op = ZK_OP_SESSION_OPEN,
	    .handle = 1,
	    .name = member,
	    .name_len = strlen(member),
	};
	const struct zk_outcome *out = rig_send(&cmd);

	cr_assert_not_null(out);
	cr_assert_eq(out->rc, 0);
	return out->index;
}

/* Creates a file in the root; returns its inode number. */
RIG uint64_t
rig_file(uint64_t session, const char *name)
{
	const struct zk_command cmd = {
	    .op = ZK_OP_CREATE,
	    .session = session,
	    .ino = ZK_INO_ROOT,
	    .mode = 0100644,
	    .name = name,
	    .name_len = strlen(name),
	};
	const struct zk_outcome *out = rig_apply(&cmd);

	cr_assert_not_null(out);
	cr_assert_eq(out->rc, 0, "%d", out->rc);
	return out->attr.ino;
}

/* Everything in the open transaction makes sense. */
RIG void
rig_verify(void)
{
	struct zk_verify_report report;
	int rc = zk_verify(rig.tx, &report);

	CHECK(rc == 0, "%d: %s", rc, report.problem);
}

#endif

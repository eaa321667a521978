#include "base/err.h"
#include "base/hash.h"
#include "store/lock.h"
#include "store_rig.h"

#include <errno.h>

/*
 * The whole of locking against a twin that is too slow and too simple to be
 * wrong in the same way: a lock is a mode per byte and owner, a wait is a line
 * in a list, and every rule is a loop over all of them.
 */
#define FILES    2u
#define SESSIONS 2u
#define OWNERS   3u /* of each session and kind */
#define BYTES    5u /* the last one: all that follow */
#define WAITS    64u

/* One owner: session s, owner o, kind k. */
struct who {
	unsigned int s, o, k;
};

struct wait {
	bool there;
	unsigned int f;
	struct who who;
	unsigned int first, last;
	uint32_t mode;
	uint64_t number;
};

static struct twin {
	uint32_t mode[FILES][2][SESSIONS][OWNERS][BYTES];
	struct wait waits[WAITS]; /* oldest first */
	unsigned int wait_count;
	/* What the step answers, by number. */
	struct {
		uint64_t number;
		int rc;
	} answers[WAITS + 1];
	unsigned int answer_count;
} twin;

static uint64_t ids[SESSIONS], files[FILES], seed;
static unsigned int incarnation;

static uint64_t
draw(uint64_t below)
{
	return (zk_prng_next(&seed) >> 16) % below;
}

static bool
same(struct who a, struct who b)
{
	return a.s == b.s && a.o == b.o && a.k == b.k;
}

static uint32_t *
bytes_of(unsigned int f, struct who w)
{
	return twin.mode[f][w.k][w.s][w.o];
}

static bool
held_by(unsigned int f, struct who w)
{
	for (unsigned int i = 0; i < BYTES; i++)
		if (bytes_of(f, w)[i] != 0)
			return true;
	return false;
}

static bool
is_holder(struct who w)
{
	for (unsigned int f = 0; f < FILES; f++)
		if (held_by(f, w))
			return true;
	return false;
}

/* Does `by` hold what keeps w from being granted? */
static bool
keeps(const struct wait *w, struct who by)
{
	if (by.k != w->who.k || same(by, w->who))
		return false;
	for (unsigned int i = w->first; i <= w->last; i++) {
		const uint32_t mode = bytes_of(w->f, by)[i];

		if (mode != 0 &&
		    (mode == ZK_LOCK_EXCLUSIVE || w->mode == ZK_LOCK_EXCLUSIVE))
			return true;
	}
	return false;
}

static bool
is_kept(const struct wait *w)
{
	for (unsigned int s = 0; s < SESSIONS; s++)
		for (unsigned int o = 0; o < OWNERS; o++)
			if (keeps(w, (struct who){s, o, w->who.k}))
				return true;
	return false;
}

static bool
in_each_others_way(const struct wait *a, const struct wait *b)
{
	return a->f == b->f && a->who.k == b->who.k && !same(a->who, b->who) &&
	    a->first <= b->last && b->first <= a->last &&
	    (a->mode == ZK_LOCK_EXCLUSIVE || b->mode == ZK_LOCK_EXCLUSIVE);
}

static bool
is_behind(const struct wait *w, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (twin.waits[i].there &&
		    in_each_others_way(&twin.waits[i], w))
			return !is_holder(w->who);
	return false;
}

static void
set_mode(const struct wait *w, uint32_t mode)
{
	for (unsigned int i = w->first; i <= w->last; i++)
		bytes_of(w->f, w->who)[i] = mode;
}

static void
answer(uint64_t number, int rc)
{
	twin.answers[twin.answer_count].number = number;
	twin.answers[twin.answer_count++].rc = rc;
}

/* From the oldest on, over and over, until nobody can be granted any more. */
static void
grant(unsigned int f, unsigned int k)
{
	bool any = true;

	while (any) {
		any = false;
		for (unsigned int i = 0; i < twin.wait_count; i++) {
			struct wait *w = &twin.waits[i];

			if (!w->there || w->f != f || w->who.k != k ||
			    is_kept(w) || is_behind(w, i))
				continue;
			w->there = false;
			set_mode(w, w->mode);
			answer(w->number, 0);
			any = true;
		}
	}
}

static void
pack(void)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < twin.wait_count; i++)
		if (twin.waits[i].there)
			twin.waits[count++] = twin.waits[i];
	twin.wait_count = count;
}

/* Does someone that keeps `from` waiting wait, in turn, for `target`? */
static bool
reaches(const struct wait *from, struct who target, unsigned int depth)
{
	for (unsigned int s = 0; s < SESSIONS; s++) {
		for (unsigned int o = 0; o < OWNERS; o++) {
			const struct who by = {s, o, from->who.k};

			if (!keeps(from, by))
				continue;
			if (same(by, target))
				return true;
			for (unsigned int i = 0;
			     depth > 0 && i < twin.wait_count; i++)
				if (twin.waits[i].there &&
				    same(twin.waits[i].who, by) &&
				    reaches(&twin.waits[i], target, depth - 1))
					return true;
		}
	}
	return false;
}

static bool
closes_circle(const struct wait *w)
{
	for (unsigned int s = 0; s < SESSIONS; s++)
		for (unsigned int o = 0; o < OWNERS; o++)
			for (unsigned int i = 0; i < twin.wait_count; i++) {
				const struct who by = {s, o, w->who.k};

				if (keeps(w, by) && twin.waits[i].there &&
				    same(twin.waits[i].who, by) &&
				    reaches(&twin.waits[i], w->who,
				        SESSIONS * OWNERS))
					return true;
			}
	return false;
}

static bool
has_already(const struct wait *w)
{
	for (unsigned int i = w->first; i <= w->last; i++)
		if (bytes_of(w->f, w->who)[i] != w->mode)
			return false;
	return true;
}

static bool
holds_some(const struct wait *w)
{
	for (unsigned int i = w->first; i <= w->last; i++)
		if (bytes_of(w->f, w->who)[i] != 0)
			return true;
	return false;
}

static void
twin_lock(const struct wait *w, bool waits)
{
	const bool kept = is_kept(w);

	if (w->mode == ZK_LOCK_NONE) {
		if (holds_some(w)) {
			set_mode(w, 0);
			grant(w->f, w->who.k);
		}
		answer(w->number, 0);
		return;
	}
	if (has_already(w)) {
		answer(w->number, 0);
		return;
	}
	if (!kept && !(waits && is_behind(w, twin.wait_count))) {
		set_mode(w, w->mode);
		grant(w->f, w->who.k);
		answer(w->number, 0);
		return;
	}
	if (waits && kept && w->who.k == 0 && closes_circle(w)) {
		answer(w->number, -EDEADLK);
		return;
	}
	if (w->who.k == 1 && held_by(w->f, w->who)) {
		set_mode(w, 0);
		grant(w->f, 1);
	}
	if (!waits) {
		answer(w->number, -EAGAIN);
		return;
	}
	pack();
	twin.waits[twin.wait_count++] = *w;
}

static void
twin_cancel(uint64_t number)
{
	for (unsigned int i = 0; i < twin.wait_count; i++) {
		struct wait *w = &twin.waits[i];

		if (!w->there || w->number != number)
			continue;
		w->there = false;
		answer(number, -EINTR);
		grant(w->f, 0);
		grant(w->f, 1);
	}
}

/* All of a session on one file. */
static void
twin_drop(unsigned int f, unsigned int s)
{
	for (unsigned int i = 0; i < twin.wait_count; i++)
		if (twin.waits[i].there && twin.waits[i].f == f &&
		    twin.waits[i].who.s == s) {
			twin.waits[i].there = false;
			answer(twin.waits[i].number, -ZK_ESESSION);
		}
	for (unsigned int k = 0; k < 2; k++)
		for (unsigned int o = 0; o < OWNERS; o++)
			memset(twin.mode[f][k][s][o], 0,
			    sizeof(twin.mode[f][k][s][o]));
	grant(f, 0);
	grant(f, 1);
}

/* --- both, side by side --------------------------------------------------- */

static void
see_row(void *arg, const struct zk_lock_row *row)
{
	struct twin *seen = arg;
	const struct who w = {row->session == ids[0] ? 0 : 1,
	    (unsigned int)row->owner, row->flock ? 1 : 0};
	const unsigned int f = row->ino == files[0] ? 0 : 1;

	CHECK(row->session == ids[w.s], "a session that is over");
	if (row->waiting) {
		seen->wait_count++;
		return;
	}
	for (uint64_t i = row->off;
	     i < (row->len == 0 ? BYTES : row->off + row->len); i++)
		seen->mode[f][w.k][w.s][w.o][i] = row->type;
}

static void
compare(int step)
{
	static struct twin seen;

	CHECK(rig.answer_count == twin.answer_count,
	    "step %d: %zu answers, not %u", step, rig.answer_count,
	    twin.answer_count);
	for (unsigned int i = 0; i < twin.answer_count; i++) {
		const uint64_t number = twin.answers[i].number;
		size_t j = 0;

		while (j < rig.answer_count && rig.answers[j].number != number)
			j++;
		CHECK(j < rig.answer_count, "step %d: %d not answered", step,
		    (int)number);
		CHECK(rig.answers[j].outcome.rc == twin.answers[i].rc,
		    "step %d: %d, not %d", step, rig.answers[j].outcome.rc,
		    twin.answers[i].rc);
	}
	pack();
	memset(&seen, 0, sizeof(seen));
	CHECK(zk_lock_list(rig.tx, see_row, &seen) == 0, "list");
	CHECK(memcmp(seen.mode, twin.mode, sizeof(seen.mode)) == 0,
	    "step %d: other locks are held", step);
	CHECK(seen.wait_count == twin.wait_count, "step %d: %u wait, not %u",
	    step, seen.wait_count, twin.wait_count);
}

static void
step_lock(bool release)
{
	const struct who who = {(unsigned int)draw(SESSIONS),
	    (unsigned int)draw(OWNERS), (unsigned int)draw(2)};
	const bool waits = draw(3) > 0 && twin.wait_count < WAITS - 1;
	const uint64_t a = draw(BYTES), b = draw(BYTES);
	struct wait w = {
	    .there = true,
	    .f = (unsigned int)draw(FILES),
	    .who = who,
	    .first = (unsigned int)(a < b ? a : b),
	    .last = (unsigned int)(a < b ? b : a),
	    .mode = release ? ZK_LOCK_NONE : 1 + (uint32_t)draw(2),
	};
	const struct zk_command cmd = {
	    .op = ZK_OP_LOCK,
	    .session = ids[who.s],
	    .flags = (who.k == 1 ? ZK_F_FLOCK : 0) | (waits ? ZK_F_WAIT : 0),
	    .ino = files[w.f],
	    .handle = 1,
	    .owner = who.o,
	    .lock_type = w.mode,
	    .off = w.first,
	    .len = w.last == BYTES - 1 ? 0 : w.last - w.first + 1,
	};

	if (who.k == 1) {
		w.first = 0;
		w.last = BYTES - 1;
	}
	(void)rig_apply(&cmd);
	w.number = rig.number;
	twin_lock(&w, waits);
}

static void
step_unlock_owner(void)
{
	const struct who who = {(unsigned int)draw(SESSIONS),
	    (unsigned int)draw(OWNERS), (unsigned int)draw(2)};
	const unsigned int f = (unsigned int)draw(FILES);
	const struct zk_command cmd = {
	    .op = ZK_OP_UNLOCK_OWNER,
	    .session = ids[who.s],
	    .flags = who.k == 1 ? ZK_F_FLOCK : 0,
	    .ino = files[f],
	    .owner = who.o,
	};

	(void)rig_apply(&cmd);
	answer(rig.number, 0);
	if (!held_by(f, who))
		return;
	memset(bytes_of(f, who), 0, sizeof(twin.mode[0][0][0][0]));
	grant(f, 0);
	grant(f, 1);
}

static void
step_cancel(void)
{
	const struct wait *w;

	if (twin.wait_count == 0)
		return;
	w = &twin.waits[draw(twin.wait_count)];

	const struct zk_command cmd = {
	    .op = ZK_OP_LOCK_CANCEL,
	    .session = ids[w->who.s],
	    .ino = files[w->f],
	    .off = w->number,
	};
	(void)rig_apply(&cmd);
	answer(rig.number, 0);
	twin_cancel(w->number);
}

/* The order of files in which a session ends: its waits' first, then others. */
static bool
next_file(unsigned int s, unsigned int *ret_f)
{
	for (unsigned int o = 0; o < OWNERS; o++)
		for (unsigned int k = 0; k < 2; k++)
			for (unsigned int i = 0; i < twin.wait_count; i++)
				if (twin.waits[i].there &&
				    same(twin.waits[i].who,
				        (struct who){s, o, k})) {
					*ret_f = twin.waits[i].f;
					return true;
				}
	for (unsigned int o = 0; o < OWNERS; o++)
		for (unsigned int k = 0; k < 2; k++)
			for (unsigned int f = 0; f < FILES; f++)
				if (held_by(f, (struct who){s, o, k})) {
					*ret_f = f;
					return true;
				}
	return false;
}

static void
step_session(int step)
{
	const unsigned int s = (unsigned int)draw(SESSIONS);
	const struct zk_command end = {.op = ZK_OP_SESSION_END, .ino = ids[s]};
	char name[32];
	unsigned int f;

	(void)rig_send(&end);
	while (next_file(s, &f))
		twin_drop(f, s);
	answer(0, 0); /* of the command itself, which has no number */
	ids[s] = UINT64_MAX;
	compare(step);
	(void)snprintf(name, sizeof(name), "m%u", incarnation++);
	ids[s] = rig_session(name);
	twin.answer_count = 0;
	answer(0, 0);
}

static void
run(uint64_t with_seed, int steps)
{
	seed = with_seed;
	for (int i = 0; i < steps; i++) {
		const uint64_t what = draw(100);

		twin.answer_count = 0;
		rig.answer_count = 0;
		if (what < 65)
			step_lock(what < 20);
		else if (what < 85)
			step_unlock_owner();
		else if (what < 98)
			step_cancel();
		else
			step_session(i);
		compare(i);
		if (i % 64 == 0)
			rig_verify();
	}
	rig_verify();
}

static void
setup(void)
{
	rig_init();
	rig_begin();
	for (unsigned int s = 0; s < SESSIONS; s++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "m%u", incarnation++);
		ids[s] = rig_session(name);
	}
	files[0] = rig_file(ids[0], "a");
	files[1] = rig_file(ids[0], "b");
}

TestSuite(lock_twin, .init = setup, .fini = rig_fini);

Test(lock_twin, random_locking_agrees_with_the_twin)
{
	run(1, 6000);
}

Test(lock_twin, and_with_another_seed)
{
	run(20260, 6000);
}

/* However they got there: once everyone lets go, nobody waits. */
Test(lock_twin, nobody_is_forgotten)
{
	run(3, 1000);
	for (int round = 0; round < 200 && twin.wait_count > 0; round++) {
		for (unsigned int s = 0; s < SESSIONS; s++)
			for (unsigned int o = 0; o < OWNERS; o++)
				for (unsigned int k = 0; k < 2; k++)
					for (unsigned int f = 0; f < FILES;
					     f++) {
						const struct zk_command cmd = {
						    .op = ZK_OP_UNLOCK_OWNER,
						    .session = ids[s],
						    .flags =
						        k == 1 ? ZK_F_FLOCK : 0,
						    .ino = files[f],
						    .owner = o,
						};

						(void)rig_apply(&cmd);
					}
		memset(&twin, 0, sizeof(twin));
		CHECK(zk_lock_list(rig.tx, see_row, &twin) == 0, "list");
	}
	cr_expect_eq(twin.wait_count, 0);
	rig_verify();
}

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "tests/lib/history.h"

/*
 * The search.  Calls and returns stand in a list in the order of time.  The
 * first call that the state allows is taken out together with its return, and
 * the search begins again at the front; a return that is met first means that
 * an operation before it was put in the wrong order, and the last one taken
 * out is put back.  A set of what was taken out and the state reached are
 * remembered: to get there a second time, in another order, is in vain.
 */

/* So many places are remembered at most; then the history is too hard. */
#define SEEN_MAX (1u << 23)

struct entry {
	struct entry *prev, *next;
	struct entry *match; /* of a call: its return, NULL when unknown */
	const struct history_op *op;
	uint64_t at;
	bool is_call;
};

/*
 * A version that was not told is known to be above the one before: `version`
 * is then the least that it can be.
 */
struct state {
	uint64_t value; /* HISTORY_NONE: it is not there */
	uint64_t version;
	bool is_exact;
};

struct seen {
	uint64_t taken, state; /* hashes; both 0: empty */
};

struct taken {
	struct entry *call;
	struct state before;
};

struct search {
	struct entry head; /* of the list */
	struct entry *entries;
	struct taken *stack;
	size_t depth;
	struct state state;
	uint64_t hash; /* of what was taken out */
	struct seen *seen;
	size_t seen_count, seen_cap;
	size_t deepest;
	const struct history_op *stuck; /* by how far it came */
};

/* --- the register --------------------------------------------------------- */

static bool
is_version(const struct state *state, uint64_t version)
{
	return version == HISTORY_UNTOLD ||
	    (state->is_exact ? version == state->version
	                     : version >= state->version);
}

static bool
learn(struct state *state, uint64_t version)
{
	if (!is_version(state, version))
		return false;
	if (version != HISTORY_UNTOLD) {
		state->version = version;
		state->is_exact = true;
	}
	return true;
}

static bool
change(struct state *state, const struct history_op *op)
{
	state->version = state->value == HISTORY_NONE ? 0 : state->version + 1;
	state->is_exact = false;
	state->value = op->value;
	return learn(state, op->version);
}

static bool
meets(struct state *state, const struct history_op *op)
{
	if (op->kind == HISTORY_WRITE)
		return true;
	if (op->kind == HISTORY_CREATE)
		return state->value == HISTORY_NONE;
	if (state->value == HISTORY_NONE)
		return false;
	if (op->kind == HISTORY_CAS)
		return state->value == op->expect;
	return op->kind == HISTORY_REMOVE || learn(state, op->expect);
}

/* Whether a refusal is possible: it is not, only where it is known to be. */
static bool
may_refuse(const struct state *state, const struct history_op *op)
{
	struct state copy = *state;

	if (op->kind == HISTORY_CAS_VERSION && !state->is_exact)
		return true;
	return op->kind == HISTORY_WRITE || !meets(&copy, op);
}

static bool
step(struct state *state, const struct history_op *op)
{
	if (op->kind == HISTORY_READ)
		return state->value == op->value &&
		    (op->value == HISTORY_NONE || learn(state, op->version));
	if (op->result == HISTORY_REFUSED)
		return may_refuse(state, op);
	if (!meets(state, op))
		return false;
	if (op->kind != HISTORY_REMOVE)
		return change(state, op);
	*state = (struct state){.value = HISTORY_NONE};
	return true;
}

/* --- what was seen -------------------------------------------------------- */

static uint64_t
hash_state(const struct state *state)
{
	return zk_mix64(
	    zk_mix64(state->value + 1) + state->version * 2 + state->is_exact);
}

static uint64_t
hash_op(const struct search *s, const struct entry *call)
{
	return zk_mix64((uint64_t)(call - s->entries) + 0x5851f42d4c957f2dull);
}

static bool
insert(struct seen *seen, size_t cap, struct seen item)
{
	size_t at = (size_t)(item.taken ^ item.state) & (cap - 1);

	while (seen[at].taken != 0 || seen[at].state != 0) {
		if (seen[at].taken == item.taken &&
		    seen[at].state == item.state)
			return false;
		at = (at + 1) & (cap - 1);
	}
	seen[at] = item;
	return true;
}

static void
grow(struct search *s)
{
	const size_t cap = s->seen_cap == 0 ? 1024 : 2 * s->seen_cap;
	struct seen *grown = calloc(cap, sizeof(*grown));

	if (grown == NULL)
		abort();
	for (size_t i = 0; i < s->seen_cap; i++)
		if (s->seen[i].taken != 0 || s->seen[i].state != 0)
			(void)insert(grown, cap, s->seen[i]);
	free(s->seen);
	s->seen = grown;
	s->seen_cap = cap;
}

/* True when this place is new. */
static bool
is_new(struct search *s, uint64_t hash, const struct state *state)
{
	const struct seen item = {
	    .taken = hash,
	    .state = hash_state(state),
	};

	if (2 * s->seen_count >= s->seen_cap)
		grow(s);
	if (!insert(s->seen, s->seen_cap, item))
		return false;
	s->seen_count++;
	return true;
}

/* --- the list ------------------------------------------------------------- */

static void
unlink_entry(struct entry *entry)
{
	entry->prev->next = entry->next;
	if (entry->next != NULL)
		entry->next->prev = entry->prev;
}

static void
relink_entry(struct entry *entry)
{
	entry->prev->next = entry;
	if (entry->next != NULL)
		entry->next->prev = entry;
}

/* What touches is at the same time: calls before returns. */
static int
compare_entries(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;

	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	if (a->is_call != b->is_call)
		return a->is_call ? -1 : 1;
	return a->op < b->op ? -1 : a->op > b->op;
}

static bool
is_open(const struct history_op *op)
{
	return op->result == HISTORY_UNKNOWN || op->returned == HISTORY_NEVER;
}

/* Nothing is learned from it, and nothing changes. */
static bool
is_void(const struct history_op *op)
{
	if (op->result == HISTORY_REFUSED && op->kind == HISTORY_WRITE)
		return true;
	return is_open(op) &&
	    (op->kind == HISTORY_READ || op->result == HISTORY_REFUSED);
}

static void
match(struct entry *entries, size_t count, const struct history_op *ops,
    struct entry **calls)
{
	for (size_t i = 0; i < count; i++) {
		struct entry **call = &calls[entries[i].op - ops];

		if (entries[i].is_call)
			*call = &entries[i];
		else
			(*call)->match = &entries[i];
	}
}

static void
list_all(struct search *s, const struct history_op *ops, size_t count)
{
	struct entry **calls = calloc(count + 1, sizeof(struct entry *));
	size_t n = 0;

	if (calls == NULL)
		abort();
	for (size_t i = 0; i < count; i++) {
		if (is_void(&ops[i]))
			continue;
		s->entries[n++] = (struct entry){
		    .op = &ops[i],
		    .at = ops[i].invoked,
		    .is_call = true,
		};
		if (!is_open(&ops[i]))
			s->entries[n++] = (struct entry){
			    .op = &ops[i],
			    .at = ops[i].returned,
			};
	}
	qsort(s->entries, n, sizeof(*s->entries), compare_entries);
	match(s->entries, n, ops, calls);
	free(calls);
	for (size_t i = 0; i < n; i++) {
		s->entries[i].prev = i == 0 ? &s->head : &s->entries[i - 1];
		s->entries[i].next = i + 1 == n ? NULL : &s->entries[i + 1];
	}
	s->head.next = n == 0 ? NULL : &s->entries[0];
}

/* --- the search ----------------------------------------------------------- */

static void
take(struct search *s, struct entry *call, const struct state *after)
{
	s->stack[s->depth++] = (struct taken){call, s->state};
	s->hash ^= hash_op(s, call);
	s->state = *after;
	unlink_entry(call);
	if (call->match != NULL)
		unlink_entry(call->match);
}

static struct entry *
put_back(struct search *s)
{
	const struct taken last = s->stack[--s->depth];

	if (last.call->match != NULL)
		relink_entry(last.call->match);
	relink_entry(last.call);
	s->state = last.before;
	s->hash ^= hash_op(s, last.call);
	return last.call->next;
}

static enum history_verdict
search(struct search *s)
{
	struct entry *at = s->head.next;

	while (at != NULL) {
		struct state after = s->state;

		if (!at->is_call) {
			if (s->depth >= s->deepest) {
				s->deepest = s->depth;
				s->stuck = at->op;
			}
			if (s->depth == 0)
				return HISTORY_BAD;
			at = put_back(s);
		} else if (step(&after, at->op) &&
		    is_new(s, s->hash ^ hash_op(s, at), &after)) {
			take(s, at, &after);
			at = s->head.next;
		} else {
			at = at->next;
		}
		if (s->seen_count >= SEEN_MAX)
			return HISTORY_HARD;
	}
	/* Only calls are left, none of which has returned. */
	return HISTORY_GOOD;
}

struct history_report
history_check_register(const struct history_op *ops, size_t count)
{
	struct search s = {.state = {.value = HISTORY_NONE}};
	struct history_report report = {.verdict = HISTORY_GOOD};

	s.entries = calloc(2 * count + 1, sizeof(*s.entries));
	s.stack = calloc(count + 1, sizeof(*s.stack));
	if (s.entries == NULL || s.stack == NULL)
		abort();
	list_all(&s, ops, count);
	report.verdict = search(&s);
	if (report.verdict == HISTORY_HARD) {
		report.why = "too many orders to try";
	} else if (report.verdict == HISTORY_BAD) {
		report.why = "no order explains it";
		report.op = s.stuck;
	}
	free(s.entries);
	free(s.stack);
	free(s.seen);
	return report;
}

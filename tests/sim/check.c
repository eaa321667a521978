#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "store/read.h"
#include "store/session.h"
#include "store/verify.h"
#include "tests/lib/history.h"
#include "tests/sim/sim.h"

/* The checkers look from outside, and know nothing of the code's own view. */

static const struct zk_raft *
raft_of(const struct sim_host *host)
{
	return zk_replica_raft(zk_member_replica(host->member));
}

/* At most one leader a term (Raft 3.2, election safety). */
static void
check_leader(struct sim *sim, struct sim_host *host)
{
	const size_t max = sizeof(sim->leaders) / sizeof(sim->leaders[0]);
	const struct zk_raft *raft = raft_of(host);
	uint64_t *leader = &sim->leaders[raft->term % max];

	if (host->role == ZK_LEADER && raft->role != ZK_LEADER &&
	    host->term == raft->term)
		sim_mark(sim, MARK_STEPPED_DOWN);
	if (raft->role == ZK_LEADER &&
	    (host->role != ZK_LEADER || host->term != raft->term)) {
		sim_mark(sim, MARK_ELECTION);
		sim_tell(sim, "host %u leads in term %lu", host->id,
		    (unsigned long)raft->term);
		if (raft->term >= max)
			sim_fail(sim, "%zu terms", max);
		else if (*leader != 0 && *leader != raft->self)
			sim_fail(sim, "term %lu has two leaders",
			    (unsigned long)raft->term);
		*leader = raft->self;
	}
	if (raft->conf_index < host->conf_newest)
		sim_mark(sim, MARK_CHANGE_TRUNCATED);
	host->conf_newest = raft->conf_index;
	host->role = raft->role;
	host->term = raft->term;
	host->vote = raft->vote;
}

/* What others may have heard of was on disk: term and vote (Raft 3.8). */
void
sim_check_start(struct sim_host *host)
{
	const struct zk_raft *raft = raft_of(host);

	if (raft->term < host->term ||
	    (raft->term == host->term && host->vote != 0 &&
	        raft->vote != host->vote))
		sim_fail(host->sim, "host %u: forgot its vote of term %lu",
		    host->id, (unsigned long)host->term);
}

/* Equal digests at equal index (state machine safety). */
static void
check_digest(struct sim *sim, struct sim_host *host,
    const struct zk_state *state)
{
	const size_t slots = sizeof(sim->digests) / sizeof(sim->digests[0]);
	const size_t slot = state->applied_index % slots;

	if (state->applied_index < host->applied)
		sim_fail(sim, "host %u: applied %lu, and then %lu", host->id,
		    (unsigned long)host->applied,
		    (unsigned long)state->applied_index);
	if (sim->digests[slot].index == state->applied_index &&
	    sim->digests[slot].digest != state->digest)
		sim_fail(sim, "host %u differs from another at index %lu",
		    host->id, (unsigned long)state->applied_index);
	sim->digests[slot].index = state->applied_index;
	sim->digests[slot].digest = state->digest;
	host->applied = state->applied_index;
}

/*
 * Who holds something gives up before the session is ended.  A session's id
 * is the index that opened it: where that is applied and the session is not,
 * it has been ended.  Who is paused, or waits for its disk, does nothing and
 * notices before it does anything again.
 */
static void
check_sessions(struct sim *sim, struct zk_tx *tx)
{
	struct zk_session session;

	for (unsigned i = 0; i < sim->count; i++) {
		const struct sim_host *host = &sim->hosts[i];
		uint64_t id;

		if (!host->up || host->busy_us >= sim->now_us)
			continue;
		id = zk_member_session(host->member);
		if (id != 0 && tx->state.applied_index >= id &&
		    zk_session_get(tx, id, &session) == -ENOENT)
			sim_fail(sim,
			    "host %u: still in session %lu, which "
			    "was ended",
			    i, (unsigned long)id);
	}
}

void
sim_check_host(struct sim_host *host)
{
	struct sim *sim = host->sim;
	struct zk_tx *tx;

	if (host->session != zk_member_session(host->member)) {
		host->session = zk_member_session(host->member);
		sim_tell(sim, "host %u: session %lu", host->id,
		    (unsigned long)host->session);
	}
	check_leader(sim, host);
	if (zk_replica_applied(zk_member_replica(host->member)) ==
	    host->applied)
		return;
	if (zk_read_begin(host->store, &tx) < 0) {
		sim_fail(sim, "host %u: cannot be read", host->id);
		return;
	}
	check_digest(sim, host, &tx->state);
	check_sessions(sim, tx);
	zk_read_end(tx);
}

/* --- when all is quiet ---------------------------------------------------- */

static struct sim_host *
any_member(struct sim *sim)
{
	for (unsigned i = 0; i < sim->count; i++)
		if (sim_is_member(sim, &sim->hosts[i]))
			return &sim->hosts[i];
	abort(); /* the last one cannot be removed */
}

static bool
is_unknown(const struct sim_op *op)
{
	return !op->done || op->rc == -ETIMEDOUT || op->rc == -ZK_ESESSION;
}

static size_t
read_file(struct sim *sim, const char *name, uint64_t *records, size_t max)
{
	struct zk_attr attr;
	struct zk_tx *tx;
	size_t len = 0;

	if (zk_read_begin(any_member(sim)->store, &tx) < 0)
		return 0;
	if (zk_read_lookup(tx, ZK_INO_ROOT, name, strlen(name), &attr) == 0)
		(void)zk_read_content(tx, attr.ino, 0, records,
		    max * sizeof(*records), &len);
	zk_read_end(tx);
	return len / sizeof(*records);
}

/* How often the record is there, and where it is last. */
static size_t
find_record(const uint64_t *records, size_t count, uint64_t value,
    size_t *ret_at)
{
	size_t found = 0;

	*ret_at = 0;
	for (size_t k = 0; k < count; k++) {
		if (records[k] != value)
			continue;
		found++;
		*ret_at = k;
	}
	return found;
}

/* Every acknowledged record once and where it was said to be; no other. */
static void
check_appends(struct sim *sim, uint32_t file)
{
	static uint64_t records[SIM_OPS_MAX];
	char name[8];
	size_t count;

	(void)snprintf(name, sizeof(name), "a%u", file);
	count = read_file(sim, name, records, SIM_OPS_MAX);
	for (size_t i = 0; i < sim->op_count; i++) {
		const struct sim_op *op = &sim->ops[i];
		size_t found, at;

		if (op->kind != SIM_APPEND || op->file != file)
			continue;
		found = find_record(records, count, op->value, &at);
		if (found > 1)
			sim_fail(sim, "record %lu is doubled",
			    (unsigned long)op->value);
		if (found != 0 && !is_unknown(op) && op->rc != 0)
			sim_fail(sim,
			    "record %lu was refused (%s), and is "
			    "there",
			    (unsigned long)op->value, zk_err_text(op->rc));
		if (op->done && op->rc == 0 &&
		    (found != 1 || op->out.offset != at * sizeof(uint64_t)))
			sim_fail(sim, "record %lu is lost or elsewhere",
			    (unsigned long)op->value);
	}
}

struct found_names {
	struct sim *sim;
	bool seen[SIM_OPS_MAX]; /* by operation */
};

static bool
check_name(void *arg, const struct zk_read_entry *entry)
{
	struct found_names *found = arg;
	struct sim *sim = found->sim;

	if (entry->name_len < 2 || memcmp(entry->name, SIM_SEQUENCE, 2) != 0)
		return true;
	for (size_t i = 0; i < sim->op_count; i++) {
		const struct sim_op *op = &sim->ops[i];

		if (op->kind != SIM_SEQUENTIAL || op->value != entry->attr->uid)
			continue;
		if (found->seen[i])
			sim_fail(sim, "create %zu was done twice", i);
		if (op->done && op->rc == 0 &&
		    (op->out.name_len != entry->name_len ||
		        memcmp(op->out.name, entry->name, entry->name_len) !=
		            0))
			sim_fail(sim, "create %zu was told another name", i);
		if (!is_unknown(op) && op->rc != 0)
			sim_fail(sim, "create %zu was refused, and done", i);
		found->seen[i] = true;
		return true;
	}
	sim_fail(sim, "a sequential name of nobody");
	return false;
}

/* Every sequential name that was given is there once, and nobody else's. */
static void
check_sequence(struct sim *sim)
{
	static struct found_names found;
	struct zk_tx *tx;

	found = (struct found_names){.sim = sim};
	if (zk_read_begin(any_member(sim)->store, &tx) < 0)
		return;
	(void)zk_read_dir(tx, ZK_INO_ROOT, 0, true, check_name, &found);
	zk_read_end(tx);
	for (size_t i = 0; i < sim->op_count; i++) {
		const struct sim_op *op = &sim->ops[i];

		if (op->kind == SIM_SEQUENTIAL && op->done && op->rc == 0 &&
		    !found.seen[i])
			sim_fail(sim, "create %zu is lost", i);
	}
}

/* --- the history ---------------------------------------------------------- */

enum {
	KEY_REGISTER,
	KEY_NAME = 10,
	KEY_APPEND = 20,
	KEY_SEQUENCE = 30,
	KEY_LOCK = 40,
	KEY_EPHEMERAL = 50
};

static uint64_t
number_of(const struct sim_op *op)
{
	char digits[16] = "";
	const size_t prefix = sizeof(SIM_SEQUENCE) - 1;

	if (op->kind == SIM_APPEND || op->kind == SIM_LOCK)
		return op->out.offset;
	if (op->kind != SIM_SEQUENTIAL)
		return op->out.index;
	if (op->out.name_len > prefix &&
	    op->out.name_len - prefix < sizeof(digits))
		memcpy(digits, op->out.name + prefix,
		    op->out.name_len - prefix);
	return strtoull(digits, NULL, 10);
}

static enum history_result
result_of(struct sim *sim, const struct sim_op *op)
{
	if (is_unknown(op))
		return HISTORY_UNKNOWN;
	if (op->rc == 0)
		return HISTORY_DONE;
	/* Refused for a reason that says something about the tree. */
	if ((op->kind == SIM_CAS && op->rc == -EAGAIN) ||
	    ((op->kind == SIM_MAKE || op->kind == SIM_PREPARE) &&
	        op->rc == -EEXIST) ||
	    (op->kind == SIM_REMOVE && op->rc == -ENOENT))
		return HISTORY_REFUSED;
	/* For another: it has not happened, or was a question. */
	if (op->rc != -EROFS && op->rc != -ENOSPC && op->rc != -ESTALE &&
	    op->rc != -EAGAIN && op->rc != -EINTR && op->rc != -EEXIST)
		sim_fail(sim, "an answer that nobody expects: %s",
		    zk_err_text(op->rc));
	return HISTORY_REFUSED;
}

static bool
translate(const struct sim_op *op, struct history_op *entry)
{
	switch (op->kind) {
	case SIM_READ:
	case SIM_WRITE:
	case SIM_CAS:
		entry->kind = op->kind == SIM_READ ? HISTORY_READ
		    : op->kind == SIM_WRITE        ? HISTORY_WRITE
		                                   : HISTORY_CAS_VERSION;
		entry->key = KEY_REGISTER + op->file;
		return true;
	case SIM_MAKE:
	case SIM_REMOVE:
	case SIM_LOOK:
		entry->kind = op->kind == SIM_MAKE ? HISTORY_CREATE
		    : op->kind == SIM_REMOVE       ? HISTORY_REMOVE
		                                   : HISTORY_READ;
		entry->key = KEY_NAME + op->file;
		return true;
	case SIM_PREPARE:
		entry->kind = HISTORY_CREATE;
		entry->key = KEY_REGISTER + op->file;
		entry->value = 0;
		return op->expect == SIM_WRITE || op->expect == SIM_CAS;
	case SIM_APPEND:
		entry->kind = HISTORY_NEXT;
		entry->key = KEY_APPEND + op->file;
		break;
	case SIM_SEQUENTIAL:
		entry->kind = HISTORY_NEXT;
		entry->key = KEY_SEQUENCE;
		break;
	case SIM_LOCK:
	case SIM_EPHEMERAL:
		entry->kind = HISTORY_NEXT;
		entry->key = op->file +
		    (op->kind == SIM_LOCK ? KEY_LOCK : KEY_EPHEMERAL);
		break;
	case SIM_RELEASE:
		return false;
	}
	entry->value = number_of(op);
	return true;
}

static void
add(struct sim *sim, struct history *history, uint32_t number)
{
	const struct sim_op *op = &sim->ops[number];
	struct history_op entry = {
	    .result = result_of(sim, op),
	    .name = number,
	    .invoked = op->invoked_us,
	    .returned = op->done ? op->returned_us : HISTORY_NEVER,
	    .value = op->value,
	    .expect = op->expect,
	    .version = op->version,
	};

	if (entry.result == HISTORY_REFUSED && op->kind != SIM_CAS &&
	    op->kind != SIM_MAKE && op->kind != SIM_REMOVE &&
	    op->kind != SIM_PREPARE)
		return;
	if (entry.result == HISTORY_REFUSED &&
	    (op->rc == -EROFS || op->rc == -ENOSPC))
		return;
	if (!op->done || op->rc != 0)
		entry.version = HISTORY_UNTOLD;
	if (!translate(op, &entry))
		return;
	history_add(history, &entry);
	if (op->held_us == 0)
		return;
	entry.kind = HISTORY_HOLD;
	entry.invoked = op->returned_us;
	entry.returned = op->held_us;
	history_add(history, &entry);
}

/* What is there at the end is what a read of each host would find then. */
static void
add_last_reads(struct sim *sim, struct history *history)
{
	for (uint32_t file = 0; file < SIM_FILES; file++) {
		struct history_op entry = {
		    .kind = HISTORY_READ,
		    .key = KEY_REGISTER + file,
		    .name = SIM_OPS_MAX + file,
		    .invoked = sim->now_us,
		    .returned = sim->now_us,
		    .value = HISTORY_NONE,
		    .version = HISTORY_UNTOLD,
		};
		const struct sim_host *host = any_member(sim);
		struct zk_attr attr;
		struct zk_tx *tx;
		char name[8];
		size_t len;

		(void)snprintf(name, sizeof(name), "r%u", file);
		if (zk_read_begin(host->store, &tx) < 0)
			continue;
		if (zk_read_lookup(tx, ZK_INO_ROOT, name, strlen(name),
		        &attr) == 0) {
			entry.value = 0;
			entry.version = attr.version;
			(void)zk_read_content(tx, attr.ino, 0, &entry.value,
			    sizeof(entry.value), &len);
		}
		zk_read_end(tx);
		history_add(history, &entry);
	}
}

static void
tell_op(const struct sim *sim, const struct history_op *entry)
{
	const struct sim_op *op;

	if (entry == NULL || entry->name >= sim->op_count)
		return;
	op = &sim->ops[entry->name];
	sim_tell(sim,
	    "operation %u of host %u: value %lu, from %.3f to %.3f ms, held "
	    "until %.3f ms",
	    entry->name, op->host, (unsigned long)entry->value,
	    (double)op->invoked_us / 1000, (double)op->returned_us / 1000,
	    (double)op->held_us / 1000);
}

static void
check_history(struct sim *sim)
{
	struct history history = {0};
	struct history_report report;

	for (uint32_t i = 0; i < sim->op_count; i++)
		add(sim, &history, i);
	add_last_reads(sim, &history);
	report = history_check(&history);
	tell_op(sim, report.op);
	tell_op(sim, report.other);
	if (report.verdict != HISTORY_GOOD)
		sim_fail(sim, "history: %s: key %u, operations %u and %u",
		    report.why, report.op != NULL ? report.op->key : 0,
		    report.op != NULL ? report.op->name : 0,
		    report.other != NULL ? report.other->name : 0);
	history_free(&history);
}

static void
check_tree(struct sim *sim, struct sim_host *host)
{
	struct zk_verify_report report;
	struct zk_tx *tx;

	if (zk_read_begin(host->store, &tx) < 0)
		return;
	if (zk_state_get(tx, &tx->state) < 0 || zk_verify(tx, &report) < 0)
		sim_fail(sim, "host %u: %s", host->id, report.problem);
	zk_read_end(tx);
}

bool
sim_has_converged(struct sim *sim)
{
	struct sim_host *first = any_member(sim);
	const size_t slots = sizeof(sim->digests) / sizeof(sim->digests[0]);

	/* Digests at one index are compared as soon as they are seen. */
	for (unsigned i = 0; i < sim->count; i++) {
		const struct sim_host *host = &sim->hosts[i];

		if (sim_is_member(sim, host) &&
		    (!host->up || host->applied != first->applied))
			return false;
	}
	return sim->digests[first->applied % slots].index == first->applied &&
	    sim_roster_is_met(sim, first);
}

static void
tell_hosts(struct sim *sim)
{
	char text[200] = "";
	size_t len = 0;

	for (unsigned i = 0; i < sim->count && len < sizeof(text); i++) {
		const struct sim_host *host = &sim->hosts[i];

		if (!host->up || !sim_is_member(sim, host)) {
			len += (size_t)snprintf(text + len, sizeof(text) - len,
			    " %u:%s", i, host->up ? "none" : "down");
			continue;
		}
		const struct zk_raft *raft = raft_of(host);

		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    " %u:%c%lu:%lu/%lu/%lu%s", i, "fpcL"[raft->role],
		    (unsigned long)raft -> term, (unsigned long)host -> applied,
		    (unsigned long)raft -> commit_index,
		    (unsigned long)raft -> last_index,
		    sim_clients_idle(host) ? "" : "w");
	}
	for (size_t i = 0; i < sim->op_count; i++)
		if (!sim->ops[i].done)
			sim_tell(sim,
			    "operation %zu of host %u, kind %d: "
			    "invoked at %.3f ms",
			    i, sim->ops[i].host, (int)sim->ops[i].kind,
			    (double)sim->ops[i].invoked_us / 1000);
	sim_fail(sim,
	    "no end (role, term: applied/committed/last, w: clients wait)%s",
	    text);
}

void
sim_check_end(struct sim *sim)
{
	bool idle = true;

	sim->ended = true;
	for (unsigned i = 0; i < sim->count; i++)
		if (sim_is_member(sim, &sim->hosts[i]) &&
		    (!sim->hosts[i].up || !sim_clients_idle(&sim->hosts[i])))
			idle = false;
	if (!idle || !sim_has_converged(sim)) {
		tell_hosts(sim);
		return;
	}
	for (unsigned i = 0; i < sim->count; i++)
		if (sim_is_member(sim, &sim->hosts[i]))
			check_tree(sim, &sim->hosts[i]);
	for (uint32_t file = 0; file < SIM_FILES; file++)
		check_appends(sim, file);
	check_sequence(sim);
	check_history(sim);
}

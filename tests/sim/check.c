#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "store/read.h"
#include "store/verify.h"
#include "tests/sim/sim.h"

/* The checkers look from outside, and know nothing of the code's own view. */

/* At most one leader a term (Raft 3.2, election safety). */
static void
check_leader(struct sim *sim, const struct zk_raft *raft)
{
	const size_t max = sizeof(sim->leaders) / sizeof(sim->leaders[0]);

	if (raft->role != ZK_LEADER)
		return;
	for (size_t i = 0; i < sim->leader_count; i++) {
		if (sim->leaders[i].term != raft->term)
			continue;
		if (sim->leaders[i].leader != raft->self)
			sim_fail(sim, "term %lu has two leaders",
			    (unsigned long)raft->term);
		return;
	}
	sim_mark(sim, MARK_ELECTION);
	sim->leaders[sim->leader_count % max].term = raft->term;
	sim->leaders[sim->leader_count % max].leader = raft->self;
	if (sim->leader_count < max)
		sim->leader_count++;
}

/* Equal digests at equal index (state machine safety). */
static void
check_digest(struct sim *sim, struct sim_member *host)
{
	const size_t slots = sizeof(sim->digests) / sizeof(sim->digests[0]);
	struct zk_store_usage usage;
	size_t slot;

	if (zk_store_usage(host->store, &usage) < 0) {
		sim_fail(sim, "host %u: cannot be read", host->id);
		return;
	}
	slot = usage.applied_index % slots;
	if (sim->digests[slot].index == usage.applied_index &&
	    sim->digests[slot].digest != usage.digest)
		sim_fail(sim, "host %u differs from another at index %lu",
		    host->id, (unsigned long)usage.applied_index);
	sim->digests[slot].index = usage.applied_index;
	sim->digests[slot].digest = usage.digest;
}

void
sim_check_host(struct sim *sim, unsigned id)
{
	struct sim_member *host = &sim->members[id];

	check_leader(sim, zk_replica_raft(zk_member_replica(host->member)));
	check_digest(sim, host);
}

/* --- when all is quiet ---------------------------------------------------- */

static size_t
read_file(struct sim *sim, const char *name, uint64_t *records, size_t max)
{
	struct zk_attr attr;
	struct zk_tx *tx;
	size_t len = 0;

	if (zk_read_begin(sim->members[0].store, &tx) < 0)
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
		if (op->done && op->rc == 0 &&
		    (found != 1 || op->out.offset != at * sizeof(uint64_t)))
			sim_fail(sim, "record %lu is lost or elsewhere",
			    (unsigned long)op->value);
	}
}

/*
 * The place of an acknowledged operation in the one agreed order.  Not the
 * version of the answer's attributes: those of an answer that was looked up
 * later are later ones.
 */
static uint64_t
place_of(const struct sim_op *op)
{
	return op->kind == SIM_CAS ? op->expect : op->out.offset;
}

/*
 * Registers by compare-and-set, and appends, are linearizable: each version
 * (offset) was given once, and what returned before another was invoked comes
 * before it (Herlihy and Wing 1990).
 */
static void
check_order(struct sim *sim)
{
	for (size_t i = 0; i < sim->op_count; i++) {
		const struct sim_op *a = &sim->ops[i];

		if ((a->kind != SIM_CAS && a->kind != SIM_APPEND) || !a->done ||
		    a->rc != 0)
			continue;
		for (size_t k = i + 1; k < sim->op_count; k++) {
			const struct sim_op *b = &sim->ops[k];

			if (b->kind != a->kind || b->file != a->file ||
			    !b->done || b->rc != 0)
				continue;
			if (place_of(a) == place_of(b))
				sim_fail(sim, "%zu and %zu have one place", i,
				    k);
			if (a->returned_us < b->invoked_us &&
			    place_of(a) > place_of(b))
				sim_fail(sim, "%zu came before %zu", k, i);
		}
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
		if (op->done && op->rc < 0 && op->rc != -ETIMEDOUT &&
		    op->rc != -ZK_ESESSION)
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
	if (zk_read_begin(sim->members[0].store, &tx) < 0)
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

static void
check_tree(struct sim *sim, unsigned id)
{
	struct zk_verify_report report;
	struct zk_tx *tx;

	if (zk_read_begin(sim->members[id].store, &tx) < 0)
		return;
	if (zk_state_get(tx, &tx->state) < 0 || zk_verify(tx, &report) < 0)
		sim_fail(sim, "host %u: %s", id, report.problem);
	zk_read_end(tx);
}

bool
sim_has_converged(const struct sim *sim)
{
	struct zk_store_usage first, usage;

	(void)zk_store_usage(sim->members[0].store, &first);
	for (unsigned id = 1; id < sim->count; id++) {
		(void)zk_store_usage(sim->members[id].store, &usage);
		if (usage.applied_index != first.applied_index ||
		    usage.digest != first.digest)
			return false;
	}
	return true;
}

static void
tell_hosts(struct sim *sim)
{
	char text[200];
	size_t len = 0;

	for (unsigned id = 0; id < sim->count; id++) {
		const struct sim_member *host = &sim->members[id];
		const struct zk_raft *raft =
		    zk_replica_raft(zk_member_replica(host->member));
		struct zk_store_usage usage;

		(void)zk_store_usage(host->store, &usage);
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    " %u:%c%lu:%lu/%lu/%lu/%04lx", id, "fpcL"[raft->role],
		    (unsigned long)raft -> term,
		    (unsigned long)usage.applied_index,
		    (unsigned long)raft->commit_index,
		    (unsigned long)raft->last_index,
		    (unsigned long)usage.digest & 0xffff);
		if (len >= sizeof(text))
			break;
	}
	sim_fail(sim,
	    "no convergence (role, term: applied/committed/last/digest)%s",
	    text);
}

void
sim_check_end(struct sim *sim)
{
	if (!sim_has_converged(sim))
		tell_hosts(sim);
	for (unsigned id = 0; id < sim->count; id++)
		check_tree(sim, id);
	for (uint32_t file = 0; file < SIM_FILES; file++)
		check_appends(sim, file);
	check_order(sim);
	check_sequence(sim);
}

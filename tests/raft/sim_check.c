#include "tests/raft/sim.h"

#include <stdarg.h>
#include <string.h>

#include "base/assert.h"

/*
 * Observers: they see all members at once, which no member does, and know
 * what the algorithm promises (Ongaro 2014, figure 3.2).
 */

void
sim_violation(struct sim *sim, const char *format, ...)
{
	va_list args;

	if (sim->violation[0] != '\0')
		return;
	va_start(args, format);
	vsnprintf(sim->violation, sizeof(sim->violation), format, args);
	va_end(args);
}

static bool
has_entry(const struct sim_disk *disk, uint64_t index,
    const struct sim_entry *entry)
{
	if (index <= disk->base_index)
		return true; /* only what is committed gets there */
	return index <= disk->last_index &&
	    disk->log[index].term == entry->term &&
	    disk->log[index].value == entry->value;
}

/* Election safety, and leader completeness. */
void
sim_check_role(struct sim *sim, struct sim_node *node)
{
	const uint64_t term = node->r.term;
	const bool leads = node->r.role == ZK_LEADER;
	const struct zk_conf *conf = zk_raft_conf(&node->r);
	bool alone, again;

	if (!leads || node->was_leader) {
		node->was_leader = leads;
		return;
	}
	node->was_leader = true;
	sim->elections++;
	ZK_ASSERT(term < SIM_TERMS_MAX);
	/*
	 * A member that is the only voter may lead, crash before its first
	 * flush, and lead the same term again: nobody has heard of it.
	 */
	alone = zk_raft_conf_is_voter(conf, node->id) &&
	    __builtin_popcount(conf->voter_bits) == 1;
	again = sim->leader_of[term].id == node->id &&
	    sim->leader_of[term].life != node->life;
	if (sim->leader_of[term].id != 0 && !(alone && again))
		sim_violation(sim, "term %ju has leaders %ju and %ju",
		    (uintmax_t)term, (uintmax_t)sim->leader_of[term].id,
		    (uintmax_t)node->id);
	sim->leader_of[term].id = node->id;
	sim->leader_of[term].life = node->life;
	for (uint64_t i = 1; i <= sim->committed_last; i++) {
		/* A leader may be elected when a later one is at work. */
		if (sim->committed_in[i] < term &&
		    !has_entry(&node->mem, i, &sim->committed[i]))
			sim_violation(sim,
			    "leader %ju of term %ju lacks committed %ju",
			    (uintmax_t)node->id, (uintmax_t)term, (uintmax_t)i);
	}
}

/* The members in force are those of the newest entry that names any. */
void
sim_check_members(struct sim *sim, const struct sim_node *node)
{
	const struct zk_conf *conf = zk_raft_conf(&node->r);
	uint32_t want = node->mem.conf;

	for (uint64_t i = node->mem.last_index; i > node->mem.applied; i--) {
		if (node->mem.log[i].kind == ZK_ENTRY_CONF) {
			want = node->mem.log[i].conf;
			break;
		}
	}
	if (memcmp(conf, &sim->confs[want], sizeof(*conf)) != 0)
		sim_violation(sim, "%ju has other members than its log",
		    (uintmax_t)node->id);
}

/* What a leader commits is on the disks of a majority. */
void
sim_check_commit(struct sim *sim, const struct sim_node *node, uint64_t index)
{
	const struct zk_conf *conf = zk_raft_conf(&node->r);
	unsigned copies = 0;

	for (uint32_t i = 0; i < conf->count; i++) {
		const struct sim_node *member = &sim->nodes[conf->ids[i]];

		if ((conf->voter_bits >> i & 1) == 0)
			continue;
		if (has_entry(&member->disk, index, &node->mem.log[index]))
			copies++;
	}
	if (copies <= (unsigned)__builtin_popcount(conf->voter_bits) / 2)
		sim_violation(sim, "leader %ju commits %ju with %u copies",
		    (uintmax_t)node->id, (uintmax_t)index, copies);
}

/* State machine safety. */
void
sim_check_apply(struct sim *sim, const struct sim_node *node, uint64_t index)
{
	const struct sim_entry *entry = &node->mem.log[index];

	if (index > sim->committed_last) {
		ZK_ASSERT(index == sim->committed_last + 1);
		sim->committed[index] = *entry;
		sim->committed_in[index] = node->r.term;
		sim->committed_last = index;
		return;
	}
	if (!has_entry(&node->mem, index, &sim->committed[index]))
		sim_violation(sim, "%ju applies another entry %ju",
		    (uintmax_t)node->id, (uintmax_t)index);
}

/* A read sees all that was committed when it was asked. */
void
sim_check_read(struct sim *sim, uint64_t ctx, uint64_t index)
{
	struct sim_read *read =
	    &sim->reads[ctx % (sizeof(sim->reads) / sizeof(sim->reads[0]))];

	if (read->ctx != ctx)
		return; /* so old that its place was used again */
	if (!read->open)
		sim_violation(sim, "read %ju answered twice", (uintmax_t)ctx);
	read->open = false;
	sim->reads_answered++;
	if (index < read->committed)
		sim_violation(sim, "read %ju at %ju, but %ju was committed",
		    (uintmax_t)ctx, (uintmax_t)index,
		    (uintmax_t)read->committed);
}

void
sim_check_read_failed(struct sim *sim, uint64_t ctx)
{
	struct sim_read *read =
	    &sim->reads[ctx % (sizeof(sim->reads) / sizeof(sim->reads[0]))];

	if (read->ctx == ctx && !read->open)
		sim_violation(sim, "read %ju fails twice", (uintmax_t)ctx);
	if (read->ctx == ctx)
		read->open = false;
}

static void
check_pair(struct sim *sim, const struct sim_node *a, const struct sim_node *b)
{
	uint64_t low = a->mem.base_index;
	uint64_t high = a->mem.last_index;
	bool equal = false;

	if (b->mem.base_index > low)
		low = b->mem.base_index;
	if (b->mem.last_index < high)
		high = b->mem.last_index;
	for (uint64_t i = high; i > low; i--) {
		const struct sim_entry *x = &a->mem.log[i];
		const struct sim_entry *y = &b->mem.log[i];

		if (x->term == y->term)
			equal = true;
		if (equal && (x->term != y->term || x->value != y->value)) {
			sim_violation(sim, "logs of %ju and %ju differ at %ju",
			    (uintmax_t)a->id, (uintmax_t)b->id, (uintmax_t)i);
			return;
		}
	}
}

void
sim_check_logs(struct sim *sim)
{
	for (uint32_t i = 1; i <= sim->node_count; i++) {
		for (uint32_t k = i + 1; k <= sim->node_count; k++) {
			if (sim->nodes[i].id != 0 && sim->nodes[k].id != 0)
				check_pair(sim, &sim->nodes[i], &sim->nodes[k]);
		}
	}
}

#include "tests/raft/sim.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/hash.h"

/* The driver of one core, as the node thread of the daemon is: in memory. */

const char *
sim_role_name(enum zk_role role)
{
	static const char *const names[] = {"follower", "precandidate",
	    "candidate", "leader"};

	return names[role];
}

struct sim_node *
sim_node(struct sim *sim, uint64_t id)
{
	ZK_ASSERT(id >= 1 && id <= sim->node_count);
	return &sim->nodes[id];
}

/* --- disk ---------------------------------------------------------------- */

static void
disk_copy(struct sim_disk *to, const struct sim_disk *from, uint64_t dirty_from)
{
	const size_t head = offsetof(struct sim_disk, log);

	memcpy(to, from, head);
	if (dirty_from <= from->last_index)
		memcpy(&to->log[dirty_from], &from->log[dirty_from],
		    (from->last_index - dirty_from + 1) * sizeof(to->log[0]));
}

static void
dirty(struct sim_node *node, uint64_t from)
{
	if (from < node->dirty_from)
		node->dirty_from = from;
}

static uint64_t
term_of(void *arg, uint64_t index)
{
	const struct sim_node *node = arg;

	if (index <= node->mem.base_index)
		return 0;
	ZK_ASSERT(index <= node->mem.last_index);
	return node->mem.log[index].term;
}

static void
boot(struct sim *sim, struct sim_node *node)
{
	static struct zk_conf_entry confs[SIM_LOG_MAX];
	static struct zk_raft_start start;
	size_t conf_count = 0;
	int rc;

	start = (struct zk_raft_start){
	    .self = node->id,
	    .seed = zk_prng_next(&sim->seed),
	    .election_ms = sim->election_ms,
	    .heartbeat_ms = sim->heartbeat_ms,
	    .append_bytes_max = sim->append_bytes_max,
	    .window_bytes_max = sim->window_bytes_max,
	    .uncommitted_bytes_max = sim->uncommitted_bytes_max,
	    .term = node->disk.term,
	    .vote = node->disk.vote,
	    .base_index = node->disk.base_index,
	    .base_term = node->disk.base_term,
	    .commit_index = node->disk.applied,
	    .conf.index = node->disk.conf_index,
	    .conf.conf = sim->confs[node->disk.conf],
	    .confs = confs,
	    .term_of = sim->no_lookup ? NULL : term_of,
	    .term_arg = node,
	};
	for (uint64_t i = start.base_index + 1; i <= node->disk.last_index;
	     i++) {
		const struct sim_entry *entry = &node->disk.log[i];

		rc = zk_raft_start_entry(&start, i, entry->term);
		ZK_ASSERT(rc == 0);
		if (entry->kind == ZK_ENTRY_CONF && i > node->disk.applied)
			confs[conf_count++] = (struct zk_conf_entry){
			    .index = i,
			    .conf = sim->confs[entry->conf],
			};
	}
	start.conf_count = conf_count;
	rc = zk_raft_init(&node->r, &start);
	ZK_ASSERT(rc == 0);
	node->up = true;
	node->was_leader = false;
	node->dirty_from = UINT64_MAX;
}

void
sim_add_node(struct sim *sim, uint64_t id)
{
	struct sim_node *node;

	ZK_ASSERT(id <= SIM_NODES_MAX);
	if (id > sim->node_count)
		sim->node_count = (uint32_t)id;
	node = &sim->nodes[id];
	ZK_ASSERT(node->id == 0);
	memset(&node->disk, 0, offsetof(struct sim_disk, log));
	memset(&node->mem, 0, offsetof(struct sim_disk, log));
	node->id = id;
	node->autoflush = true;
	node->life = 1;
	boot(sim, node);
}

/* confs[0] is empty, confs[1] the one at the beginning. */
void
sim_init(struct sim *sim, const struct zk_conf *conf, uint64_t seed)
{
	memset(sim, 0, sizeof(*sim));
	sim->seed = seed;
	sim->next_value = 1;
	sim->election_ms = 100;
	sim->heartbeat_ms = 20;
	sim->append_bytes_max = 1000;
	sim->window_bytes_max = 4000;
	sim->uncommitted_bytes_max = 100000;
	sim->confs[1] = *conf;
	sim->conf_count = 2;
	for (uint32_t i = 0; i < conf->count; i++) {
		struct sim_node *node;

		sim_add_node(sim, conf->ids[i]);
		node = sim_node(sim, conf->ids[i]);
		node->disk.conf = node->mem.conf = 1;
		boot(sim, node);
	}
}

void
sim_crash(struct sim *sim, struct sim_node *node)
{
	ZK_ASSERT(node->up);

	node->up = false;
	sim->crashes++;
	for (uint32_t i = 0; i < SIM_PACKETS_MAX; i++) {
		struct sim_packet *packet = &sim->packets[i];

		if (packet->state == SIM_HELD && packet->msg.from == node->id)
			packet->state = SIM_FREE;
	}
	disk_copy(&node->mem, &node->disk,
	    node->dirty_from > node->disk.base_index
	        ? node->dirty_from
	        : node->disk.base_index + 1);
}

void
sim_restart(struct sim *sim, struct sim_node *node)
{
	ZK_ASSERT(!node->up);

	node->life++;
	boot(sim, node);
}

void
sim_flush(struct sim *sim, struct sim_node *node)
{
	const uint64_t index = node->mem.last_index;
	struct zk_event ev = {
	    .type = ZK_EV_STORED,
	    .index = index,
	    .term = index > node->mem.base_index ? node->mem.log[index].term
	                                         : node->mem.base_term,
	    .durable_term = node->mem.term,
	};

	ZK_ASSERT(node->up);
	disk_copy(&node->disk, &node->mem, node->dirty_from);
	node->dirty_from = UINT64_MAX;
	for (uint32_t i = 0; i < SIM_PACKETS_MAX; i++) {
		struct sim_packet *packet = &sim->packets[i];

		if (packet->state == SIM_HELD && packet->msg.from == node->id)
			packet->state = SIM_FLYING;
	}
	sim_step(sim, node, &ev);
}

/* --- effects ------------------------------------------------------------- */

static void
do_append(struct sim *sim, struct sim_node *node,
    const struct sim_packet *packet, const struct zk_effects *fx)
{
	const bool received =
	    packet != NULL && packet->msg.type == ZK_MSG_APPEND;

	for (uint64_t i = fx->append_first; i <= fx->append_last; i++) {
		struct sim_entry *entry = &node->mem.log[i];

		ZK_ASSERT(i < SIM_LOG_MAX);
		if (received) {
			*entry = packet->entries[i - packet->msg.index - 1];
			ZK_ASSERT(entry->term == fx->append_term);
			continue;
		}
		*entry = (struct sim_entry){
		    .term = fx->append_term,
		    .kind = fx->append_kind,
		    .value = sim->next_value++,
		};
		if (entry->kind == ZK_ENTRY_CONF) {
			ZK_ASSERT(sim->conf_count < SIM_CONFS_MAX);
			entry->conf = sim->conf_count;
			sim->confs[sim->conf_count++] = *zk_raft_conf(&node->r);
		}
	}
	node->mem.last_index = fx->append_last;
	dirty(node, fx->append_first);
	if (sim->trace != NULL)
		fprintf(sim->trace, "%ju: append %ju..%ju of term %ju%s\n",
		    (uintmax_t)node->id, (uintmax_t)fx->append_first,
		    (uintmax_t)fx->append_last, (uintmax_t)fx->append_term,
		    fx->append_kind == ZK_ENTRY_NOOP       ? ", no-op"
		        : fx->append_kind == ZK_ENTRY_CONF ? ", members"
		                                           : "");
}

static void
do_log(struct sim *sim, struct sim_node *node, const struct zk_event *ev,
    const struct sim_packet *packet, const struct zk_effects *fx)
{
	const char *reset = fx->log_reset ? ", log reset" : "";

	if (fx->hard_state) {
		node->mem.term = node->r.term;
		node->mem.vote = node->r.vote;
	}
	if (fx->install) {
		ZK_ASSERT(packet != NULL);
		sim->installs++;
		node->mem.base_index = ev->index;
		node->mem.base_term = ev->term;
		node->mem.applied = ev->index;
		node->mem.conf = packet->entries[0].conf;
		node->mem.conf_index = packet->conf_index;
		if (fx->log_reset)
			node->mem.last_index = ev->index;
		if (sim->trace != NULL)
			fprintf(sim->trace, "%ju: install %ju%s\n",
			    (uintmax_t)node->id, (uintmax_t)ev->index, reset);
	}
	if (fx->truncate_from != 0) {
		sim->truncations++;
		if (node->mem.applied >= fx->truncate_from)
			sim_violation(sim, "%ju truncates what it applied",
			    (uintmax_t)node->id);
		node->mem.last_index = fx->truncate_from - 1;
		dirty(node, fx->truncate_from);
		if (sim->trace != NULL)
			fprintf(sim->trace, "%ju: truncate from %ju\n",
			    (uintmax_t)node->id, (uintmax_t)fx->truncate_from);
	}
	if (fx->append_first != 0)
		do_append(sim, node, packet, fx);
}

/* Fills in the entries of an APPEND as a transport would. */
static void
fill(struct sim_node *node, struct sim_packet *packet)
{
	uint64_t count = packet->msg.last - packet->msg.index;
	uint64_t fits = packet->msg.max_bytes / SIM_ENTRY_BYTES;

	if (fits == 0)
		fits = 1;
	if (fits > SIM_BATCH_MAX)
		fits = SIM_BATCH_MAX;
	if (count > fits)
		count = fits;
	packet->msg.last = packet->msg.index + count;
	packet->count = (uint32_t)count;
	for (uint64_t i = 0; i < count; i++) {
		packet->entries[i] = node->mem.log[packet->msg.index + 1 + i];
		ZK_ASSERT(packet->entries[i].term == packet->msg.entry_term);
	}
}

static void
do_send(struct sim *sim, struct sim_node *node, const struct zk_effects *fx)
{
	struct zk_event sent[ZK_OUTBOX_MAX];
	size_t sent_count = 0;

	for (size_t i = 0; i < fx->msg_count; i++) {
		const struct zk_msg *msg = &fx->msgs[i];
		struct sim_packet *packet =
		    sim_packet_new(sim, msg, msg->after_flush);
		struct zk_event ev = {
		    .type = ZK_EV_SENT,
		    .peer = msg->to,
		    .index = msg->index,
		};

		if (packet != NULL && msg->type == ZK_MSG_APPEND) {
			fill(node, packet);
			ev.index = packet->msg.last;
			ev.bytes = (uint64_t)packet->count * SIM_ENTRY_BYTES;
		}
		if (msg->type == ZK_MSG_APPEND && msg->last > msg->index)
			sent[sent_count++] = ev;
	}
	for (size_t i = 0; i < sent_count; i++)
		sim_step(sim, node, &sent[i]);
}

static void
do_apply(struct sim *sim, struct sim_node *node, uint64_t commit)
{
	if (commit > node->mem.applied && sim->trace != NULL)
		fprintf(sim->trace, "%ju: commit %ju\n", (uintmax_t)node->id,
		    (uintmax_t)commit);
	while (node->mem.applied < commit) {
		const uint64_t index = ++node->mem.applied;
		const struct sim_entry *entry = &node->mem.log[index];

		if (index <= node->mem.base_index) {
			sim_violation(sim, "%ju applies what it compacted",
			    (uintmax_t)node->id);
			return;
		}
		sim_check_apply(sim, node, index);
		if (entry->kind == ZK_ENTRY_CONF) {
			node->mem.conf = entry->conf;
			node->mem.conf_index = index;
		}
	}
}

static void
do_answers(struct sim *sim, struct sim_node *node, const struct zk_effects *fx)
{
	for (size_t i = 0; i < fx->read_count; i++) {
		sim_check_read(sim, fx->reads[i].ctx, fx->reads[i].index);
		if (sim->trace != NULL)
			fprintf(sim->trace, "%ju: read %ju at %ju\n",
			    (uintmax_t)node->id, (uintmax_t)fx->reads[i].ctx,
			    (uintmax_t)fx->reads[i].index);
	}
	for (size_t i = 0; i < fx->failed_count; i++) {
		sim_check_read_failed(sim, fx->failed[i]);
		if (sim->trace != NULL)
			fprintf(sim->trace, "%ju: read %ju failed\n",
			    (uintmax_t)node->id, (uintmax_t)fx->failed[i]);
	}
}

static void
do_snapshots(struct sim *sim, struct sim_node *node,
    const struct zk_effects *fx)
{
	for (size_t i = 0; i < fx->snapshot_count; i++) {
		const uint64_t index = node->mem.applied;
		struct zk_msg msg = {
		    .type = ZK_MSG_APPEND,
		    .from = node->id,
		    .to = fx->snapshot_to[i],
		    .term = node->r.term,
		    .index = index,
		    .log_term = index == node->mem.base_index
		        ? node->mem.base_term
		        : node->mem.log[index].term,
		};
		struct sim_packet *packet = sim_packet_new(sim, &msg, false);

		if (sim->trace != NULL)
			fprintf(sim->trace, "%ju: snapshot %ju for %ju\n",
			    (uintmax_t)node->id, (uintmax_t)index,
			    (uintmax_t)msg.to);
		if (packet == NULL) {
			sim_step(sim, node,
			    &(struct zk_event){.type = ZK_EV_SNAPSHOT_FAILED,
			        .peer = msg.to});
			continue;
		}
		packet->snapshot = true;
		packet->entries[0].conf = node->mem.conf;
		packet->conf_index = node->mem.conf_index;
	}
}

static void
do_effects(struct sim *sim, struct sim_node *node, const struct zk_event *ev,
    const struct sim_packet *packet, const struct zk_effects *fx)
{
	if (fx->role_changed && sim->trace != NULL) {
		fprintf(sim->trace, "%ju: %s in term %ju", (uintmax_t)node->id,
		    sim_role_name(node->r.role), (uintmax_t)node->r.term);
		if (node->r.leader != 0 && node->r.leader != node->id)
			fprintf(sim->trace, ", leader %ju",
			    (uintmax_t)node->r.leader);
		fprintf(sim->trace, "\n");
	}
	do_log(sim, node, ev, packet, fx);
	sim_check_role(sim, node);
	if (node->r.role == ZK_LEADER && fx->commit_index > sim->committed_last)
		sim_check_commit(sim, node, fx->commit_index);
	do_send(sim, node, fx);
	do_apply(sim, node, fx->commit_index);
	sim_check_members(sim, node);
	do_answers(sim, node, fx);
	do_snapshots(sim, node, fx);
}

int
sim_step_packet(struct sim *sim, struct sim_node *node, struct zk_event *ev,
    const struct sim_packet *packet)
{
	struct zk_effects fx;
	int rc;

	ZK_ASSERT(node->up);
	rc = zk_raft_step(&node->r, ev, &fx);
	if (rc == -EPROTO)
		sim->eprotos++;
	if (rc < 0) {
		ZK_ASSERT(!fx.hard_state && !fx.role_changed);
		ZK_ASSERT(fx.append_first == 0 && fx.truncate_from == 0);
		return rc;
	}
	do_effects(sim, node, ev, packet, &fx);
	ZK_ASSERT(node->mem.last_index == node->r.last_index);
	ZK_ASSERT(node->mem.term == node->r.term);
	ZK_ASSERT(node->mem.vote == node->r.vote);
	return 0;
}

int
sim_step(struct sim *sim, struct sim_node *node, struct zk_event *ev)
{
	return sim_step_packet(sim, node, ev, NULL);
}

/* --- what drivers do ----------------------------------------------------- */

void
sim_tick(struct sim *sim, struct sim_node *node, uint32_t ms)
{
	struct zk_event ev = {.type = ZK_EV_TICK, .elapsed_ms = ms};

	sim_step(sim, node, &ev);
	if (node->autoflush)
		sim_flush(sim, node);
}

int
sim_propose(struct sim *sim, struct sim_node *node, uint32_t count)
{
	struct zk_event ev = {
	    .type = ZK_EV_PROPOSE,
	    .count = count,
	    .bytes = (uint64_t)count * SIM_ENTRY_BYTES,
	};
	int rc = sim_step(sim, node, &ev);

	if (node->autoflush)
		sim_flush(sim, node);
	return rc;
}

int
sim_read(struct sim *sim, struct sim_node *node, uint64_t ctx)
{
	struct zk_event ev = {.type = ZK_EV_READ, .ctx = ctx};
	const size_t at = ctx % (sizeof(sim->reads) / sizeof(sim->reads[0]));

	sim->reads[at] = (struct sim_read){
	    .ctx = ctx,
	    .committed = sim->committed_last,
	    .open = true,
	};
	return sim_step(sim, node, &ev);
}

void
sim_compact(struct sim *sim, struct sim_node *node, uint64_t first)
{
	struct zk_event ev = {.type = ZK_EV_COMPACTED, .index = first};

	ZK_ASSERT(first - 1 <= node->mem.applied);
	if (first - 1 <= node->mem.base_index)
		return;
	if (first % 2 == 0)
		ev.term = node->mem.log[first - 1].term;
	node->mem.base_term = node->mem.log[first - 1].term;
	node->mem.base_index = first - 1;
	sim_step(sim, node, &ev);
}

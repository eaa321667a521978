#include "store/placement.h"

#include "base/assert.h"

void
zk_placement_init(struct zk_placement *p, const uint64_t *ids, size_t count)
{
	ZK_ASSERT(count > 0);
	ZK_ASSERT(count <= ZK_PLACEMENT_MEMBERS_MAX);

	*p = (struct zk_placement){.count = count};
	for (size_t i = 0; i < count; i++) {
		size_t at = i;

		for (; at > 0 && p->members[at - 1].id > ids[i]; at--)
			p->members[at] = p->members[at - 1];
		p->members[at] = (struct zk_placement_member){.id = ids[i]};
	}
}

static struct zk_placement_member *
find(struct zk_placement *p, uint64_t id)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->members[i].id == id)
			return &p->members[i];
	return NULL;
}

/* Of one who is a member. */
static const struct zk_placement_member *
must_find(struct zk_placement *p, uint64_t id)
{
	const struct zk_placement_member *member = find(p, id);

	ZK_ASSERT(member != NULL);
	return member;
}

static bool
keeps(const struct zk_partition *partition, uint64_t id)
{
	for (uint32_t i = 0; i < partition->replica_count; i++)
		if (partition->replicas[i] == id)
			return true;
	return false;
}

/* Add `by` to what its replicas keep and lead. */
static void
count_by(struct zk_placement *p, const struct zk_partition *partition,
    uint64_t by)
{
	for (uint32_t i = 0; i < partition->replica_count; i++) {
		struct zk_placement_member *member =
		    find(p, partition->replicas[i]);

		if (member == NULL)
			continue;
		member->kept += by;
		if (i == 0)
			member->led += by;
	}
}

void
zk_placement_count(struct zk_placement *p, const struct zk_partition *partition)
{
	count_by(p, partition, 1);
}

void
zk_placement_uncount(struct zk_placement *p,
    const struct zk_partition *partition)
{
	count_by(p, partition, UINT64_MAX); /* minus one, modulo 2^64 */
}

static void
remove_at(struct zk_partition *partition, uint32_t i)
{
	ZK_ASSERT(i < partition->replica_count);

	partition->replica_count--;
	for (; i < partition->replica_count; i++)
		partition->replicas[i] = partition->replicas[i + 1];
}

/* The one of its replicas that keeps the most goes. */
static void
remove_fullest(struct zk_placement *p, struct zk_partition *partition)
{
	uint32_t at = 0;

	for (uint32_t i = 1; i < partition->replica_count; i++)
		if (must_find(p, partition->replicas[i])->kept >=
		    must_find(p, partition->replicas[at])->kept)
			at = i;
	remove_at(partition, at);
}

/* The member with the least to keep that does not keep this one, or NULL. */
static const struct zk_placement_member *
emptiest(struct zk_placement *p, const struct zk_partition *partition)
{
	const struct zk_placement_member *best = NULL;

	for (size_t i = 0; i < p->count; i++) {
		const struct zk_placement_member *member = &p->members[i];

		if (keeps(partition, member->id))
			continue;
		if (best == NULL || member->kept < best->kept ||
		    (member->kept == best->kept && member->led < best->led))
			best = member;
	}
	return best;
}

static void
add_emptiest(struct zk_placement *p, struct zk_partition *partition)
{
	const struct zk_placement_member *member = emptiest(p, partition);

	ZK_ASSERT(member != NULL);
	partition->replicas[partition->replica_count++] = member->id;
}

/* The first leads; the others in ascending order. */
static void
arrange(struct zk_partition *partition, uint64_t leader)
{
	uint64_t *ids = partition->replicas;

	for (uint32_t i = 0; i < partition->replica_count; i++)
		for (uint32_t j = i; j > 0 &&
		     (ids[j] == leader ||
		         (ids[j - 1] != leader && ids[j - 1] > ids[j]));
		     j--) {
			const uint64_t id = ids[j];

			ids[j] = ids[j - 1];
			ids[j - 1] = id;
		}
	ZK_ASSERT(ids[0] == leader);
}

static uint64_t
idlest_leader(const struct zk_placement *p,
    const struct zk_partition *partition)
{
	uint64_t id = 0, led = 0;

	for (size_t i = 0; i < p->count; i++)
		if (keeps(partition, p->members[i].id) &&
		    (id == 0 || p->members[i].led < led)) {
			id = p->members[i].id;
			led = p->members[i].led;
		}
	ZK_ASSERT(id != 0);
	return id;
}

void
zk_placement_choose(struct zk_placement *p, struct zk_partition *partition,
    uint32_t want)
{
	const uint64_t leader =
	    partition->replica_count > 0 ? partition->replicas[0] : 0;

	ZK_ASSERT(want > 0);

	if (want > p->count)
		want = (uint32_t)p->count;
	if (want > ZK_REPLICAS_MAX)
		want = ZK_REPLICAS_MAX;
	for (uint32_t i = partition->replica_count; i-- > 0;)
		if (find(p, partition->replicas[i]) == NULL)
			remove_at(partition, i);
	while (partition->replica_count > want)
		remove_fullest(p, partition);
	while (partition->replica_count < want)
		add_emptiest(p, partition);
	arrange(partition,
	    keeps(partition, leader) ? leader : idlest_leader(p, partition));
	zk_placement_count(p, partition);
}

/* Its replica that keeps the most gives way to whoever keeps less by two. */
bool
zk_placement_even_kept(struct zk_placement *p, struct zk_partition *partition)
{
	const struct zk_placement_member *to = emptiest(p, partition);
	const struct zk_placement_member *from = NULL;

	for (uint32_t i = 0; i < partition->replica_count; i++) {
		const struct zk_placement_member *member =
		    must_find(p, partition->replicas[i]);

		if (from == NULL || member->kept > from->kept)
			from = member;
	}
	ZK_ASSERT(from != NULL);
	if (to == NULL || to->kept + 1 >= from->kept)
		return false;
	zk_placement_uncount(p, partition);
	for (uint32_t i = 0; i < partition->replica_count; i++)
		if (partition->replicas[i] == from->id)
			partition->replicas[i] = to->id;
	arrange(partition, partition->replicas[0]);
	zk_placement_count(p, partition);
	return true;
}

bool
zk_placement_even_led(struct zk_placement *p, struct zk_partition *partition)
{
	const uint64_t from = partition->replicas[0];
	const uint64_t to = idlest_leader(p, partition);

	if (must_find(p, to)->led + 1 >= must_find(p, from)->led)
		return false;
	zk_placement_uncount(p, partition);
	arrange(partition, to);
	zk_placement_count(p, partition);
	return true;
}

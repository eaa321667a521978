#include "base/assert.h"
#include "store/group.h"

/*
 * Everybody is due n / m shares, and n % m of them one more.  Those extras go
 * to members that have more than n / m already, so that nothing moves for
 * their sake, and then to whoever joined first.
 *
 * Who has a share is who owns it, though another was to have it: as long as he
 * has not given it up it costs nothing to leave it with him.
 */

static size_t
place_of(const uint64_t *members, size_t count, uint64_t id)
{
	for (size_t i = 0; i < count; i++)
		if (members[i] == id)
			return i;
	return count;
}

/* How many shares each member is due, in due[]; has[]: what it has now. */
static void
count_due(const size_t *has, size_t *due, size_t members, size_t shares)
{
	const size_t base = shares / members;
	size_t extra = shares % members;

	for (size_t i = 0; i < members; i++) {
		due[i] = base;
		if (has[i] > base && extra > 0) {
			due[i]++;
			extra--;
		}
	}
	for (size_t i = 0; i < members && extra > 0; i++)
		if (due[i] == base) {
			due[i]++;
			extra--;
		}
	ZK_ASSERT(extra == 0);
}

/* Who has a share and who is to have it: a place among the members, or none. */
struct claim {
	size_t owner, want;
};

/*
 * Whoever is due more keeps what he has, first what he was to keep anyway; then
 * who was to get a share gets it; and then anybody does.
 */
static size_t
choose(const struct claim *claim, const size_t *due, size_t count, int pass,
    size_t *next)
{
	const bool settled = claim->owner == claim->want;

	if (pass < 2)
		return claim->owner < count && settled == (pass == 0) &&
		        due[claim->owner] > 0
		    ? claim->owner
		    : count;
	if (pass == 2)
		return claim->want < count && due[claim->want] > 0 ? claim->want
		                                                   : count;
	while (due[*next] == 0)
		(*next)++;
	return *next;
}

void
zk_group_assign(const uint64_t *members, size_t member_count,
    const uint64_t *owners, uint64_t *want, size_t count)
{
	static _Thread_local struct claim claims[ZK_PARTITIONS_MAX];
	/* Members beyond the shares get nothing. */
	static _Thread_local size_t has[ZK_GROUP_MEMBERS_MAX];
	static _Thread_local size_t due[ZK_GROUP_MEMBERS_MAX];
	size_t next = 0;

	ZK_ASSERT(member_count <= ZK_GROUP_MEMBERS_MAX);
	ZK_ASSERT(count <= ZK_PARTITIONS_MAX);

	for (size_t i = 0; i < member_count; i++)
		has[i] = 0;
	for (size_t i = 0; i < count; i++) {
		struct claim *claim = &claims[i];

		claim->owner = place_of(members, member_count, owners[i]);
		claim->want = place_of(members, member_count, want[i]);
		if (claim->owner < member_count)
			has[claim->owner]++;
		want[i] = 0;
	}
	if (member_count == 0)
		return;
	count_due(has, due, member_count, count);
	for (int pass = 0; pass < 4; pass++)
		for (size_t i = 0; i < count; i++) {
			size_t at;

			if (want[i] != 0)
				continue;
			at = choose(&claims[i], due, member_count, pass, &next);
			if (at == member_count)
				continue;
			want[i] = members[at];
			due[at]--;
		}
}

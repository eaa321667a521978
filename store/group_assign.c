#include "base/assert.h"
#include "store/group.h"

/*
 * Everybody is due n / m shares, and n % m of them one more.  Those extras go
 * to members that have more than n / m already, so that nothing moves for
 * their sake, and then to whoever joined first.
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

void
zk_group_assign(const uint64_t *members, size_t member_count, uint64_t *want,
    size_t count)
{
	/* Members beyond the shares get nothing. */
	static _Thread_local size_t has[ZK_GROUP_MEMBERS_MAX];
	static _Thread_local size_t due[ZK_GROUP_MEMBERS_MAX];
	size_t next = 0;

	ZK_ASSERT(member_count <= ZK_GROUP_MEMBERS_MAX);

	for (size_t i = 0; i < member_count; i++)
		has[i] = 0;
	for (size_t i = 0; i < count; i++) {
		const size_t at = place_of(members, member_count, want[i]);

		if (at < member_count)
			has[at]++;
		else
			want[i] = 0;
	}
	if (member_count == 0)
		return;
	count_due(has, due, member_count, count);
	for (size_t i = 0; i < count; i++) {
		size_t at;

		if (want[i] == 0)
			continue;
		at = place_of(members, member_count, want[i]);
		if (due[at] > 0)
			due[at]--;
		else
			want[i] = 0;
	}
	for (size_t i = 0; i < count; i++) {
		if (want[i] != 0)
			continue;
		while (due[next] == 0)
			next++;
		want[i] = members[next];
		due[next]--;
	}
}

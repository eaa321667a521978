#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/log.h"
#include "daemon/cluster_impl.h"

/* How this member becomes one of an ensemble; see cluster.h. */

/* Before anything is done as a member: it cannot be forgotten any more. */
static int
record(struct zk_cluster *c, const uint8_t ensemble[ZK_ENSEMBLE_BYTES],
    const struct zk_directory *directory)
{
	struct zk_tx *tx;
	int rc;

	rc = zk_store_begin(c->store, &tx);
	if (rc < 0)
		return rc;
	rc = zk_store_join(tx, ensemble);
	if (rc == 0)
		rc = zk_directory_store(tx, directory);
	if (rc < 0) {
		zk_store_abort(tx);
		return rc;
	}
	return zk_store_commit(tx);
}

void
zk_cluster_set_formed(struct zk_cluster *c,
    const struct zk_directory *directory)
{
	c->directory = *directory;
	memcpy(c->ensemble, zk_store_ident(c->store)->ensemble,
	    sizeof(c->ensemble));
	c->founders = (struct zk_conf){0};
	c->has_roster = directory->index == 0;
	c->formed = true;
	if (!c->has_roster)
		return; /* the log, or a snapshot, will tell */
	c->founders.count = (uint32_t)directory->count;
	for (size_t i = 0; i < directory->count; i++) {
		c->founders.ids[i] = directory->members[i].node;
		c->founders.voter_bits |= 1u << i;
	}
	zk_directory_founders(directory, &c->roster);
}

static void
tell_joined(const struct zk_cluster *c, const struct zk_directory *directory)
{
	const int i = zk_directory_find(directory, c->name);

	zk_log_info("JOINED member=%s members=%zu index=%" PRIu64, c->name,
	    directory->count, directory->index);
	/* It takes itself for a voter. */
	if (i >= 0 && !directory->members[i].votes &&
	    zk_directory_find(&c->source, c->name) >= 0)
		zk_log_warnx(
		    "OBSERVER member=%s reason=SOURCE lists it, but it "
		    "votes only after `zkfs member promote %s`",
		    c->name, c->name);
}

static int
form(struct zk_cluster *c, const uint8_t ensemble[ZK_ENSEMBLE_BYTES],
    const struct zk_directory *directory, struct zk_fault *ret_fault)
{
	int rc = record(c, ensemble, directory);

	if (rc < 0)
		return zk_fault_set(ret_fault, rc, ZK_EXIT_MOUNT, "data=%s: %s",
		    c->data, zk_err_text(rc));
	zk_cluster_set_formed(c, directory);
	zk_transport_set_ensemble(c->transport, ensemble);
	rc = zk_cluster_set_peers(c);
	if (rc < 0)
		return zk_fault_set(ret_fault, rc, ZK_EXIT_MOUNT,
		    "the members of the ensemble: %s", zk_err_text(rc));
	if (directory->index == 0)
		zk_log_info("FORMED member=%s members=%zu", c->name,
		    directory->count);
	else
		tell_joined(c, directory);
	zk_cluster_greet_all(c);
	return 1;
}

static bool
same_names(const struct zk_directory *a, const struct zk_directory *b)
{
	for (size_t i = 0; i < a->count; i++)
		if (zk_directory_find(b, a->members[i].name) < 0)
			return false;
	return a->count == b->count;
}

/* Under the lock: what somebody told us. */
static int
judge_found(struct zk_cluster *c, struct zk_fault *ret_fault)
{
	const struct zk_directory *found = &c->found_directory;

	c->found = false;
	/* The founders must have meant each other; later it is history. */
	if (found->index == 0 && !same_names(found, &c->source))
		return zk_fault_set(ret_fault, -EINVAL, ZK_EXIT_MOUNT,
		    "SOURCE: lists other members than those of the ensemble: "
		    "it must be the same on every host");
	/* Of a time when we were not in it, or not with this data. */
	if (!zk_cluster_is_known(found, c->name, c->self))
		return 0;
	return form(c, c->found_ensemble, found, ret_fault);
}

/* Whoever is first by name founds, whatever the order of SOURCE. */
static bool
is_founder(const struct zk_cluster *c)
{
	for (size_t i = 0; i < c->source.count; i++)
		if (strcmp(c->source.members[i].name, c->name) < 0)
			return false;
	return zk_directory_find(&c->source, c->name) >= 0;
}

/* Under the lock. */
const struct zk_cluster_session *
zk_cluster_session_of(const struct zk_cluster *c, const char *name)
{
	for (size_t i = 0; i < c->session_count; i++)
		if (strcmp(c->sessions[i].name, name) == 0)
			return &c->sessions[i];
	return NULL;
}

/* Under the lock: found the ensemble when all are here, and fresh. */
static int
found(struct zk_cluster *c, struct zk_fault *ret_fault)
{
	const struct zk_ident *ident = zk_store_ident(c->store);
	struct zk_directory directory = c->source;
	uint8_t ensemble[ZK_ENSEMBLE_BYTES];

	for (size_t i = 0; i < directory.count; i++) {
		struct zk_directory_member *m = &directory.members[i];
		const struct zk_cluster_session *session;

		if (strcmp(m->name, c->name) == 0) {
			m->node = ident->node;
			continue;
		}
		session = zk_cluster_session_of(c, m->name);
		if (session == NULL || !session->fresh)
			return 0;
		m->node = session->node;
	}
	for (size_t i = 0; i < directory.count; i++)
		directory.members[i].votes = true;
	/* The new ensemble's id is the one that our store drew at random. */
	memcpy(ensemble, ident->ensemble, sizeof(ensemble));
	return form(c, ensemble, &directory, ret_fault);
}

/* --- being let in --------------------------------------------------------- */

static int
tell_removed(const struct zk_cluster *c, struct zk_fault *ret_fault)
{
	if (c->stranger_node != 0)
		return zk_fault_set(ret_fault, -ESTALE, ZK_EXIT_MOUNT,
		    "data=%s: %s is now a member of this ensemble with another "
		    "data directory (node %016" PRIx64 ")",
		    c->data, c->name, c->stranger_node);
	return zk_fault_set(ret_fault, -ESTALE, ZK_EXIT_MOUNT,
	    "data=%s: %s was removed from the ensemble; empty the data "
	    "directory to join anew, or `zkfs member add %s=ADDR:PORT` on "
	    "another host",
	    c->data, c->name, c->name);
}

/*
 * Those whom SOURCE lists, and who are not members of our ensemble, may be of
 * another one: then this is the wrong data directory, and nothing should be
 * mounted.  They get a moment to say so.
 */
static int
judge_source(struct zk_cluster *c, struct zk_fault *ret_fault)
{
	if (c->other[0] != '\0')
		return zk_fault_set(ret_fault, -ZK_EENSEMBLE, ZK_EXIT_MOUNT,
		    "data=%s: belongs to another ensemble than %s, which "
		    "SOURCE lists",
		    c->data, c->other);
	return c->doubtful_until_ms > zk_cluster_now_ms() ? 0 : 1;
}

static int
tell_refused(const struct zk_cluster *c, struct zk_fault *ret_fault)
{
	switch (c->refused) {
	case -EEXIST:
		return zk_fault_set(ret_fault, c->refused, ZK_EXIT_MOUNT,
		    "%s is a member of this ensemble with another data "
		    "directory (node %016" PRIx64 "); if that one is lost, "
		    "`zkfs member remove %s` on another host, then start "
		    "this again",
		    c->name, c->stranger_node, c->name);
	case -EUSERS:
		return zk_fault_set(ret_fault, c->refused, ZK_EXIT_MOUNT,
		    "the ensemble has %u observers already, and no room for "
		    "%s: `zkfs member remove` one on another host",
		    ZK_ROSTER_OBSERVERS_MAX, c->name);
	case -ENOTUNIQ:
		return zk_fault_set(ret_fault, c->refused, ZK_EXIT_MOUNT,
		    "data=%s: another member of this ensemble has a copy of "
		    "this data directory",
		    c->data);
	default:
		return zk_fault_set(ret_fault, c->refused, ZK_EXIT_MOUNT,
		    "the ensemble does not let %s in: %s", c->name,
		    zk_err_text(c->refused));
	}
}

/*
 * One after the other, and again: who cannot put it now forgets it.  Also who
 * was fresh when it came: it may have become a member of an ensemble since.
 */
static void
ask(struct zk_cluster *c)
{
	const uint64_t now = zk_cluster_now_ms();

	if (now - c->asked_ms < ZK_CLUSTER_POLL_MS)
		return;
	if (c->session_count == 0)
		return;
	c->asked_ms = now;
	zk_cluster_say_join(c, c->sessions[c->asked++ % c->session_count].node);
}

int
zk_cluster_poll(struct zk_cluster *c, struct zk_fault *ret_fault)
{
	int rc = 0;

	(void)pthread_mutex_lock(&c->lock);
	if (c->is_removed)
		rc = tell_removed(c, ret_fault);
	else if (!c->formed && c->refused < 0)
		rc = tell_refused(c, ret_fault);
	else if (!c->formed && c->found)
		rc = judge_found(c, ret_fault);
	else if (!c->formed && is_founder(c))
		rc = found(c, ret_fault);
	if (rc == 0 && c->formed)
		rc = judge_source(c, ret_fault);
	/* Also a member asks: it may have been removed, and added again. */
	if (rc >= 0)
		ask(c);
	(void)pthread_mutex_unlock(&c->lock);
	return rc;
}

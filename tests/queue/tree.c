#include <inttypes.h>

#include "tests/queue/sim.h"

/*
 * What the brokers see of the tree: sessions.  Nobody but the hosts has them
 * wrong: one that is cut off from the tree counts its lease by itself, as
 * shorter than it is, and does not hear whose session has ended meanwhile.
 * Being cut off from the tree has nothing to do with other hosts' topics.
 */

#define LEASE_US 800000ull

static struct sim_session *
session_of(struct sim *sim, uint64_t session)
{
	return &sim->sessions[session - 1];
}

static void
end_session(struct sim *sim, struct sim_host *host)
{
	struct sim_session *session = session_of(sim, host->session);

	session->end_us = sim->now_us;
	session->last_number = sim->next_number;
	host->session = 0;
	sim_mark(sim, MARK_SESSION_LOST);
}

static void
begin_session(struct sim *sim, struct sim_host *host)
{
	if (sim->session_count == SIM_SESSIONS) {
		sim_fail(sim, "too many sessions");
		return;
	}
	host->session = host->own = ++sim->session_count;
	*session_of(sim, host->session) = (struct sim_session){.end_us = 0};
}

void
sim_tree_run(struct sim *sim)
{
	for (unsigned id = 0; id < sim->count; id++) {
		struct sim_host *host = &sim->hosts[id];

		if (host->session != 0 &&
		    sim->now_us >= host->lease_us + LEASE_US)
			end_session(sim, host);
		if (host->broker == NULL || sim->now_us < host->tree_cut_us)
			continue;
		/* It was asked for a moment ago. */
		host->lease_us = sim->now_us - sim->now_us % 5000;
		host->tree_us = sim->now_us;
		if (host->session == 0)
			begin_session(sim, host);
	}
}

void
sim_tree_start(struct sim_host *host)
{
	/* The session before, of another run, ends like that of a lost host. */
	host->own = 0;
}

uint64_t
sim_tree_own(void *arg, uint64_t *ret_left_ms)
{
	const struct sim_host *host = arg;
	const uint64_t end = host->lease_us + LEASE_US - LEASE_US / 32;
	const uint64_t now = host->sim->now_us;

	*ret_left_ms = now < end ? (end - now) / 1000 : 0;
	return now < end ? host->own : 0;
}

int
sim_tree_is_over(void *arg, uint64_t session)
{
	const struct sim_host *host = arg;
	const struct sim_session *found = session_of(host->sim, session);

	return found->end_us != 0 && found->end_us <= host->tree_us;
}

void
sim_tree_check(struct sim *sim, const struct sim_batch *batch, uint64_t newest)
{
	const struct sim_session *session = session_of(sim, batch->session);

	if (batch->session != 0 && session->end_us != 0 &&
	    newest > session->last_number)
		sim_fail(sim,
		    "partition %u: batch %" PRIu64 " comes after %" PRIu64
		    ", which was written when its session was over",
		    batch->part, batch->number, newest);
}

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/err.h"
#include "tests/queue/sim.h"

/*
 * Somebody at a host wants to read all that anybody was answered for: when he
 * is told that he does, he does.
 */

static void
on_synced(void *arg, const struct zk_reply *reply)
{
	struct sim_sync *sync = arg;
	struct sim *sim = sync->sim;
	struct sim_host *host = &sim->hosts[sync->host];
	struct zk_partition_info info;
	int rc;

	if (host->dying || sync->boot != host->boots) {
		free(sync);
		return;
	}
	host->syncs[sync->part] = false;
	if (reply->rc == 0) {
		sim_mark(sim, MARK_SYNC);
		rc = zk_broker_info(host->broker, sim->specs[sync->part].id,
		    &info);
		if (rc == -EREMOTE)
			sim_mark(sim, MARK_SYNC_ELSEWHERE);
		if (reply->info.end < sync->floor ||
		    (rc == 0 && info.end < sync->floor))
			sim_fail(sim,
			    "host %u: partition %u ends at %" PRIu64
			    ", or at %" PRIu64
			    ", but was written up to %" PRIu64,
			    sync->host, sync->part, reply->info.end,
			    rc == 0 ? info.end : 0, sync->floor);
	} else if (reply->rc != -ETIMEDOUT && reply->rc != -ESTALE) {
		sim_fail(sim, "host %u: it is not known where %u ends: %s",
		    sync->host, sync->part, zk_err_text(reply->rc));
	}
	free(sync);
}

void
sim_sync(struct sim *sim, struct sim_host *host, unsigned part)
{
	struct zk_request what = {
	    .kind = ZK_REQUEST_SYNC,
	    .partition = sim->specs[part].id,
	    .done = on_synced,
	};
	struct zk_request *request;
	struct sim_sync *sync;

	if (host->syncs[part] || sim->quiet || !sim_chance(sim, 3))
		return;
	sync = malloc(sizeof(*sync));
	if (sync == NULL)
		abort();
	*sync = (struct sim_sync){sim, host->id, part, host->boots,
	    sim->answered[part]};
	what.arg = sync;
	if (zk_request_new(&what, NULL, 0, &request) < 0)
		abort();
	zk_request_list_add(&host->list, request);
	host->syncs[part] = true;
}

#include "fs/reply.h"
#include "fs/topic_impl.h"

/*
 * Catching up with a partition, as a barrier does with the tree: its replicas
 * are asked, and afterwards this host reads where all that was appended before
 * is.
 */

static void
synced_read(struct zk_call *call)
{
	zk_topic_read(call->req, call->handle, call->size, call->cmd.off);
}

static void
sync_answer(struct zk_call *call, const struct zk_outcome *out)
{
	if (out->rc == 0 && call->resume != NULL)
		zk_call_defer(call); /* this thread is the one that answers */
	else
		zk_reply_rc_ino(call->req, out->rc);
}

static struct zk_call *
ask_sync(struct zk_fs *fs, fuse_req_t req, uint64_t partition)
{
	const struct zk_ask ask = {
	    .kind = ZK_ASK_SYNC,
	    .partition = partition,
	};

	return zk_topic_ask(fs, req, &ask, sync_answer);
}

void
zk_topic_sync(struct zk_fs *fs, fuse_req_t req, uint64_t partition)
{
	struct zk_call *call = ask_sync(fs, req, partition);

	if (call != NULL)
		zk_call_submit(call);
}

void
zk_topic_read_synced(fuse_req_t req, struct zk_handle *handle, size_t size,
    uint64_t off)
{
	struct zk_call *call = ask_sync(zk_fs_of(req), req, handle->ino);

	if (call == NULL)
		return;
	call->handle = handle;
	call->cmd.off = off;
	call->size = size;
	call->resume = synced_read;
	zk_call_submit(call);
}

#include <errno.h>
#include <string.h>

#include "base/ack.h"
#include "base/digest.h"
#include "base/next.h"
#include "fs/next_impl.h"
#include "fs/ops.h"
#include "fs/reply.h"
#include "fs/topic.h"

/*
 * How often a record was tried, by whoever in its group; see base/next.h.  The
 * share has the number, and remembers what was last asked: a try whose answer
 * was lost is not another one when it is asked for again.
 */

static uint32_t
number_of(const struct zk_share *share, const struct zk_port_share *row,
    uint64_t off, uint32_t begun)
{
	const bool known = share->trying && share->tried == off;
	uint32_t before = row->committed == off ? row->tries : 0;

	if (begun & ZK_NEXT_UNTRY)
		return known && share->tries > 0 ? share->tries - 1 : before;
	if (known && share->begun == begun)
		return share->tries;
	if (before < begun)
		before = begun;
	return before < ZK_ACK_TRIES_MAX ? before + 1 : before;
}

/* What the stream's reader is at: the first record not acknowledged. */
static int
begin(struct zk_next *s, uint32_t begun, struct zk_ack *ret_ack,
    bool *ret_agreed)
{
	const struct zk_window *w = &s->window;
	struct zk_port_share row;
	struct zk_share *share;
	int rc;

	if (s->fs->port.session(s->fs->port.impl) != s->session)
		return -ESTALE;
	if (w->count == 0 || w->told <= w->pos)
		return -ENODATA;
	share = zk_next_share_find(s, w->pieces[0].number);
	if (share == NULL || share->since != w->pieces[0].since)
		return -ESTALE;
	rc = s->fs->port.share(s->fs->port.impl, s->group, share->number, &row);
	if (rc < 0)
		return rc;
	share->tries = number_of(share, &row, w->pieces[0].off, begun);
	share->trying = true;
	share->tried = w->pieces[0].off;
	share->begun = begun;
	*ret_agreed = share->tries <= 1 && row.committed > share->first;
	*ret_ack = (struct zk_ack){
	    .number = share->number,
	    .flags = ZK_ACK_TRIED,
	    .tries = share->tries,
	    .offset = share->tried,
	};
	return 0;
}

static void
try_answer(struct zk_call *call, const struct zk_outcome *out)
{
	const uint32_t number = (uint32_t)call->cmd.off;

	if (out->rc == 0 && out->offset > 0)
		(void)fuse_reply_ioctl(call->req, 0, &number, sizeof(number));
	else
		zk_reply_rc_ino(call->req, out->rc < 0 ? out->rc : -ESTALE);
}

static int
send_try(struct zk_call *call)
{
	const struct zk_fs_port *port = &call->fs->port;
	struct zk_next *s = call->handle->next;
	struct zk_command cmd = call->cmd;
	uint8_t buf[ZK_ACK_BYTES];
	struct zk_ack ack;
	bool known = false;
	uint64_t number;
	int rc;

	/* Whoever has it will have this tried again. */
	if (!zk_next_take(s))
		return -EAGAIN;
	rc = begin(s, (uint32_t)call->size, &ack, &known);
	zk_next_give(s);
	if (rc < 0)
		return rc;
	call->cmd.off = ack.tries;
	if (known) {
		const struct zk_outcome out = {.offset = 1};

		zk_call_done(call, &out);
		return 0;
	}
	zk_ack_encode(buf, &ack);
	cmd.data = buf;
	cmd.data_len = sizeof(buf);
	return port->submit(port->impl, &cmd, zk_call_done, call, &number);
}

static void
try_it(fuse_req_t req, struct zk_handle *handle, uint32_t begun)
{
	const struct zk_command cmd = {
	    .op = ZK_OP_ACK,
	    .session = handle->next->session,
	    .ino = handle->next->group,
	    .handle = handle->next->handle,
	};
	struct zk_call *call =
	    zk_call_new(handle->next->fs, req, &cmd, try_answer);

	if (call == NULL)
		return;
	call->handle = handle;
	call->size = begun;
	call->send = send_try;
	zk_call_submit(call);
}

void
/* As libfuse has it.  NOLINTNEXTLINE(readability-function-size) */
zk_op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int request, void *arg,
    struct fuse_file_info *fi, unsigned int flags, const void *in,
    size_t in_len, size_t out_len)
{
	struct zk_handle *handle =
	    (flags & FUSE_IOCTL_DIR) != 0 ? NULL : zk_handle_of(fi);
	struct zk_partition_digest digest;
	uint32_t begun;

	(void)ino;
	(void)arg;
	if (handle != NULL && handle->kind == ZK_NODE_PARTITION &&
	    request == ZK_PARTITION_DIGEST && in_len == sizeof(digest) &&
	    out_len == sizeof(digest)) {
		memcpy(&digest, in, sizeof(digest));
		zk_topic_digest(req, handle, &digest);
		return;
	}
	if (handle == NULL || handle->next == NULL || request != ZK_NEXT_TRY ||
	    in_len != sizeof(begun) || out_len != sizeof(begun)) {
		zk_reply_rc(req, -ENOTTY);
		return;
	}
	memcpy(&begun, in, sizeof(begun));
	try_it(req, handle, begun);
}

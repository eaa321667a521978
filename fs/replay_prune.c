#include <linux/fuse.h>
#include <sys/uio.h>

#include "base/assert.h"
#include "fs/impl.h"

/* Of <linux/fuse.h> 7.45. */
#define NOTIFY_PRUNE 9
struct notify_prune_out {
	uint32_t count, padding;
	uint64_t spare;
};

void
zk_replay_prune(struct zk_fs *fs, const uint64_t *inos, size_t count)
{
	struct notify_prune_out out = {.count = (uint32_t)count};
	const size_t bytes = count * sizeof(inos[0]);
	struct fuse_out_header head = {
	    .len = (uint32_t)(sizeof(head) + sizeof(out) + bytes),
	    .error = NOTIFY_PRUNE,
	};
	struct iovec iov[] = {
	    {&head, sizeof(head)},
	    {&out, sizeof(out)},
	    {(void *)(uintptr_t)inos, bytes},
	};

	ZK_ASSERT(count > 0);

	/* EINVAL: a kernel that cannot do that, and so goes on knowing it. */
	(void)!writev(fuse_session_fd(fs->session), iov, 3);
}

#include "fs/init.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fs/impl.h"

/* Of FUSE 7.36 and 7.39; the second in the upper half of the flags. */
#define INIT_EXT          (1u << 30)
#define DIRECT_ALLOW_MMAP (1u << 4)

/* struct fuse_init_in up to 7.36, where flags2 was added. */
struct init_in {
	uint32_t major, minor, max_readahead, flags, flags2;
};

/* Where 7.36 put flags2 in struct fuse_init_out. */
#define FLAGS_OFFSET  12u
#define FLAGS2_OFFSET 32u

/* INIT is the first request, and the only one until its answer. */
static void
note_init(struct zk_fs *fs, const void *buf, size_t n)
{
	struct fuse_in_header head;
	struct init_in in;

	fs->init_seen = true;
	memcpy(&head, buf, sizeof(head));
	if (n <= sizeof(fs->init)) {
		memcpy(fs->init, buf, n);
		atomic_store(&fs->init_len, n);
	}
	if (head.opcode != FUSE_INIT || n < sizeof(head) + sizeof(in))
		return;
	memcpy(&in, (const char *)buf + sizeof(head), sizeof(in));
	fs->init_unique = head.unique;
	fs->mappable =
	    (in.flags & INIT_EXT) != 0 && (in.flags2 & DIRECT_ALLOW_MMAP) != 0;
}

static ssize_t
hooked_read(int fd, void *buf, size_t cap, void *userdata)
{
	struct zk_fs *fs = userdata;
	ssize_t n = read(fd, buf, cap);

	if (!fs->init_seen && n >= (ssize_t)sizeof(struct fuse_in_header))
		note_init(fs, buf, (size_t)n);
	return n;
}

static void
complete_init(struct zk_fs *fs, const struct iovec *iov, int count)
{
	struct fuse_out_header head;
	uint32_t flags, flags2 = DIRECT_ALLOW_MMAP;
	char *out;

	if (count != 2 || iov[0].iov_len != sizeof(head))
		return;
	memcpy(&head, iov[0].iov_base, sizeof(head));
	if (head.unique != fs->init_unique)
		return;
	fs->init_unique = 0;
	if (head.error != 0 || iov[1].iov_len < FLAGS2_OFFSET + 4) {
		fs->mappable = false;
		return;
	}
	out = iov[1].iov_base;
	memcpy(&flags, out + FLAGS_OFFSET, sizeof(flags));
	flags |= INIT_EXT;
	memcpy(out + FLAGS_OFFSET, &flags, sizeof(flags));
	memcpy(out + FLAGS2_OFFSET, &flags2, sizeof(flags2));
}

static ssize_t
hooked_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	struct zk_fs *fs = userdata;

	ssize_t n = 0;

	if (fs->mappable && fs->init_unique != 0)
		complete_init(fs, iov, count);
	if (!fs->init_again)
		return writev(fd, iov, count);
	/* The kernel was answered by the program before this one. */
	for (int i = 0; i < count; i++)
		n += (ssize_t)iov[i].iov_len;
	return n;
}

void
zk_init_again(struct zk_fs *fs, void *request, size_t len)
{
	const struct fuse_buf buf = {.size = len, .mem = request};

	note_init(fs, request, len);
	fs->init_again = true;
	fuse_session_process_buf(fs->session, &buf);
	fs->init_again = false;
}

int
zk_init_hook(struct zk_fs *fs)
{
	const struct fuse_custom_io io = {
	    .read = hooked_read,
	    .writev = hooked_writev,
	};

	return fuse_session_custom_io(fs->session, &io,
	    fuse_session_fd(fs->session));
}

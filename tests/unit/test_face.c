#include <criterion/criterion.h>
#include <linux/fuse.h>
#include <string.h>

#include "fs/face.h"

#define INO  0x1234ull
#define FACE ((uint64_t)5 << 56)

static struct {
	struct fuse_in_header head;
	union {
		struct fuse_link_in link;
		struct {
			struct fuse_batch_forget_in head;
			struct fuse_forget_one ones[2];
		} forget;
	};
} request;

static unsigned
strip(uint32_t opcode, uint64_t node_id, size_t len)
{
	request.head.opcode = opcode;
	request.head.nodeid = node_id;
	return zk_face_strip(&request, len);
}

Test(face, is_taken_off_the_node_of_a_request)
{
	cr_expect_eq(strip(FUSE_WRITE, INO | FACE, sizeof(request.head)), 5);
	cr_expect_eq(request.head.nodeid, INO);
	cr_expect_eq(strip(FUSE_WRITE, INO, sizeof(request.head)), 0);
	cr_expect_eq(request.head.nodeid, INO);
}

Test(face, virtual_inodes_have_none)
{
	const uint64_t events = 0x8000000000000000ull | 77;

	cr_expect_eq(strip(FUSE_READ, events, sizeof(request.head)), 0);
	cr_expect_eq(request.head.nodeid, events);
}

Test(face, is_taken_off_what_is_forgotten)
{
	request.forget.head.count = 2;
	request.forget.ones[0] = (struct fuse_forget_one){INO | FACE, 3};
	request.forget.ones[1] = (struct fuse_forget_one){INO + 1, 1};
	cr_expect_eq(strip(FUSE_BATCH_FORGET, 0, sizeof(request)), 0);
	cr_expect_eq(request.forget.ones[0].nodeid, INO);
	cr_expect_eq(request.forget.ones[0].nlookup, 3);
	cr_expect_eq(request.forget.ones[1].nodeid, INO + 1);
}

/* The kernel does not send these; the request must not be read beyond. */
Test(face, count_of_a_short_request_is_not_believed)
{
	request.forget.head.count = UINT32_MAX;
	request.forget.ones[0].nodeid = request.forget.ones[1].nodeid =
	    INO | FACE;
	(void)strip(FUSE_BATCH_FORGET, 0,
	    sizeof(request) - sizeof(request.forget.ones[1]));
	cr_expect_eq(request.forget.ones[0].nodeid, INO);
	cr_expect_eq(request.forget.ones[1].nodeid, INO | FACE);
	cr_expect_eq(zk_face_strip(&request, sizeof(request.head) - 1), 0);
}

Test(face, is_taken_off_what_is_linked)
{
	request.link.oldnodeid = INO | FACE;
	cr_expect_eq(
	    strip(FUSE_LINK, 1, sizeof(request.head) + sizeof(request.link)),
	    0);
	cr_expect_eq(request.link.oldnodeid, INO);
}

#include "fs/face.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <string.h>

#include "base/assert.h"
#include "fs/call_impl.h"
#include "fs/handle.h"
#include "fs/impl.h"

#define SHIFT 56u

/* The kernel comes back at once, or not at all. */
#define ASKED_MS 1000u
/* So long after the first of them, appends become one event. */
#define DUE_MS 50u

_Static_assert(ZK_FACES <= 64u, "faces are bits of 64");
_Static_assert(ZK_FACES <= 1u << (63 - SHIFT), "and not virtual inodes");

bool
zk_face_has(uint32_t kind)
{
	return kind == ZK_NODE_PARTITION || kind == ZK_NODE_BY_KEY ||
	    kind == ZK_NODE_ANY;
}

/* --- requests ------------------------------------------------------------- */

static void
strip(uint64_t *node_id)
{
	*node_id = zk_face_ino(*node_id);
}

static void
strip_forgets(uint8_t *body, size_t len)
{
	struct fuse_batch_forget_in head;
	struct fuse_forget_one one;

	if (len < sizeof(head))
		return;
	memcpy(&head, body, sizeof(head));
	body += sizeof(head);
	len -= sizeof(head);
	for (; head.count > 0 && len >= sizeof(one); head.count--) {
		memcpy(&one, body, sizeof(one));
		strip(&one.nodeid);
		memcpy(body, &one, sizeof(one));
		body += sizeof(one);
		len -= sizeof(one);
	}
}

unsigned
zk_face_strip(void *request, size_t len)
{
	uint8_t *body = (uint8_t *)request + sizeof(struct fuse_in_header);
	struct fuse_in_header head;
	struct fuse_link_in link;
	uint64_t asked;

	if (len < sizeof(head))
		return 0;
	memcpy(&head, request, sizeof(head));
	asked = head.nodeid;
	strip(&head.nodeid);
	memcpy(request, &head, sizeof(head));
	len -= sizeof(head);
	if (head.opcode == FUSE_BATCH_FORGET)
		strip_forgets(body, len);
	if (head.opcode == FUSE_LINK && len >= sizeof(link)) {
		memcpy(&link, body, sizeof(link));
		strip(&link.oldnodeid);
		memcpy(body, &link, sizeof(link));
	}
	return asked == head.nodeid ? 0 : (unsigned)(asked >> SHIFT);
}

/* --- who appends through which -------------------------------------------- */

/* Under the lock.  tid 0: any; a place that is free, if there is one. */
static struct zk_face_asked *
find_asked(struct zk_faces *faces, pid_t tid, uint64_t ino)
{
	const uint64_t now = zk_now_ms();

	for (size_t i = 0; i < ZK_FACE_ASKED; i++) {
		struct zk_face_asked *asked = &faces->asked[i];

		if (asked->tid != 0 && now - asked->asked_ms > ASKED_MS)
			asked->tid = 0;
		if (asked->tid == tid && (tid == 0 || asked->ino == ino))
			return asked;
	}
	return NULL;
}

/* Under the lock: the first that nobody has, or is about to get; 0: none. */
static uint8_t
free_face(const struct zk_faces *faces, const struct zk_inode *inode)
{
	uint64_t used = inode->faces;

	for (size_t i = 0; i < ZK_FACE_ASKED; i++)
		if (faces->asked[i].tid != 0 &&
		    faces->asked[i].ino == inode->ino)
			used |= 1ull << faces->asked[i].face;
	for (uint8_t face = 1; face < ZK_FACES; face++)
		if ((used >> face & 1) == 0)
			return face;
	return 0;
}

/* Under the lock: send the caller to another, if he was not already. */
static int
send_on(struct zk_faces *faces, const struct zk_inode *inode,
    const struct zk_handle *handle)
{
	struct zk_face_asked *asked = find_asked(faces, 0, 0);
	const uint8_t face = free_face(faces, inode);

	/* Threads outside of our pid namespace are all the same to us. */
	if (asked == NULL || face == 0 || handle->tid <= 0)
		return 0;
	*asked = (struct zk_face_asked){
	    .tid = handle->tid,
	    .face = face,
	    .ino = inode->ino,
	    .asked_ms = zk_now_ms(),
	};
	return -ESTALE;
}

int
zk_face_claim(struct zk_fs *fs, struct zk_handle *handle, int face)
{
	struct zk_face_asked *asked = NULL;
	struct zk_inode *inode;
	int rc = 0;

	ZK_ASSERT(handle->face == 0);

	/* A request that waited meanwhile has lost it. */
	if (face < 0 || face >= (int)ZK_FACES ||
	    (handle->flags & O_APPEND) == 0 ||
	    (handle->flags & O_ACCMODE) == O_RDONLY)
		return 0;
	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, handle->ino);
	ZK_ASSERT(inode != NULL);
	if (handle->tid > 0)
		asked = find_asked(&fs->faces, handle->tid, handle->ino);
	if ((inode->faces >> face & 1) == 0) {
		inode->faces |= 1ull << face;
		handle->face = (uint8_t)(face + 1);
	} else if (asked == NULL) {
		rc = send_on(&fs->faces, inode, handle);
	}
	/* Whatever came of it: there is no third time. */
	if (asked != NULL)
		asked->tid = 0;
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return rc;
}

uint64_t
zk_face_find(struct zk_fs *fs, pid_t tid, uint64_t ino)
{
	const struct zk_face_asked *asked = NULL;
	uint64_t node_id = ino;

	if (tid <= 0)
		return ino;
	(void)pthread_mutex_lock(&fs->inodes.lock);
	asked = find_asked(&fs->faces, tid, ino);
	if (asked != NULL)
		node_id |= (uint64_t)asked->face << SHIFT;
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return node_id;
}

/* --- who watches the node ------------------------------------------------- */

void
zk_face_appended(struct zk_fs *fs, const struct zk_handle *handle)
{
	struct zk_faces *faces = &fs->faces;
	bool due = false, full = false;
	size_t i = 0;

	/* The kernel has told of what came through the node itself. */
	if (handle->face <= 1)
		return;
	(void)pthread_mutex_lock(&fs->inodes.lock);
	while (i < faces->due_count && faces->due[i] != handle->ino)
		i++;
	full = i == ZK_FACE_DUE;
	if (i == faces->due_count && !full) {
		faces->due[faces->due_count++] = handle->ino;
		due = atomic_load(&faces->due_ms) == 0;
		if (due)
			atomic_store(&faces->due_ms, zk_now_ms() + DUE_MS);
	}
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	if (full)
		zk_replay_touched(fs, handle->ino, true);
	if (!due)
		return;
	(void)pthread_mutex_lock(&fs->calls.lock);
	zk_calls_kick_locked(&fs->calls);
	(void)pthread_mutex_unlock(&fs->calls.lock);
}

void
zk_faces_serve(struct zk_fs *fs)
{
	struct zk_faces *faces = &fs->faces;
	const uint64_t due_ms = atomic_load(&faces->due_ms);
	uint64_t due[ZK_FACE_DUE];
	size_t count;

	if (due_ms == 0 || zk_now_ms() < due_ms)
		return;
	(void)pthread_mutex_lock(&fs->inodes.lock);
	count = faces->due_count;
	memcpy(due, faces->due, count * sizeof(due[0]));
	faces->due_count = 0;
	atomic_store(&faces->due_ms, 0);
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	for (size_t i = 0; i < count; i++)
		zk_replay_touched(fs, due[i], true);
}

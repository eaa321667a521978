#ifndef ZK_FS_FACE_H
#define ZK_FS_FACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Several inodes of the kernel's for one node, so that several can append at
 * once.
 *
 * For an append the kernel holds the lock of its inode until the write is
 * answered (fuse_dio_wr_exclusive_lock(): FOPEN_PARALLEL_DIRECT_WRITES does
 * not help), and we answer when a majority has it on disk: so all who append
 * to a partition on this host would go one after the other, and no two of
 * their records would share a flush.  But what has its lock is the kernel's
 * node id, not what stat(2) tells.  So who opens for appending what another
 * has open for that already gets a *face* of it, with a node id of its own.
 *
 * A name leads to one inode, so that has to be done between open(2) and the
 * inode: OPEN is answered with ESTALE, upon which the kernel looks the name up
 * again, in the same thread, is told of the face, and opens that.  The face is
 * not to be believed: the next lookup of the name finds the node itself, and
 * so do stat(2), readers and watches, always.
 *
 * A node id is the inode number, and above it the face; 0 is the node itself.
 * Requests lose theirs before anything looks at them, so that only what is
 * here knows of faces.  Nothing is cached for one: no pages (appends are
 * direct), no attributes, no name.
 *
 * An append through a face raises inotify events in the directory, but not for
 * who watches the node: that is done afterwards, for many appends at once.
 */
#define ZK_FACES      64u
#define ZK_FACE_ASKED 64u /* who is to find a face: at most so many */
#define ZK_FACE_DUE   64u /* nodes whose watchers are to hear of appends */

struct zk_fs;
struct zk_handle;

/* Protected by inodes.lock, but for due_ms. */
struct zk_faces {
	/* Who is on the way from one OPEN to the next. */
	struct zk_face_asked {
		pid_t tid; /* 0: nobody */
		uint8_t face;
		uint64_t ino;
		uint64_t asked_ms;
	} asked[ZK_FACE_ASKED];

	uint64_t due[ZK_FACE_DUE]; /* nodes */
	size_t due_count;
	_Atomic uint64_t due_ms; /* when to look at them; 0: there are none */
};

/* Nodes of this kind are only ever appended to. */
bool zk_face_has(uint32_t kind);

/* Takes the faces out of a request; that of its node is returned. */
unsigned zk_face_strip(void *request, size_t len);

/*
 * The handle, which is open, appends through this face: 0, or -ESTALE, which
 * is the answer that makes the kernel come back with a better one.
 */
int zk_face_claim(struct zk_fs *fs, struct zk_handle *handle, int face);

/* The node id that the thread is to find for ino. */
uint64_t zk_face_find(struct zk_fs *fs, pid_t tid, uint64_t ino);

/* Something was appended through the handle. */
void zk_face_appended(struct zk_fs *fs, const struct zk_handle *handle);
/* The thread of the calls: raises what is due. */
void zk_faces_serve(struct zk_fs *fs);

static inline uint64_t
zk_face_ino(uint64_t node_id)
{
	return node_id >> 63 != 0 ? node_id : node_id & ((1ull << 56) - 1);
}

#endif

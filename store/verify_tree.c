#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"
#include "store/dirent.h"
#include "store/inode.h"
#include "store/session.h"
#include "store/verify_impl.h"

#define BLOCKS_PER_CHUNK (ZK_CHUNK_BYTES / 512u)

static int
compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* --- names ---------------------------------------------------------------- */

int
zk_verify_dirent_row(struct zk_verifier *v, const struct zk_scan *scan)
{
	struct zk_entry_ref ref, found;
	struct zk_verify_name *noted;
	const char *name;
	uint64_t parent;
	size_t name_len;
	int rc;

	rc = zk_dirent_decode(&scan->at, scan->value, scan->value_len, &ref,
	    &name, &name_len);
	if (rc < 0)
		return zk_verify_fail(v, "entry of a directory: damaged");
	parent = zk_get_be64(scan->at.bytes + 1);
	/* Where a lookup would look for it. */
	rc = zk_dirent_get(v->tx, parent, name, name_len, &found);
	if (rc == -ENOENT || (rc == 0 && found.slot != ref.slot))
		return zk_verify_fail(v,
		    "directory %" PRIu64 ": name '%.*s' is misplaced", parent,
		    (int)name_len, name);
	if (rc < 0)
		return rc;
	noted = zk_verify_add(&v->names, sizeof(*noted));
	if (noted == NULL)
		return -ENOMEM;
	*noted = (struct zk_verify_name){
	    .child = ref.ino,
	    .parent = parent,
	    .type = ref.type,
	};
	return 0;
}

static int
compare_name(const void *a, const void *b)
{
	const struct zk_verify_name *x = a, *y = b;

	if (x->child != y->child)
		return compare_u64(x->child, y->child);
	return compare_u64(x->parent, y->parent);
}

static void
sort_names(struct zk_verifier *v)
{
	if (!v->names_sorted && v->names.count > 0)
		qsort(v->names.items, v->names.count,
		    sizeof(struct zk_verify_name), compare_name);
	v->names_sorted = true;
}

/* The names of a node; nodes come in order, and so do names. */
static int
claim_names(struct zk_verifier *v, uint64_t ino,
    const struct zk_verify_name **ret_first, size_t *ret_count)
{
	const struct zk_verify_name *names;
	size_t next = v->name_next;

	sort_names(v);
	names = v->names.items;
	if (next < v->names.count && names[next].child < ino)
		return zk_verify_fail(v,
		    "directory %" PRIu64 " names node %" PRIu64
		    ", which is missing",
		    names[next].parent, names[next].child);
	while (next < v->names.count && names[next].child == ino)
		next++;
	*ret_count = next - v->name_next;
	*ret_first = *ret_count > 0 ? names + v->name_next : NULL;
	v->name_next = next;
	return 0;
}

/* --- content -------------------------------------------------------------- */

int
zk_verify_chunk_row(struct zk_verifier *v, const struct zk_scan *scan)
{
	const uint64_t ino = zk_get_be64(scan->at.bytes + 1);
	struct zk_verify_chunks *last = v->chunks.items;

	if (scan->at.len != 1 + 8 + 4 || scan->value_len == 0 ||
	    scan->value_len > ZK_CHUNK_BYTES)
		return zk_verify_fail(v,
		    "node %" PRIu64 ": a chunk of %zu bytes", ino,
		    scan->value_len);
	if (v->chunks.count > 0)
		last += v->chunks.count - 1;
	if (v->chunks.count == 0 || last->ino != ino) {
		last = zk_verify_add(&v->chunks, sizeof(*last));
		if (last == NULL)
			return -ENOMEM;
		*last = (struct zk_verify_chunks){.ino = ino};
	}
	last->count++;
	last->end =
	    (uint64_t)zk_get_be32(scan->at.bytes + 1 + 8) * ZK_CHUNK_BYTES +
	    scan->value_len;
	return 0;
}

static int
claim_chunks(struct zk_verifier *v, uint64_t ino,
    struct zk_verify_chunks *ret_chunks)
{
	const struct zk_verify_chunks *chunks = v->chunks.items;

	*ret_chunks = (struct zk_verify_chunks){.ino = ino};
	if (v->chunks_next == v->chunks.count)
		return 0;
	chunks += v->chunks_next;
	if (chunks->ino < ino)
		return zk_verify_fail(v,
		    "chunks of node %" PRIu64 ", which is missing",
		    chunks->ino);
	if (chunks->ino == ino) {
		*ret_chunks = *chunks;
		v->chunks_next++;
	}
	return 0;
}

static int
check_content(struct zk_verifier *v, const struct zk_inode *node)
{
	const struct zk_attr *attr = &node->attr;
	struct zk_verify_chunks chunks;
	bool good;
	int rc;

	rc = claim_chunks(v, attr->ino, &chunks);
	if (rc < 0)
		return rc;
	if (S_ISREG(attr->mode) && attr->size > ZK_INLINE_MAX)
		good = node->data_len == 0 && chunks.end <= attr->size &&
		    attr->blocks == chunks.count * BLOCKS_PER_CHUNK;
	else if (S_ISREG(attr->mode) || S_ISLNK(attr->mode))
		good = node->data_len == attr->size && chunks.count == 0;
	else
		good = node->data_len == 0 && chunks.count == 0;
	if (good)
		return 0;
	return zk_verify_fail(v,
	    "node %" PRIu64 ": %" PRIu64 " bytes in %" PRIu64
	    " blocks, but %zu inline, %" PRIu64 " chunks up to %" PRIu64,
	    attr->ino, attr->size, attr->blocks, node->data_len, chunks.count,
	    chunks.end);
}

/* --- nodes ---------------------------------------------------------------- */

static int
check_dir(struct zk_verifier *v, const struct zk_attr *attr,
    const struct zk_verify_name *name, size_t name_count)
{
	const bool is_root = attr->ino == ZK_INO_ROOT;
	struct zk_verify_dir *dir;

	if (attr->nlink == 0)
		return 0;
	if (name_count != (is_root ? 0 : 1))
		return zk_verify_fail(v, "directory %" PRIu64 " has %zu names",
		    attr->ino, name_count);
	if (attr->parent != (is_root ? ZK_INO_ROOT : name->parent))
		return zk_verify_fail(v,
		    "directory %" PRIu64 " takes %" PRIu64 " for its parent",
		    attr->ino, attr->parent);
	dir = zk_verify_add(&v->dirs, sizeof(*dir));
	if (dir == NULL)
		return -ENOMEM;
	*dir = (struct zk_verify_dir){
	    .ino = attr->ino,
	    .parent = attr->parent,
	    .nlink = attr->nlink,
	    .reached = is_root,
	};
	return 0;
}

/* An ephemeral file's owner must find it again. */
static int
check_ephemeral(struct zk_verifier *v, const struct zk_attr *attr)
{
	struct zk_ephemeral eph = {.ino = 0};
	struct zk_entry_ref ref;
	int rc;

	if (attr->session == 0 || attr->nlink == 0)
		return 0;
	rc = zk_ephemeral_get(v->tx, attr->session, attr->handle, &eph);
	if (rc == 0 && eph.ino == attr->ino) {
		rc = zk_dirent_get(v->tx, eph.parent, eph.name, eph.name_len,
		    &ref);
		if (rc == 0 && ref.ino == attr->ino && attr->nlink == 1 &&
		    S_ISREG(attr->mode))
			return 0;
	}
	if (rc == 0 || rc == -ENOENT || rc == -ZK_ECORRUPT)
		return zk_verify_fail(v,
		    "ephemeral file %" PRIu64 ": its owner does not know it",
		    attr->ino);
	return rc;
}

/* Who has no name must be somebody's to hold. */
static int
check_orphan(struct zk_verifier *v, const struct zk_attr *attr)
{
	const struct zk_key from = zk_key1(ZK_TABLE_ORPHAN, attr->ino);
	struct zk_scan scan;
	int rc;

	if (attr->nlink != 0)
		return 0;
	rc = zk_scan_begin(v->tx, &from, from.len, &scan);
	if (rc < 0)
		return rc;
	rc = zk_scan_next(&scan);
	zk_scan_end(&scan);
	if (rc == -ENOENT)
		return zk_verify_fail(v,
		    "node %" PRIu64 " has no name and nobody holds it",
		    attr->ino);
	return rc;
}

/* The name that the node's row tells must lead to it. */
static int
check_own_name(struct zk_verifier *v, const struct zk_inode *node)
{
	const struct zk_attr *attr = &node->attr;
	struct zk_entry_ref ref = {.ino = 0};
	int rc = 0;

	if (attr->ino == ZK_INO_ROOT || attr->nlink == 0)
		return node->name_len == 0
		    ? 0
		    : zk_verify_fail(v, "node %" PRIu64 " tells a name",
		          attr->ino);
	rc = zk_dirent_get(v->tx, attr->parent, node->name, node->name_len,
	    &ref);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	return ref.ino == attr->ino
	    ? 0
	    : zk_verify_fail(v, "node %" PRIu64 " tells a wrong name",
	          attr->ino);
}

/* Of several names there is a row each; that they are right, see below. */
static int
check_links(struct zk_verifier *v, const struct zk_attr *attr)
{
	const struct zk_key from = zk_key1(ZK_TABLE_NAME, attr->ino);
	struct zk_scan scan;
	uint32_t count = 0;
	int rc;

	if (S_ISDIR(attr->mode) || attr->nlink < 2)
		return 0;
	rc = zk_scan_begin(v->tx, &from, from.len, &scan);
	if (rc < 0)
		return rc;
	while ((rc = zk_scan_next(&scan)) == 0)
		count++;
	zk_scan_end(&scan);
	if (rc == -ENOENT && count != attr->nlink)
		return zk_verify_fail(v,
		    "node %" PRIu64 " has %" PRIu32
		    " names, but tells %" PRIu32,
		    attr->ino, attr->nlink, count);
	return rc == -ENOENT ? 0 : rc;
}

static int
check_names(struct zk_verifier *v, const struct zk_attr *attr,
    const struct zk_verify_name *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (names[i].type != (attr->mode & S_IFMT))
			return zk_verify_fail(v,
			    "node %" PRIu64
			    " is of another type than its name says",
			    attr->ino);
	if (S_ISDIR(attr->mode))
		return check_dir(v, attr, names, count);
	if (count != attr->nlink)
		return zk_verify_fail(v,
		    "node %" PRIu64 " counts %" PRIu32 " names, but has %zu",
		    attr->ino, attr->nlink, count);
	return 0;
}

int
zk_verify_inode_row(struct zk_verifier *v, const struct zk_scan *scan)
{
	const uint64_t ino = zk_get_be64(scan->at.bytes + 1);
	const struct zk_verify_name *names;
	struct zk_inode node;
	size_t count;
	int rc;

	rc = scan->at.len == 1 + 8 ? zk_inode_get(v->tx, ino, &node)
	                           : -ZK_ECORRUPT;
	if (rc == -ZK_ECORRUPT)
		return zk_verify_fail(v, "node %" PRIu64 ": damaged", ino);
	if (rc == 0 && (ino == 0 || ino >= v->state.ino_next))
		return zk_verify_fail(v, "node %" PRIu64 " of the future", ino);
	if (rc == 0)
		rc = claim_names(v, ino, &names, &count);
	if (rc == 0)
		rc = check_names(v, &node.attr, names, count);
	if (rc == 0)
		rc = check_own_name(v, &node);
	if (rc == 0)
		rc = check_links(v, &node.attr);
	if (rc == 0)
		rc = check_orphan(v, &node.attr);
	if (rc == 0)
		rc = check_content(v, &node);
	if (rc == 0)
		rc = check_ephemeral(v, &node.attr);
	v->report->nodes++;
	return rc;
}

/* --- what belongs to nodes ------------------------------------------------ */

int
zk_verify_ephemeral_row(struct zk_verifier *v, const struct zk_scan *scan)
{
	const uint64_t session = zk_get_be64(scan->at.bytes + 1);
	struct zk_ephemeral eph;
	struct zk_attr attr = {.ino = 0};
	uint64_t handle;
	int rc;

	if (scan->at.len != 1 + 8 + 8)
		return zk_verify_fail(v, "ephemeral with a key of %zu bytes",
		    scan->at.len);
	handle = zk_get_be64(scan->at.bytes + 1 + 8);
	rc = zk_verify_session(v, session, "ephemeral");
	if (rc < 0)
		return rc;
	rc = zk_ephemeral_get(v->tx, session, handle, &eph);
	if (rc == 0)
		rc = zk_inode_attr(v->tx, eph.ino, &attr);
	if (rc < 0 && rc != -ENOENT && rc != -ZK_ECORRUPT)
		return rc;
	if (rc < 0 || attr.session != session || attr.handle != handle ||
	    attr.nlink == 0)
		return zk_verify_fail(v,
		    "session %" PRIu64 " owns an ephemeral file that is not",
		    session);
	return 0;
}

int
zk_verify_orphan_row(struct zk_verifier *v, const struct zk_scan *scan)
{
	const uint64_t ino = zk_get_be64(scan->at.bytes + 1);
	struct zk_attr attr;
	int rc;

	if (scan->at.len != 1 + 8 + 8)
		return zk_verify_fail(v, "orphan with a key of %zu bytes",
		    scan->at.len);
	rc = zk_inode_attr(v->tx, ino, &attr);
	if (rc == -ENOENT || (rc == 0 && attr.nlink != 0))
		return zk_verify_fail(v,
		    "node %" PRIu64 " is held without a name, but %s", ino,
		    rc == 0 ? "has one" : "is gone");
	if (rc < 0)
		return rc;
	return zk_verify_session(v, zk_get_be64(scan->at.bytes + 1 + 8),
	    "hold");
}

int
zk_verify_name_row(struct zk_verifier *v, const struct zk_scan *scan)
{
	const uint64_t ino = zk_get_be64(scan->at.bytes + 1);
	const size_t at = 1 + 8 + 8;
	struct zk_entry_ref ref = {.ino = 0};
	struct zk_attr attr = {.ino = 0};
	int rc;

	if (scan->at.len <= at || scan->at.len > at + ZK_NAME_MAX)
		return zk_verify_fail(v, "name with a key of %zu bytes",
		    scan->at.len);
	rc = zk_dirent_get(v->tx, zk_get_be64(scan->at.bytes + 1 + 8),
	    (const char *)scan->at.bytes + at, scan->at.len - at, &ref);
	if (rc == 0 && ref.ino == ino) {
		rc = zk_inode_attr(v->tx, ino, &attr);
		if (rc == -ENOENT) /* the entry's fault: told there */
			return 0;
	}
	if (rc < 0 && rc != -ENOENT)
		return rc;
	if (ref.ino != ino || S_ISDIR(attr.mode) || attr.nlink < 2)
		return zk_verify_fail(v,
		    "node %" PRIu64 ": a name that is not one of several", ino);
	return 0;
}

int
zk_verify_xattr_row(struct zk_verifier *v, const struct zk_scan *scan)
{
	const uint64_t ino = zk_get_be64(scan->at.bytes + 1);
	struct zk_attr attr;
	int rc;

	if (scan->at.len == 1 + 8)
		return zk_verify_fail(v,
		    "node %" PRIu64 ": an attribute without a name", ino);
	rc = zk_inode_attr(v->tx, ino, &attr);
	if (rc == -ENOENT)
		return zk_verify_fail(v,
		    "attribute of node %" PRIu64 ", which is missing", ino);
	return rc;
}

/* --- the whole ------------------------------------------------------------ */

static int
compare_dir(const void *a, const void *b)
{
	const struct zk_verify_dir *x = a, *y = b;

	return compare_u64(x->ino, y->ino);
}

static struct zk_verify_dir *
find_dir(struct zk_verifier *v, uint64_t ino)
{
	const struct zk_verify_dir key = {.ino = ino};

	if (v->dirs.count == 0)
		return NULL;
	return bsearch(&key, v->dirs.items, v->dirs.count, sizeof(key),
	    compare_dir);
}

/* Go up until a directory that is known to hang on the root. */
static int
reach(struct zk_verifier *v, struct zk_verify_dir *dir)
{
	struct zk_verify_dir *at = dir;
	size_t steps = 0;

	ZK_ASSERT(dir != NULL);

	while (at != NULL && !at->reached && steps++ <= v->dirs.count)
		at = find_dir(v, at->parent);
	if (at == NULL || !at->reached)
		return zk_verify_fail(v,
		    "directory %" PRIu64 " does not hang on the root",
		    dir->ino);
	for (at = dir; at != NULL && !at->reached; at = find_dir(v, at->parent))
		at->reached = true;
	return 0;
}

static int
check_parents(struct zk_verifier *v)
{
	const struct zk_verify_name *names = v->names.items;

	for (size_t i = 0; i < v->names.count; i++) {
		struct zk_verify_dir *dir = find_dir(v, names[i].parent);

		if (dir == NULL)
			return zk_verify_fail(v,
			    "node %" PRIu64 " has a name in %" PRIu64
			    ", which is no directory",
			    names[i].child, names[i].parent);
		if (S_ISDIR(names[i].type))
			dir->subdirs++;
	}
	return 0;
}

int
zk_verify_tree_end(struct zk_verifier *v)
{
	const struct zk_verify_name *names;
	struct zk_verify_chunks chunks;
	struct zk_verify_dir *dirs;
	size_t count;
	int rc;

	/* Whatever is not claimed by now belongs to no node. */
	rc = claim_names(v, UINT64_MAX, &names, &count);
	if (rc == 0)
		rc = claim_chunks(v, UINT64_MAX, &chunks);
	if (rc == 0 && v->report->nodes > 0 && find_dir(v, ZK_INO_ROOT) == NULL)
		rc = zk_verify_fail(v, "there is no root");
	if (rc == 0)
		rc = check_parents(v);
	if (rc < 0)
		return rc;
	dirs = v->dirs.items;
	for (size_t i = 0; i < v->dirs.count; i++) {
		rc = reach(v, &dirs[i]);
		if (rc < 0)
			return rc;
		if (dirs[i].nlink != 2 + dirs[i].subdirs)
			return zk_verify_fail(v,
			    "directory %" PRIu64 " counts %" PRIu64
			    " links, but has %" PRIu64 " directories",
			    dirs[i].ino, dirs[i].nlink, dirs[i].subdirs);
	}
	return 0;
}

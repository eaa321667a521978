#include "store/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/table.h"

/* Within the body of a meta page; see store/datadir.c. */
#define META_TXN_AT 128u

/* What is flushed at a time, and in how many lots a large file at most. */
#define LOT_BYTES ((off_t)128 << 10)
#define LOTS_MAX  2048
/* Not if the flush before ended within this. */
#define LOTS_AFTER_MS 100u

enum phase {
	IDLE,
	FLUSHING, /* by the thread, or about to be */
	FLUSHED,  /* the writer has not taken notice yet */
};

struct zk_checkpointer {
	MDB_env *mdb;
	int tree_fd;
	struct zk_journal *journal;
	size_t page_bytes;

	/* The writer's. */
	MDB_txn *pinned;  /* of the newest checkpoint on disk */
	MDB_txn *pending; /* of the one under way */
	uint64_t label;   /* of the newest on disk */

	/* The thread's while FLUSHING, else the writer's. */
	struct zk_checkpoint next;
	uint64_t ended_ms; /* when it flushed last */

	_Atomic bool hurry; /* all at once, also of the flush under way */
	bool background;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum phase phase; /* protected by lock, and so are these */
	int failed;       /* a code, once and for ever */
	bool stopping;
};

/* --- meta pages ----------------------------------------------------------- */

static uint64_t
txn_of(const uint8_t meta[ZK_META_BYTES])
{
	uint64_t txn;

	memcpy(&txn, meta + META_TXN_AT, sizeof(txn));
	return txn;
}

static int
read_metas(int fd, size_t page_bytes, uint8_t ret_metas[2][ZK_META_BYTES])
{
	for (size_t i = 0; i < 2; i++) {
		const ssize_t n = pread(fd, ret_metas[i], ZK_META_BYTES,
		    (off_t)(i * page_bytes + ZK_META_AT));

		if (n != (ssize_t)ZK_META_BYTES)
			return n < 0 ? -errno : -ZK_ECORRUPT;
	}
	return 0;
}

static int
write_metas(int fd, size_t page_bytes, const uint8_t *const metas[2])
{
	for (size_t i = 0; i < 2; i++) {
		const ssize_t n = pwrite(fd, metas[i], ZK_META_BYTES,
		    (off_t)(i * page_bytes + ZK_META_AT));

		if (n != (ssize_t)ZK_META_BYTES)
			return -EIO;
	}
	return fdatasync(fd) == 0 ? 0 : -EIO;
}

static size_t
system_page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

int
zk_checkpoint_restore(int tree_fd, const struct zk_checkpoint *checkpoint,
    struct zk_metas *ret_before)
{
	const size_t page_bytes = system_page_bytes();
	const uint8_t *const metas[2] = {checkpoint->meta, checkpoint->meta};
	size_t newer;
	int rc;

	ret_before->changed = false;
	rc = read_metas(tree_fd, page_bytes, ret_before->bytes);
	if (rc < 0)
		return rc;
	newer =
	    txn_of(ret_before->bytes[0]) < txn_of(ret_before->bytes[1]) ? 1 : 0;
	if (memcmp(ret_before->bytes[newer], checkpoint->meta, ZK_META_BYTES) ==
	    0)
		return 0;
	ret_before->changed = true;
	return write_metas(tree_fd, page_bytes, metas);
}

int
zk_checkpoint_undo(int tree_fd, const struct zk_metas *before)
{
	const uint8_t *const metas[2] = {before->bytes[0], before->bytes[1]};

	if (!before->changed)
		return 0;
	return write_metas(tree_fd, system_page_bytes(), metas);
}

/* The meta page that leads to what this transaction sees. */
static int
capture(struct zk_checkpointer *c, MDB_txn *txn)
{
	uint8_t metas[2][ZK_META_BYTES];
	int rc;

	rc = read_metas(c->tree_fd, c->page_bytes, metas);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < 2; i++) {
		if (txn_of(metas[i]) != mdb_txn_id(txn))
			continue;
		memcpy(c->next.meta, metas[i], ZK_META_BYTES);
		return 0;
	}
	return -ZK_ECORRUPT;
}

/* --- the flush ------------------------------------------------------------ */

/*
 * Most pages, a few at a time: what the writer puts into the journal meanwhile
 * waits for few of them, and not for all.  The flush proper comes after that,
 * and has little left.  An error is told once only, so one that is told here
 * counts.
 */
static int
write_out(struct zk_checkpointer *c)
{
	const unsigned flags = SYNC_FILE_RANGE_WAIT_BEFORE |
	    SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
	off_t lot = LOT_BYTES;
	struct stat st;

	if (fstat(c->tree_fd, &st) != 0)
		return -EIO;
	while (st.st_size / lot > LOTS_MAX)
		lot *= 2;
	for (off_t at = 0; at < st.st_size && !atomic_load(&c->hurry);
	     at += lot)
		if (sync_file_range(c->tree_fd, at, lot, flags) != 0)
			return errno == ENOSYS || errno == EINVAL ? 0 : -EIO;
	return 0;
}

/* Where one follows the other closely, the disk has enough to do. */
static bool
has_time(const struct zk_checkpointer *c)
{
	return c->background && zk_clock_ms() - c->ended_ms >= LOTS_AFTER_MS;
}

/* Pages first, then what leads to them. */
static int
flush(struct zk_checkpointer *c)
{
	int rc;

	if (has_time(c) && write_out(c) < 0)
		return -EIO;
	if (fdatasync(c->tree_fd) != 0)
		return -EIO;
	rc = zk_journal_checkpoint(c->journal, &c->next);
	c->ended_ms = c->background ? zk_clock_ms() : 0;
	return rc;
}

static void *
flusher_main(void *arg)
{
	struct zk_checkpointer *c = arg;

	(void)pthread_setname_np(pthread_self(), "zkfs-flush");
	(void)pthread_mutex_lock(&c->lock);
	for (;;) {
		int rc;

		while (c->phase != FLUSHING && !c->stopping)
			(void)pthread_cond_wait(&c->changed, &c->lock);
		if (c->phase != FLUSHING)
			break;
		(void)pthread_mutex_unlock(&c->lock);
		rc = flush(c);
		(void)pthread_mutex_lock(&c->lock);
		c->failed = rc;
		c->phase = FLUSHED;
		(void)pthread_cond_broadcast(&c->changed);
	}
	(void)pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* Under the lock. */
static int
take_notice(struct zk_checkpointer *c)
{
	if (c->failed < 0)
		return c->failed;
	if (c->phase != FLUSHED)
		return 0;
	if (c->pinned != NULL)
		mdb_txn_abort(c->pinned);
	c->pinned = c->pending;
	c->pending = NULL;
	c->label = c->next.label;
	zk_journal_release(c->journal, &c->next);
	c->phase = IDLE;
	return 0;
}

int
zk_checkpointer_poll(struct zk_checkpointer *c)
{
	int rc;

	(void)pthread_mutex_lock(&c->lock);
	rc = take_notice(c);
	(void)pthread_mutex_unlock(&c->lock);
	return rc;
}

bool
zk_checkpointer_is_busy(const struct zk_checkpointer *c)
{
	return c->pending != NULL;
}

void
zk_checkpointer_hurry(struct zk_checkpointer *c)
{
	atomic_store(&c->hurry, true);
}

int
zk_checkpointer_wait(struct zk_checkpointer *c)
{
	int rc;

	zk_checkpointer_hurry(c);
	(void)pthread_mutex_lock(&c->lock);
	while (c->phase == FLUSHING)
		(void)pthread_cond_wait(&c->changed, &c->lock);
	rc = take_notice(c);
	(void)pthread_mutex_unlock(&c->lock);
	return rc;
}

int
zk_checkpointer_begin(struct zk_checkpointer *c, const struct zk_checkpoint *of,
    bool in_lots)
{
	int rc = zk_checkpointer_poll(c);

	if (rc < 0 || c->pending != NULL)
		return rc;
	rc = zk_err_from_mdb(
	    mdb_txn_begin(c->mdb, NULL, MDB_RDONLY, &c->pending));
	if (rc < 0) {
		c->pending = NULL;
		return rc;
	}
	c->next = *of;
	atomic_store(&c->hurry, !in_lots);
	rc = capture(c, c->pending);
	if (rc == 0 && !c->background)
		rc = flush(c);
	(void)pthread_mutex_lock(&c->lock);
	if (rc < 0)
		c->failed = rc;
	c->phase = c->background ? FLUSHING : FLUSHED;
	rc = take_notice(c);
	(void)pthread_cond_broadcast(&c->changed);
	(void)pthread_mutex_unlock(&c->lock);
	return rc;
}

uint64_t
zk_checkpointer_label(const struct zk_checkpointer *c)
{
	return c->label;
}

/* --- life ----------------------------------------------------------------- */

int
zk_checkpointer_open(MDB_env *mdb, int tree_fd, struct zk_journal *journal,
    bool background, struct zk_checkpointer **ret_checkpointer)
{
	struct zk_checkpointer *c = calloc(1, sizeof(*c));
	int rc;

	if (c == NULL)
		return -ENOMEM;
	c->mdb = mdb;
	c->tree_fd = tree_fd;
	c->journal = journal;
	c->page_bytes = system_page_bytes();
	(void)pthread_mutex_init(&c->lock, NULL);
	(void)pthread_cond_init(&c->changed, NULL);
	/* What the file was opened with must not be lost before the first. */
	rc = zk_err_from_mdb(mdb_txn_begin(mdb, NULL, MDB_RDONLY, &c->pinned));
	if (rc == 0 && background)
		rc = -pthread_create(&c->thread, NULL, flusher_main, c);
	c->background = background && rc == 0;
	if (rc < 0) {
		zk_checkpointer_close(c);
		return rc;
	}
	*ret_checkpointer = c;
	return 0;
}

void
zk_checkpointer_close(struct zk_checkpointer *c)
{
	if (c == NULL)
		return;
	(void)pthread_mutex_lock(&c->lock);
	c->stopping = true;
	(void)pthread_cond_broadcast(&c->changed);
	(void)pthread_mutex_unlock(&c->lock);
	if (c->background)
		(void)pthread_join(c->thread, NULL);
	if (c->pending != NULL)
		mdb_txn_abort(c->pending);
	if (c->pinned != NULL)
		mdb_txn_abort(c->pinned);
	(void)pthread_cond_destroy(&c->changed);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

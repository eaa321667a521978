#ifndef ZK_FS_CALL_H
#define ZK_FS_CALL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/command.h"
#include "fs/fuse.h"
#include "fs/handover.h"
#include "fs/port.h"

struct zk_fs;
struct zk_handle;
struct zk_next;
struct zk_call;

/*
 * A request that waits for something: for its command to be applied, for room
 * in the node's queue, or for the commands of files just closed.  No thread
 * waits with it.
 *
 * Exactly one reply: whoever claims the call first gives it; that is the
 * outcome, the time-out, an interrupt, or the end of the mount.  A call whose
 * command was accepted lives until its outcome, which may come late.
 *
 * EINTR is given only for what is certain not to happen: for a command that
 * was not yet submitted, or for a lock whose wait was cancelled.  Who is killed
 * or called off while its command is under way gets ETIMEDOUT before the time,
 * after a moment in which the outcome usually comes.
 */

/*
 * The outcome came in time: reply.  On the node thread, or on the thread that
 * submitted; no lock is held.
 */
typedef void (
    *zk_answer_fn)(struct zk_call *call, const struct zk_outcome *out);
/* The outcome came after another reply: make up for it. */
typedef void (*zk_late_fn)(struct zk_call *call, const struct zk_outcome *out);
/* What the call waited for is there: go on, and reply. */
typedef void (*zk_resume_fn)(struct zk_call *call);

TAILQ_HEAD(zk_call_list, zk_call);

/* What waits for room in one does not hold up the other. */
enum zk_lane { ZK_LANE_TREE, ZK_LANE_TOPICS, ZK_LANES };

struct zk_call {
	struct zk_fs *fs;
	fuse_req_t req; /* NULL: nobody waits for a reply */
	zk_answer_fn answer;
	zk_late_fn late; /* may be NULL */
	zk_resume_fn resume;
	/* Another reply than the outcome is given now.  May be NULL. */
	void (*instead)(struct zk_call *call, int rc);
	/*
	 * How it is submitted; NULL: cmd to the port.  -EAGAIN: no room, it
	 * is parked and tried again.  When it returns 0, zk_call_done() or
	 * zk_call_told() follows.
	 */
	int (*send)(struct zk_call *call);
	enum zk_lane lane;
	const struct zk_told *told; /* in answer and late, if it came so */
	struct zk_command cmd;      /* names and groups are in tail */
	uint64_t number;
	uint64_t limit_ms; /* 0: may wait for ever */

	/* Protected by calls.lock. */
	uint64_t deadline_ms;      /* the limit, or before it to look again */
	TAILQ_ENTRY(zk_call) live; /* in timed or untimed */
	TAILQ_ENTRY(zk_call) step; /* in one of parked, waiting, ready */
	TAILQ_ENTRY(zk_call) poke; /* in interrupted */
	struct zk_call_list *in_step;
	bool in_live, in_poke;
	bool answered, submitted, interrupted, cancelled;
	uint64_t shown;       /* in ready until that is told; see notify.h */
	uint64_t shown_by_ms; /* but not after that */
	bool moving; /* not to be refused, but to be kept; see handover.h */
	unsigned refs;

	/* For the operation's own use. */
	struct zk_handle *handle; /* borrowed */
	struct zk_handle *made;   /* owned, dropped with the call */
	void *extra;              /* owned, freed with the call */
	size_t extra_len;         /* bytes, as far as they count */
	bool settles;             /* counted in nexts.unsettled */
	struct zk_next *next;     /* referred to until the outcome */
	struct fuse_file_info fi;
	size_t size;

	/* As the kernel sent it; 0: too long to be kept. */
	size_t request_len;
	uint8_t request[ZK_REQUEST_BYTES_MAX];

	void *data;      /* owned copy of cmd.data, once parked */
	uint32_t tail[]; /* cmd.groups, then cmd.name, then cmd.name2 */
};

struct zk_calls {
	pthread_mutex_t lock;
	pthread_cond_t work; /* something for the thread to do */
	pthread_cond_t room; /* parked_bytes shrank, or a call ended */
	pthread_t thread;
	bool started, stopping;
	bool kicked;               /* look again before sleeping */
	bool dozing;               /* sleeps without a deadline to wake it */
	bool submitting[ZK_LANES]; /* the first of the parked is being tried */
	struct zk_call_list timed; /* unanswered, in order of deadline */
	struct zk_call_list untimed;          /* unanswered, without deadline */
	struct zk_call_list parked[ZK_LANES]; /* to be submitted, in order */
	struct zk_call_list waiting;          /* for cmd.ino's closed files */
	struct zk_call_list ready;            /* to be resumed */
	struct zk_call_list interrupted;
	size_t parked_bytes;
	size_t pending; /* calls not yet over */
	size_t closing; /* of these, without anyone who waits for a reply */

	/* Inodes without name that are no longer held here. */
	uint64_t *reap;
	size_t reap_count, reap_cap;
	uint64_t reap_due_ms; /* 0: nothing to reap */
};

/* Above this much copied data the workers stop taking requests. */
#define ZK_PARKED_BYTES_MAX ((size_t)32 * ZK_MIB)

void zk_calls_init(struct zk_calls *calls);
void zk_calls_fini(struct zk_calls *calls);
int zk_calls_start(struct zk_fs *fs);
/* Wait up to timeout_ms for accepted commands; then answer all the rest. */
void zk_calls_drain(struct zk_fs *fs, uint32_t timeout_ms);
void zk_calls_stop(struct zk_fs *fs);
/*
 * For a handover, with no requests coming in: wait until this time for what is
 * under way.  What waits for a lock stays, and waits in the tree by then; it is
 * kept when the node ends.  0, or -EBUSY.
 */
int zk_calls_settle(struct zk_fs *fs, uint64_t until_ms);
/* Nothing came of it. */
void zk_calls_unsettle(struct zk_fs *fs);
/* Returns once parked_bytes is low, or the mount ends. */
void zk_calls_wait_room(struct zk_fs *fs);

/*
 * A call for cmd, whose names are copied.  Without memory it replies ENOMEM
 * to req and returns NULL.
 */
struct zk_call *zk_call_new(struct zk_fs *fs, fuse_req_t req,
    const struct zk_command *cmd, zk_answer_fn answer);

/* Go on with a call that waited, under whose request it was made. */
void zk_call_resume(struct zk_call *call);

/* All of these take over the call. */
void zk_call_submit(struct zk_call *call);
/*
 * Until zk_call_wake() or an interrupt, in a list of the caller's.  cmd.flags
 * of such a call have ZK_F_WAIT.  It was made for this, or held and woken
 * before.
 */
void zk_call_hold(struct zk_call *call, struct zk_call_list *list);
/* The first of the list, taken out and held; NULL: there is none. */
struct zk_call *zk_call_take(struct zk_fs *fs, struct zk_call_list *list);
/*
 * After zk_call_take(): hold it again, before all others; or finish it: true:
 * reply, and only then zk_call_end() it, which is called in any case.
 */
void zk_call_hold_again(struct zk_call *call, struct zk_call_list *list);
bool zk_call_finish(struct zk_call *call);
void zk_call_end(struct zk_call *call);
/* Have the thread of the calls look at everything. */
void zk_calls_wake(struct zk_fs *fs);
/* Until no closed file of cmd.ino has a command under way; then resume. */
void zk_call_wait(struct zk_call *call);
/*
 * For answer functions: resume on the thread of the calls, which may read the
 * tree, instead of here.
 */
void zk_call_defer(struct zk_call *call);

/*
 * The same, when the kernel has been told of all that had changed until now,
 * so that what is read after the reply is no older; or after so many ms.  False
 * when it has been told already: reply.
 */
#define ZK_SHOWN_MS 500u
bool zk_call_defer_shown(struct zk_call *call, uint32_t ms);

/* A closed file's command was applied: look at the waiting calls. */
void zk_calls_kick(struct zk_fs *fs);

/* What a send function has submitted was answered. */
void zk_call_done(void *arg, const struct zk_outcome *out);

/*
 * What it asked to hold, a lock or an ephemeral, another may have by now: the
 * lease of the session ran out while the daemon stood still with the answer.
 */
bool zk_call_is_over(const struct zk_call *call);
void zk_call_told(void *arg, const struct zk_told *told);

/* ino has no name and nobody here holds it. */
void zk_calls_reap(struct zk_fs *fs, uint64_t ino);

uint64_t zk_now_ms(void); /* monotonic */

#endif

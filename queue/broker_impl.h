#ifndef ZK_QUEUE_BROKER_IMPL_H
#define ZK_QUEUE_BROKER_IMPL_H

/*
 * The inside of a broker, shared by broker*.c and group*.c only.
 *
 *   broker.c         life and turns
 *   broker_part.c    the table of partitions; SET, DROP, PRUNE
 *   broker_host.c    other hosts: frames to them, whether they live
 *   broker_receive.c frames from them
 *   broker_append.c  batches of this host on their way
 *   broker_fence.c   batches whose session is over
 *   broker_ask.c     questions of this host and of others
 *   broker_sync.c, broker_read.c  ends for sure; what any thread may call
 *   broker_follow.c  ends of what is elsewhere, for this host and others
 *   broker_late.c    what may wait for a frame to go with
 *   group.c, group_*.c  one replica: Raft and its log; its parts
 */

#include <pthread.h>

#include "base/codec.h"
#include "consensus/msg_codec.h"
#include "queue/broker.h"
#include "queue/broker_follow.h"
#include "queue/broker_sync.h"
#include "queue/plog.h"
#include "queue/writers.h"

struct zk_part;
struct zk_group;

/* --- frames --------------------------------------------------------------- */

/*
 * A frame is messages one after the other: kind u8, partition u64, then
 *   RAFT     u32 length, a message as consensus/msg_codec.h has it, and for an
 *            APPEND with entries u32 count and the entries (group_wire.c)
 *   SLEEP    u64 term, u64 index: nothing happens until you hear from me
 *   SNAPSHOT u64 term, base index, base term, base offset, time i64 u32, the
 *            configuration's index u64 and itself, writers (writers.h)
 *   FORWARD  u64 session, sending, acked, a pass (broker_fence.c), u32 count,
 *            then u64 number, u32 length and bytes of each batch
 *   ANSWER   u64 session, sending (0: DONE), u8 verdict, u64 leader, u64 term, u32 count, then
 *            u64 number, u64 offset of each
 *   ALIVE    partition 0; u64 boot, u64 clock (broker_fence.c), u8 flags (1:
 *            room on its disk)
 *   ASK      u64 question, u8 kind, u64 offset, time i64 u32, u32 want, u64
 *            seen: the end may not be before it
 *   REPLY    u64 question, i64 rc, u64 offset, INFO's fields, u32 length and
 *            bytes
 *   WATCH    nothing: tell me for a while when it changes
 *   INFO     u64 start, end, leader, stored, time i64 u32, u8 count, nodes
 *   LEFT     nothing: am I a member still?
 *   GONE     nothing: no
 *   HAVE     u64 term, u64 index: a SNAPSHOT up to there is of no use to me
 *   FOLLOW   u64 end: send one INFO when it is beyond that; UINT64_MAX: now
 *   ELSEWHERE  u64 leader: do not FOLLOW it here
 * Little-endian.
 */
enum zk_message_kind {
	ZK_TELL_RAFT = 1,
	ZK_TELL_SLEEP,
	ZK_TELL_SNAPSHOT,
	ZK_TELL_FORWARD,
	ZK_TELL_ANSWER,
	ZK_TELL_ALIVE,
	ZK_TELL_ASK,
	ZK_TELL_REPLY,
	ZK_TELL_WATCH,
	ZK_TELL_INFO,
	ZK_TELL_LEFT,
	ZK_TELL_GONE,
	ZK_TELL_HAVE,
	ZK_TELL_FOLLOW,
	ZK_TELL_ELSEWHERE,
};

/* Of ANSWER. */
enum zk_verdict {
	ZK_SAY_DONE = 1,  /* at that offset, committed */
	ZK_SAY_GAP,       /* one before it has not come */
	ZK_SAY_BUSY,      /* try again in a moment */
	ZK_SAY_FULL,      /* no room; it was not taken up */
	ZK_SAY_NOTLEADER, /* ask the leader named, if there is one */
	ZK_SAY_UNKNOWN,   /* no such partition here */
	ZK_SAY_OVER,      /* it was sent in a session that is over */
	ZK_SAY_LATE,      /* ... that may be over, but for all that is known */
	ZK_SAY_LAST = ZK_SAY_LATE
};

/* Sizes of frames: those of the transport, less some. */
#define ZK_FAST_FRAME_MAX 60000u
#define ZK_BULK_FRAME_MAX 4456448u
/* A frame of data is sent when it is this long. */
#define ZK_BULK_FRAME_AIM 262144u
/* One of no more than this takes along what is in the other lane. */
#define ZK_BULK_FRAME_SMALL 16384u

/* Entries of one APPEND. */
#define ZK_GROUP_APPEND_BYTES (2u * ZK_MIB)
#define ZK_GROUP_APPEND_COUNT 1024u
#define ZK_GROUP_APPEND_CONFS 16u
#define ZK_GROUP_WINDOW_BYTES (8u * ZK_MIB)
#define ZK_GROUP_PROPOSED_MAX (32ull * ZK_MIB)
#define ZK_FORWARD_BYTES_MAX  2097152ul
#define ZK_FORWARD_FLIGHT_MAX 8388608ul
#define ZK_OFFERS_MAX         ZK_WRITER_WINDOW

_Static_assert(ZK_GROUP_APPEND_BYTES + ZK_BATCH_MAX + 131072u <
        ZK_BULK_FRAME_MAX,
    "what goes into one message fits a frame");
_Static_assert(ZK_FORWARD_BYTES_MAX + ZK_BATCH_MAX + 65536u < ZK_BULK_FRAME_MAX,
    "what goes into one message fits a frame");

/* --- other hosts ---------------------------------------------------------- */

#define ZK_HOSTS_MAX 64u

struct zk_out {
	uint8_t *bytes;
	size_t len, cap;
	size_t answers_at; /* the ANSWER that can be extended, + 1; 0: none */
};

/* The time of a host, in one of its runs. */
struct zk_clock {
	uint64_t boot, ms;
};

struct zk_host {
	uint64_t node;
	uint64_t boot; /* 0: not heard yet */
	uint64_t heard_ms, alive_since_ms;
	bool alive;
	bool room;   /* on its disk */
	bool shared; /* a group of ours has it as a member */
	bool urgent; /* what is in the fast lane must not wait behind data */
	struct zk_clock clock; /* it has told last */
	uint64_t told_ms;      /* when it was told ours */
	bool answer_alive;     /* it is to be told ours with this turn */
	struct zk_out out[ZK_BROKER_LANES];
};

/* --- one replica ---------------------------------------------------------- */

/* How far a member is told that the log is committed. */
struct zk_late {
	struct zk_msg msg; /* that waits */
	bool waits;
	uint64_t since_ms;
	uint64_t told;     /* the last index that was sent */
	uint64_t answered; /* the last index that a writer there was told of */
};

/* What is remembered of an entry until it is applied. */
struct zk_head {
	enum zk_pentry_kind kind;
	uint32_t len;
	uint64_t offset;
	struct zk_stamp time;
	uint64_t session, number, acked;
	uint64_t from; /* who waits for an answer; 0: nobody */
};

struct zk_group {
	struct zk_part *part;
	struct zk_raft raft;
	struct zk_pstate state; /* commit_index is what is applied */
	uint64_t end;           /* of what is applied */

	/* The end of the log, committed or not. */
	uint64_t tail_offset;
	struct zk_stamp tail_time;

	/* Entries applied + 1 and on, by index. */
	struct zk_head *heads;
	uint64_t heads_cap; /* a power of two */

	struct zk_writers writers;

	/*
	 * The log's end as it was found at the start: more may be committed,
	 * and have been told, than is known.  0: it is known, or nobody came
	 * for FOUND_MS who could tell.
	 */
	uint64_t found_index;
	uint32_t found_ms; /* since then */

	/* Of a log that was given up once; see zk_group_is_behind(). */
	uint64_t floor_term, floor_index;

	bool wrote;       /* in this turn, for the log or Raft */
	bool state_due;   /* the state must be written in this turn */
	uint32_t unsaved; /* entries applied since it was */

	bool asleep;
	uint32_t idle_ticks;
	uint64_t transfer_ms; /* the last time that leadership was given away */
	uint64_t full_ms;     /* ... because the disk is full */
	uint64_t look_ms;     /* for what is too old */
	uint64_t left_ms;
	bool trimming; /* an entry TRIM is not applied yet */

	struct zk_syncs *syncs; /* NULL until needed, like: */
	struct zk_late *late;   /* by member, as Raft has them; broker_late.c */
	struct zk_group *next_late;
	bool in_late; /* in the broker's list */
};

/* A batch as it is offered to a leader. */
struct zk_offer {
	uint64_t number;
	const void *bytes;
	uint32_t len;
};

/* --- a partition ---------------------------------------------------------- */

#define ZK_WATCHERS_MAX 64u

struct zk_watcher {
	uint64_t node;
	uint64_t until_ms;
};

struct zk_part {
	struct zk_part *next;         /* in its bucket; protected by lock */
	struct zk_part *next_touched; /* in this turn */
	bool touched;
	uint64_t id;
	struct zk_broker *broker;
	struct zk_partition_spec spec; /* id 0: not set yet */
	struct zk_group *group;        /* NULL: no replica here */

	/* A replica that is being deleted; LIVE: there is none. */
	enum zk_pstatus trash;
	uint64_t trash_first, trash_last;
	bool gone; /* all is deleted: to be forgotten */

	/* What any thread may see; protected by the broker's lock. */
	struct zk_partition_info info;
	uint64_t base_index, applied_index;
	/*
	 * Some of what was written waits in LMDB's open transaction: others
	 * see no further than this.  Also protected by lock.
	 */
	bool hidden;
	uint64_t visible_index, visible_end;
	bool read_at_end;               /* lately; also protected by lock */
	struct zk_part *next_hidden;    /* the broker's thread's */
	bool info_changed;              /* the broker's thread's */
	struct zk_partition_info heard; /* from others */

	/* Batches of this host, in the order of their numbers. */
	struct zk_request_list queued; /* to be sent */
	struct zk_request_list flight; /* sent, not answered */
	struct zk_request_list unseen; /* done, but not to be read here yet */
	uint64_t last_number, acked;
	uint64_t sending;             /* the last message with batches */
	uint64_t leader, leader_term; /* as heard from others */
	uint64_t aimed;               /* where flight was sent; 0: nowhere */
	uint64_t progress_ms;         /* something was sent or answered */
	uint64_t hold_ms;             /* send nothing before */
	uint32_t rotate;
	bool busy; /* in the broker's list of those with requests */
	struct zk_part *next_busy;

	/* Questions of this host; of others who watch. */
	struct zk_request_list asks;
	uint32_t watch_count;
	uint64_t watch_ms;
	uint64_t seen;     /* the end that this host has been told of */
	uint64_t told;     /* ... and its writers have been */
	uint64_t eager_ms; /* the leader was told that there are readers */
	struct zk_watcher *watchers;
	uint32_t watcher_count;

	struct zk_follow follow;
};

/* --- the broker ----------------------------------------------------------- */

struct zk_held {
	struct zk_group *group;
	struct zk_msg msg;
};

struct zk_broker {
	struct zk_broker_options options;
	struct zk_plog *plog;
	uint64_t session; /* of this run, as a writer and as a host */
	uint64_t replica_count;
	/* The tree's, as the turn began; one that a leader says is over. */
	uint64_t holder, holder_over;
	struct zk_broker_time now;
	uint64_t ticked_ms, beacon_ms, manage_ms;
	uint64_t last_question;

	/* Of the turn. */
	struct zk_tx writer;
	struct zk_tx *tx;     /* NULL until something is to be stored */
	struct zk_tx *reader; /* NULL until something is to be read */
	bool wrote;
	bool room;      /* for what is new */
	bool last_room; /* for what others have begun */
	int fatal;
	struct zk_effects fx;
	struct zk_part *touched;
	struct zk_held *held;
	size_t held_count, held_cap;
	struct zk_request_list answered;
	struct zk_group *late; /* where somebody is to be told of commits */
	bool more;             /* another turn at once */

	/* What others do not see yet; see zk_broker_options. */
	struct zk_part *hidden;
	uint64_t hidden_ms; /* since when */
	uint64_t eager_ms;  /* somebody read at an end; 0: nobody ever did */
	bool read_at_end;   /* ... since the last turn; protected by lock */

	/* The table; its shape is protected by lock, as are infos. */
	pthread_mutex_t lock;
	struct zk_part **buckets;
	size_t bucket_count, part_count;

	struct zk_part *followed;
	uint64_t follow_ms; /* when to look at one of them, or before */

	struct zk_part *busy;
	size_t waiting_count, waiting_bytes;
	bool trash; /* some partition may have something to be deleted */
	uint32_t awake_count;
	bool shares_stale; /* of hosts */
	bool retains;      /* some partition has a retention */
	bool any_gone;     /* some partition is to be forgotten */

	struct zk_host hosts[ZK_HOSTS_MAX];
	uint32_t host_count;
	uint64_t linked[ZK_HOSTS_MAX]; /* connected; protected by lock */

	/* What is offered, proposed, or received, while it is worked on. */
	struct zk_offer offers[ZK_OFFERS_MAX];
	const struct zk_offer *proposed;
	size_t proposed_count;
	uint64_t proposed_first; /* the index of the first; 0: none has one */
	uint64_t proposed_session, proposed_acked, proposed_from;
	uint64_t sending; /* the writer's message that is worked on */
	uint64_t trim_index, trim_term, trim_offset; /* index 0: none */
	struct zk_pentry *received;
	uint64_t received_first;
	struct zk_pentry wire[ZK_GROUP_APPEND_COUNT];
	struct zk_conf_entry confs[ZK_GROUP_APPEND_CONFS];
	uint8_t conf_bytes[ZK_CONF_WIRE_MAX];
	uint8_t *read_bytes;  /* of READ, ZK_PARTITION_READ_MAX */
	size_t served_bytes;  /* to others, in this turn */
	uint32_t stored_rows; /* of entries, in this turn */

	struct zk_broker_counts counts;
};

static inline uint64_t
zk_broker_now(const struct zk_broker *b)
{
	return b->now.mono_ms;
}

/* broker.c */
int zk_broker_tx(struct zk_broker *b); /* b->tx, begun where there is none */
/* For reading: the turn's own changes are seen. */
int zk_broker_reader(struct zk_broker *b, struct zk_tx **ret_tx);
int zk_broker_fail(struct zk_broker *b, int rc); /* remembers it; returns it */
/* broker_tx.c: what was begun to read from is over; also a write transaction */
void zk_broker_end_reader(struct zk_broker *b);
void zk_broker_end_readers(struct zk_broker *b);
/* What the turn has written is durable then. */
int zk_broker_flush(struct zk_broker *b);
void zk_broker_touch(struct zk_part *part); /* look at it when the turn ends */
void zk_broker_answer(struct zk_broker *b, struct zk_request *request, int rc);

/* broker_part.c */
struct zk_part *zk_part_find(struct zk_broker *b, uint64_t id); /* or NULL */
int zk_part_add(struct zk_broker *b, uint64_t id, struct zk_part **ret_part);
/* All, one after the other: NULL begins, NULL ends. */
struct zk_part *zk_part_next(struct zk_broker *b, const struct zk_part *part);
int zk_part_set(struct zk_broker *b, const struct zk_partition_spec *spec);
int zk_part_drop(struct zk_broker *b, struct zk_part *part);
int zk_part_prune(struct zk_broker *b);
/* The replica moved away. */
int zk_part_leave(struct zk_part *part);
/* Deletes some of what is to be deleted. */
int zk_part_clean(struct zk_broker *b);
void zk_part_forget_gone(struct zk_broker *b);
void zk_part_free(struct zk_part *part);
/* What is written in this turn is not to be seen by others yet; now it is. */
void zk_part_hide(struct zk_part *part);
void zk_part_show_all(struct zk_broker *b);
/* A new group without a leader yet, which should be us. */
bool zk_part_is_unborn(const struct zk_part *part);
bool zk_spec_has(const struct zk_partition_spec *spec, uint64_t node);
/* Takes up what is on disk. */
int zk_part_load(struct zk_broker *b);
/*
 * It can be read here: the replica counts, and has all that writers of this
 * host were told of.
 */
bool zk_part_is_local(const struct zk_part *part);
/* What is known of it now. */
void zk_part_picture(const struct zk_part *part,
    struct zk_partition_info *ret_info);
/* Any thread may see that; true: it is not what it was. */
bool zk_part_publish(struct zk_part *part);

/* broker_host.c */
struct zk_host *zk_host_find(struct zk_broker *b, uint64_t node);
struct zk_host *zk_host_get(struct zk_broker *b, uint64_t node); /* or NULL */
/*
 * Begins a message of that kind, with room for `bytes` after its head, into
 * *ret_enc, whose buffer is the frame's.  false: no memory, or no such host.
 */
bool zk_host_begin(const struct zk_part *part, uint64_t to, unsigned lane,
    enum zk_message_kind kind, size_t bytes, struct zk_enc *ret_enc);
void zk_host_commit(struct zk_broker *b, uint64_t to, unsigned lane,
    const struct zk_enc *enc);
void zk_host_urgent(struct zk_broker *b, uint64_t to);
void zk_host_flush(struct zk_broker *b);
void zk_host_heard(struct zk_broker *b, uint64_t from);
int zk_host_on_alive(struct zk_broker *b, uint64_t from, struct zk_dec *dec);
void zk_host_tell_alive(struct zk_broker *b, struct zk_host *host);
void zk_host_tick(struct zk_broker *b);
/* It asked for something, and is to know that we live, and what we know. */
void zk_host_answer_alive(struct zk_broker *b, uint64_t node);
void zk_host_down(struct zk_broker *b, struct zk_host *host);
bool zk_host_is_alive(struct zk_broker *b, uint64_t node);
void zk_host_free(struct zk_broker *b);
void zk_host_reach(const struct zk_broker *b, struct zk_partition_info *info);

/* broker_receive.c is zk_broker_receive() */

/* broker_late.c */
/* True: a COMMIT, which will be sent, or something that says the same. */
bool zk_late_take(struct zk_group *g, const struct zk_msg *msg);
void zk_late_sent(struct zk_group *g, const struct zk_msg *append);
void zk_late_answered(struct zk_group *g, uint64_t node, uint64_t index);
void zk_late_forget(struct zk_group *g);
/* Before the frames of the turn are sent. */
void zk_late_send(struct zk_broker *b);
/* Readers here wait for what comes: the leader should tell at once. */
void zk_late_ask(struct zk_part *part);

/* broker_append.c */
void zk_append_submit(struct zk_broker *b, struct zk_request *request);
void zk_append_pump(struct zk_part *part);
bool zk_append_can_send(struct zk_part *part);
void zk_append_tick(struct zk_broker *b);
/* What one who was asked says of a batch of this host. */
struct zk_answered {
	enum zk_verdict verdict;
	uint64_t from, sending, number, offset;
	uint64_t leader, term; /* as far as `from` knows */
};
void zk_append_answered(struct zk_part *part, const struct zk_answered *said);
/* What from says of who leads; 0: nobody. */
void zk_part_hear_leader(struct zk_part *part, uint64_t from, uint64_t leader,
    uint64_t term);
void zk_append_retarget(struct zk_part *part); /* the leader may be another */
void zk_append_seen(struct zk_part *part);     /* more can be read here */
void zk_append_fail(struct zk_part *part, int rc);
int zk_append_on_answer(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec);
/* To a writer of this host or of another. */
void zk_append_tell(struct zk_part *part, uint64_t to, uint64_t session,
    uint64_t number, enum zk_verdict verdict, uint64_t offset);
void zk_part_busy(struct zk_part *part);
/* Whom to ask; 0: nobody is known, or it is not known yet. */
uint64_t zk_part_aim(struct zk_part *part);

/* broker_fence.c */
#define ZK_PASS_BYTES 32u
struct zk_pass {
	uint64_t holder;       /* the session; 0: none is needed */
	struct zk_clock clock; /* the leader's, as it has told it */
	uint64_t left_ms;      /* the session certainly lasts, since then */
};
/* This host's session by now; 0: it has none. */
uint64_t zk_fence_own(struct zk_broker *b);
/* Batches of that session may be sent. */
bool zk_fence_allows(struct zk_broker *b, uint64_t holder);
/* All whose session has ended since the last turn are given up. */
void zk_fence_look(struct zk_broker *b);
/* A leader says so of the session that the batch of that number is sent in. */
void zk_fence_told(struct zk_part *part, uint64_t number);
/* What was sent with that pass is to be taken up here; DONE: it may be. */
enum zk_verdict zk_fence_judge(struct zk_broker *b, uint64_t from,
    const struct zk_pass *pass);
void zk_pass_encode(struct zk_broker *b, uint64_t to, uint64_t holder,
    struct zk_enc *enc);
void zk_pass_decode(struct zk_dec *dec, struct zk_pass *ret_pass);

/* broker_ask.c */
void zk_ask_submit(struct zk_broker *b, struct zk_request *request);
/* Answers what can be answered here; asks others for the rest. */
void zk_ask_pump(struct zk_part *part);
void zk_ask_tick(struct zk_broker *b);
void zk_ask_fail(struct zk_part *part, int rc);
void zk_ask_watchers(struct zk_part *part);
void zk_ask_tell_info(struct zk_part *part, uint64_t to);
int zk_ask_on_ask(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec);
int zk_ask_on_reply(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec);
int zk_ask_on_watch(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec);
int zk_ask_on_info(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec);

/* broker_read.c: in a transaction, of what was applied */
struct zk_bounds {
	uint64_t id;
	uint64_t base_index, applied_index;
	uint64_t start, end;
};
int zk_bounds_read(struct zk_tx *tx, const struct zk_bounds *bounds,
    uint64_t offset, void *buf, size_t cap, size_t *ret_len);
int zk_bounds_time(struct zk_tx *tx, const struct zk_bounds *bounds,
    struct zk_stamp time, uint64_t *ret_offset);
int zk_bounds_record(struct zk_tx *tx, const struct zk_bounds *bounds,
    uint64_t offset, uint64_t *ret_offset);

/* group.c */
int zk_group_step(struct zk_group *g, const struct zk_event *event);
int zk_group_tick(struct zk_group *g, uint32_t elapsed_ms);
int zk_group_stored(struct zk_group *g);
bool zk_group_is_alone(const struct zk_group *g);
void zk_group_wake(struct zk_group *g);
struct zk_head *zk_group_head(struct zk_group *g, uint64_t index);
static inline bool
zk_group_leads(const struct zk_group *g)
{
	return g->raft.role == ZK_LEADER;
}
/* It has a vote, and its data can be read up to where all know of it. */
bool zk_group_is_readable(const struct zk_group *g);
/* What was committed when it was started is known by now. */
void zk_group_now_known(struct zk_group *g);
int zk_group_save(struct zk_group *g);

/* group_start.c */
int zk_group_found(struct zk_part *part, const struct zk_conf *conf);
int zk_group_open(struct zk_part *part, const struct zk_pstate *state);
void zk_group_close(struct zk_group *g);
int zk_group_push_head(struct zk_group *g, const struct zk_pentry *entry,
    uint64_t from);

/* group_apply.c */
int zk_group_apply(struct zk_group *g);

/* group_wire.c */
int zk_group_send(struct zk_group *g, const struct zk_msg *asked);
int zk_group_on_raft(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec);

/* group_snapshot.c */
void zk_group_snapshot(struct zk_group *g, uint64_t to);
int zk_group_on_snapshot(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec);
int zk_group_on_have(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec);

/* group_offer.c: batches offered to this replica as the leader */
void zk_group_offer(struct zk_group *g, uint64_t from, uint64_t session,
    uint64_t acked, const struct zk_offer *offers, size_t count);
int zk_group_on_forward(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec);

/* group_manage.c: members, leadership, sleep */
int zk_group_manage(struct zk_group *g);
void zk_group_doze(struct zk_group *g);
int zk_group_on_sleep(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec);
int zk_group_on_left(struct zk_broker *b, uint64_t from, uint64_t id);
int zk_group_on_gone(struct zk_broker *b, uint64_t from, uint64_t id);
bool zk_group_quorum_lives(const struct zk_group *g);

/*
 * A log that ends there lacks what this replica had, and had answered for,
 * before it left and gave its log up.  Until it has all that again it is not
 * a voter whom Raft could rely on: one of an older membership, who was not
 * told that it left, would make a majority with it.
 */
bool zk_group_is_behind(const struct zk_group *g, uint64_t term,
    uint64_t index);

/* group_retain.c */
/* It leads, and holds more than it should. */
bool zk_group_outgrew(const struct zk_group *g);
int zk_group_retain(struct zk_group *g);
int zk_group_trimmed(struct zk_group *g, const struct zk_head *head);

#endif

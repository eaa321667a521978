#ifndef ZK_DAEMON_REPLICA_IMPL_H
#define ZK_DAEMON_REPLICA_IMPL_H

/* The inside of a replica, shared by replica*.c only. */

#include "consensus/msg_codec.h"
#include "daemon/news.h"
#include "daemon/recent.h"
#include "daemon/replica.h"
#include "store/log.h"
#include "store/snapshot.h"

/* How much of the log is kept behind what is applied. */
#define LOG_KEEP     8192u
#define LOG_KEEP_MAX (16ull * ZK_MIB)
#define LOG_LOT      512u
#define LOG_RING     32768u

/* While a snapshot is under way, what comes after it is kept, too. */
#define LOG_PINNED_MAX (4 * LOG_KEEP_MAX)

/* How much is remembered of what happened, for .zkfs/events. */
#define HISTORY_ROWS  262144u
#define HISTORY_BYTES (64ull * ZK_MIB)

/* What one turn applies at most, so that turns stay short. */
#define APPLY_ENTRIES_MAX 2048u
/* So many are worth a flush beside them. */
#define FLUSH_BESIDE_MIN 4u

/* Entries as they travel: an APPEND is at most this and its head. */
#define APPEND_BYTES_MAX (2u * ZK_MIB)
#define APPEND_FRAME_MAX (APPEND_BYTES_MAX + ZK_COMMAND_MAX + 4096u)
#define APPEND_COUNT_MAX 1024u
#define APPEND_CONFS_MAX 16u

/* Barriers that wait at one time; more are refused. */
#define READS_MAX 1024u

/* Snapshots being sent at one time, and parts of one on their way. */
#define SNAPSHOTS_MAX   2u
#define SNAPSHOT_WINDOW 4u
#define SNAPSHOT_PART   (256u * ZK_KIB)

_Static_assert(ZK_TURN_COMMANDS_MAX <= LOG_RING, "a turn fits the ring");
_Static_assert(2 * LOG_KEEP <= LOG_RING, "and what is kept, too");
_Static_assert(SNAPSHOT_PART <= ZK_SNAPSHOT_PART_MAX, "a part is a part");

/*
 * Messages of replicas that are not Raft's: their first byte is no message
 * type of Raft.  Then term u64 and stream u64, and
 *   OFFER  the head (store/snapshot.h)
 *   PART   number u32 from 0, last u8, the part (u32 length, bytes)
 *   ACK    number of the part wanted next u32, verdict u8
 */
enum zk_snapshot_kind {
	ZK_SNAPSHOT_OFFER = 0x81,
	ZK_SNAPSHOT_PART = 0x82,
	ZK_SNAPSHOT_ACK = 0x83,
};
enum zk_snapshot_verdict {
	ZK_VERDICT_MORE,
	ZK_VERDICT_GAP,  /* a later part came first */
	ZK_VERDICT_DONE, /* installed, or not wanted any more */
	ZK_VERDICT_REFUSED,
};

/* A snapshot on its way to a follower. */
struct zk_sending {
	uint64_t peer; /* 0: the slot is free */
	uint64_t stream;
	struct zk_tx *tx; /* what is sent is read from it; NULL: not begun */
	struct zk_snapshot_head head;
	bool offered;                     /* and accepted */
	uint32_t acked, next, known, end; /* numbers of parts; see pump() */
	struct zk_snapshot_place places[SNAPSHOT_WINDOW + 1]; /* by number */
	uint32_t rewound;                    /* at this part + 1, for a gap */
	uint32_t age_ms, idle_ms, silent_ms; /* begun, progress, sent */
	enum zk_snapshot_verdict verdict;    /* DONE and REFUSED: to be told */
};

/* A snapshot on its way to us. */
struct zk_receiving {
	uint64_t from, stream;
	struct zk_spool *spool; /* NULL: none */
	uint32_t next;
	uint32_t idle_ms;
	uint64_t done;    /* the stream that was installed last */
	bool acknowledge; /* it, when the turn is durable */
};

struct zk_answer {
	uint64_t session, number;
	bool waits;
	struct zk_outcome outcome;
};

/* An entry inside a received message. */
struct zk_wire_entry {
	enum zk_payload_kind kind;
	struct zk_stamp time;
	const void *payload;
	size_t len;
};

/* Members that are not so far behind are compared with the leader. */
#define DIGEST_RING 1024u

struct zk_replica {
	struct zk_replica_options options;
	struct zk_store *store;
	struct zk_raft raft, raft_before;
	struct zk_effects fx;

	/* Of the turn. */
	struct zk_tx *tx; /* NULL until something is to be stored */
	struct zk_stamp now;
	int fatal;
	bool wrote; /* the transaction has something to flush */
	struct zk_news news;
	struct zk_answer *answers;
	size_t answer_count, answer_cap;
	struct zk_msg *held; /* messages for after the flush */
	size_t held_count, held_cap;
	struct zk_msg late[ZK_MEMBERS_MAX]; /* COMMITs, one for a member */
	size_t late_count;
	bool applies_later, applies_next;
	struct zk_read reads[READS_MAX]; /* barriers that wait for apply */
	size_t read_count;

	/* What is being proposed or has just been received. */
	const struct zk_bytes *proposed;
	uint64_t proposed_first; /* index of proposed[0]; 0: not yet */
	size_t proposed_count;
	const struct zk_wire_entry *received;
	uint64_t received_first;

	struct zk_sending sending[SNAPSHOTS_MAX];
	uint64_t turned_away[ZK_MEMBERS_MAX]; /* no slot was free for them */
	size_t turned_away_count;
	struct zk_receiving receiving;
	bool replaced; /* the turn has installed a snapshot */
	bool members;  /* or has changed who the members are */
	uint64_t lead; /* or has said who is to lead */
	struct zk_replica_counts counts;

	uint64_t applied; /* durable */
	/* The tree's digests at the newest indexes; index 0: none. */
	struct {
		uint64_t index, digest;
	} digests[DIGEST_RING];
	uint64_t log_first, log_bytes;
	uint64_t log_first_before, log_bytes_before;
	uint32_t lengths[LOG_RING]; /* of the entries, by index */
	struct zk_recent *recent;
	uint8_t *payload; /* ZK_COMMAND_MAX: an entry from the log */
	uint8_t *frame;   /* APPEND_FRAME_MAX: a message */
	struct zk_wire_entry wire[APPEND_COUNT_MAX];
	struct zk_conf_entry confs[APPEND_CONFS_MAX];
};

/* The turn's transaction, begun where there is none. */
int zk_replica_tx(struct zk_replica *r);

/* An entry of the log, borrowed until the next call or append.  -ENOENT. */
int zk_replica_entry(struct zk_replica *r, uint64_t index,
    struct zk_entry *ret_entry);

/* Steps Raft and carries out what it asks for. */
int zk_replica_step(struct zk_replica *r, const struct zk_event *event);

/*
 * replica_late.c: whether the message is put off; a COMMIT that was is not
 * needed any more.
 */
bool zk_replica_put_off(struct zk_replica *r, const struct zk_msg *msg);
void zk_replica_drop_late(struct zk_replica *r, uint64_t to);

/* replica_wire.c: send now, with its entries if it asks for some. */
int zk_replica_send(struct zk_replica *r, const struct zk_msg *asked);

/* replica_apply.c: apply in r->tx; delete what the log needs no more. */
int zk_replica_apply(struct zk_replica *r);
/* In a turn: of what tx sees. */
void zk_replica_note_digest(struct zk_replica *r);
int zk_replica_trim(struct zk_replica *r);
void zk_replica_forget_length(struct zk_replica *r, uint64_t index);

/*
 * replica_snapshot.c: Raft wants a snapshot sent; carries out an INSTALL; a
 * message of its kinds; time; send what may be sent now, after the flush.
 */
void zk_replica_snapshot_ask(struct zk_replica *r, uint64_t peer);
int zk_replica_snapshot_install(struct zk_replica *r, bool log_reset);
int zk_replica_snapshot_receive(struct zk_replica *r, uint64_t from,
    struct zk_dec *dec);
void zk_replica_snapshot_tick(struct zk_replica *r, uint32_t elapsed_ms);
int zk_replica_snapshot_pump(struct zk_replica *r);
void zk_replica_snapshot_undo(struct zk_replica *r);
void zk_replica_snapshot_close(struct zk_replica *r);

/* Entries after this are still needed for those who get one. */
uint64_t zk_replica_snapshot_pins(const struct zk_replica *r);

/* replica_start.c */
int zk_replica_recover(struct zk_replica *r);

#endif

#ifndef ZK_QUEUE_BROKER_H
#define ZK_QUEUE_BROKER_H

#include "queue/partition.h"

/*
 * All partitions of this host: each that has a replica here is a Raft group
 * whose log is the partition's data; of the others it is known whom to ask.
 *
 * Like a member of the tree (daemon/member.h) the broker has no thread, clock
 * or network of its own and works in turns: what comes in between
 * zk_broker_begin() and zk_broker_end() is put into one transaction with one
 * flush, whatever the number of partitions; then come the answers.  What one
 * turn has to say to one host goes in few frames, and groups where nothing
 * happens are silent: hosts tell each other that they are alive, once for all
 * of them.
 *
 * Appends: a host sends its batches, numbered per partition, to the leader,
 * and again to the next leader until they are answered; a leader never takes
 * up a number twice, nor one that was given up.  So each batch is appended
 * once, and batches of one host to one partition in the order in which they
 * were submitted.  A batch is answered when a majority of the replicas has it
 * on disk and, where this host has a replica, when it can be read here.
 *
 * Threads: one thread runs the broker.  zk_broker_read() and what stands
 * beside it may be called from any thread.  Callbacks come from within the
 * turn's functions and must not call back.
 */
struct zk_broker;
struct zk_store;

/* Lanes of the network: what is small and urgent, and what carries data. */
enum { ZK_BROKER_FAST, ZK_BROKER_BULK, ZK_BROKER_LANES };

struct zk_broker_sink {
	void *arg;
	/* A frame for another host.  May drop; bytes are borrowed. */
	void (*send)(void *arg, uint64_t to, unsigned lane, const void *bytes,
	    size_t len);
	/*
	 * start, end, leader or replicas of a partition that is here or is
	 * watched are not what they were; once per turn and partition, before
	 * the answers of the turn.
	 */
	void (*changed)(void *arg, const struct zk_partition_info *info);
};

/*
 * Sessions of the tree: who appends does so in one.  When it is over, its
 * batches are sent no more, and those that are still under way are taken up by
 * no leader: what a host that was cut off or stood still has left behind is not
 * appended after its locks are another's.  Broker's thread.
 */
struct zk_broker_sessions {
	void *arg;
	/*
	 * This host's at this moment, and how long it certainly lasts; 0: it
	 * has none.
	 */
	uint64_t (*own)(void *arg, uint64_t *ret_left_ms);
	/* 1: it is over; 0: not that anybody here knew; or a code. */
	int (*is_over)(void *arg, uint64_t session);
};

struct zk_broker_options {
	const char *dir;  /* the data directory; not needed afterwards */
	uint64_t self;    /* node id */
	size_t map_bytes; /* 0: the default; address space, not disk */
	bool background;  /* what is written is flushed by a thread, too */
	uint64_t seed;    /* random, fresh at each start, not 0 */
	uint32_t election_ms, heartbeat_ms; /* as for Raft */
	uint32_t op_timeout_ms;             /* of appends and questions */
	/*
	 * Where nobody reads what was just written, so long may pass until
	 * zk_broker_read() and its like see it, which say -EREMOTE until then:
	 * writing costs less.  0: they see it at once.
	 */
	uint32_t settle_ms;
	/*
	 * So long a leader may keep to itself that something is committed,
	 * where nobody waits for it, and nothing else is to be sent there.
	 */
	uint32_t linger_ms;
	struct zk_broker_sink sink;
	struct zk_broker_sessions sessions; /* no functions: there are none */
};

struct zk_broker_time {
	struct zk_stamp wall; /* for the records */
	uint64_t mono_ms;     /* > 0; for leases, as in a member's turn */
};

/*
 * For a tree that knows of no partitions' file in its directory, new or from
 * before it noted that: make one, if there is none, and note it, so that one
 * that is lost is not taken for new.  Before the store has another writer, and
 * before zk_broker_open(), whose codes it returns.
 */
int zk_broker_claim(const char *dir, struct zk_store *store);

/*
 * Take up what is on disk (ZK_DATADIR_TOPICS in the data directory).
 *   -ZK_EFOREIGN  it belongs to another node
 *   -ZK_EVERSION  made by an incompatible version
 *   -ZK_ECORRUPT  damaged
 */
int zk_broker_open(const struct zk_broker_options *options,
    const struct zk_broker_time *now, struct zk_broker **ret_broker);

/*
 * Between turns, before another thread runs the broker, or closes it: LMDB's
 * open transaction belongs to a thread.  0, or a code as of zk_broker_end().
 */
int zk_broker_settle(struct zk_broker *broker);

/*
 * Answers what waits with -ESTALE, between turns; there will be no more of
 * them.  Reading goes on working.
 */
void zk_broker_stop(struct zk_broker *broker);

/* As zk_broker_stop(), and frees it.  NULL is fine. */
void zk_broker_close(struct zk_broker *broker);

void zk_broker_begin(struct zk_broker *broker,
    const struct zk_broker_time *now);

/*
 * Takes over the requests; each is answered in this or a later _end(), within
 * op_timeout_ms, and then freed.
 *
 * SET     tells of a partition, or that what the tree says of it has changed.
 *         Every host is told of every partition: those where it is not, too.
 *         A replica that comes into the list gets the data from the others,
 *         is counted when it has it, and then who left the list is let go,
 *         one after the other; appends go on meanwhile.
 * DROP    the partition is gone from the tree: its data is deleted, in small
 *         lots.  Requests that wait for it are answered with -ENOENT.
 * PRUNE   all that is in the tree has been set since zk_broker_open(): the
 *         rest is dropped.
 * SYNC    0, when reading here shows all that anybody was answered for before.
 * WATCH   of a partition whose data is elsewhere: keep its info fresh (within
 *         some 100 ms) and tell of changes, until as many UNWATCH.
 * FOLLOW  the same of where it ends, and only that: at once when it was idle,
 *         every 50 ms at most when it is not.  Costs next to nothing while
 *         nothing is appended.  Until UNFOLLOW or DROP, however often it was
 *         said.
 *
 * Bounds are the caller's: it submits no more than a turn's worth
 * (ZK_BROKER_TURN_BYTES_MAX) in one turn, and nothing while
 * zk_broker_is_full().
 */
#define ZK_BROKER_TURN_BYTES_MAX 4194304ul
#define ZK_BROKER_WAIT_BYTES_MAX 33554432ul
#define ZK_BROKER_WAIT_COUNT_MAX 65536u
void zk_broker_submit(struct zk_broker *broker, struct zk_request_list *list);

/* So much waits for answers that nothing more should be submitted now. */
bool zk_broker_is_full(const struct zk_broker *broker);

/* A frame of another host.  -EPROTO: nothing a correct one sends. */
int zk_broker_receive(struct zk_broker *broker, uint64_t from,
    const void *bytes, size_t len);

/* The connection to a host is up, or lost. */
void zk_broker_peer(struct zk_broker *broker, uint64_t peer, bool up);

/*
 * End the turn.  0, or a code after which the process must end.
 * *ret_wait_ms: have the next turn after this long at the latest; UINT32_MAX:
 * when something comes.
 */
int zk_broker_end(struct zk_broker *broker, uint32_t *ret_wait_ms);

/*
 * Reading here, from any thread, without waiting.  All return -ENOENT for a
 * partition that is not set, and but for info -EREMOTE for one that this host
 * cannot read, or not yet (settle_ms): then a request of the same name asks
 * those who can.  What an append of this host was answered for can be read.
 *
 * read: up to cap bytes from offset; *ret_len is 0 at the end, and beyond.
 * -ENODATA: before the start.
 * find_time, find_record: as the requests TIME and RECORD.
 */
int zk_broker_info(struct zk_broker *broker, uint64_t partition,
    struct zk_partition_info *ret_info);
int zk_broker_read(struct zk_broker *broker, uint64_t partition,
    uint64_t offset, void *buf, size_t cap, size_t *ret_len);
int zk_broker_find_time(struct zk_broker *broker, uint64_t partition,
    struct zk_stamp time, uint64_t *ret_offset);
int zk_broker_find_record(struct zk_broker *broker, uint64_t partition,
    uint64_t offset, uint64_t *ret_offset);

/* Since the start; for status reports and tests.  Broker's thread. */
struct zk_broker_counts {
	uint64_t appends;   /* answered with 0 */
	uint64_t resent;    /* batches that were sent more than once */
	uint64_t repeated;  /* batches that a leader had already */
	uint64_t late;      /* messages refused for when they came */
	uint64_t flushes;   /* transactions committed */
	uint64_t frames;    /* sent */
	uint64_t messages;  /* of Raft, sent */
	uint64_t elections; /* won here */
	uint64_t truncations, snapshots, moved_in, moved_out;
	uint64_t retained; /* batches deleted by retention */
};
const struct zk_broker_counts *zk_broker_counts(const struct zk_broker *broker);

/* Whether any replica is here still.  Broker's thread. */
bool zk_broker_keeps(const struct zk_broker *broker);

struct zk_broker_usage {
	uint64_t partitions, replicas, leading, awake;
	uint64_t file_bytes, free_bytes; /* of the file: used, and reusable */
	bool has_room;
};
void zk_broker_usage(struct zk_broker *broker,
    struct zk_broker_usage *ret_usage);

#endif

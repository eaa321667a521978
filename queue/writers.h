#ifndef ZK_QUEUE_WRITERS_H
#define ZK_QUEUE_WRITERS_H

#include "base/codec.h"
#include "queue/plog.h"

/*
 * Who has written to a partition, so that a batch that is sent again is
 * answered and not appended again.
 *
 * A writer is one run of one host's broker, which numbers its batches to the
 * partition from 1 on and sends with each `acked`: all numbers up to there are
 * answered, or given up.  A leader takes up a number only if it is the next
 * one, but for those given up; so a log holds a writer's numbers in their
 * order and each once, and one that was given up never comes after a later
 * one.  What a leader goes by is the whole of its log, committed or not: what
 * is in it either becomes committed or is not in the next leader's.
 *
 * Writers that were silent for a day, by the time stamps of the entries, are
 * forgotten: no message of theirs is under way any more.
 *
 * One thread.
 */

/* Most batches of one writer that are not answered. */
#define ZK_WRITER_WINDOW 1024u

/* Writers of one partition; another takes the place of the longest silent. */
#define ZK_WRITERS_MAX 1024u

struct zk_writer_answer {
	uint64_t number, offset;
};

struct zk_writer {
	uint64_t session;
	uint64_t last;  /* highest number that is committed */
	uint64_t acked; /* by that entry's word */
	uint64_t tail;  /* highest number in the log */
	struct zk_stamp time;
	struct zk_writer_answer *answers; /* at number % cap; 0: none */
	uint32_t cap;
	bool dirty; /* not as on disk */
	bool gone;
};

struct zk_writers {
	struct zk_writer **all;
	uint32_t count, cap;
	uint32_t recent;  /* found last */
	uint32_t commits; /* since the silent ones were looked for */
};

void zk_writers_init(struct zk_writers *w);
void zk_writers_fini(struct zk_writers *w);

enum zk_writer_verdict {
	ZK_WRITER_NEXT,    /* take it up */
	ZK_WRITER_GAP,     /* one before it is missing */
	ZK_WRITER_PENDING, /* in the log, not committed */
	ZK_WRITER_DONE,    /* committed, at *ret_offset */
	ZK_WRITER_OLD,     /* an answer that nobody waits for any more */
};
enum zk_writer_verdict zk_writers_judge(struct zk_writers *w, uint64_t session,
    uint64_t number, uint64_t acked, uint64_t *ret_offset);

/* An entry DATA was appended to the log; is committed.  -ENOMEM. */
int zk_writers_logged(struct zk_writers *w, uint64_t session, uint64_t number);
int zk_writers_committed(struct zk_writers *w, const struct zk_pentry *entry);

/* The log was cut to what is committed: what is after that, logged() again. */
void zk_writers_rewind(struct zk_writers *w);

/* As of what is committed. */
int zk_writers_save(struct zk_tx *tx, uint64_t id, struct zk_writers *w);
int zk_writers_load(struct zk_tx *tx, uint64_t id, struct zk_writers *w);
int zk_writers_delete(struct zk_tx *tx, uint64_t id);

/*
 * For a replica that gets no older entries.  It may learn of numbers that
 * only later entries have: it cannot lead before it has those, too.
 * -EPROTO, -ENOMEM.
 */
#define ZK_WRITERS_WIRE_MAX 2097152ul
size_t zk_writers_wire_size(const struct zk_writers *w);
/* Of more than ZK_WRITERS_WIRE_MAX the newest. */
void zk_writers_encode(const struct zk_writers *w, struct zk_enc *enc);
int zk_writers_decode(struct zk_writers *w, struct zk_dec *dec);

#endif

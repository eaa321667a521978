#ifndef ZK_TESTS_LIB_HISTORY_H
#define ZK_TESTS_LIB_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * What clients did, and when, and what they were told; and whether one order
 * of it all explains it.  Used by the simulator, and through the program
 * build/tests/lib/history by tests that have a shell for a client.
 *
 * Registers: each key is checked alone (linearizability is local: Herlihy and
 * Wing, "Linearizability" (1990)) by the search of Wing and Gong, "Testing and
 * verifying concurrent objects" (1993), which remembers where it has been
 * (Lowe, "Testing for linearizability" (2017)).  An operation whose outcome is
 * unknown may have happened at any time since it was invoked, or never.
 *
 * Numbers that must be given once and grow (sequential names, fences, offsets
 * of appended records), and spans in which something was held: by sorting.
 */

enum history_kind {
	HISTORY_READ,        /* was told `value`, or HISTORY_NONE */
	HISTORY_WRITE,       /* makes the key when it is not there */
	HISTORY_CAS,         /* `value`, if it was the value `expect` */
	HISTORY_CAS_VERSION, /* `value`, if it was version `expect` */
	HISTORY_CREATE,      /* fails when the key is there */
	HISTORY_REMOVE,      /* fails when it is not */
	HISTORY_NEXT,        /* was given the number `value` */
	HISTORY_HOLD,        /* held it with the fence `value` all the time */
};

enum history_result {
	HISTORY_DONE,
	HISTORY_REFUSED, /* changed nothing, for the reason of its kind */
	HISTORY_UNKNOWN,
};

/* A value: the key is not there. */
#define HISTORY_NONE UINT64_MAX
/* A version: nobody told. */
#define HISTORY_UNTOLD UINT64_MAX
/* A time: it has not returned. */
#define HISTORY_NEVER UINT64_MAX

struct history_op {
	enum history_kind kind;
	enum history_result result;
	uint32_t key;
	uint32_t name; /* the caller's, for what is told about it */
	/*
	 * By one clock.  Of a hold: known to be held from, and until; when it
	 * is not known how long, until the same moment.
	 */
	uint64_t invoked, returned;
	uint64_t value, expect;
	uint64_t version; /* of the key, when done or read; or untold */
};

enum history_verdict {
	HISTORY_GOOD,
	HISTORY_BAD,
	HISTORY_HARD, /* too many orders to try */
};

struct history {
	struct history_op *ops;
	size_t count, cap;
};

/* All zero is an empty history.  Copies the operation; aborts without heap. */
void history_add(struct history *history, const struct history_op *op);
void history_free(struct history *history);

/* What was found; the operations are those of the history, or NULL. */
struct history_report {
	enum history_verdict verdict;
	const char *why;
	const struct history_op *op, *other;
};

/* Sorts the operations. */
struct history_report history_check(struct history *history);

/* history_linear.c: of one key's register; ops may come in any order. */
struct history_report history_check_register(const struct history_op *ops,
    size_t count);

/*
 * history_text.c.  A line is
 *   NAME KEY INVOKED RETURNED OPERATION RESULT
 * with words for NAME and KEY, whole numbers of any unit of one clock for the
 * times, and "-" for RETURNED when it has not.  Operations and results:
 *   read                 VALUE, none or ?
 *   write VALUE          ok, fail (not done, for whatever reason) or ?
 *   cas OLD NEW          ok, fail (it was not OLD) or ?
 *   casv VERSION NEW     ok, fail (it was not that version) or ?
 *   create VALUE         ok, fail (it was there) or ?
 *   remove               ok, fail (it was not there) or ?
 *   next                 NUMBER or ?
 *   hold                 NUMBER, the fence: held from INVOKED to RETURNED
 * A value is any word.  After VALUE of a read, or ok, "@VERSION" may follow.
 * A later line of the same NAME replaces an earlier one: who may be killed
 * writes the line with "-" and "?" first, and again when it has the answer.
 * Empty lines and lines that begin with "#" are none.  A key that is there at
 * the beginning has a write at time 0.
 */
struct history_text {
	struct history history;
	struct history_word {
		char *text;
		size_t op; /* of this name, from 1; 0: none */
	} * words;         /* by history_op.name, .key and values */
	size_t word_count, word_cap;
	uint32_t *slots; /* a hash table of words, from 1; 0: empty */
	size_t slot_count;
};

/* All zero is an empty text.  False: *ret_line is the line that is wrong. */
bool history_read(struct history_text *text, FILE *file, size_t *ret_line);
void history_text_free(struct history_text *text);

#endif

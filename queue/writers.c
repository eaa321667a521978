#include "queue/writers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"

/*
 * WRITER row, and one on the wire after the session u64: last u64, acked u64,
 * time i64 u32, count u32, then count times number u64 and offset u64.
 */
#define HEAD_BYTES (8u + 8 + 8 + 4 + 4)
#define ROW_MAX    (HEAD_BYTES + ZK_WRITER_WINDOW * 16u)

#define SILENT_SEC   86400
#define LOOK_COMMITS 4096u

void
zk_writers_init(struct zk_writers *w)
{
	*w = (struct zk_writers){0};
}

static void
writer_free(struct zk_writer *writer)
{
	free(writer->answers);
	free(writer);
}

void
zk_writers_fini(struct zk_writers *w)
{
	for (uint32_t i = 0; i < w->count; i++)
		writer_free(w->all[i]);
	free(w->all);
	zk_writers_init(w);
}

static struct zk_writer *
find(struct zk_writers *w, uint64_t session)
{
	if (w->recent < w->count && w->all[w->recent]->session == session &&
	    !w->all[w->recent]->gone)
		return w->all[w->recent];
	for (uint32_t i = 0; i < w->count; i++) {
		if (w->all[i]->session != session || w->all[i]->gone)
			continue;
		w->recent = i;
		return w->all[i];
	}
	return NULL;
}

/* Silent for the longest time, with nothing under way. */
static void
evict_one(struct zk_writers *w)
{
	struct zk_writer *oldest = NULL;

	for (uint32_t i = 0; i < w->count; i++) {
		struct zk_writer *at = w->all[i];

		if (at->gone || at->tail != at->last)
			continue;
		if (oldest == NULL ||
		    zk_stamp_compare(at->time, oldest->time) < 0)
			oldest = at;
	}
	if (oldest != NULL)
		oldest->gone = oldest->dirty = true;
}

static int
find_or_add(struct zk_writers *w, uint64_t session, struct zk_writer **ret)
{
	struct zk_writer *writer = find(w, session);

	if (writer != NULL) {
		*ret = writer;
		return 0;
	}
	if (w->count >= ZK_WRITERS_MAX)
		evict_one(w);
	if (w->count == w->cap) {
		const uint32_t cap = w->cap == 0 ? 4 : 2 * w->cap;
		void *all =
		    reallocarray(w->all, cap, sizeof(struct zk_writer *));

		if (all == NULL)
			return -ENOMEM;
		w->all = all;
		w->cap = cap;
	}
	writer = calloc(1, sizeof(*writer));
	if (writer == NULL)
		return -ENOMEM;
	writer->session = session;
	w->recent = w->count;
	w->all[w->count++] = writer;
	*ret = writer;
	return 0;
}

/* --- answers -------------------------------------------------------------- */

/* Room for the numbers after acked up to number, each at a place of its own. */
static int
answers_grow(struct zk_writer *writer, uint64_t acked, uint64_t number)
{
	uint32_t cap = writer->cap == 0 ? 4 : writer->cap;
	struct zk_writer_answer *answers;

	ZK_ASSERT(number > acked);
	ZK_ASSERT(number - acked <= ZK_WRITER_WINDOW);
	while (number - acked > cap)
		cap *= 2;
	if (cap == writer->cap)
		return 0;
	answers = calloc(cap, sizeof(*answers));
	if (answers == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < writer->cap; i++)
		if (writer->answers[i].number > acked)
			answers[writer->answers[i].number % cap] =
			    writer->answers[i];
	free(writer->answers);
	writer->answers = answers;
	writer->cap = cap;
	return 0;
}

enum zk_writer_verdict
zk_writers_judge(struct zk_writers *w, uint64_t session, uint64_t number,
    uint64_t acked, uint64_t *ret_offset)
{
	const struct zk_writer *writer = find(w, session);
	const uint64_t tail = writer != NULL ? writer->tail : 0;

	if (number > tail) {
		const uint64_t have = tail > acked ? tail : acked;

		return number - 1 <= have && number > acked &&
		        number - acked <= ZK_WRITER_WINDOW
		    ? ZK_WRITER_NEXT
		    : ZK_WRITER_GAP;
	}
	if (writer == NULL)
		return ZK_WRITER_OLD;
	if (number > writer->last)
		return ZK_WRITER_PENDING;
	if (number > writer->acked && writer->cap > 0 &&
	    writer->answers[number % writer->cap].number == number) {
		*ret_offset = writer->answers[number % writer->cap].offset;
		return ZK_WRITER_DONE;
	}
	return ZK_WRITER_OLD;
}

int
zk_writers_logged(struct zk_writers *w, uint64_t session, uint64_t number)
{
	struct zk_writer *writer;
	int rc = find_or_add(w, session, &writer);

	if (rc == 0 && number > writer->tail)
		writer->tail = number;
	return rc;
}

static void
forget_silent(struct zk_writers *w, struct zk_stamp now)
{
	for (uint32_t i = 0; i < w->count; i++) {
		struct zk_writer *at = w->all[i];

		if (at->tail == at->last && at->time.sec < now.sec - SILENT_SEC)
			at->gone = at->dirty = true;
	}
}

int
zk_writers_committed(struct zk_writers *w, const struct zk_pentry *entry)
{
	struct zk_writer *writer;
	int rc;

	if (++w->commits >= LOOK_COMMITS) {
		w->commits = 0;
		forget_silent(w, entry->time);
	}
	rc = find_or_add(w, entry->session, &writer);
	if (rc < 0 || entry->number <= writer->last)
		return rc;
	if (entry->acked > writer->acked)
		writer->acked = entry->acked;
	if (entry->number <= writer->acked)
		return 0;
	rc = answers_grow(writer, writer->acked, entry->number);
	if (rc < 0)
		return rc;
	ZK_ASSERT(writer->answers != NULL);
	writer->last = entry->number;
	if (writer->tail < writer->last)
		writer->tail = writer->last;
	writer->time = entry->time;
	writer->answers[entry->number % writer->cap] =
	    (struct zk_writer_answer){entry->number, entry->offset};
	writer->dirty = true;
	return 0;
}

void
zk_writers_rewind(struct zk_writers *w)
{
	for (uint32_t i = 0; i < w->count; i++)
		w->all[i]->tail = w->all[i]->last;
}

/* --- rows and the wire ---------------------------------------------------- */

static uint32_t
count_answers(const struct zk_writer *writer)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < writer->cap; i++)
		count += writer->answers[i].number > writer->acked;
	return count;
}

static void
enc_writer(struct zk_enc *enc, const struct zk_writer *writer)
{
	zk_enc_u64(enc, writer->last);
	zk_enc_u64(enc, writer->acked);
	zk_enc_i64(enc, writer->time.sec);
	zk_enc_u32(enc, writer->time.nsec);
	zk_enc_u32(enc, count_answers(writer));
	for (uint32_t i = 0; i < writer->cap; i++) {
		if (writer->answers[i].number <= writer->acked)
			continue;
		zk_enc_u64(enc, writer->answers[i].number);
		zk_enc_u64(enc, writer->answers[i].offset);
	}
}

static int
dec_answers(struct zk_dec *dec, struct zk_writer *writer, uint32_t count)
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		const uint64_t number = zk_dec_u64(dec);
		const uint64_t offset = zk_dec_u64(dec);

		if (dec->failed || number <= writer->acked ||
		    number > writer->last ||
		    number - writer->acked > ZK_WRITER_WINDOW)
			return -EPROTO;
		rc = answers_grow(writer, writer->acked, number);
		if (rc == 0)
			writer->answers[number % writer->cap] =
			    (struct zk_writer_answer){number, offset};
	}
	return rc;
}

/* Into the writer of that session, if it says more than we know. */
static int
dec_writer(struct zk_dec *dec, struct zk_writers *w, uint64_t session)
{
	struct zk_writer heard = {.session = session}, *writer = NULL;
	struct zk_writer_answer *before;
	uint32_t count;
	int rc;

	heard.last = heard.tail = zk_dec_u64(dec);
	heard.acked = zk_dec_u64(dec);
	heard.time.sec = zk_dec_i64(dec);
	heard.time.nsec = zk_dec_u32(dec);
	count = zk_dec_u32(dec);
	if (dec->failed || count > ZK_WRITER_WINDOW)
		return -EPROTO;
	rc = dec_answers(dec, &heard, count);
	if (rc == 0)
		rc = find_or_add(w, session, &writer);
	if (rc == 0 && writer != NULL && heard.last > writer->last) {
		before = writer->answers;
		writer->answers = heard.answers;
		heard.answers = before;
		writer->cap = heard.cap;
		writer->last = heard.last;
		writer->acked = heard.acked;
		writer->time = heard.time;
		if (writer->tail < heard.tail)
			writer->tail = heard.tail;
		writer->dirty = true;
	}
	free(heard.answers);
	return rc;
}

static struct zk_key
writer_key(uint64_t id, uint64_t session)
{
	return zk_key2(ZK_TABLE_WRITER, id, session);
}

int
zk_writers_save(struct zk_tx *tx, uint64_t id, struct zk_writers *w)
{
	uint8_t value[ROW_MAX];
	uint32_t kept = 0;
	int rc = 0;

	for (uint32_t i = 0; i < w->count; i++) {
		struct zk_writer *writer = w->all[i];
		const struct zk_key key = writer_key(id, writer->session);
		struct zk_enc enc;

		w->all[kept++] = writer;
		/* One with nothing committed yet is not on disk. */
		if (rc < 0 || !writer->dirty)
			continue;
		writer->dirty = false;
		if (writer->gone) {
			rc = zk_row_delete(tx, &key);
			rc = rc == -ENOENT ? 0 : rc;
			writer_free(writer);
			kept--;
			continue;
		}
		zk_enc_init(&enc, value, sizeof(value));
		enc_writer(&enc, writer);
		ZK_ASSERT(!enc.failed);
		rc = zk_row_put(tx, &key, value, enc.len);
	}
	w->count = kept;
	return rc;
}

int
zk_writers_load(struct zk_tx *tx, uint64_t id, struct zk_writers *w)
{
	const struct zk_key from = zk_key1(ZK_TABLE_WRITER, id);
	struct zk_scan scan;
	int rc;

	rc = zk_scan_begin(tx, &from, from.len, &scan);
	if (rc < 0)
		return rc;
	while ((rc = zk_scan_next(&scan)) == 0) {
		struct zk_dec dec;

		if (scan.at.len != 1 + 8 + 8) {
			rc = tx->fatal = -ZK_ECORRUPT;
			break;
		}
		zk_dec_init(&dec, scan.value, scan.value_len);
		rc = dec_writer(&dec, w, zk_get_be64(scan.at.bytes + 1 + 8));
		if (rc == -EPROTO || (rc == 0 && !zk_dec_done(&dec)))
			rc = tx->fatal = -ZK_ECORRUPT;
		if (rc < 0)
			break;
	}
	zk_scan_end(&scan);
	for (uint32_t i = 0; i < w->count; i++)
		w->all[i]->dirty = false;
	return rc == -ENOENT ? 0 : rc;
}

int
zk_writers_delete(struct zk_tx *tx, uint64_t id)
{
	const struct zk_key prefix = zk_key1(ZK_TABLE_WRITER, id);

	return zk_rows_delete(tx, &prefix);
}

static size_t
wire_size(const struct zk_writer *writer)
{
	return 8 + HEAD_BYTES + 16 * (size_t)count_answers(writer);
}

size_t
zk_writers_wire_size(const struct zk_writers *w)
{
	size_t size = 4;

	for (uint32_t i = 0; i < w->count; i++)
		size += wire_size(w->all[i]);
	return size < ZK_WRITERS_WIRE_MAX ? size : ZK_WRITERS_WIRE_MAX;
}

void
zk_writers_encode(const struct zk_writers *w, struct zk_enc *enc)
{
	const size_t begin = enc->len;
	uint32_t count = 0;
	struct zk_enc head;

	zk_enc_u32(enc, 0);
	/* The newest are the ones that may send again. */
	for (uint32_t i = w->count; i > 0; i--) {
		const struct zk_writer *writer = w->all[i - 1];

		if (writer->gone || writer->last == 0 ||
		    enc->len - begin + wire_size(writer) > ZK_WRITERS_WIRE_MAX)
			continue;
		zk_enc_u64(enc, writer->session);
		enc_writer(enc, writer);
		count++;
	}
	zk_enc_init(&head, enc->buf + begin, 4);
	zk_enc_u32(&head, count);
}

int
zk_writers_decode(struct zk_writers *w, struct zk_dec *dec)
{
	const uint32_t count = zk_dec_u32(dec);
	int rc = 0;

	if (dec->failed || count > ZK_WRITERS_MAX)
		return -EPROTO;
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		const uint64_t session = zk_dec_u64(dec);

		rc = dec_writer(dec, w, session);
	}
	return rc;
}

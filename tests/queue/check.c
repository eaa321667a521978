#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "tests/queue/sim.h"

/*
 * What must hold, seen from outside: an offset has one value, on all hosts and
 * for ever; a value has one offset; each writer's records are in its order;
 * what was answered is there, where the answer said, and at once.
 */

static void
content_grow(struct sim_content *content, uint64_t end)
{
	if (end <= content->cap)
		return;
	content->cap = 2 * end;
	content->bytes = realloc(content->bytes, content->cap);
	content->known =
	    realloc(content->known, content->cap * sizeof(*content->known));
	if (content->bytes == NULL || content->known == NULL)
		abort();
	memset(content->known + content->end, 0,
	    (content->cap - content->end) * sizeof(*content->known));
}

/* These bytes were read at offset: are they what others have read? */
static void
note(struct sim *sim, unsigned id, unsigned part, uint64_t offset,
    const uint8_t *bytes, size_t len)
{
	struct sim_content *content = &sim->content[part];

	content_grow(content, offset + len);
	for (size_t i = 0; i < len; i++) {
		if (content->known[offset + i] &&
		    content->bytes[offset + i] != bytes[i]) {
			sim_fail(sim,
			    "host %u: partition %u is another at %" PRIu64, id,
			    part, offset + i);
			return;
		}
		content->known[offset + i] = true;
		content->bytes[offset + i] = bytes[i];
	}
	if (content->end < offset + len)
		content->end = offset + len;
}

/* Returns up to where it got. */
static uint64_t
read_new(struct sim *sim, unsigned id, unsigned part, uint64_t from,
    uint64_t to)
{
	static uint8_t buf[65536];
	struct sim_host *host = &sim->hosts[id];

	while (from < to) {
		size_t len;
		int rc;

		rc = zk_broker_read(host->broker, sim->specs[part].id, from,
		    buf, to - from < sizeof(buf) ? to - from : sizeof(buf),
		    &len);
		if (rc == -EREMOTE && sim->settle_ms > 0) {
			sim_mark(sim, MARK_HIDDEN);
			break;
		}
		if (rc < 0 || len == 0) {
			sim_fail(sim,
			    "host %u: partition %u at %" PRIu64 ": %s", id,
			    part, from, zk_err_text(rc));
			break;
		}
		note(sim, id, part, from, buf, len);
		from += len;
	}
	return from;
}

void
sim_check_host(struct sim *sim, unsigned id)
{
	struct sim_host *host = &sim->hosts[id];

	for (unsigned part = 0; part < SIM_PARTS; part++) {
		struct zk_partition_info info;
		uint64_t from;

		if (zk_broker_info(host->broker, sim->specs[part].id, &info) <
		        0 ||
		    !info.local) {
			host->local[part] = false;
			continue;
		}
		if (host->local[part] &&
		    (info.start < host->start[part] ||
		        info.end < host->end[part]))
			sim_fail(sim,
			    "host %u: partition %u shrinks from %" PRIu64
			    "..%" PRIu64 " to %" PRIu64 "..%" PRIu64,
			    id, part, host->start[part], host->end[part],
			    info.start, info.end);
		from = host->local[part] ? host->read[part] : info.start;
		if (from < info.start)
			from = info.start;
		/* Who reads all the time hides nothing from itself. */
		if (sim->quiet || sim->settle_ms == 0 || sim_chance(sim, 5))
			from = read_new(sim, id, part, from, info.end);
		host->read[part] = from;
		host->local[part] = true;
		host->start[part] = info.start;
		host->end[part] = info.end;
	}
}

/* At the moment of the answer. */
void
sim_check_answer(struct sim *sim, const struct sim_batch *batch)
{
	static uint8_t buf[SIM_TEXT_MAX];
	const struct sim_host *host = &sim->hosts[batch->host];
	size_t len;
	int rc;

	if (batch->rc != 0)
		return;
	if (sim->answered[batch->part] < batch->offset + batch->len)
		sim->answered[batch->part] = batch->offset + batch->len;
	if (batch->len > sizeof(buf))
		return;
	rc = zk_broker_read(host->broker, sim->specs[batch->part].id,
	    batch->offset, buf, batch->len, &len);
	if (rc == -EREMOTE || rc == -ENODATA)
		return;
	if (rc < 0 || len != batch->len || memcmp(buf, batch->text, len) != 0)
		sim_fail(sim,
		    "host %u: partition %u: what was answered for %" PRIu64
		    " cannot be read: %s, %zu bytes",
		    batch->host, batch->part, batch->offset, zk_err_text(rc),
		    len);
}

/* --- the end -------------------------------------------------------------- */

static bool
is_where_told(const struct zk_partition_spec *spec,
    const struct zk_partition_info *info)
{
	if (info->replica_count != spec->replica_count)
		return false;
	for (uint32_t i = 0; i < spec->replica_count; i++) {
		bool found = false;

		for (uint32_t k = 0; k < info->replica_count; k++)
			found = found || info->replicas[k] == spec->replicas[i];
		if (!found)
			return false;
	}
	return true;
}

/* The last of it cannot be seen yet. */
static bool
is_hidden(struct sim *sim, unsigned id, const struct zk_partition_info *info)
{
	uint8_t byte;
	size_t len;

	return info->end > info->start &&
	    zk_broker_read(sim->hosts[id].broker, info->id, info->end - 1,
	        &byte, 1, &len) == -EREMOTE;
}

static bool
part_has_converged(struct sim *sim, unsigned part)
{
	const struct zk_partition_spec *spec = &sim->specs[part];
	uint64_t start = 0, end = 0, followed = 0;
	uint32_t local = 0, elsewhere = 0;

	for (unsigned id = 0; id < sim->count; id++) {
		struct zk_partition_info info;

		if (sim->hosts[id].broker == NULL ||
		    zk_broker_info(sim->hosts[id].broker, spec->id, &info) < 0)
			return false;
		/* Whoever has no replica follows. */
		if (!info.local) {
			if (elsewhere++ > 0 && info.end != followed)
				return false;
			followed = info.end;
			continue;
		}
		if (is_hidden(sim, id, &info) || !is_where_told(spec, &info))
			return false;
		if (local++ > 0 && (info.start != start || info.end != end))
			return false;
		start = info.start;
		end = info.end;
	}
	return local == spec->replica_count &&
	    (elsewhere == 0 || followed == end);
}

bool
sim_has_converged(struct sim *sim)
{
	for (unsigned part = 0; part < SIM_PARTS; part++)
		if (!part_has_converged(sim, part))
			return false;
	for (unsigned id = 0; id < sim->count; id++)
		for (unsigned part = 0; part < SIM_PARTS; part++)
			for (unsigned w = 0; w < SIM_WRITERS; w++)
				if (sim->hosts[id].batch[part][w] != NULL)
					return false;
	return true;
}

/* Who has what, for those who look for the reason. */
void
sim_print(struct sim *sim)
{
	for (unsigned part = 0; part < SIM_PARTS; part++) {
		const struct zk_partition_spec *spec = &sim->specs[part];

		(void)printf("partition %u, told:", part);
		for (uint32_t i = 0; i < spec->replica_count; i++)
			(void)printf(" %" PRIu64, spec->replicas[i]);
		(void)printf("\n");
		for (unsigned id = 0; id < sim->count; id++) {
			struct zk_partition_info info = {.id = 0};

			if (sim->hosts[id].broker == NULL)
				continue;
			(void)zk_broker_info(sim->hosts[id].broker, spec->id,
			    &info);
			(void)printf("  host %u: %s %" PRIu64 "..%" PRIu64
			             " leader %" PRIu64 " members",
			    id + 1, info.local ? "local" : "-", info.start,
			    info.end, info.leader);
			for (uint32_t i = 0; i < info.replica_count; i++)
				(void)printf(" %" PRIu64, info.replicas[i]);
			(void)printf("\n");
		}
	}
	for (unsigned id = 0; id < sim->count; id++) {
		struct zk_broker_usage usage;

		if (sim->hosts[id].broker == NULL)
			continue;
		zk_broker_usage(sim->hosts[id].broker, &usage);
		(void)printf("host %u: map %zu, %" PRIu64 " used, %" PRIu64
		             " free, %s\n",
		    id + 1, sim->hosts[id].map_bytes, usage.file_bytes,
		    usage.free_bytes, usage.has_room ? "room" : "no room");
	}
}

static bool
is_known(const struct sim_content *content, uint64_t offset, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (offset + i >= content->end || !content->known[offset + i])
			return false;
	return true;
}

static void
check_answered(struct sim *sim)
{
	for (size_t i = 0; i < sim->batch_count && !sim->failed; i++) {
		const struct sim_batch *batch = sim->batches[i];
		const struct sim_content *content = &sim->content[batch->part];

		if (!batch->done || batch->rc != 0)
			continue;
		/* Retention may take what nobody has looked at. */
		if (!is_known(content, batch->offset, batch->len)) {
			if (sim->specs[batch->part].retention_bytes == 0)
				sim_fail(sim,
				    "partition %u: the answered batch %" PRIu64
				    " at %" PRIu64 " is lost",
				    batch->part, batch->number, batch->offset);
			continue;
		}
		if (memcmp(content->bytes + batch->offset, batch->text,
		        batch->len) != 0)
			sim_fail(sim,
			    "partition %u: not batch %" PRIu64
			    " is at %" PRIu64,
			    batch->part, batch->number, batch->offset);
	}
}

/* A record begins with the number of its batch, then which it is of it. */
static void
check_records(struct sim *sim, unsigned part)
{
	const struct sim_content *content = &sim->content[part];
	uint64_t *seen = calloc(sim->next_number + 1, sizeof(*seen));
	uint64_t last[SIM_HOSTS_MAX][SIM_WRITERS] = {{0}};
	uint64_t at = 0, newest = 0;

	if (seen == NULL)
		abort();
	while (at < content->end && !sim->failed) {
		const uint8_t *end;
		uint64_t number, piece;
		char *after;

		if (!content->known[at] ||
		    (at > 0 && content->known[at - 1] &&
		        content->bytes[at - 1] != '\n')) {
			at++;
			continue;
		}
		end = memchr(content->bytes + at, '\n', content->end - at);
		number =
		    strtoull((const char *)content->bytes + at, &after, 10);
		piece = *after == '.' ? strtoull(after + 1, &after, 10) : 0;
		if (end == NULL || piece == 0 || *after != ' ' || number == 0 ||
		    number > sim->next_number) {
			sim_fail(sim, "partition %u: torn at %" PRIu64, part,
			    at);
			break;
		}
		if (piece != seen[number] + 1)
			sim_fail(sim,
			    "partition %u: record %" PRIu64 ".%" PRIu64
			    " follows .%" PRIu64,
			    part, number, piece, seen[number]);
		seen[number] = piece;
		{
			const struct sim_batch *b = sim->batches[number - 1];

			if (b->part != part ||
			    (b->done && (b->rc == -ENOSPC || b->rc == -EROFS)))
				sim_fail(sim,
				    "partition %u: batch %" PRIu64
				    " should not be there",
				    part, number);
			if (number < last[b->host][b->writer])
				sim_fail(sim,
				    "partition %u: batch %" PRIu64
				    " after %" PRIu64,
				    part, number, last[b->host][b->writer]);
			last[b->host][b->writer] = number;
			sim_tree_check(sim, b, newest);
			if (newest < number)
				newest = number;
		}
		at = (uint64_t)(end - content->bytes) + 1;
	}
	free(seen);
}

void
sim_check_end(struct sim *sim)
{
	for (unsigned part = 0; part < SIM_PARTS && !sim->failed; part++) {
		/* All of it, on each: equal to what anybody has seen. */
		for (unsigned id = 0; id < sim->count; id++)
			if (sim->hosts[id].local[part])
				(void)read_new(sim, id, part,
				    sim->hosts[id].start[part],
				    sim->hosts[id].end[part]);
		if (!sim->failed)
			check_records(sim, part);
	}
	if (!sim->failed)
		check_answered(sim);
}

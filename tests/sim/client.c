#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "store/read.h"
#include "tests/lib/history.h"
#include "tests/sim/sim.h"

/*
 * Clients: processes at a host that do one thing at a time, remember what
 * they were told, and keep it for the checkers.
 */

#define ROOT      ZK_INO_ROOT
#define FILE_MODE (S_IFREG | 0644)

/* Between two things that a client does, at most. */
#define THINK_US 90000u

/* A round of heartbeats that nobody waits for, to fill the queue of reads. */
#define NOBODY (UINT64_MAX >> 1)
#define BURST  40

/* --- the tree, as this host has it ---------------------------------------- */

/* The name of what an operation of this kind works on. */
static size_t
name_of(enum sim_op_kind kind, uint32_t file, char name[8])
{
	static const char prefix[] = {
	    [SIM_READ] = 'r',
	    [SIM_WRITE] = 'r',
	    [SIM_CAS] = 'r',
	    [SIM_APPEND] = 'a',
	    [SIM_MAKE] = 'k',
	    [SIM_REMOVE] = 'k',
	    [SIM_LOOK] = 'k',
	    [SIM_LOCK] = 'l',
	    [SIM_EPHEMERAL] = 'e',
	    [SIM_RELEASE] = '?',
	};

	return (size_t)snprintf(name, 8, "%c%u", prefix[kind], file);
}

struct view {
	bool found;
	struct zk_attr attr;
	uint64_t value;
};

static void
look_up(struct sim_host *host, enum sim_op_kind kind, uint32_t file,
    struct view *ret_view)
{
	struct view view = {.value = 0};
	char name[8];
	const size_t name_len = name_of(kind, file, name);
	struct zk_tx *tx;
	size_t len;

	*ret_view = view;
	if (zk_read_begin(host->store, &tx) < 0)
		return;
	view.found = zk_read_lookup(tx, ROOT, name, name_len, &view.attr) == 0;
	if (view.found && kind == SIM_READ)
		(void)zk_read_content(tx, view.attr.ino, 0, &view.value,
		    sizeof(view.value), &len);
	zk_read_end(tx);
	*ret_view = view;
	if (name[0] != 'r' || !view.found)
		return;
	/* A host sees all changes in the one order, restarted or not. */
	if (view.attr.version < host->versions[file])
		sim_fail(host->sim,
		    "host %u: %s went back from version %lu "
		    "to %lu",
		    host->id, name, (unsigned long)host->versions[file],
		    (unsigned long)view.attr.version);
	host->versions[file] = view.attr.version;
}

/* --- answers -------------------------------------------------------------- */

static void
mark_outcome(struct sim *sim, const struct sim_op *op)
{
	if (op->rc == -ETIMEDOUT || op->rc == -ZK_ESESSION)
		sim_mark(sim, MARK_UNKNOWN);
	if (op->rc == -EROFS || op->rc == -ENOSPC)
		sim_mark(sim, MARK_REFUSED);
	if (op->kind == SIM_CAS && op->rc == 0)
		sim_mark(sim, MARK_CAS_WON);
	if (op->kind == SIM_CAS && op->rc == -EAGAIN)
		sim_mark(sim, MARK_CAS_LOST);
	if (op->kind == SIM_SEQUENTIAL && op->rc == 0)
		sim_mark(sim, MARK_SEQUENTIAL);
	if (op->kind == SIM_LOCK && op->rc == -EINTR)
		sim_mark(sim, MARK_LOCK_CANCELLED);
}

static struct sim_op *
end_op(struct sim_client *client, int rc)
{
	struct sim_host *host = &client->sim->hosts[client->host];
	struct sim_op *op = client->op;

	client->op = NULL;
	client->ticket = 0;
	op->done = true;
	op->rc = rc;
	op->returned_us = client->sim->now_us + host->lag_us;
	client->next_us = op->returned_us + sim_random(&host->rng, THINK_US);
	sim_trace(client->sim, &rc, sizeof(rc));
	mark_outcome(client->sim, op);
	return op;
}

static void
op_done(void *arg, const struct zk_outcome *outcome)
{
	struct sim_client *client = arg;
	struct sim_host *host = &client->sim->hosts[client->host];
	struct sim_op *op = client->op;
	struct view view;

	/* Who dies tells nobody. */
	if (op == NULL || host->dying)
		return;
	op->out = *outcome;
	(void)end_op(client, outcome->rc);
	if (op->rc != 0)
		return;
	if (op->kind == SIM_WRITE || op->kind == SIM_CAS) {
		/* Its host sees a write at once. */
		look_up(host, op->kind, op->file, &view);
		if (view.attr.version <= op->version)
			sim_fail(client->sim, "host %u: does not see %lu",
			    client->host, (unsigned long)op->value);
	}
	op->version = HISTORY_UNTOLD;
	if (client->sim->quiet && op->kind == SIM_WRITE)
		client->probed = true;
	if (op->kind != SIM_LOCK && op->kind != SIM_EPHEMERAL)
		return;
	op->held_us = op->returned_us;
	client->hold = op;
	client->session = zk_member_session(host->member);
	client->ino = op->out.attr.ino;
}

void
sim_client_read(struct sim_host *host, uint64_t ctx, bool reached)
{
	struct sim_client *client = NULL;
	struct sim_op *op;
	struct view view;

	if (host->dying || ctx == NOBODY)
		return;
	for (unsigned i = 0; i < SIM_CLIENTS; i++)
		if (host->clients[i].op == &host->sim->ops[ctx])
			client = &host->clients[i];
	if (client == NULL)
		return;
	sim_mark(host->sim, reached ? MARK_READ : MARK_READ_FAILED);
	op = end_op(client, reached ? 0 : -EAGAIN);
	if (!reached)
		return;
	look_up(host, op->kind, op->file, &view);
	op->version = HISTORY_UNTOLD;
	op->value = HISTORY_NONE;
	if (view.found && op->kind == SIM_READ) {
		op->value = view.value;
		op->version = view.attr.version;
	} else if (view.found) {
		op->value = view.attr.uid;
	}
	sim_trace(host->sim, &op->value, sizeof(op->value));
}

/* --- questions ------------------------------------------------------------ */

static struct sim_op *
begin(struct sim_client *client, enum sim_op_kind kind, uint32_t file)
{
	struct sim *sim = client->sim;
	struct sim_op *op = &sim->ops[sim->op_count++];

	*op = (struct sim_op){
	    .kind = kind,
	    .host = client->host,
	    .file = file,
	    .value = ++sim->next_value,
	    .version = HISTORY_UNTOLD,
	    .invoked_us = sim->now_us,
	};
	client->op = op;
	return op;
}

static struct zk_item *
submit(struct sim_client *client, struct zk_command *cmd, zk_done_fn done)
{
	struct sim_host *host = &client->sim->hosts[client->host];
	struct zk_item *item;

	if (zk_item_new(cmd, done, client, &item) < 0)
		abort();
	zk_item_list_add(&host->items, item);
	return item;
}

static void
create(struct sim_client *client, enum sim_op_kind kind, enum sim_op_kind what,
    uint32_t file)
{
	struct sim_op *op = begin(client, kind, file);
	char name[8];
	struct zk_command cmd = {
	    .op = ZK_OP_CREATE,
	    .flags = ZK_F_EXCL,
	    .ino = ROOT,
	    .name = name,
	    .name_len = name_of(what, file, name),
	    .mode = FILE_MODE,
	    .uid = (uint32_t)op->value,
	};

	if (kind == SIM_PREPARE)
		op->expect = what;
	if (kind == SIM_EPHEMERAL) {
		cmd.flags |= ZK_F_EPHEMERAL;
		cmd.handle = client->handle;
	}
	(void)submit(client, &cmd, op_done);
}

/* Whose it is stands in the owner, so that a double is told from a twin. */
static void
create_sequential(struct sim_client *client)
{
	const struct sim_op *op = begin(client, SIM_SEQUENTIAL, 0);
	struct zk_command cmd = {
	    .op = ZK_OP_CREATE,
	    .flags = ZK_F_EXCL,
	    .ino = ROOT,
	    .name = SIM_SEQUENCE "XXXXXXXXXX",
	    .name_len = sizeof(SIM_SEQUENCE "XXXXXXXXXX") - 1,
	    .mode = FILE_MODE,
	    .uid = (uint32_t)op->value,
	};

	(void)submit(client, &cmd, op_done);
}

static void
remove_name(struct sim_client *client, uint32_t file)
{
	char name[8];
	struct zk_command cmd = {
	    .op = ZK_OP_UNLINK,
	    .ino = ROOT,
	    .name = name,
	    .name_len = name_of(SIM_REMOVE, file, name),
	};

	(void)begin(client, SIM_REMOVE, file);
	(void)submit(client, &cmd, op_done);
}

static void
write_to(struct sim_client *client, enum sim_op_kind kind, uint32_t file,
    const struct zk_attr *attr)
{
	struct sim_op *op = begin(client, kind, file);
	struct zk_command cmd = {
	    .op = ZK_OP_WRITE,
	    .flags = kind == SIM_APPEND ? ZK_F_APPEND : ZK_F_TRUNCATE,
	    .ino = attr->ino,
	    .data = &op->value,
	    .data_len = sizeof(op->value),
	};

	op->version = attr->version;
	if (kind == SIM_CAS) {
		cmd.flags |= ZK_F_EXPECT;
		cmd.expect = op->expect = attr->version;
	}
	(void)submit(client, &cmd, op_done);
}

static void
lock(struct sim_client *client, uint32_t file, const struct zk_attr *attr)
{
	struct sim_host *host = &client->sim->hosts[client->host];
	struct zk_command cmd = {
	    .op = ZK_OP_LOCK,
	    .flags = ZK_F_FLOCK | ZK_F_WAIT,
	    .ino = attr->ino,
	    .lock_type = ZK_LOCK_EXCLUSIVE,
	    .owner = client->handle,
	    .handle = client->handle,
	};
	struct zk_item *item;

	(void)begin(client, SIM_LOCK, file);
	client->ino = attr->ino;
	client->cancel_us = UINT64_MAX;
	if (sim_chance(&host->rng, 20))
		client->cancel_us =
		    client->sim->now_us + sim_random(&host->rng, 600000);
	item = submit(client, &cmd, op_done);
	item->ticket = client->ticket = ++client->sim->next_value;
}

static void
cancel(struct sim_client *client)
{
	struct zk_command cmd = {
	    .op = ZK_OP_LOCK_CANCEL,
	    .ino = client->ino,
	    .off = client->ticket,
	};

	(void)submit(client, &cmd, NULL);
	client->cancel_us = UINT64_MAX;
}

static void
release(struct sim_client *client)
{
	struct zk_command cmd = {
	    .op = ZK_OP_RELEASE,
	    .handle = client->handle,
	    .ino = client->ino,
	};

	/*
	 * From now on it counts on nothing any more.  How long it has had it
	 * sim_clients_look() has noted: if this host was paused until now, it
	 * did nothing with it meanwhile.
	 */
	client->hold = NULL;
	(void)begin(client, SIM_RELEASE, 0);
	(void)submit(client, &cmd, op_done);
}

/* A linearizable read: first everything that was agreed before it. */
static void
read_agreed(struct sim_client *client, enum sim_op_kind kind, uint32_t file)
{
	struct sim_host *host = &client->sim->hosts[client->host];
	const struct sim_op *op = begin(client, kind, file);
	const bool burst = sim_chance(&host->rng, 4);
	int rc =
	    zk_member_barrier(host->member, (uint64_t)(op - client->sim->ops));

	for (int i = 0; burst && i < BURST; i++)
		if (zk_member_barrier(host->member, NOBODY) == -EAGAIN)
			sim_mark(client->sim, MARK_READS_FULL);
	if (rc < 0 && client->op != NULL)
		(void)end_op(client, -EAGAIN);
}

/* --- what to do next ------------------------------------------------------ */

static enum sim_op_kind
choose(struct sim_host *host, const struct sim_client *client)
{
	static const enum sim_op_kind all[] = {SIM_READ, SIM_WRITE, SIM_CAS,
	    SIM_CAS, SIM_APPEND, SIM_MAKE, SIM_REMOVE, SIM_LOOK, SIM_SEQUENTIAL,
	    SIM_LOCK, SIM_LOCK, SIM_EPHEMERAL, SIM_EPHEMERAL};

	if (client->sim->quiet)
		return SIM_WRITE;
	/* One at each host waits for nobody, so that the log goes on. */
	return all[sim_random(&host->rng,
	    client->index == 0 ? 8 : sizeof(all) / sizeof(all[0]))];
}

static void
act(struct sim_host *host, struct sim_client *client)
{
	const enum sim_op_kind kind = choose(host, client);
	const uint32_t file = (uint32_t)sim_random(&host->rng, SIM_FILES);
	struct view view;

	client->handle = ++client->sim->next_value;
	if (kind == SIM_READ || kind == SIM_LOOK) {
		read_agreed(client, kind, file);
		return;
	}
	if (kind == SIM_SEQUENTIAL) {
		create_sequential(client);
		return;
	}
	look_up(host, kind, file, &view);
	if (kind == SIM_MAKE || kind == SIM_EPHEMERAL)
		create(client, kind, kind, file);
	else if (kind == SIM_REMOVE)
		remove_name(client, file);
	else if (!view.found)
		create(client, SIM_PREPARE, kind, file);
	else if (kind == SIM_LOCK)
		lock(client, file, &view.attr);
	else
		write_to(client, kind, file, &view.attr);
}

static bool
may_act(const struct sim_client *client)
{
	const struct sim *sim = client->sim;

	if (client->hold != NULL)
		return true;
	if (sim->quiet)
		return client->index == 0 && !client->probed;
	return sim->op_count < SIM_OPS_MAX / 2 &&
	    sim->op_count < sim->options.ops_max;
}

void
sim_clients_act(struct sim_host *host)
{
	const uint64_t now_us = host->sim->now_us;
	const uint64_t session = zk_member_session(host->member);

	for (unsigned i = 0; i < SIM_CLIENTS; i++) {
		struct sim_client *client = &host->clients[i];

		if (client->hold != NULL && client->session != session)
			client->hold = NULL;
		if (client->op != NULL && client->ticket != 0 &&
		    client->cancel_us <= now_us)
			cancel(client);
		if (client->op != NULL || client->next_us > now_us)
			continue;
		client->next_us = now_us + 5000;
		if (session == 0 || !may_act(client) ||
		    host->sim->op_count >= SIM_OPS_MAX)
			continue;
		if (client->hold != NULL)
			release(client);
		else
			act(host, client);
	}
}

/* What is held now, was held until now. */
void
sim_clients_look(struct sim_host *host)
{
	const uint64_t session = zk_member_session(host->member);

	for (unsigned i = 0; i < SIM_CLIENTS; i++) {
		struct sim_client *client = &host->clients[i];

		if (client->hold == NULL)
			continue;
		if (client->session != session)
			client->hold = NULL;
		else if (client->hold->held_us < host->sim->now_us)
			client->hold->held_us = host->sim->now_us;
	}
}

uint64_t
sim_clients_next_us(const struct sim_host *host)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < SIM_CLIENTS; i++) {
		const struct sim_client *client = &host->clients[i];

		if (client->op == NULL && client->next_us < next &&
		    may_act(client))
			next = client->next_us;
		if (client->op != NULL && client->ticket != 0 &&
		    client->cancel_us < next)
			next = client->cancel_us;
	}
	return next;
}

void
sim_clients_reset(struct sim_host *host)
{
	for (unsigned i = 0; i < SIM_CLIENTS; i++) {
		host->clients[i] = (struct sim_client){
		    .sim = host->sim,
		    .host = host->id,
		    .index = i,
		    .next_us =
		        host->sim->now_us + sim_random(&host->rng, THINK_US),
		};
	}
}

bool
sim_clients_idle(const struct sim_host *host)
{
	for (unsigned i = 0; i < SIM_CLIENTS; i++) {
		const struct sim_client *client = &host->clients[i];

		if (client->op != NULL || client->hold != NULL ||
		    (i == 0 && !client->probed))
			return false;
	}
	return true;
}

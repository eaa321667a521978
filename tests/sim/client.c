#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "store/read.h"
#include "tests/sim/sim.h"

/*
 * Clients: processes at a host that do one thing at a time, remember what
 * they were told, and keep it for the checkers.
 */

#define ROOT      ZK_INO_ROOT
#define FILE_MODE (S_IFREG | 0644)

static struct sim_member *
host_of(const struct sim_client *client)
{
	return &client->sim->members[client->member];
}

/* The name of what an operation of this kind works on. */
static size_t
name_of(enum sim_op_kind kind, uint32_t file, char name[8])
{
	static const char prefix[] = {'?', 'a', 'r', 'l', 'e', '?', 's'};

	return (size_t)snprintf(name, 8, "%c%u", prefix[kind], file);
}

static bool
look_up(const struct sim_client *client, enum sim_op_kind kind, uint32_t file,
    struct zk_attr *ret_attr)
{
	struct sim_member *host = host_of(client);
	char name[8];
	const size_t len = name_of(kind, file, name);
	struct zk_tx *tx;
	bool found;

	if (zk_read_begin(host->store, &tx) < 0)
		return false;
	found = zk_read_lookup(tx, ROOT, name, len, ret_attr) == 0;
	zk_read_end(tx);
	return found;
}

static void
hold(struct sim_client *client, const struct sim_op *op)
{
	struct sim *sim = client->sim;

	client->session = zk_member_session(host_of(client)->member);
	client->held = op->file;
	client->held_by = op->kind;
	if (sim_is_held(sim, client))
		sim_fail(sim, "%s %u has two owners",
		    op->kind == SIM_LOCK ? "lock" : "ephemeral", op->file);
	if (op->kind != SIM_LOCK)
		return;
	if (op->out.offset <= sim->fences[op->file])
		sim_fail(sim, "fence of lock %u went back", op->file);
	sim->fences[op->file] = op->out.offset;
}

static void
op_done(void *arg, const struct zk_outcome *outcome)
{
	struct sim_client *client = arg;
	struct sim *sim = client->sim;
	struct sim_op *op = client->op;

	if (op == NULL)
		return;
	client->op = NULL;
	op->done = true;
	op->rc = outcome->rc;
	op->out = *outcome;
	op->returned_us = sim->now_us;
	client->next_us = sim->now_us + sim_random(sim, 30000);
	if (op->rc == -ETIMEDOUT || op->rc == -ZK_ESESSION)
		sim_mark(sim, MARK_UNKNOWN);
	if (op->kind == SIM_CAS && op->rc == 0)
		sim_mark(sim, MARK_CAS_WON);
	if (op->kind == SIM_SEQUENTIAL && op->rc == 0)
		sim_mark(sim, MARK_SEQUENTIAL);
	if (op->kind == SIM_CAS && op->rc == -EAGAIN)
		sim_mark(sim, MARK_CAS_LOST);
	if (op->kind == SIM_RELEASE)
		client->session = 0;
	if ((op->kind == SIM_LOCK || op->kind == SIM_EPHEMERAL) && op->rc == 0)
		hold(client, op);
}

static void
submit(struct sim_client *client, struct zk_command *cmd)
{
	struct zk_item *item;

	if (zk_item_new(cmd, op_done, client, &item) < 0)
		abort();
	zk_item_list_add(&host_of(client)->items, item);
}

static struct sim_op *
begin(struct sim_client *client, enum sim_op_kind kind, uint32_t file)
{
	struct sim *sim = client->sim;
	struct sim_op *op = &sim->ops[sim->op_count++];

	*op = (struct sim_op){
	    .kind = kind,
	    .file = file,
	    .invoked_us = sim->now_us,
	};
	client->op = op;
	return op;
}

static void
create(struct sim_client *client, enum sim_op_kind kind, uint32_t file)
{
	char name[8];
	struct zk_command cmd = {
	    .op = ZK_OP_CREATE,
	    .ino = ROOT,
	    .name = name,
	    .name_len = name_of(kind, file, name),
	    .mode = FILE_MODE,
	};

	if (kind == SIM_EPHEMERAL) {
		cmd.flags = ZK_F_EPHEMERAL;
		cmd.handle = client->handle;
	}
	(void)begin(client, kind == SIM_EPHEMERAL ? kind : SIM_CREATE, file);
	submit(client, &cmd);
}

/* Whose it is stands in the owner, so that a double is told from a twin. */
static void
create_sequential(struct sim_client *client)
{
	struct sim_op *op = begin(client, SIM_SEQUENTIAL, 0);
	struct zk_command cmd = {
	    .op = ZK_OP_CREATE,
	    .ino = ROOT,
	    .name = SIM_SEQUENCE "XXXXXXXXXX",
	    .name_len = sizeof(SIM_SEQUENCE "XXXXXXXXXX") - 1,
	    .mode = FILE_MODE,
	};

	op->value = ++client->sim->next_value;
	cmd.uid = (uint32_t)op->value;
	submit(client, &cmd);
}

static void
change(struct sim_client *client, enum sim_op_kind kind, uint32_t file,
    const struct zk_attr *attr)
{
	struct sim *sim = client->sim;
	struct sim_op *op = begin(client, kind, file);
	struct zk_command cmd = {
	    .op = kind == SIM_LOCK ? ZK_OP_LOCK : ZK_OP_WRITE,
	    .ino = attr->ino,
	    .data = &op->value,
	    .data_len = sizeof(op->value),
	};

	op->value = ++sim->next_value;
	if (kind == SIM_APPEND) {
		cmd.flags = ZK_F_APPEND;
	} else if (kind == SIM_CAS) {
		cmd.flags = ZK_F_EXPECT | ZK_F_TRUNCATE;
		cmd.expect = op->expect = attr->version;
	} else {
		cmd.flags = ZK_F_FLOCK | ZK_F_WAIT;
		cmd.lock_type = ZK_LOCK_EXCLUSIVE;
		cmd.owner = client->handle;
		cmd.handle = client->handle;
		cmd.data_len = 0;
	}
	submit(client, &cmd);
}

static void
release(struct sim_client *client)
{
	struct zk_attr attr = {0};
	struct zk_command cmd = {
	    .op = ZK_OP_RELEASE,
	    .handle = client->handle,
	};

	(void)look_up(client, client->held_by, client->held, &attr);
	cmd.ino = attr.ino;
	(void)begin(client, SIM_RELEASE, client->held);
	submit(client, &cmd);
	/* From now on it counts on nothing any more. */
	client->session = 0;
}

static void
act(struct sim_client *client)
{
	static const enum sim_op_kind kinds[] = {SIM_APPEND, SIM_CAS, SIM_LOCK,
	    SIM_EPHEMERAL, SIM_SEQUENTIAL};
	struct sim *sim = client->sim;
	/* One at each host waits for nobody, so that the log goes on. */
	const enum sim_op_kind kind =
	    client->index == 0 ? SIM_APPEND : kinds[sim_random(sim, 5)];
	const uint32_t file = (uint32_t)sim_random(sim, SIM_FILES);
	struct zk_attr attr;
	bool there;

	if (client->session != 0) {
		release(client);
		return;
	}
	if (sim->quiet || sim->op_count >= SIM_OPS_MAX - 64)
		return;
	client->handle = ++sim->next_value;
	if (kind == SIM_SEQUENTIAL) {
		create_sequential(client);
		return;
	}
	there = look_up(client, kind, file, &attr);
	if (kind == SIM_EPHEMERAL) {
		if (!there)
			create(client, kind, file);
		return;
	}
	if (!there)
		create(client, kind, file);
	else
		change(client, kind, file, &attr);
}

void
sim_clients_act(struct sim *sim, unsigned id)
{
	struct sim_member *host = &sim->members[id];

	for (unsigned i = 0; i < SIM_CLIENTS; i++) {
		struct sim_client *client = &host->clients[i];

		if (client->session != 0 &&
		    client->session != zk_member_session(host->member))
			client->session = 0;
		if (client->op == NULL && client->next_us <= sim->now_us &&
		    zk_member_session(host->member) != 0)
			act(client);
	}
}

void
sim_clients_reset(struct sim *sim, unsigned id)
{
	for (unsigned i = 0; i < SIM_CLIENTS; i++) {
		sim->members[id].clients[i] = (struct sim_client){
		    .sim = sim,
		    .member = id,
		    .index = i,
		    .next_us = sim->now_us,
		};
	}
}

bool
sim_clients_idle(const struct sim *sim)
{
	for (unsigned id = 0; id < sim->count; id++)
		for (unsigned i = 0; i < SIM_CLIENTS; i++)
			if (sim->members[id].clients[i].op != NULL ||
			    sim->members[id].clients[i].session != 0)
				return false;
	return true;
}

bool
sim_is_held(const struct sim *sim, const struct sim_client *client)
{
	for (unsigned id = 0; id < sim->count; id++) {
		const struct sim_member *host = &sim->members[id];

		for (unsigned i = 0; host->up && i < SIM_CLIENTS; i++) {
			const struct sim_client *other = &host->clients[i];

			/* A lost session is one that its holder has given up. */
			if (other != client && other->session != 0 &&
			    other->session == zk_member_session(host->member) &&
			    other->held == client->held &&
			    other->held_by == client->held_by)
				return true;
		}
	}
	return false;
}

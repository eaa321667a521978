/*
 * Load generator for NATS JetStream; it speaks the text protocol itself.
 *
 *   nats api HOST SUBJECT JSON             prints the reply
 *   nats publish NAME HOSTS SUBJECTS SIZE CONNS WINDOW SECONDS
 *            connection i to subject i mod N; every message is acknowledged;
 *            WINDOW unacknowledged each
 *   nats pull NAME HOST STREAM DURABLE SECONDS     every message acknowledged
 *   nats push NAME HOST TO SECONDS         what the consumer sends to TO
 *   nats deliver NAME HOSTS SUBJECT TO COUNT
 *            published on host 1, sent to TO by the consumer, read on host 2
 *   nats failover SURVIVORS SUBJECT PID    prints milliseconds
 *
 * Where NAME is "-", the bare figures are printed, for a script.
 */
#include "tests/bench/peers/peer.h"
#include "tests/bench/peers/wire.h"

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PULL_BATCH  500
#define FAILOVER_US 20e3

/* A message as delivered; what it points to lasts as long as the callback. */
struct message {
	const char *subject, *reply;
	const char *data;
	size_t len;
	bool is_status; /* headers and no data: no messages, no responders */
};

static struct zk_wires wires;
static struct zk_load load;
static void (*on_message)(struct zk_wire *wire, const struct message *message);
static size_t pongs;

static void
put_text(struct zk_wire *wire, const char *text)
{
	zk_wire_put(wire, text, strlen(text));
}

static void
publish(struct zk_wire *wire, const char *subject, const char *reply,
    const char *bytes, size_t len)
{
	char head[512];

	(void)snprintf(head, sizeof(head), "PUB %s %s %zu\r\n", subject, reply,
	    len);
	put_text(wire, head);
	zk_wire_put(wire, bytes, len);
	put_text(wire, "\r\n");
}

/*
 * "MSG subject sid [reply] len" or "HMSG subject sid [reply] headers len";
 * takes the line apart.
 */
static bool
parse_head(char *line, struct message *ret_message, size_t *ret_headers)
{
	size_t numbers = line[0] == 'H' ? 2 : 1, count = 0;
	char *words[6], *rest = NULL, *word;

	for (word = strtok_r(line, " \r\n", &rest); word != NULL && count < 6;
	     word = strtok_r(NULL, " \r\n", &rest))
		words[count++] = word;
	if (count < 3 + numbers)
		return false;
	*ret_message = (struct message){
	    .subject = words[1],
	    .reply = count > 3 + numbers ? words[3] : "",
	    .len = strtoul(words[count - 1], NULL, 10),
	};
	*ret_headers = numbers == 2 ? strtoul(words[count - 2], NULL, 10) : 0;
	return true;
}

static long
take(struct zk_wire *wire)
{
	const char *in = (const char *)wire->in, *end;
	size_t used = 0, line_len, headers;
	struct message message;
	char line[1024];

	for (;;) {
		end = memchr(in + used, '\n', wire->in_len - used);
		if (end == NULL)
			return (long)used;
		line_len = (size_t)(end - in) + 1 - used;
		(void)snprintf(line, sizeof(line), "%.*s", (int)line_len,
		    in + used);
		if (strncmp(line, "MSG ", 4) == 0 ||
		    strncmp(line, "HMSG ", 5) == 0) {
			if (!parse_head(line, &message, &headers))
				return -1;
			if (wire->in_len - used < line_len + message.len + 2)
				return (long)used;
			message.data = in + used + line_len + headers;
			used += line_len + message.len + 2;
			message.len -= headers;
			message.is_status = headers > 0 && message.len == 0;
			on_message(wire, &message);
			continue;
		}
		if (strncmp(line, "PING", 4) == 0)
			put_text(wire, "PONG\r\n");
		else if (strncmp(line, "PONG", 4) == 0)
			pongs++;
		else if (strncmp(line, "-ERR", 4) == 0)
			warnx("%s", line);
		used += line_len;
	}
}

/* Every server has taken what was said so far. */
static void
settle(void)
{
	size_t want = pongs + wires.count;

	for (size_t i = 0; i < wires.count; i++)
		put_text(&wires.wire[i], "PING\r\n");
	while (pongs < want)
		zk_wires_turn(&wires, 50);
}

/* Answers to connection i, slot s come to the subject in.PID.i.s. */
static void
inbox(char *ret_text, size_t size, size_t conn, size_t slot)
{
	(void)snprintf(ret_text, size, "in.%d.%zu.%zu", (int)getpid(), conn,
	    slot);
}

static void
start(char *hosts, size_t count)
{
	char line[128];

	wires.take = take;
	zk_wires_open(&wires, hosts, count);
	for (size_t i = 0; i < wires.count; i++) {
		put_text(&wires.wire[i],
		    "CONNECT {\"verbose\":false,\"pedantic\":false,"
		    "\"headers\":true,\"no_responders\":true}\r\n");
		(void)snprintf(line, sizeof(line), "SUB in.%d.%zu.* 1\r\n",
		    (int)getpid(), i);
		put_text(&wires.wire[i], line);
	}
	settle();
}

static void
pass(double us)
{
	double end_us = zk_bench_now_us() + us;

	while (zk_bench_now_us() < end_us)
		zk_wires_turn(&wires, 5);
}

/* --- api ---------------------------------------------------------------- */

static bool replied;

static void
print_reply(struct zk_wire *wire, const struct message *message)
{
	(void)wire;
	(void)printf("%.*s\n", (int)message->len, message->data);
	replied = true;
}

static void
run_api(char **args)
{
	double end_us = zk_bench_now_us() + 5e6;
	char reply[64];

	on_message = print_reply;
	start(args[0], 1);
	inbox(reply, sizeof(reply), 0, 0);
	publish(&wires.wire[0], args[1], reply, args[2], strlen(args[2]));
	while (!replied && zk_bench_now_us() < end_us)
		zk_wires_turn(&wires, 50);
	if (!replied)
		exit(1);
}

/* --- publish ------------------------------------------------------------ */

static char *publish_subjects[ZK_PEER_HOSTS_MAX];
static size_t publish_subject_count;
static char *publish_bytes;
static size_t publish_len, publish_window;
static double *publish_asked_us;

static void
publish_slot(size_t conn, size_t slot)
{
	char reply[64];

	inbox(reply, sizeof(reply), conn, slot);
	publish_asked_us[conn * publish_window + slot] = zk_bench_now_us();
	publish(&wires.wire[conn],
	    publish_subjects[conn % publish_subject_count], reply,
	    publish_bytes, publish_len);
}

static bool
is_acknowledgement(const struct message *message)
{
	return !message->is_status &&
	    memmem(message->data, message->len, "\"seq\"", 5) != NULL &&
	    memmem(message->data, message->len, "\"error\"", 7) == NULL;
}

static void
on_acknowledgement(struct zk_wire *wire, const struct message *message)
{
	size_t conn = (size_t)(wire - wires.wire);
	size_t slot = strtoul(strrchr(message->subject, '.') + 1, NULL, 10);

	if (zk_load_answer(&load,
	        publish_asked_us[conn * publish_window + slot],
	        is_acknowledgement(message)))
		publish_slot(conn, slot);
}

static void
run_publish(char **args)
{
	size_t conns = strtoul(args[4], NULL, 10);

	publish_subject_count = zk_peer_split(args[2], publish_subjects);
	publish_len = strtoul(args[3], NULL, 10);
	publish_window = strtoul(args[5], NULL, 10);
	publish_bytes = calloc(1, publish_len);
	publish_asked_us =
	    calloc(conns * publish_window, sizeof(*publish_asked_us));
	if (publish_bytes == NULL || publish_asked_us == NULL)
		err(1, "slots");
	memset(publish_bytes, 'v', publish_len);
	on_message = on_acknowledgement;
	start(args[1], conns);
	zk_load_begin(&load, conns * publish_window);
	for (size_t slot = 0; slot < publish_window; slot++)
		for (size_t conn = 0; conn < conns; conn++)
			publish_slot(conn, slot);
	pass(strtod(args[6], NULL) * 1e6);
	zk_load_end(&load);
	for (int i = 0; zk_load_inflight(&load) > 0 && i < 1000; i++)
		zk_wires_turn(&wires, 10);
	zk_load_print(&load, args[0], conns * publish_window == 1);
}

/* --- consume ------------------------------------------------------------ */

static char pull_subject[256];
static bool consume_ended;
static size_t pull_asked, consume_got;
static double consume_last_us;

static void
ask(struct zk_wire *wire)
{
	char reply[64], json[64];

	inbox(reply, sizeof(reply), 0, 1);
	(void)snprintf(json, sizeof(json), "{\"batch\":%d,\"no_wait\":true}",
	    PULL_BATCH);
	publish(wire, pull_subject, reply, json, strlen(json));
	pull_asked += PULL_BATCH;
}

static void
on_pulled(struct zk_wire *wire, const struct message *message)
{
	if (message->is_status) {
		consume_ended = true;
		return;
	}
	consume_got++;
	consume_last_us = zk_bench_now_us();
	publish(wire, message->reply, "", "+ACK", 4);
	/* One to two batches stay asked for. */
	if (pull_asked - consume_got < PULL_BATCH)
		ask(wire);
}

static void
on_pushed(struct zk_wire *wire, const struct message *message)
{
	if (!message->is_status) {
		consume_got++;
		consume_last_us = zk_bench_now_us();
	} else if (message->reply[0] != '\0') {
		publish(wire, message->reply, "", "", 0); /* flow control */
	} else if (consume_got > 0) {
		consume_ended = true; /* an idle heartbeat: nothing more */
	}
}

static void
consume(const char *name, double start_us, const char *seconds)
{
	double rate;

	while (!consume_ended &&
	    zk_bench_now_us() - start_us < strtod(seconds, NULL) * 1e6)
		zk_wires_turn(&wires, 20);
	if (consume_got == 0)
		errx(1, "nothing was delivered");
	rate = (double)consume_got * 1e6 / (consume_last_us - start_us);
	if (zk_peer_is_bare(name))
		(void)printf("%.0f\n", rate);
	else
		zk_bench_single(name, rate, "/s", ZK_GOAL_NONE, 0);
}

static void
run_pull(char **args)
{
	double start_us;

	on_message = on_pulled;
	start(args[1], 1);
	(void)snprintf(pull_subject, sizeof(pull_subject),
	    "$JS.API.CONSUMER.MSG.NEXT.%s.%s", args[2], args[3]);
	start_us = zk_bench_now_us();
	ask(&wires.wire[0]);
	consume(args[0], start_us, args[4]);
}

static void
subscribe(struct zk_wire *wire, const char *subject)
{
	put_text(wire, "SUB ");
	put_text(wire, subject);
	put_text(wire, " 2\r\n");
}

static void
run_push(char **args)
{
	on_message = on_pushed;
	start(args[1], 1);
	subscribe(&wires.wire[0], args[2]);
	consume(args[0], zk_bench_now_us(), args[3]);
}

/* --- deliver ------------------------------------------------------------ */

static double delivered_us; /* 0: not yet */
static bool stored;

static void
on_delivered(struct zk_wire *wire, const struct message *message)
{
	(void)wire;
	if (strncmp(message->subject, "in.", 3) == 0)
		stored = true;
	else
		delivered_us = zk_bench_now_us();
}

static void
run_deliver(char **args)
{
	size_t count = strtoul(args[4], NULL, 10);
	struct zk_samples took_us = {0};
	char reply[64];
	double asked_us;

	on_message = on_delivered;
	start(args[1], 0);
	subscribe(&wires.wire[wires.count > 1], args[3]);
	settle();
	pass(300e3);
	inbox(reply, sizeof(reply), 0, 0);
	for (size_t i = 0; i < count; i++) {
		delivered_us = 0;
		stored = false;
		asked_us = zk_bench_now_us();
		publish(&wires.wire[0], args[2], reply, zk_peer_value,
		    ZK_PEER_VALUE_BYTES);
		while (delivered_us == 0 || !stored)
			zk_wires_turn(&wires, 50);
		if (i >= count / 10)
			zk_samples_add(&took_us, delivered_us - asked_us);
	}
	zk_peer_print_latency(args[0], &took_us);
}

/* --- failover ----------------------------------------------------------- */

static void
on_first(struct zk_wire *wire, const struct message *message)
{
	(void)wire;
	if (is_acknowledgement(message))
		replied = true;
}

/* A new message to each survivor every 20 ms. */
static void
run_failover(char **args)
{
	double start_us, next_us;
	char reply[64];

	on_message = on_first;
	start(args[0], 0);
	start_us = zk_bench_now_us();
	(void)kill((pid_t)strtol(args[2], NULL, 10), SIGKILL);
	while (!replied) {
		for (size_t i = 0; i < wires.count; i++) {
			inbox(reply, sizeof(reply), i, 1);
			publish(&wires.wire[i], args[1], reply, "failover", 8);
		}
		next_us = zk_bench_now_us() + FAILOVER_US;
		while (!replied && zk_bench_now_us() < next_us)
			zk_wires_turn(&wires, 5);
	}
	(void)printf("%.1f\n", (zk_bench_now_us() - start_us) / 1e3);
}

int
main(int argc, char **argv)
{
	static const struct zk_verb verbs[] = {
	    {"api", 3, run_api},
	    {"publish", 7, run_publish},
	    {"pull", 5, run_pull},
	    {"push", 4, run_push},
	    {"deliver", 5, run_deliver},
	    {"failover", 3, run_failover},
	};

	return zk_peer_main(argc, argv, verbs, 6);
}

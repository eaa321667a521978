/*
 * Three members, a thread each that sends to the two others on both lanes as
 * fast as it can, one that disconnects, pauses and resumes them, and one
 * member that is closed and opened again and again.  Within each session,
 * what arrives of a lane must be 0, 1, 2, ...: nothing lost, doubled or out of
 * order.  For ThreadSanitizer, and the others.
 */

#include <sched.h>
#include <stdatomic.h>

#define RIG_CHECK(cond, ...)                                                   \
	do {                                                                   \
		if (!(cond)) {                                                 \
			(void)fprintf(stderr, __VA_ARGS__);                    \
			(void)fprintf(stderr, "\n");                           \
			exit(1);                                               \
		}                                                              \
	} while (0)
#include "tests/transport/rig.h"

enum { MEMBERS = 3, SECONDS = 6, REOPENS = 12 };

struct way {
	uint64_t epoch; /* of the sessions of this pair */
	uint64_t next[2];
};

/* Sees that what each peer sends follows upon what it sent before. */
struct checker {
	pthread_mutex_t lock;
	struct way from[MEMBERS]; /* protected by lock */
	unsigned errors;
	bool full;
	uint64_t frames;
};

static struct member members[MEMBERS];
static struct checker checkers[MEMBERS];
static struct zk_transport *transports[MEMBERS];
static pthread_rwlock_t opened = PTHREAD_RWLOCK_INITIALIZER;
static atomic_bool stopping;
static atomic_uint sessions;

static struct checker *
checker_of(void *arg)
{
	return &checkers[(struct member *)arg - members];
}

static bool
received(void *arg, const struct zk_transport_frame *frame)
{
	struct checker *c = checker_of(arg);
	uint64_t number;

	RIG_CHECK(frame->len >= sizeof(number), "short frame");
	memcpy(&number, frame->bytes, sizeof(number));
	(void)pthread_mutex_lock(&c->lock);
	if (c->full) {
		(void)pthread_mutex_unlock(&c->lock);
		return false;
	}
	/*
	 * A sender that missed a change of sessions starts later; numbers
	 * then still follow each other.
	 */
	if (c->from[frame->peer - 1].next[frame->lane] == UINT64_MAX)
		c->from[frame->peer - 1].next[frame->lane] = number;
	if (c->from[frame->peer - 1].next[frame->lane]++ != number)
		c->errors++;
	c->frames++;
	(void)pthread_mutex_unlock(&c->lock);
	return true;
}

static void
peer_up(void *arg, const struct zk_transport_peer_info *info)
{
	struct checker *c = checker_of(arg);

	(void)pthread_mutex_lock(&c->lock);
	for (int lane = 0; lane < 2; lane++)
		c->from[info->identity.node - 1].next[lane] = UINT64_MAX;
	(void)pthread_mutex_unlock(&c->lock);
	(void)atomic_fetch_add(&sessions, 1);
}

static void
peer_down(void *arg, uint64_t peer, const char *reason)
{
	(void)arg;
	(void)peer;
	(void)reason;
}

/* Numbers go up with each frame that was taken; never back. */
static void *
sender(void *arg)
{
	const unsigned self = (unsigned)(uintptr_t)arg;
	uint64_t numbers[MEMBERS][2] = {{0}};
	static _Thread_local uint8_t buf[9000];
	uint64_t round = 0;

	while (!atomic_load(&stopping)) {
		const unsigned to = (unsigned)(self + 1 + round % 2) % MEMBERS;
		const unsigned lane = round / 2 % 2;
		const size_t len = 8 + round * 37 % (lane == 0 ? 100 : 8900);
		const struct iovec iov = {buf, len};
		int rc = -ENOTCONN;

		memcpy(buf, &numbers[to][lane], 8);
		(void)pthread_rwlock_rdlock(&opened);
		if (transports[self] != NULL)
			rc = zk_transport_send(transports[self], to + 1, lane,
			    self, &iov, 1);
		(void)pthread_rwlock_unlock(&opened);
		if (rc == 0)
			numbers[to][lane]++;
		else
			(void)sched_yield();
		round++;
	}
	return NULL;
}

static void
pause_and_resume(unsigned i, uint64_t seed)
{
	struct checker *c = &checkers[i];
	const bool full = seed % 4 == 0;

	(void)pthread_mutex_lock(&c->lock);
	c->full = full;
	(void)pthread_mutex_unlock(&c->lock);
	if (full || transports[i] == NULL)
		return;
	for (unsigned peer = 1; peer <= MEMBERS; peer++)
		zk_transport_resume(transports[i], peer);
}

static void *
meddler(void *arg)
{
	uint64_t seed = 1;

	(void)arg;
	while (!atomic_load(&stopping)) {
		unsigned i;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		i = (unsigned)(seed >> 60) % MEMBERS;
		(void)pthread_rwlock_rdlock(&opened);
		pause_and_resume(i, seed >> 33);
		if ((seed >> 40) % 64 == 0 && transports[i] != NULL)
			zk_transport_disconnect(transports[i],
			    (seed >> 50) % MEMBERS + 1);
		(void)pthread_rwlock_unlock(&opened);
		(void)poll(NULL, 0, 2);
	}
	return NULL;
}

/* The last member is another process each time. */
static void
reopen(void)
{
	struct member *m = &members[MEMBERS - 1];
	struct zk_transport *old;

	(void)pthread_rwlock_wrlock(&opened);
	old = transports[MEMBERS - 1];
	transports[MEMBERS - 1] = NULL;
	(void)pthread_rwlock_unlock(&opened);
	zk_transport_close(old);
	m->options.incarnation++;
	rig_open(m);
	rig_know(m, members, MEMBERS);
	(void)pthread_rwlock_wrlock(&opened);
	transports[MEMBERS - 1] = m->t;
	(void)pthread_rwlock_unlock(&opened);
}

static void
start(void)
{
	static const char *const names[MEMBERS] = {"a", "b", "c"};

	for (unsigned i = 0; i < MEMBERS; i++) {
		(void)pthread_mutex_init(&checkers[i].lock, NULL);
		rig_init(&members[i], names[i], i + 1);
		members[i].options.callbacks = (struct zk_transport_callbacks){
		    received, peer_up, peer_down, NULL, &members[i]};
		members[i].options.bulk_queue_bytes = 6000000;
		/* Sanitizers are slow: only real silence shall count. */
		members[i].options.silence_ms = 10000;
		members[i].options.handshake_ms = 10000;
		members[i].options.dial_all = i == 2;
		rig_open(&members[i]);
		transports[i] = members[i].t;
	}
	for (unsigned i = 0; i < MEMBERS; i++)
		rig_know(&members[i], members, MEMBERS);
}

int
main(void)
{
	pthread_t threads[MEMBERS + 1];
	uint64_t frames = 0;

	start();
	for (uintptr_t i = 0; i < MEMBERS; i++)
		RIG_CHECK(
		    pthread_create(&threads[i], NULL, sender, (void *)i) == 0,
		    "thread");
	RIG_CHECK(pthread_create(&threads[MEMBERS], NULL, meddler, NULL) == 0,
	    "thread");
	for (unsigned i = 0; i < REOPENS; i++) {
		(void)poll(NULL, 0, SECONDS * 1000 / REOPENS);
		reopen();
	}
	atomic_store(&stopping, true);
	for (unsigned i = 0; i <= MEMBERS; i++)
		(void)pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < MEMBERS; i++) {
		rig_close(&members[i]);
		RIG_CHECK(checkers[i].errors == 0, "%s: %u frames out of order",
		    members[i].options.name, checkers[i].errors);
		frames += checkers[i].frames;
	}
	RIG_CHECK(frames > 1000, "only %llu frames",
	    (unsigned long long)frames);
	(void)printf("  STRESS  transport: %llu frames in %u sessions\n",
	    (unsigned long long)frames, atomic_load(&sessions) / 2);
	return 0;
}

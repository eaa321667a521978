#include "fs/control_watch.h"

#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "fs/call_impl.h"
#include "fs/control.h"
#include "fs/impl.h"

#define PACE_MS 50u

/* What is asked to be forgotten is so by then, and not known again later. */
#define FORGET_MS 3u
#define ASKED_MS  20u

/* What is compared is no longer. */
#define TEXT_BYTES_MAX 4096u

/* Its slot; none: ZK_CONTROL_SLOTS. */
static uint64_t
slot_of(uint64_t ino)
{
	if (ino < ZK_INO_VIRTUAL || ino - ZK_INO_VIRTUAL >= ZK_CONTROL_SLOTS)
		return ZK_CONTROL_SLOTS;
	return ino - ZK_INO_VIRTUAL;
}

static bool
is_short(const char *name)
{
	static const char *const names[] = {"state", "session", "leader",
	    "config", "version"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

void
zk_control_watch_init(struct zk_control_watch *w)
{
	(void)pthread_mutex_init(&w->lock, NULL);
	/* What the short ones say is to be known before it changes. */
	atomic_store(&w->due_ms, 1);
}

void
zk_control_watch_fini(struct zk_control_watch *w)
{
	(void)pthread_mutex_destroy(&w->lock);
}

void
zk_control_ref(struct zk_fs *fs, uint64_t ino)
{
	const uint64_t slot = slot_of(ino);

	if (slot < ZK_CONTROL_SLOTS)
		(void)atomic_fetch_add(&fs->control_watch.known[slot], 1);
}

void
zk_control_forget(struct zk_fs *fs, uint64_t ino, uint64_t n)
{
	const uint64_t slot = slot_of(ino);
	_Atomic uint64_t *known;
	uint64_t have;

	if (slot == ZK_CONTROL_SLOTS)
		return;
	known = &fs->control_watch.known[slot];
	have = atomic_load(known);
	/* A count that is too high is the kernel's; do not trust it. */
	while (!atomic_compare_exchange_weak(known, &have,
	    have - (n < have ? n : have)))
		;
}

bool
zk_control_is_known(struct zk_fs *fs, uint64_t ino)
{
	const uint64_t slot = slot_of(ino);

	return slot == ZK_CONTROL_SLOTS ||
	    atomic_load(&fs->control_watch.known[slot]) > 0;
}

static bool
is_known(const struct zk_control_watch *w, uint64_t slot)
{
	return atomic_load(&w->known[0]) > 0 ||
	    atomic_load(&w->known[slot]) > 0;
}

/* Under the lock. */
static void
due_at(struct zk_control_watch *w, uint64_t slot)
{
	const uint64_t due_ms = atomic_load(&w->due_ms),
	               ms = w->told_ms[slot] + PACE_MS;

	if (due_ms == 0 || ms < due_ms)
		atomic_store(&w->due_ms, ms);
}

void
zk_control_changed(struct zk_fs *fs, const char *name)
{
	struct zk_control_watch *w = &fs->control_watch;
	struct zk_attr attr;
	uint64_t slot;
	bool first;

	if (zk_control_lookup(fs, ZK_INO_VIRTUAL, name, &attr) < 0)
		return;
	slot = slot_of(attr.ino);
	if (slot == ZK_CONTROL_SLOTS || (!is_known(w, slot) && !is_short(name)))
		return;
	(void)pthread_mutex_lock(&w->lock);
	first = (w->changed >> slot & 1) == 0;
	w->changed |= 1ull << slot;
	if (first)
		due_at(w, slot);
	(void)pthread_mutex_unlock(&w->lock);
	if (!first)
		return;
	(void)pthread_mutex_lock(&fs->calls.lock);
	zk_calls_kick_locked(&fs->calls);
	(void)pthread_mutex_unlock(&fs->calls.lock);
}

/* Whether it says something else than the last time. */
static bool
says_else(struct zk_fs *fs, uint64_t slot, const char *name)
{
	struct zk_control_watch *w = &fs->control_watch;
	char text[TEXT_BYTES_MAX];
	size_t len = 0;
	uint32_t said;

	if (fs->port.control(fs->port.impl, name, text, sizeof(text), &len) <
	        0 ||
	    len > sizeof(text))
		return true;
	said = zk_crc32c(0, text, len);
	if (said == w->said[slot])
		return false;
	w->said[slot] = said;
	return true;
}

/* What the short ones say; after another program that is told. */
static void
begin(struct zk_fs *fs)
{
	struct zk_control_watch *w = &fs->control_watch;
	const char *name;
	uint64_t ino;

	w->began = true;
	for (uint64_t i = 0; (name = zk_control_name(fs, i, &ino)) != NULL; i++)
		if (is_short(name) && w->said[slot_of(ino)] != 0)
			zk_control_changed(fs, name);
		else if (is_short(name))
			(void)says_else(fs, slot_of(ino), name);
}

/*
 * Have what nobody uses forgotten.  The directory is so only after what is in
 * it, of which the kernel may know any.
 */
static void
ask_to_forget(struct zk_fs *fs)
{
	struct zk_control_watch *w = &fs->control_watch;
	uint64_t inos[ZK_CONTROL_SLOTS + 1] = {ZK_INO_SCRATCH};
	size_t count = 1;

	for (uint64_t slot = ZK_CONTROL_SLOTS; slot-- > 0;)
		if (atomic_load(&w->known[slot]) > 0)
			inos[count++] = ZK_INO_VIRTUAL + slot;
	if (count > 1)
		zk_replay_prune(fs, inos, count);
}

/* Under the lock: whether one is due at which that is to be done first. */
static bool
is_due(const struct zk_control_watch *w, uint64_t now_ms)
{
	for (uint64_t slot = 1; slot < ZK_CONTROL_SLOTS; slot++)
		if ((w->changed >> slot & 1) != 0 &&
		    now_ms - w->told_ms[slot] >= PACE_MS)
			return true;
	return false;
}

/* True: later. */
static bool
wait_for_kernel(struct zk_fs *fs, uint64_t now_ms)
{
	struct zk_control_watch *w = &fs->control_watch;
	bool ask = false, wait = false;

	(void)pthread_mutex_lock(&w->lock);
	if (is_due(w, now_ms)) {
		ask = now_ms - w->asked_ms >= ASKED_MS;
		if (ask)
			w->asked_ms = now_ms;
		wait = now_ms - w->asked_ms < FORGET_MS;
		if (wait)
			atomic_store(&w->due_ms, w->asked_ms + FORGET_MS);
	}
	(void)pthread_mutex_unlock(&w->lock);
	if (ask)
		ask_to_forget(fs);
	return wait;
}

/* The next that is to be told now, or 0. */
static uint64_t
take(struct zk_control_watch *w, uint64_t now_ms)
{
	uint64_t found = 0;

	(void)pthread_mutex_lock(&w->lock);
	for (uint64_t slot = 1; found == 0 && slot < ZK_CONTROL_SLOTS; slot++)
		if ((w->changed >> slot & 1) != 0 &&
		    now_ms - w->told_ms[slot] >= PACE_MS)
			found = slot;
	if (found != 0) {
		w->changed &= ~(1ull << found);
		w->told_ms[found] = now_ms;
	}
	(void)pthread_mutex_unlock(&w->lock);
	return found;
}

void
zk_control_watch_serve(struct zk_fs *fs)
{
	struct zk_control_watch *w = &fs->control_watch;
	const uint64_t due_ms = atomic_load(&w->due_ms), now_ms = zk_now_ms();
	uint64_t slot, same;

	if (due_ms == 0 || now_ms < due_ms)
		return;
	if (!w->began)
		begin(fs);
	if (wait_for_kernel(fs, now_ms))
		return;
	while ((slot = take(w, now_ms)) != 0) {
		const char *name = zk_control_name(fs, slot - 1, &same);

		ZK_ASSERT(name != NULL);
		if (is_short(name) && !says_else(fs, slot, name))
			continue;
		if (is_known(w, slot))
			zk_replay_control(fs, name);
	}
	(void)pthread_mutex_lock(&w->lock);
	atomic_store(&w->due_ms, 0);
	for (slot = 1; slot < ZK_CONTROL_SLOTS; slot++)
		if ((w->changed >> slot & 1) != 0)
			due_at(w, slot);
	(void)pthread_mutex_unlock(&w->lock);
}

/* --- for who takes over --------------------------------------------------- */

/* Files keep their numbers: the kernel knows them by these. */
void
zk_control_watch_save(struct zk_enc *enc, const struct zk_control_watch *w)
{
	for (uint64_t slot = 0; slot < ZK_CONTROL_SLOTS; slot++) {
		zk_enc_u64(enc, atomic_load(&w->known[slot]));
		zk_enc_u32(enc, w->said[slot]);
		zk_enc_u8(enc, (uint8_t)(w->changed >> slot & 1));
	}
}

void
zk_control_watch_take(struct zk_fs *fs, struct zk_dec *dec, bool old)
{
	struct zk_control_watch *w = &fs->control_watch;

	for (uint64_t slot = 0; slot < ZK_CONTROL_SLOTS; slot++) {
		/* Nobody knows how often it is to be forgotten. */
		if (old) {
			atomic_store(&w->known[slot], UINT64_MAX / 2);
			continue;
		}
		atomic_store(&w->known[slot], zk_dec_u64(dec));
		w->said[slot] = zk_dec_u32(dec);
		if (zk_dec_u8(dec) != 0)
			w->changed |= 1ull << slot;
	}
}

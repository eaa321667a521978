#include "base/aside.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/assert.h"

struct zk_aside {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Protected by lock: */
	int (*fn)(void *arg); /* NULL: nothing to do */
	void *arg;
	int rc;
	bool begun; /* and not waited for */
	bool stopping;
};

static void *
aside_main(void *arg)
{
	struct zk_aside *a = arg;

	(void)pthread_mutex_lock(&a->lock);
	for (;;) {
		int rc;

		while (a->fn == NULL && !a->stopping)
			(void)pthread_cond_wait(&a->changed, &a->lock);
		if (a->fn == NULL)
			break;
		(void)pthread_mutex_unlock(&a->lock);
		rc = a->fn(a->arg);
		(void)pthread_mutex_lock(&a->lock);
		a->rc = rc;
		a->fn = NULL;
		(void)pthread_cond_signal(&a->changed);
	}
	(void)pthread_mutex_unlock(&a->lock);
	return NULL;
}

int
zk_aside_open(const char *name, struct zk_aside **ret_aside)
{
	struct zk_aside *a = calloc(1, sizeof(*a));
	int rc;

	if (a == NULL)
		return -ENOMEM;
	(void)pthread_mutex_init(&a->lock, NULL);
	(void)pthread_cond_init(&a->changed, NULL);
	rc = -pthread_create(&a->thread, NULL, aside_main, a);
	if (rc < 0) {
		(void)pthread_cond_destroy(&a->changed);
		(void)pthread_mutex_destroy(&a->lock);
		free(a);
		return rc;
	}
	(void)pthread_setname_np(a->thread, name);
	*ret_aside = a;
	return 0;
}

void
zk_aside_close(struct zk_aside *a)
{
	if (a == NULL)
		return;
	(void)pthread_mutex_lock(&a->lock);
	a->stopping = true;
	(void)pthread_cond_signal(&a->changed);
	(void)pthread_mutex_unlock(&a->lock);
	(void)pthread_join(a->thread, NULL);
	(void)pthread_cond_destroy(&a->changed);
	(void)pthread_mutex_destroy(&a->lock);
	free(a);
}

void
zk_aside_begin(struct zk_aside *a, int (*fn)(void *arg), void *arg)
{
	(void)pthread_mutex_lock(&a->lock);
	ZK_ASSERT(!a->begun);
	a->begun = true;
	a->fn = fn;
	a->arg = arg;
	(void)pthread_cond_signal(&a->changed);
	(void)pthread_mutex_unlock(&a->lock);
}

int
zk_aside_wait(struct zk_aside *a)
{
	int rc;

	(void)pthread_mutex_lock(&a->lock);
	ZK_ASSERT(a->begun);
	while (a->fn != NULL)
		(void)pthread_cond_wait(&a->changed, &a->lock);
	a->begun = false;
	rc = a->rc;
	(void)pthread_mutex_unlock(&a->lock);
	return rc;
}

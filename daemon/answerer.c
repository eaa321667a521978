#include "daemon/answerer.h"

#include <errno.h>
#include <stdlib.h>

struct zk_answerer {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct zk_item_list given; /* protected by lock */
	bool closed, asleep;       /* protected by lock */
};

static void *
answerer_main(void *arg)
{
	struct zk_answerer *a = arg;
	struct zk_item_list list;

	(void)pthread_setname_np(pthread_self(), "zkfs-answer");
	zk_item_list_init(&list);
	(void)pthread_mutex_lock(&a->lock);
	for (;;) {
		while (a->given.count == 0 && !a->closed) {
			a->asleep = true;
			(void)pthread_cond_wait(&a->wake, &a->lock);
			a->asleep = false;
		}
		if (a->given.count == 0)
			break;
		zk_item_list_join(&list, &a->given);
		(void)pthread_mutex_unlock(&a->lock);
		zk_item_list_finish(&list, 0);
		(void)pthread_mutex_lock(&a->lock);
	}
	(void)pthread_mutex_unlock(&a->lock);
	return NULL;
}

int
zk_answerer_open(struct zk_answerer **ret_answerer)
{
	struct zk_answerer *a = calloc(1, sizeof(*a));
	int rc;

	if (a == NULL)
		return -ENOMEM;
	(void)pthread_mutex_init(&a->lock, NULL);
	(void)pthread_cond_init(&a->wake, NULL);
	zk_item_list_init(&a->given);
	rc = -pthread_create(&a->thread, NULL, answerer_main, a);
	if (rc < 0) {
		(void)pthread_cond_destroy(&a->wake);
		(void)pthread_mutex_destroy(&a->lock);
		free(a);
		return rc;
	}
	*ret_answerer = a;
	return 0;
}

void
zk_answerer_close(struct zk_answerer *a)
{
	if (a == NULL)
		return;
	(void)pthread_mutex_lock(&a->lock);
	a->closed = true;
	(void)pthread_mutex_unlock(&a->lock);
	(void)pthread_cond_signal(&a->wake);
	(void)pthread_join(a->thread, NULL);
	(void)pthread_cond_destroy(&a->wake);
	(void)pthread_mutex_destroy(&a->lock);
	free(a);
}

void
zk_answerer_give(struct zk_answerer *a, struct zk_item_list *list)
{
	bool wake;

	(void)pthread_mutex_lock(&a->lock);
	zk_item_list_join(&a->given, list);
	wake = a->asleep;
	(void)pthread_mutex_unlock(&a->lock);
	if (wake)
		(void)pthread_cond_signal(&a->wake);
}

#include "daemon/news.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Room for one more of `size` bytes after `need` of them. */
static int
reserve(void **array, size_t *cap, size_t need, size_t size)
{
	size_t want = *cap == 0 ? 64 : *cap;
	void *grown;

	if (need <= *cap)
		return 0;
	while (want < need)
		want *= 2;
	grown = reallocarray(*array, want, size);
	if (grown == NULL)
		return -ENOMEM;
	*array = grown;
	*cap = want;
	return 0;
}

static void
keep_name(struct zk_news *news, const char *name, size_t name_len)
{
	if (name_len > 0)
		memcpy(news->names + news->names_len, name, name_len);
	news->names_len += name_len;
}

int
zk_news_add(struct zk_news *news, const struct zk_change *change)
{
	void *changes = news->changes, *names = news->names;
	int rc;

	rc = reserve(&changes, &news->cap, news->count + 1,
	    sizeof(*news->changes));
	news->changes = changes;
	if (rc == 0)
		rc = reserve(&names, &news->names_cap,
		    news->names_len + change->name_len + change->name2_len + 1,
		    1);
	news->names = names;
	if (rc < 0)
		return rc;
	news->changes[news->count++] = *change;
	keep_name(news, change->name, change->name_len);
	keep_name(news, change->name2, change->name2_len);
	return 0;
}

void
zk_news_tell(struct zk_news *news,
    void (*fn)(void *arg, const struct zk_change *change), void *arg)
{
	const char *name = news->names;

	for (size_t i = 0; i < news->count; i++) {
		struct zk_change change = news->changes[i];

		change.name = change.name_len > 0 ? name : NULL;
		name += change.name_len;
		change.name2 = change.name2_len > 0 ? name : NULL;
		name += change.name2_len;
		fn(arg, &change);
	}
	zk_news_drop(news);
}

void
zk_news_drop(struct zk_news *news)
{
	news->count = 0;
	news->names_len = 0;
}

void
zk_news_fini(struct zk_news *news)
{
	free(news->changes);
	free(news->names);
	*news = (struct zk_news){0};
}

#include "daemon/early.h"

void
zk_early_keep(struct zk_early *early)
{
	(void)pthread_mutex_lock(&early->lock);
	early->keep = true;
	(void)pthread_mutex_unlock(&early->lock);
}

struct zk_fs *
zk_early_change(struct zk_early *early, const struct zk_change *change,
    int *ret_rc)
{
	struct zk_fs *fs;

	*ret_rc = 0;
	(void)pthread_mutex_lock(&early->lock);
	fs = early->fs;
	if (fs == NULL && early->keep)
		*ret_rc = zk_news_add(&early->changes, change);
	(void)pthread_mutex_unlock(&early->lock);
	return fs;
}

bool
zk_early_may_replace(struct zk_early *early, struct zk_fs **ret_fs)
{
	bool may;

	(void)pthread_mutex_lock(&early->lock);
	*ret_fs = early->fs;
	may = early->fs != NULL || !early->keep;
	(void)pthread_mutex_unlock(&early->lock);
	return may;
}

static void
tell(void *arg, const struct zk_change *change)
{
	zk_fs_changed(arg, change);
}

void
zk_early_end(struct zk_early *early, struct zk_fs *fs)
{
	(void)pthread_mutex_lock(&early->lock);
	zk_news_tell(&early->changes, tell, fs);
	zk_news_fini(&early->changes);
	early->fs = fs;
	(void)pthread_mutex_unlock(&early->lock);
}

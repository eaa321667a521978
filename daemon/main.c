#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "daemon/cluster.h"
#include "daemon/early.h"
#include "daemon/guard.h"
#include "daemon/http.h"
#include "daemon/join.h"
#include "daemon/launch.h"
#include "daemon/mountpoint.h"
#include "daemon/node.h"
#include "daemon/options.h"
#include "daemon/own.h"
#include "daemon/port.h"
#include "daemon/report.h"
#include "daemon/restore.h"
#include "daemon/topics.h"
#include "daemon/upgrade.h"
#include "fs/fs.h"
#include "store/store.h"

/*
 * One daemon: everything that lives as long as the mount.  Static, because
 * options are large and the signal handler must find the mount.
 */
static struct daemon {
	struct zk_options options;
	struct zk_mountpoint mountpoint;
	struct zk_launch launch;
	struct zk_store *store;
	struct zk_join join;
	struct zk_node *node;
	struct zk_report report;
	struct zk_port port;
	struct zk_fs_port fs_port;
	struct zk_replay_helper helper;
	struct zk_topics *_Atomic topics;
	struct zk_guard guard;
	struct zk_http *http;              /* NULL: not asked for */
	struct zk_fs *_Atomic fs;          /* NULL: not mounted */
	atomic_bool removed;               /* a member no more */
	char name[ZK_MEMBER_NAME_MAX + 1]; /* for a new data directory */
	char pid_path[PATH_MAX + 8];

	/* Of a mount that this program has taken over. */
	bool taken;
	struct zk_upgrade upgrade;
	struct zk_early early;
} the = {.early = ZK_EARLY_INIT};

static void
on_signal(int signo)
{
	struct zk_fs *fs = the.fs;
	const int saved = errno;

	(void)signo;
	zk_join_cancel(&the.join);
	if (fs != NULL)
		zk_fs_stop(fs);
	errno = saved;
}

/*
 * After a failed flush nobody knows what the disk holds.  Leave at once: the
 * mount dies with us, and a new one starts from what is really there.
 */
static void
on_fatal(void *arg, int rc, const char *what)
{
	(void)arg;
	zk_log_error("FATAL what=%s data=%s reason=%s", what, the.options.data,
	    zk_err_text(rc));
	_exit(ZK_EXIT_SYSTEM);
}

static void
on_changed(void *arg, const struct zk_change *change)
{
	int rc;
	struct zk_fs *fs;

	if (the.topics != NULL)
		zk_topics_changed(the.topics, change);
	fs = zk_early_change(&the.early, change, &rc);
	if (rc < 0)
		on_fatal(arg, rc, "news");
	if (fs != NULL)
		zk_fs_changed(fs, change);
}

static bool
on_cares(void *arg)
{
	struct zk_fs *fs = the.fs;

	(void)arg;
	return fs == NULL || zk_fs_cares(fs);
}

static bool
on_replacing(void *arg, bool now)
{
	struct zk_fs *fs;
	const bool may = zk_early_may_replace(&the.early, &fs);

	(void)arg;
	if (fs != NULL && now)
		zk_fs_replacing(fs);
	return may;
}

static void
on_replaced(void *arg)
{
	struct zk_fs *fs;

	(void)arg;
	if (the.topics != NULL)
		zk_topics_changed(the.topics, NULL);
	(void)zk_early_may_replace(&the.early, &fs);
	if (fs != NULL) {
		zk_fs_session_changed(fs);
		zk_fs_replaced(fs);
	}
}

/* A partition has got records, or lost some. */
static void
on_partition(void *arg, const struct zk_partition_info *info)
{
	struct zk_fs *fs = the.fs;

	(void)arg;
	if (fs != NULL)
		zk_fs_appended(fs, info->id, info->end, &info->time);
}

static void
on_usr2(int signo)
{
	struct zk_fs *fs = the.fs;
	const int saved = errno;

	(void)signo;
	if (fs != NULL)
		zk_fs_ask_handover(fs);
	errno = saved;
}

static void
on_state(void *arg)
{
	struct zk_fs *fs = the.fs;

	(void)arg;
	zk_join_wake(&the.join);
	if (fs != NULL)
		zk_fs_session_changed(fs);
	/* What is cached is read without asking us. */
	if (fs != NULL && the.options.lost_eio && zk_node_is_lost(the.node))
		zk_fs_forget(fs);
	/* With a session it can be told where we are. */
	if (the.join.cluster != NULL)
		zk_cluster_reload(the.join.cluster);
}

static void
on_members(void *arg)
{
	struct zk_fs *fs = the.fs;

	(void)arg;
	if (the.join.cluster != NULL)
		zk_cluster_reload(the.join.cluster);
	if (fs != NULL)
		zk_fs_control_changed(fs, "members");
}

/* Told once; while the mount is being made, the main thread finds out. */
static void
on_removed(void *arg)
{
	struct zk_fs *fs = the.fs;

	(void)arg;
	atomic_store(&the.removed, true);
	if (fs != NULL)
		zk_fs_stop(fs);
}

static void
on_news(void *arg, unsigned news)
{
	struct zk_fs *fs = the.fs;

	(void)arg;
	for (size_t i = 0; fs != NULL && i < ZK_REPORT_NEWS; i++)
		if ((news >> i & 1) != 0)
			zk_fs_control_changed(fs, zk_report_news[i]);
}

static void
handle_signals(void)
{
	struct sigaction act = {.sa_handler = on_signal};

	(void)sigemptyset(&act.sa_mask);
	(void)sigaction(SIGTERM, &act, NULL);
	(void)sigaction(SIGINT, &act, NULL);
	act.sa_handler = on_usr2;
	(void)sigaction(SIGUSR2, &act, NULL);
	act.sa_handler = SIG_IGN;
	(void)sigaction(SIGPIPE, &act, NULL);
	(void)sigaction(SIGHUP, &act, NULL);
	zk_upgrade_block_signals(false);
}

/* Opening what is in the data directory has failed; *why may be NULL. */
static void
blame_data(int rc, const char *why, struct zk_fault *ret_fault)
{
	const bool told = why != NULL;

	(void)zk_fault_set(ret_fault, rc, ZK_EXIT_MOUNT, "data=%s%s%s",
	    told ? why : the.options.data, told ? "" : ": ",
	    told ? "" : zk_err_text(rc));
}

static int
open_store(struct zk_fault *ret_fault)
{
	const struct zk_store_options options = {
	    .dir = the.options.data,
	    .member = the.name,
	    .background = true,
	};
	char *why = NULL;
	int rc =
	    zk_own_name(&the.options, the.name, sizeof(the.name), ret_fault);

	if (rc < 0)
		return rc;
	/* It was ours all the time, so that nobody else could take it. */
	if (the.taken) {
		(void)flock(the.upgrade.lock_fd, LOCK_UN);
		(void)close(the.upgrade.lock_fd);
	}
	rc = zk_own_store(&options, &why, &the.store);
	rc = rc < 0 ? rc : zk_topics_claim(options.dir, the.store, &why);
	if (rc < 0)
		blame_data(rc, why, ret_fault);
	free(why);
	return rc;
}

static int
open_node(struct zk_fault *ret_fault)
{
	struct zk_node_options options = {
	    .store = the.store,
	    .session_timeout_ms = the.options.session_timeout_ms,
	    .state_changed = on_state,
	    .news = on_news,
	    .replacing = on_replacing,
	    .replaced = on_replaced,
	    .members_changed = on_members,
	    .changed = on_changed,
	    .cares = on_cares,
	    .keeps = zk_topics_keeps(),
	    .fatal = on_fatal,
	    .legacy = the.taken ? &the.upgrade.legacy : NULL,
	};
	struct zk_cluster *cluster = the.join.cluster;
	int rc;

	if (getrandom(&options.seed, sizeof(options.seed), 0) !=
	    (ssize_t)sizeof(options.seed))
		return zk_fault_set(ret_fault, -EIO, ZK_EXIT_SYSTEM,
		    "no random numbers from the kernel");
	options.seed |= 1;
	if (cluster != NULL) {
		options.founders = zk_cluster_founders(cluster);
		options.network = zk_cluster_network(cluster);
		options.roster = zk_cluster_roster(cluster);
	} else {
		options.roster = zk_own_roster(the.store);
	}
	rc = zk_node_open(&options, &the.node);
	if (rc < 0)
		return zk_fault_set(ret_fault, rc, ZK_EXIT_MOUNT, "data=%s: %s",
		    the.options.data, zk_err_text(rc));
	if (cluster != NULL)
		zk_cluster_attach(cluster, the.node);
	if (cluster == NULL || the.taken) /* a mount may be without one */
		return 0;
	return zk_join_wait_session(&the.join, the.node, ret_fault);
}

static int
open_topics(struct zk_fault *ret_fault)
{
	struct zk_cluster *cluster = the.join.cluster;
	const struct zk_topics_options options = {
	    .dir = the.options.data,
	    .store = the.store,
	    .node = the.node,
	    .op_timeout_ms = the.options.op_timeout_ms,
	    .network =
	        cluster == NULL ? NULL : zk_cluster_topics_network(cluster),
	    .changed = on_partition,
	    .fatal = on_fatal,
	};
	struct zk_topics *topics;
	char *why = NULL;
	int rc;

	rc = zk_topics_open(&options, &why, &topics);
	if (rc < 0)
		blame_data(rc, why, ret_fault);
	else
		the.topics = topics;
	free(why);
	if (rc == 0 && cluster != NULL)
		zk_cluster_attach_topics(cluster, zk_topics_node_of(topics));
	return rc;
}

static void
on_warn(const char *text)
{
	zk_log_warnx("MOUNT %s", text);
}

static int
open_fs(struct zk_fault *ret_fault)
{
	const struct zk_fs_taken taken = {
	    .bytes = the.upgrade.fs,
	    .len = the.upgrade.fs_len,
	    .fd = the.upgrade.fuse_fd,
	};
	const struct zk_fs_options options = {
	    .taken = the.taken ? &taken : NULL,
	    .mountpoint = the.mountpoint.dir,
	    .source =
	        the.options.source[0] != '\0' ? the.options.source : "zkfs",
	    .mount_flags = the.options.mount_flags,
	    .mount_data =
	        zk_mountpoint_knows_contexts() ? the.options.mount_data : NULL,
	    .read_only = the.options.read_only,
	    .max_file = the.options.max_file_bytes,
	    .op_timeout_ms = the.options.op_timeout_ms,
	    .debug = the.options.log_level >= ZK_LOG_DEBUG,
	    .helper = &the.helper,
	    .warn = on_warn,
	};
	struct zk_fs *fs;
	int rc;

	the.report = (struct zk_report){
	    .node = the.node,
	    .cluster = the.join.cluster,
	    .store = the.store,
	    .options = &the.options,
	    .upgrades = the.upgrade.count,
	};
	(void)clock_gettime(CLOCK_MONOTONIC, &the.report.started);
	the.port = (struct zk_port){
	    .node = the.node,
	    .store = the.store,
	    .report = &the.report,
	    .topics = the.topics,
	    .max_file = the.options.max_file_bytes,
	    .lost_eio = the.options.lost_eio,
	};
	the.fs_port = zk_port_make(&the.port);
	rc = zk_fs_open(&options, &the.fs_port, &fs);
	if (rc < 0)
		return zk_fault_set(ret_fault, rc, ZK_EXIT_MOUNT,
		    "cannot mount on %s: %s", the.mountpoint.dir,
		    zk_err_text(rc));
	the.report.fs = fs;
	zk_early_end(&the.early, fs);
	the.fs = fs;
	zk_guard_begin(&the.guard, the.mountpoint.dir);
	if (the.taken)
		return 0;
	return zk_mountpoint_propagate(the.mountpoint.dir,
	    the.options.propagation_flags, ret_fault);
}

static int
start(struct zk_fault *ret_fault)
{
	int rc = 0;

	if (!the.taken)
		rc = zk_mountpoint_clear(&the.mountpoint, ret_fault);
	rc = rc < 0 ? rc : open_store(ret_fault);
	if (rc == 0)
		rc = zk_http_open(&the.options.http, &the.http, ret_fault);
	if (rc < 0)
		return rc;
	zk_own_pid(&the.options, the.pid_path, sizeof(the.pid_path));
	rc = zk_join_open(&the.join, &the.options, the.store, ret_fault);
	if (rc == 0 && the.join.cluster != NULL)
		rc = zk_join_wait_formed(&the.join, &the.options, the.store,
		    ret_fault);
	if (rc == 0)
		rc = open_node(ret_fault);
	if (rc == 0)
		rc = open_topics(ret_fault);
	if (rc == 0)
		rc = open_fs(ret_fault);
	if (rc == 0)
		rc = zk_http_start(the.http, &the.report, ret_fault);
	/* What came when there was no mount yet. */
	if (rc == 0)
		rc = zk_join_check(&the.join, ret_fault);
	if (rc == 0 && atomic_load(&the.removed))
		rc = zk_cluster_poll(the.join.cluster, ret_fault);
	return rc < 0 ? rc : 0;
}

static void
stop(void)
{
	/* First no more requests, then no more answers, then no more store. */
	zk_http_close(the.http);
	if (the.node != NULL)
		zk_node_stop(the.node);
	if (the.join.cluster != NULL)
		zk_cluster_stop(the.join.cluster);
	zk_topics_stop(the.topics);
	zk_fs_close(the.fs);
	the.fs = NULL;
	zk_guard_end(&the.guard);
	zk_node_close(the.node);
	zk_topics_close(the.topics);
	the.topics = NULL;
	zk_join_close(&the.join);
	if (the.pid_path[0] != '\0')
		(void)unlink(the.pid_path);
	zk_store_close(the.store);
}

static int
run(void)
{
	const struct zk_upgrade_parts parts = {
	    .fs = the.fs,
	    .node = the.node,
	    .topics = the.topics,
	    .join = &the.join,
	    .store = the.store,
	    .guard = &the.guard,
	    .http = the.http,
	    .mountpoint = the.mountpoint.dir,
	    .fatal = on_fatal,
	};
	struct zk_fault fault;
	int rc;

	while ((rc = zk_fs_run(the.fs)) == ZK_FS_ASKED) {
		(void)zk_upgrade_now(&the.upgrade, &parts, &fault);
		zk_log_warnx("UPGRADE refused: %s", fault.text);
		the.report.upgrades_refused++;
	}
	return rc;
}

/* In the place of the program that made the mount there is nobody to tell. */
static int
begin(struct zk_fault *ret_fault)
{
	if (!the.taken)
		return zk_launch_begin(the.options.foreground,
		    the.mountpoint.dir, &the.launch, ret_fault);
	the.launch = (struct zk_launch){.fd = -1, .foreground = true};
	zk_early_keep(&the.early);
	return 0;
}

static _Noreturn void
fail(const struct zk_fault *fault)
{
	const bool can_go_back = the.taken && the.node == NULL;

	if (the.taken)
		zk_log_error("UPGRADE failed: %s", fault->text);
	stop();
	if (can_go_back)
		zk_upgrade_go_back();
	zk_launch_fail(&the.launch, fault);
}

static int
serve(void)
{
	const bool to_syslog =
	    !the.options.foreground || the.options.log_syslog;
	struct zk_fault fault;
	int rc;

	rc = begin(&fault);
	if (rc < 0)
		return zk_launch_print(&fault);
	/* While there is nothing that it must not hold. */
	rc = zk_guard_fork(&the.guard);
	if (rc == 0)
		rc = zk_replay_fork(&the.helper);
	if (rc < 0)
		rc = zk_fault_set(&fault, rc, ZK_EXIT_SYSTEM,
		    "cannot start a helper process: %s", zk_err_text(rc));
	else
		rc = zk_join_init(&the.join, &fault);
	if (rc < 0)
		fail(&fault);
	the.join.removed = on_removed;
	handle_signals();
	/* Standard error is for the one line of a failure. */
	if (to_syslog && (the.taken || !the.options.verbose))
		zk_log_use_syslog();
	rc = start(&fault);
	if (rc < 0)
		fail(&fault);
	if (to_syslog)
		zk_log_use_syslog();
	if (the.taken)
		zk_upgrade_log(&the.upgrade);
	zk_upgrade_free(&the.upgrade);
	zk_launch_ready(&the.launch);
	rc = run();
	if (atomic_load(&the.removed) &&
	    zk_cluster_poll(the.join.cluster, &fault) < 0) {
		zk_log_error("REMOVED reason=%s", fault.text);
		stop();
		return (int)fault.status;
	}
	stop();
	if (rc < 0)
		zk_log_error("END reason=%s", zk_err_text(rc));
	return rc < 0 ? ZK_EXIT_SYSTEM : ZK_EXIT_OK;
}

int
main(int argc, char *argv[])
{
	struct zk_fault fault;
	int rc;

	zk_log_init("mount.zkfs", ZK_LOG_INFO);
	/* Not a mount: operands of its own. */
	if (argc > 1 && strcmp(argv[1], "--restore") == 0)
		return zk_restore_main(argc - 1, argv + 1);
	the.taken = zk_upgrade_begin(argv, &the.upgrade);
	rc = zk_options_parse(argc, argv, NULL, &the.options, &fault);
	if (rc < 0)
		return zk_launch_print(&fault);
	zk_log_init("mount.zkfs", the.options.log_level);
	switch (the.options.action) {
	case ZK_ACTION_HELP:
		(void)fputs(zk_options_usage(), stdout);
		return ZK_EXIT_OK;
	case ZK_ACTION_VERSION:
		(void)puts("mount.zkfs " ZK_VERSION);
		return ZK_EXIT_OK;
	case ZK_ACTION_REMOUNT:
		rc = zk_mountpoint_remount(the.options.dir,
		    the.options.mount_flags, &fault);
		return rc < 0 ? zk_launch_print(&fault) : ZK_EXIT_OK;
	case ZK_ACTION_CHECK:
	case ZK_ACTION_MOUNT:
		break;
	}
	rc = zk_own_check(&the.options, &fault);
	/* Whoever looks at it waits for requests that nobody serves yet. */
	if (the.taken)
		(void)snprintf(the.mountpoint.dir, sizeof(the.mountpoint.dir),
		    "%s", the.upgrade.mountpoint);
	else if (rc == 0)
		rc = zk_mountpoint_check(the.options.dir, the.options.data,
		    &the.mountpoint, &fault);
	if (rc < 0)
		return zk_launch_print(&fault);
	if (the.options.action == ZK_ACTION_CHECK)
		return ZK_EXIT_OK;
	return serve();
}

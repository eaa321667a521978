#include "daemon/own.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "daemon/cluster_key.h"
#include "store/datadir.h"
#include "store/roster.h"

/* How long a daemon that is ending is waited for, and how often looked at. */
#define ENDING_MS      5000
#define ENDING_LOOK_MS 20

/* A member without a name in SOURCE is called by this. */
#define MEMBER_DEFAULT "local"

int
zk_own_name(const struct zk_options *options, char *buf, size_t cap,
    struct zk_fault *ret_fault)
{
	char host[ZK_MEMBER_NAME_MAX - 8] = "";
	uint32_t digits;
	size_t len;

	if (options->name[0] != '\0' || options->role != ZK_ROLE_OBSERVER) {
		(void)snprintf(buf, cap, "%s",
		    options->name[0] != '\0' ? options->name : MEMBER_DEFAULT);
		return 0;
	}
	if (getrandom(&digits, sizeof(digits), 0) != (ssize_t)sizeof(digits))
		return zk_fault_set(ret_fault, -EIO, ZK_EXIT_SYSTEM,
		    "no random numbers from the kernel");
	(void)gethostname(host, sizeof(host) - 1);
	len = strcspn(host, ".");
	host[len] = '\0';
	if (!zk_roster_name_is_good(host, len))
		(void)snprintf(host, sizeof(host), "observer");
	(void)snprintf(buf, cap, "%s-%06u", host, digits % 1000000u);
	return 0;
}

int
zk_own_store(const struct zk_store_options *options, char **ret_why,
    struct zk_store **ret_store)
{
	const struct timespec pause = {
	    .tv_nsec = ENDING_LOOK_MS * 1000L * 1000L,
	};
	int rc;

	for (int left = ENDING_MS / ENDING_LOOK_MS;; left--) {
		rc = zk_store_open(options, ret_why, ret_store);
		if (rc != -EBUSY || left == 0 || nanosleep(&pause, NULL) != 0)
			return rc;
		free(*ret_why);
		*ret_why = NULL;
	}
}

static int
check_files(const struct zk_options *options, struct zk_fault *ret_fault)
{
	const struct {
		const char *name, *path;
	} files[] = {
	    {"tls_cert", options->tls_cert},
	    {"tls_key", options->tls_key},
	    {"tls_ca", options->tls_ca},
	};
	struct zk_auth_key key;
	int rc = 0;

	/* Also where there is nobody yet to show them to. */
	if (options->key[0] != '\0')
		rc = zk_cluster_key_read(options->key, &key, ret_fault);
	explicit_bzero(&key, sizeof(key));
	for (size_t i = 0; rc == 0 && i < sizeof(files) / sizeof(files[0]); i++)
		if (files[i].path[0] != '\0' && access(files[i].path, R_OK) < 0)
			rc = zk_fault_set(ret_fault, -errno, ZK_EXIT_USAGE,
			    "%s=%s: %s", files[i].name, files[i].path,
			    zk_err_text(-errno));
	return rc;
}

int
zk_own_check(const struct zk_options *options, struct zk_fault *ret_fault)
{
	int rc;

	/* What this release cannot do it says, clearly. */
	if (options->member_count > ZK_ROSTER_VOTERS_MAX)
		return zk_fault_set(ret_fault, -E2BIG, ZK_EXIT_USAGE,
		    "SOURCE: lists %zu members, and at most %u can vote",
		    options->member_count, ZK_ROSTER_VOTERS_MAX);
	rc = zk_options_check_exposure(options, ret_fault);
	return rc < 0 ? rc : check_files(options, ret_fault);
}

void
zk_own_pid(const struct zk_options *options, char *path, size_t cap)
{
	FILE *file;

	(void)snprintf(path, cap, "%s/%s", options->data, ZK_DATADIR_PID);
	file = fopen(path, "we");
	if (file == NULL) {
		zk_log_warn("PID path=%s", path);
		return;
	}
	(void)fprintf(file, "%ld\n", (long)getpid());
	if (fclose(file) != 0)
		zk_log_warn("PID path=%s", path);
}

const struct zk_roster *
zk_own_roster(const struct zk_store *store)
{
	static struct zk_roster roster = {.count = 1};
	const struct zk_ident *ident = zk_store_ident(store);

	roster.rows[0].node = ident->node;
	(void)snprintf(roster.rows[0].name, sizeof(roster.rows[0].name), "%s",
	    ident->member);
	return &roster;
}

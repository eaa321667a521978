#include "daemon/own.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "store/datadir.h"
#include "store/roster.h"

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

#ifndef ZK_DAEMON_OPTIONS_H
#define ZK_DAEMON_OPTIONS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "daemon/fault.h"
#include "daemon/value.h"

/*
 * What the administrator asked for: the command line of mount.zkfs, over
 * /etc/zkfs/zkfs.conf, over the defaults.  mount.zkfs(8) is the manual.
 */

#define ZK_OPTIONS_CONFIG_PATH "/etc/zkfs/zkfs.conf"
#define ZK_OPTIONS_DATA_PATH   "/var/lib/zkfs"
#define ZK_OPTIONS_PORT        4180u

#define ZK_MEMBERS_MAX     32u
#define ZK_MEMBER_NAME_MAX 63u
#define ZK_SOURCE_MAX      4095u
#define ZK_MOUNT_DATA_MAX  1023u

struct zk_member_address {
	char name[ZK_MEMBER_NAME_MAX + 1];
	struct zk_address address;
};

enum zk_action {
	ZK_ACTION_MOUNT,
	ZK_ACTION_REMOUNT, /* change the flags of the mount on dir */
	ZK_ACTION_CHECK,   /* --check, or -f from mount(8): change nothing */
	ZK_ACTION_HELP,
	ZK_ACTION_VERSION,
};

enum zk_role {
	ZK_ROLE_ALONE,    /* no list of members: the embedded default */
	ZK_ROLE_VOTER,    /* name is in the list */
	ZK_ROLE_OBSERVER, /* a list, and name is not in it */
};

/* Plain value; about 40 KiB, so keep it out of small stacks. */
struct zk_options {
	enum zk_action action;
	bool foreground; /* -f */
	bool sloppy;     /* -s */
	bool verbose;    /* -v */

	char dir[PATH_MAX]; /* as given; "" for HELP and VERSION */

	/* SOURCE; "" and 0 without one ("none" and "zkfs" say the same). */
	char source[ZK_SOURCE_MAX + 1];
	struct zk_member_address members[ZK_MEMBERS_MAX];
	size_t member_count;
	enum zk_role role;
	size_t self; /* ZK_ROLE_VOTER: index of this host in members */

	char name[ZK_MEMBER_NAME_MAX + 1]; /* "" unless given */

	/* Absolute; "" where not given, except data. */
	char data[PATH_MAX];
	char config[PATH_MAX]; /* the file that was read; "": none */
	char key[PATH_MAX];
	char tls_cert[PATH_MAX], tls_key[PATH_MAX], tls_ca[PATH_MAX];

	struct zk_address listen, http; /* host "": not given */

	uint32_t session_timeout_ms, op_timeout_ms;
	uint64_t max_file_bytes;
	bool lost_eio;  /* lost=eio; otherwise lost=stale */
	bool read_only; /* ro; MS_RDONLY is in mount_flags too */
	bool insecure;

	enum zk_log_level log_level;
	bool log_syslog; /* asked for; the background needs it anyway */

	/* For mount(2): MS_*, and SELinux contexts ("" or "context=..,.."). */
	unsigned long mount_flags;
	char mount_data[ZK_MOUNT_DATA_MAX + 1];
	/* For a second mount(2) on dir: MS_PRIVATE and the like; 0: none. */
	unsigned long propagation_flags;
};

/* What differs between a test and a real call. */
struct zk_options_env {
	const char *config_path; /* read if it is there and config= absent;
	                            config=none reads none at all */
	bool called_by_mount;    /* -f means "fake", as mount(8) has it */
};

/*
 * Parse argv (not changed), reading the configuration file on the way.
 * env may be NULL: the system's paths, and /proc is asked who called.
 * Returns 0; or -EINVAL, -ENOENT, ... with *ret_fault set and *ret_options
 * undefined.  Uses getopt(3): one thread at a time.
 */
int zk_options_parse(int argc, char *const argv[],
    const struct zk_options_env *env, struct zk_options *ret_options,
    struct zk_fault *ret_fault);

/*
 * Whoever listens beyond this host must be able to tell peers from
 * strangers: refuses (-EACCES) an address outside loopback without a key or
 * `insecure`.  The address is listen=, or else this voter's in SOURCE.
 */
int zk_options_check_exposure(const struct zk_options *options,
    struct zk_fault *ret_fault);

/* The address to listen on: listen=, else this voter's own, else NULL. */
const struct zk_address *zk_options_listen(const struct zk_options *options);

/* For --help; ends in a newline. */
const char *zk_options_usage(void);

#endif

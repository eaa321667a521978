#include "daemon/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "daemon/config.h"
#include "daemon/generic.h"
#include "daemon/settings.h"

#define LISTS_MAX 64u
#define LIST_MAX  32768u

/* The command line, taken apart but not yet understood. */
struct arguments {
	const char *operands[2];
	size_t operand_count;
	const char *lists[LISTS_MAX]; /* of -o, -r, -w, in order */
	size_t list_count;
	bool fake; /* -f in the sense of mount(8) */
};

struct apply {
	struct zk_options *options;
	const char *config; /* the last config= seen; NULL: none */
};

static int
usage_fault(struct zk_fault *fault, const char *problem, const char *detail)
{
	return zk_fault_set(fault, -EINVAL, ZK_EXIT_USAGE,
	    "%s%.200s (mount.zkfs [SOURCE] DIR [-fnrsvw] [-o OPTIONS])",
	    problem, detail);
}

/*
 * mount(8) hands -f on as "fake", while a person means "foreground".  Ask
 * who called rather than guess from the order of the arguments: libmount
 * forks and executes its helpers, so mount is our parent.
 */
static bool
is_called_by_mount(void)
{
	char path[64], comm[32] = "";
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)getppid());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, comm, sizeof(comm) - 1);
	(void)close(fd);
	return n > 0 && strcmp(comm, "mount\n") == 0;
}

static int
add_operand(struct arguments *args, const char *text, struct zk_fault *fault)
{
	if (args->operand_count == 2)
		return usage_fault(fault, "too many operands: ", text);
	args->operands[args->operand_count++] = text;
	return 0;
}

static int
add_list(struct arguments *args, const char *list, struct zk_fault *fault)
{
	if (args->list_count == LISTS_MAX)
		return usage_fault(fault, "too many options", "");
	args->lists[args->list_count++] = list;
	return 0;
}

/* opt is what getopt_long returned. */
static int
add_flag(struct arguments *args, int opt, bool called_by_mount,
    struct zk_options *options, struct zk_fault *fault)
{
	switch (opt) {
	case 1: /* an operand, thanks to the '-' in the option string */
		return add_operand(args, optarg, fault);
	case 'o':
		return add_list(args, optarg, fault);
	case 'r':
		return add_list(args, "ro", fault);
	case 'w':
		return add_list(args, "rw", fault);
	case 'f':
		if (called_by_mount)
			args->fake = true;
		else
			options->foreground = true;
		return 0;
	case 's':
		options->sloppy = true;
		return 0;
	case 'v':
		options->verbose = true;
		return 0;
	case 'c':
		options->action = ZK_ACTION_CHECK;
		return 0;
	case 'h':
		options->action = ZK_ACTION_HELP;
		return 0;
	case 'V':
		options->action = ZK_ACTION_VERSION;
		return 0;
	default: /* -n: there is no mtab to leave alone; -t: we know */
		return 0;
	}
}

static int
bad_flag(int opt, char *const argv[], struct zk_fault *fault)
{
	const char letter[] = {'-', (char)optopt, '\0'};
	const bool named = optopt > ' ' && optopt < 0x7f && optopt != 'c';
	const char *text = named ? letter : argv[optind - 1];

	return usage_fault(fault,
	    opt == ':' ? "an argument is missing after " : "unknown option ",
	    text);
}

static int
split_arguments(int argc, char *const argv[], bool called_by_mount,
    struct arguments *args, struct zk_options *options, struct zk_fault *fault)
{
	static const struct option longs[] = {
	    {"check", no_argument, NULL, 'c'},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},
	    {NULL, 0, NULL, 0},
	};
	int opt, rc = 0;

	optind = 0; /* start anew, also in glibc's inner state */
	opterr = 0;
	/* '-': operands in their place, whatever POSIXLY_CORRECT says. */
	while (rc == 0 &&
	    (opt = getopt_long(argc, argv, "-:fnrsvwho:t:V", longs, NULL)) !=
	        -1) {
		if (opt == '?' || opt == ':')
			return bad_flag(opt, argv, fault);
		rc = add_flag(args, opt, called_by_mount, options, fault);
	}
	while (rc == 0 && optind < argc) /* after "--" */
		rc = add_operand(args, argv[optind++], fault);
	return rc;
}

/* The character that an escape at p stands for; *ret_len of its length. */
static char
unescape(const char *p, size_t *ret_len)
{
	if (p[1] == ',' || p[1] == '\\' || p[1] == '"') {
		*ret_len = 2;
		return p[1];
	}
	if (p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' &&
	    p[3] >= '0' && p[3] <= '7') {
		*ret_len = 4;
		return (
		    char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
	}
	*ret_len = 1;
	return *p;
}

/*
 * Take the next "key" or "key=value" off the list at *cursor, into buf, which
 * is as large as the list.  Commas inside double quotes that open right after
 * the '=', and escaped ones, belong to the value: as mount(8) and libfuse
 * write them.  False at the end.  *ret_value is NULL without '='.
 */
static bool
next_option(const char **cursor, char *buf, char **ret_value)
{
	const char *p = *cursor;
	bool quoted = false;
	size_t escape_len;
	char *to = buf;

	if (*p == '\0')
		return false;
	*ret_value = NULL;
	while (*p != '\0' && (quoted || *p != ',')) {
		if (*p == '\\') {
			*to++ = unescape(p, &escape_len);
			p += escape_len;
		} else if (*p == '"' && (quoted || *ret_value == to)) {
			quoted = !quoted;
			p++;
		} else if (*p == '=' && *ret_value == NULL) {
			*to++ = '\0';
			*ret_value = to;
			p++;
		} else {
			*to++ = *p++;
		}
	}
	*to = '\0';
	*cursor = *p == ',' ? p + 1 : p;
	return true;
}

static int
each_option(const char *list, zk_config_fn *set, void *arg,
    struct zk_fault *fault)
{
	char *buf, *value;
	int rc = 0;

	if (strlen(list) > LIST_MAX)
		return usage_fault(fault, "-o: the list is too long", "");
	buf = malloc(strlen(list) + 2); /* a '\0' for '=', one at the end */
	if (buf == NULL)
		return zk_fault_set(fault, -ENOMEM, ZK_EXIT_SYSTEM, "%s",
		    zk_err_text(-ENOMEM));
	while (rc == 0 && next_option(&list, buf, &value))
		if (*buf != '\0' || value != NULL)
			rc = set(arg, buf, value, "", fault);
	free(buf);
	return rc;
}

static int
apply_file(void *arg, const char *key, const char *value, const char *where,
    struct zk_fault *fault)
{
	struct apply *apply = arg;

	return zk_settings_set(apply->options, key, value, where, fault);
}

/* Only config=, which must be known before the others are applied. */
static int
apply_config(void *arg, const char *key, const char *value, const char *where,
    struct zk_fault *fault)
{
	struct apply *apply = arg;

	if (strcmp(key, "config") != 0)
		return 0;
	apply->options->config[0] = '\0';
	apply->config = "none";
	if (value == NULL || strcmp(value, "none") != 0)
		apply->config = apply->options->config;
	return zk_settings_set(apply->options, key, value, where, fault);
}

static int
apply_option(void *arg, const char *key, const char *value, const char *where,
    struct zk_fault *fault)
{
	struct apply *apply = arg;
	const char *reason = "";
	int rc = -ENOENT;

	if (strcmp(key, "config") == 0)
		return 0; /* see apply_config() */
	/*
	 * A bare `ro` is the generic one, so that a later `rw` undoes it, but
	 * not what the file says: mount(8) passes `rw` unasked.
	 */
	if (value == NULL || strcmp(key, "ro") != 0)
		rc = zk_generic_set(apply->options, key, value, &reason);
	if (rc == -ENOENT)
		rc = zk_settings_set(apply->options, key, value, where, fault);
	else if (rc < 0)
		(void)zk_fault_set(fault, rc, ZK_EXIT_USAGE, "%.200s: %s", key,
		    reason);
	return rc == -ENOENT && apply->options->sloppy ? 0 : rc;
}

static int
apply_lists(const struct arguments *args, zk_config_fn *set,
    struct apply *apply, struct zk_fault *fault)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < args->list_count; i++)
		rc = each_option(args->lists[i], set, apply, fault);
	return rc;
}

/* The file named by config= must exist; the system's need not. */
static int
read_config(struct zk_options *options, const char *named,
    const char *default_path, struct zk_fault *fault)
{
	struct apply apply = {.options = options};
	bool found = false;
	int rc;

	if (named != NULL && strcmp(named, "none") == 0)
		return 0;
	if (named == NULL) {
		ZK_ASSERT(strlen(default_path) < sizeof(options->config));
		memcpy(options->config, default_path, strlen(default_path) + 1);
	}
	rc = zk_config_read(options->config, apply_file, &apply, &found, fault);
	if (rc == 0 && !found && named != NULL)
		return zk_fault_set(fault, -ENOENT, ZK_EXIT_USAGE,
		    "config=%.200s: %s", options->config, zk_err_text(-ENOENT));
	if (!found)
		options->config[0] = '\0';
	return rc;
}

/* What one value cannot tell: how several go together. */
static int
finish(struct zk_options *options, struct zk_fault *fault)
{
	const bool tls[] = {options->tls_cert[0] != '\0',
	    options->tls_key[0] != '\0', options->tls_ca[0] != '\0'};
	static const char *const tls_names[] = {"tls_cert", "tls_key",
	    "tls_ca"};

	for (size_t i = 0; i < 3; i++)
		if (!tls[i] && (tls[0] || tls[1] || tls[2]))
			return zk_fault_set(fault, -EINVAL, ZK_EXIT_USAGE,
			    "%s: missing: tls_cert, tls_key and tls_ca go "
			    "together",
			    tls_names[i]);
	if (options->read_only)
		options->mount_flags |= MS_RDONLY;
	options->read_only = (options->mount_flags & MS_RDONLY) != 0;
	options->role =
	    options->member_count == 0 ? ZK_ROLE_ALONE : ZK_ROLE_OBSERVER;
	for (size_t i = 0; i < options->member_count; i++) {
		if (strcmp(options->members[i].name, options->name) != 0)
			continue;
		options->role = ZK_ROLE_VOTER;
		options->self = i;
	}
	return 0;
}

static int
set_operands(const struct arguments *args, struct zk_options *options,
    struct zk_fault *fault)
{
	const char *dir, *source;

	if (args->operand_count == 0)
		return usage_fault(fault, "DIR is missing", "");
	dir = args->operands[args->operand_count - 1];
	source = args->operand_count == 2 ? args->operands[0] : "none";
	if (*dir == '\0' || strlen(dir) >= sizeof(options->dir))
		return usage_fault(fault, "DIR is empty or too long", "");
	memcpy(options->dir, dir, strlen(dir) + 1);
	/* In fstab something must stand there: these leave it to the file. */
	if (strcmp(source, "none") == 0 || strcmp(source, "zkfs") == 0)
		return 0;
	return zk_settings_set(options, "source", source, "", fault);
}

int
zk_options_parse(int argc, char *const argv[], const struct zk_options_env *env,
    struct zk_options *ret_options, struct zk_fault *ret_fault)
{
	struct zk_options_env real = {.config_path = ZK_OPTIONS_CONFIG_PATH};
	struct arguments args = {.operand_count = 0};
	struct apply apply = {.options = ret_options};
	int rc;

	ZK_ASSERT(argc > 0);
	if (env == NULL) {
		real.called_by_mount = is_called_by_mount();
		env = &real;
	}
	zk_settings_init(ret_options);
	rc = split_arguments(argc, argv, env->called_by_mount, &args,
	    ret_options, ret_fault);
	if (rc < 0 || ret_options->action == ZK_ACTION_HELP ||
	    ret_options->action == ZK_ACTION_VERSION)
		return rc;
	if (args.fake)
		ret_options->action = ZK_ACTION_CHECK;

	rc = apply_lists(&args, apply_config, &apply, ret_fault);
	if (rc == 0)
		rc = read_config(ret_options, apply.config, env->config_path,
		    ret_fault);
	if (rc == 0)
		rc = apply_lists(&args, apply_option, &apply, ret_fault);
	if (rc == 0)
		rc = set_operands(&args, ret_options, ret_fault);
	return rc < 0 ? rc : finish(ret_options, ret_fault);
}

const char *
zk_options_usage(void)
{
	return "usage: mount.zkfs [SOURCE] DIR [-fnrsvw] [-o OPTIONS]\n"
	       "       mount.zkfs --check [SOURCE] DIR [-o OPTIONS]\n"
	       "       mount.zkfs --restore [-o name=NAME] FILE DATADIR\n"
	       "\n"
	       "Mount the ensemble's tree on DIR.  SOURCE lists the voters:\n"
	       "z1=10.0.0.1:4180,z2=10.0.0.2:4180,z3=10.0.0.3:4180; without "
	       "it, this host is\n"
	       "an ensemble of its own.\n"
	       "\n"
	       "  -f          stay in front (called by mount(8): fake)\n"
	       "  -r, -w      read-only, read-write\n"
	       "  -s          tolerate unknown options\n"
	       "  -v          say what is done\n"
	       "  -n          accepted, without effect\n"
	       "  -o OPTIONS  name= data=DIR listen=ADDR:PORT "
	       "session_timeout=10s\n"
	       "              op_timeout=10s lost=stale|eio ro max_file=16M "
	       "key=FILE\n"
	       "              tls_cert= tls_key= tls_ca= insecure "
	       "http=ADDR:PORT config=FILE\n"
	       "              log=LEVEL|syslog, and what mount(8) takes for "
	       "every filesystem\n"
	       "  --check     check options and DIR, change nothing\n"
	       "  --restore   make a data directory from a backup; see "
	       "zkfs(1)\n"
	       "  -h, --help; -V, --version\n"
	       "\n"
	       "See mount.zkfs(8), zkfs.conf(5) and zkfs(5).\n";
}

static bool
is_loopback(const char *host)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

const struct zk_address *
zk_options_listen(const struct zk_options *options)
{
	if (options->listen.host[0] != '\0')
		return &options->listen;
	if (options->role != ZK_ROLE_VOTER)
		return NULL;
	ZK_ASSERT(options->self < options->member_count);
	return &options->members[options->self].address;
}

int
zk_options_check_exposure(const struct zk_options *options,
    struct zk_fault *ret_fault)
{
	const struct zk_address *address = zk_options_listen(options);

	if (address == NULL || options->insecure || options->key[0] != '\0' ||
	    is_loopback(address->host))
		return 0;
	return zk_fault_set(ret_fault, -EACCES, ZK_EXIT_USAGE,
	    "key: none is given, and %s:%u is reachable from outside: make "
	    "one with `zkfs keygen`, the same file on every host, or say "
	    "insecure",
	    address->host, address->port);
}

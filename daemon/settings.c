#include "daemon/settings.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "daemon/generic.h"

#define SESSION_TIMEOUT_MIN_MS 2000u
#define SESSION_TIMEOUT_MAX_MS (60u * 60 * 1000)
#define OP_TIMEOUT_MIN_MS      100u
#define OP_TIMEOUT_MAX_MS      (60u * 60 * 1000)

/* A setting on its way into the options. */
struct setting {
	struct zk_options *options;
	const char *key, *value, *where;
	struct zk_fault *fault;
};

typedef int set_fn(const struct setting *setting, void *field);

static int
refuse(const struct setting *setting, const char *reason)
{
	return zk_fault_set(setting->fault, -EINVAL, ZK_EXIT_USAGE,
	    "%s%s%s%.200s: %s", setting->where, setting->key,
	    setting->value == NULL ? "" : "=",
	    setting->value == NULL ? "" : setting->value, reason);
}

static int
set_path(const struct setting *setting, void *field)
{
	char *path = field;
	char cwd[PATH_MAX] = "";
	int n;

	if (*setting->value == '\0')
		return refuse(setting, "must be a path");
	if (*setting->value != '/' && *setting->where != '\0')
		return refuse(setting, "must be an absolute path");
	/* The daemon leaves the caller's directory: remember it now. */
	if (*setting->value != '/' && getcwd(cwd, sizeof(cwd)) == NULL)
		return refuse(setting, "relative to a directory that is gone");
	n = snprintf(path, PATH_MAX, "%s%s%s", cwd, *cwd == '\0' ? "" : "/",
	    setting->value);
	if (n < 0 || n >= PATH_MAX)
		return refuse(setting, "the path is too long");
	return 0;
}

static int
set_config(const struct setting *setting, void *field)
{
	if (*setting->where != '\0')
		return refuse(setting, "a file cannot name another");
	if (strcmp(setting->value, "none") == 0)
		return 0;
	return set_path(setting, field);
}

static int
set_duration(const struct setting *setting, uint32_t ms_min, uint32_t ms_max,
    uint32_t *field)
{
	char reason[96];
	uint32_t ms;
	int rc = zk_value_duration(setting->value, &ms);

	if (rc == -EINVAL)
		return refuse(setting,
		    "must be a duration such as 500ms, 10s or 2m");
	if (rc < 0 || ms < ms_min || ms > ms_max) {
		(void)snprintf(reason, sizeof(reason),
		    "must be from %ums to %us", ms_min, ms_max / 1000);
		return refuse(setting, reason);
	}
	*field = ms;
	return 0;
}

static int
set_session_timeout(const struct setting *setting, void *field)
{
	return set_duration(setting, SESSION_TIMEOUT_MIN_MS,
	    SESSION_TIMEOUT_MAX_MS, field);
}

static int
set_op_timeout(const struct setting *setting, void *field)
{
	return set_duration(setting, OP_TIMEOUT_MIN_MS, OP_TIMEOUT_MAX_MS,
	    field);
}

static int
set_max_file(const struct setting *setting, void *field)
{
	uint64_t bytes;
	int rc = zk_value_size(setting->value, &bytes);

	if (rc == -EINVAL)
		return refuse(setting, "must be a size such as 64K or 16M");
	if (rc < 0 || bytes < ZK_KIB || bytes > ZK_MAX_FILE_LIMIT)
		return refuse(setting, "must be from 1K to 1G");
	*(uint64_t *)field = bytes;
	return 0;
}

static int
set_address(const struct setting *setting, void *field)
{
	const char *reason;

	if (zk_value_address(setting->value, 0, field, &reason) < 0)
		return refuse(setting, reason);
	return 0;
}

static int
set_switch(const struct setting *setting, void *field)
{
	static const char *const on[] = {"yes", "true", "on", "1"};
	static const char *const off[] = {"no", "false", "off", "0"};
	bool *value = field;

	if (setting->value == NULL) {
		*value = true;
		return 0;
	}
	for (size_t i = 0; i < sizeof(on) / sizeof(on[0]); i++) {
		if (strcasecmp(setting->value, on[i]) == 0) {
			*value = true;
			return 0;
		}
		if (strcasecmp(setting->value, off[i]) == 0) {
			*value = false;
			return 0;
		}
	}
	return refuse(setting, "must be yes or no");
}

static int
set_lost(const struct setting *setting, void *field)
{
	bool *eio = field;

	if (strcmp(setting->value, "eio") != 0 &&
	    strcmp(setting->value, "stale") != 0)
		return refuse(setting, "must be stale or eio");
	*eio = strcmp(setting->value, "eio") == 0;
	return 0;
}

/* A level or a destination: two settings under one key. */
static int
set_log(const struct setting *setting, void *field)
{
	static const struct {
		const char *name;
		enum zk_log_level level;
	} levels[] = {
	    {"error", ZK_LOG_ERROR},
	    {"warn", ZK_LOG_WARN},
	    {"info", ZK_LOG_INFO},
	    {"debug", ZK_LOG_DEBUG},
	};

	if (strcmp(setting->value, "syslog") == 0) {
		setting->options->log_syslog = true;
		return 0;
	}
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(setting->value, levels[i].name) != 0)
			continue;
		*(enum zk_log_level *)field = levels[i].level;
		return 0;
	}
	return refuse(setting, "must be error, warn, info, debug or syslog");
}

/* Letters, digits, '.', '_', '-'; safe in paths, logs and lists. */
static bool
is_member_name(const char *name, size_t len)
{
	if (len == 0 || len > ZK_MEMBER_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		const unsigned char c = (unsigned char)name[i];

		if (!isalnum(c) && (i == 0 || strchr("._-", c) == NULL))
			return false;
	}
	return true;
}

static int
set_name(const struct setting *setting, void *field)
{
	const size_t len = strlen(setting->value);

	if (!is_member_name(setting->value, len))
		return refuse(setting,
		    "a name is up to 63 letters, digits, "
		    "'.', '_' and '-', a letter or digit "
		    "first");
	memcpy(field, setting->value, len + 1);
	return 0;
}

/* text is one item of the list, without surrounding white space. */
static int
parse_member(char *text, struct zk_member_address *ret_member,
    const char **ret_reason)
{
	const size_t name_len = strcspn(text, "=");

	*ret_reason = "a member is NAME=HOST:PORT";
	if (text[name_len] != '=')
		return -EINVAL;
	if (!is_member_name(text, name_len)) {
		*ret_reason = "a member's name is up to 63 letters, digits, "
		              "'.', '_' and '-', a letter or digit first";
		return -EINVAL;
	}
	memcpy(ret_member->name, text, name_len);
	ret_member->name[name_len] = '\0';
	return zk_value_address(text + name_len + 1, ZK_OPTIONS_PORT,
	    &ret_member->address, ret_reason);
}

static bool
same_address(const struct zk_address *a, const struct zk_address *b)
{
	return a->port == b->port && strcasecmp(a->host, b->host) == 0;
}

/* The members before `count` are complete; the one at it is new. */
static int
check_member(const struct zk_member_address *members, size_t count,
    const char **ret_reason)
{
	const struct zk_member_address *fresh = &members[count];

	for (size_t i = 0; i < count; i++) {
		*ret_reason = "this name is in the list twice";
		if (strcmp(members[i].name, fresh->name) == 0)
			return -EINVAL;
		*ret_reason = "this address is in the list twice";
		if (same_address(&members[i].address, &fresh->address))
			return -EINVAL;
	}
	return 0;
}

static int
refuse_member(const struct setting *setting, const char *text,
    const char *reason)
{
	return zk_fault_set(setting->fault, -EINVAL, ZK_EXIT_USAGE,
	    "%s%s: %.200s: %s", setting->where, setting->key, text, reason);
}

static char *
trim(char *text)
{
	char *start = text + strspn(text, " \t");
	char *end = start + strlen(start);

	while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*end = '\0';
	return start;
}

static int
parse_members(const struct setting *setting, char *list)
{
	struct zk_options *options = setting->options;
	struct zk_member_address *members = options->members;
	char *item, *next = list, label[ZK_MEMBER_NAME_MAX + 16];
	const char *reason;
	size_t count = 0;

	while ((item = strsep(&next, ",")) != NULL) {
		item = trim(item);
		(void)snprintf(label, sizeof(label), "member %zu", count + 1);
		if (*item == '\0')
			return refuse_member(setting, label, "is empty");
		if (count == ZK_MEMBERS_MAX)
			return refuse_member(setting, label,
			    "an ensemble has at most 32");
		if (parse_member(item, &members[count], &reason) < 0)
			return refuse_member(setting, item, reason);
		if (check_member(members, count, &reason) < 0)
			return refuse_member(setting, item, reason);
		count++;
	}
	_Static_assert(ZK_MEMBERS_MAX == 32, "the message above says so");
	options->member_count = count;
	return 0;
}

static bool
is_no_source(const char *source)
{
	return strcmp(source, "none") == 0 || strcmp(source, "zkfs") == 0;
}

static int
set_source(const struct setting *setting, void *field)
{
	char list[ZK_SOURCE_MAX + 1], *source = field;
	const size_t len = strlen(setting->value);
	int rc;

	if (len == 0)
		return refuse(setting, "a member is NAME=HOST:PORT");
	if (len > ZK_SOURCE_MAX)
		return refuse(setting, "the list is too long");
	if (is_no_source(setting->value)) {
		*source = '\0';
		setting->options->member_count = 0;
		return 0;
	}
	memcpy(list, setting->value, len + 1);
	rc = parse_members(setting, list);
	if (rc == 0)
		memcpy(source, setting->value, len + 1);
	return rc;
}

#define FIELD(name) offsetof(struct zk_options, name)

static const struct key {
	const char *name;
	set_fn *set;
	size_t field;
	bool bare; /* may stand without a value */
} keys[] = {
    {"name", set_name, FIELD(name), false},
    {"source", set_source, FIELD(source), false},
    {"data", set_path, FIELD(data), false},
    {"listen", set_address, FIELD(listen), false},
    {"http", set_address, FIELD(http), false},
    {"session_timeout", set_session_timeout, FIELD(session_timeout_ms), false},
    {"op_timeout", set_op_timeout, FIELD(op_timeout_ms), false},
    {"lost", set_lost, FIELD(lost_eio), false},
    {"max_file", set_max_file, FIELD(max_file_bytes), false},
    {"key", set_path, FIELD(key), false},
    {"tls_cert", set_path, FIELD(tls_cert), false},
    {"tls_key", set_path, FIELD(tls_key), false},
    {"tls_ca", set_path, FIELD(tls_ca), false},
    {"config", set_config, FIELD(config), false},
    {"log", set_log, FIELD(log_level), false},
    {"ro", set_switch, FIELD(read_only), true},
    {"insecure", set_switch, FIELD(insecure), true},
};

static const struct key *
find_key(const char *name)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

int
zk_settings_set(struct zk_options *options, const char *key, const char *value,
    const char *where, struct zk_fault *ret_fault)
{
	const struct setting setting = {options, key, value, where, ret_fault};
	const struct key *known = find_key(key);

	if (known == NULL)
		return zk_fault_set(ret_fault, -ENOENT, ZK_EXIT_USAGE,
		    "%s%.200s: %s", where, key,
		    zk_generic_known(key) && *where != '\0'
		        ? "a mount option; it belongs on the command line or "
		          "into fstab"
		        : "unknown option");
	if (value == NULL && !known->bare)
		return refuse(&setting, "needs a value");
	return known->set(&setting, (char *)options + known->field);
}

void
zk_settings_init(struct zk_options *options)
{
	memset(options, 0, sizeof(*options));
	memcpy(options->data, ZK_OPTIONS_DATA_PATH,
	    sizeof(ZK_OPTIONS_DATA_PATH));
	options->session_timeout_ms = ZK_SESSION_TIMEOUT_DEFAULT_MS;
	options->op_timeout_ms = ZK_OP_TIMEOUT_DEFAULT_MS;
	options->max_file_bytes = ZK_MAX_FILE_DEFAULT;
	options->log_level = ZK_LOG_INFO;
	options->mount_flags = zk_generic_defaults();
}

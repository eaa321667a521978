#include "daemon/generic.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "base/assert.h"

/* Devices are inert on every host, so `dev` has nothing to give back. */
#define FLAGS_DEFAULT ((unsigned long)(MS_NOSUID | MS_NODEV))
/* What mount(8) makes of user and users, and of owner and group. */
#define FLAGS_SECURE ((unsigned long)(MS_NOSUID | MS_NODEV | MS_NOEXEC))
#define FLAGS_OWNER  ((unsigned long)(MS_NOSUID | MS_NODEV))

#define REC ((unsigned long)MS_REC)

static const struct generic {
	const char *name;
	unsigned long set, clear;
} generics[] = {
    {"ro", MS_RDONLY, 0},
    {"rw", 0, MS_RDONLY},
    {"exec", 0, MS_NOEXEC},
    {"noexec", MS_NOEXEC, 0},
    {"suid", 0, MS_NOSUID},
    {"nosuid", MS_NOSUID, 0},
    {"dev", 0, 0},
    {"nodev", MS_NODEV, 0},
    {"atime", 0, MS_NOATIME},
    {"noatime", MS_NOATIME, 0},
    {"diratime", 0, MS_NODIRATIME},
    {"nodiratime", MS_NODIRATIME, 0},
    {"relatime", MS_RELATIME, 0},
    {"norelatime", 0, MS_RELATIME},
    {"strictatime", MS_STRICTATIME, 0},
    {"nostrictatime", 0, MS_STRICTATIME},
    {"lazytime", MS_LAZYTIME, 0},
    {"nolazytime", 0, MS_LAZYTIME},
    {"symfollow", 0, MS_NOSYMFOLLOW},
    {"nosymfollow", MS_NOSYMFOLLOW, 0},
    {"silent", MS_SILENT, 0},
    {"loud", 0, MS_SILENT},
    {"user", FLAGS_SECURE, 0},
    {"users", FLAGS_SECURE, 0},
    {"owner", FLAGS_OWNER, 0},
    {"group", FLAGS_OWNER, 0},
    /*
     * Every write is agreed before it returns: MS_SYNCHRONOUS would only
     * make the kernel add an fsync to each.
     */
    {"sync", 0, 0},
    {"async", 0, 0},
    {"dirsync", 0, 0},
    /* The kernel's FUSE refuses MS_MANDLOCK; Linux 5.15 dropped it. */
    {"mand", 0, 0},
    {"nomand", 0, 0},
    {"iversion", 0, 0},
    {"noiversion", 0, 0},
    {"defaults", 0, 0},
    {"auto", 0, 0},
    {"noauto", 0, 0},
    {"nouser", 0, 0},
    {"nousers", 0, 0},
    {"noowner", 0, 0},
    {"nogroup", 0, 0},
    {"nofail", 0, 0},
    {"_netdev", 0, 0},
    {"remount", 0, 0},
};

static const struct {
	const char *name;
	unsigned long flags;
} propagations[] = {
    {"private", MS_PRIVATE},
    {"rprivate", MS_PRIVATE | REC},
    {"shared", MS_SHARED},
    {"rshared", MS_SHARED | REC},
    {"slave", MS_SLAVE},
    {"rslave", MS_SLAVE | REC},
    {"unbindable", MS_UNBINDABLE},
    {"runbindable", MS_UNBINDABLE | REC},
};

static const char *const contexts[] = {"context", "fscontext", "defcontext",
    "rootcontext"};

/*
 * With or without a value, nothing of the filesystem's business: notes for
 * others, and what the kernel shows of a mount of ours, which mount(8) hands
 * back with `remount`.
 */
static bool
is_comment(const char *key)
{
	static const char *const names[] = {"comment", "helper", "uhelper",
	    "user_id", "group_id", "default_permissions", "allow_other",
	    "max_read", "blksize"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], key) == 0)
			return true;
	return strncmp(key, "x-", 2) == 0 || strncmp(key, "X-", 2) == 0;
}

static const struct generic *
find_generic(const char *key)
{
	for (size_t i = 0; i < sizeof(generics) / sizeof(generics[0]); i++)
		if (strcmp(generics[i].name, key) == 0)
			return &generics[i];
	return NULL;
}

static unsigned long
find_propagation(const char *key)
{
	for (size_t i = 0; i < sizeof(propagations) / sizeof(propagations[0]);
	     i++)
		if (strcmp(propagations[i].name, key) == 0)
			return propagations[i].flags;
	return 0;
}

static bool
is_context(const char *key)
{
	for (size_t i = 0; i < sizeof(contexts) / sizeof(contexts[0]); i++)
		if (strcmp(contexts[i], key) == 0)
			return true;
	return false;
}

unsigned long
zk_generic_defaults(void)
{
	return FLAGS_DEFAULT;
}

bool
zk_generic_known(const char *key)
{
	return find_generic(key) != NULL || find_propagation(key) != 0 ||
	    is_context(key) || is_comment(key);
}

/* Kept in quotes: a context may hold commas, and the kernel takes them off. */
static int
append_context(struct zk_options *options, const char *key, const char *value,
    const char **ret_reason)
{
	const size_t len = strlen(options->mount_data);
	const size_t room = sizeof(options->mount_data) - len;
	int n;

	*ret_reason = "must be an SELinux context";
	if (value == NULL || *value == '\0' || strchr(value, '"') != NULL)
		return -EINVAL;
	n = snprintf(options->mount_data + len, room, "%s%s=\"%s\"",
	    len > 0 ? "," : "", key, value);
	ZK_ASSERT(n > 0);
	if ((size_t)n >= room) {
		options->mount_data[len] = '\0';
		*ret_reason = "is too long";
		return -EINVAL;
	}
	return 0;
}

int
zk_generic_set(struct zk_options *options, const char *key, const char *value,
    const char **ret_reason)
{
	const unsigned long propagation = find_propagation(key);
	const struct generic *generic = find_generic(key);

	if (is_comment(key))
		return 0;
	if (is_context(key))
		return append_context(options, key, value, ret_reason);
	if (generic == NULL && propagation == 0)
		return -ENOENT;
	/* mount(8) turns `user` into `user=NAME` for its own records. */
	if (value != NULL && strcmp(key, "user") != 0) {
		*ret_reason = "takes no value";
		return -EINVAL;
	}
	if (propagation != 0) {
		options->propagation_flags = propagation;
		return 0;
	}
	if (strcmp(key, "remount") == 0 && options->action == ZK_ACTION_MOUNT)
		options->action = ZK_ACTION_REMOUNT;
	options->mount_flags &= ~generic->clear;
	options->mount_flags |= generic->set;
	return 0;
}

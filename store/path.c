#include "store/path.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "store/inode.h"

#define CONTROL_DIR     ".zkfs"
#define CONTROL_DIR_LEN (sizeof(CONTROL_DIR) - 1)

static bool
in_group(const struct zk_command *caller, uint32_t gid)
{
	if (caller->gid == gid)
		return true;
	for (size_t i = 0; i < caller->group_count; i++)
		if (caller->groups[i] == gid)
			return true;
	return false;
}

int
zk_path_access(const struct zk_attr *attr, const struct zk_command *caller,
    uint32_t want)
{
	uint32_t may = attr->mode;

	if (caller->uid == 0)
		return 0;
	if (caller->uid == attr->uid)
		may >>= 6;
	else if (in_group(caller, attr->gid))
		may >>= 3;
	return (may & want) == want ? 0 : -EACCES;
}

/* The next component that matters; name_len 0 at the end. */
static void
next_component(const char *path, size_t len, size_t *pos, const char **ret_name,
    size_t *ret_len)
{
	do {
		while (*pos < len && path[*pos] == '/')
			(*pos)++;
		*ret_name = path + *pos;
		while (*pos < len && path[*pos] != '/')
			(*pos)++;
		*ret_len = (size_t)(path + *pos - *ret_name);
	} while (*ret_len == 1 && **ret_name == '.');
}

int
zk_path_check(const char *path, size_t len)
{
	const char *name;
	size_t name_len, pos = 0;
	bool first = true;

	if (len == 0 || memchr(path, '\0', len) != NULL)
		return -EINVAL;
	for (;;) {
		next_component(path, len, &pos, &name, &name_len);
		if (name_len == 0)
			return 0;
		if (name_len == 2 && memcmp(name, "..", 2) == 0)
			return -EINVAL;
		if (name_len > ZK_NAME_MAX)
			return -ENAMETOOLONG;
		if (first && name_len == CONTROL_DIR_LEN &&
		    memcmp(name, CONTROL_DIR, CONTROL_DIR_LEN) == 0)
			return -EPERM;
		first = false;
	}
}

/* One step: dir must be a directory that the caller may search. */
static int
step(struct zk_tx *tx, const struct zk_command *caller,
    const struct zk_attr *dir, const char *name, size_t name_len,
    struct zk_entry_ref *ret_ref)
{
	int rc;

	if (S_ISLNK(dir->mode))
		return -ELOOP;
	if (!S_ISDIR(dir->mode))
		return -ENOTDIR;
	rc = zk_path_access(dir, caller, ZK_MAY_EXEC);
	if (rc < 0)
		return rc;
	return zk_dirent_get(tx, dir->ino, name, name_len, ret_ref);
}

int
zk_path_walk(struct zk_tx *tx, const struct zk_command *caller,
    const char *path, size_t len, struct zk_place *ret_place)
{
	struct zk_place place = {.ref = {.ino = ZK_INO_ROOT, .type = S_IFDIR}};
	const char *name;
	size_t name_len, pos = 0;
	int rc;

	rc = zk_path_check(path, len);
	if (rc == 0)
		rc = zk_inode_attr(tx, ZK_INO_ROOT, &place.dir);
	if (rc < 0)
		return rc;
	next_component(path, len, &pos, &name, &name_len);
	while (name_len > 0) {
		if (place.ref.ino == 0)
			return -ENOENT;
		rc = zk_inode_attr(tx, place.ref.ino, &place.dir);
		if (rc < 0)
			return rc;
		place.name = name;
		place.name_len = name_len;
		place.ref = (struct zk_entry_ref){0};
		rc = step(tx, caller, &place.dir, name, name_len, &place.ref);
		if (rc < 0 && rc != -ENOENT)
			return rc;
		next_component(path, len, &pos, &name, &name_len);
	}
	*ret_place = place;
	return 0;
}

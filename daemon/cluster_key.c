#include "daemon/cluster_key.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

/* Longer than any key: what fills it is none. */
#define FILE_BYTES_MAX 256u

static int
hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool
is_hex(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (hex_digit(bytes[i]) < 0)
			return false;
	return len % 2 == 0 && len >= 2 * (size_t)ZK_AUTH_KEY_MIN &&
	    len <= 2 * (size_t)ZK_AUTH_KEY_MAX;
}

static int
parse(const uint8_t *bytes, size_t len, struct zk_auth_key *ret_key)
{
	size_t digits = len;

	while (digits > 0 && isspace(bytes[digits - 1]))
		digits--;
	if (is_hex(bytes, digits)) {
		for (size_t i = 0; i < digits / 2; i++)
			ret_key->bytes[i] =
			    (uint8_t)((unsigned)hex_digit(bytes[2 * i]) << 4 |
			        (unsigned)hex_digit(bytes[2 * i + 1]));
		ret_key->len = digits / 2;
		return 0;
	}
	if (len < ZK_AUTH_KEY_MIN || len > ZK_AUTH_KEY_MAX)
		return -EINVAL;
	memcpy(ret_key->bytes, bytes, len);
	ret_key->len = len;
	return 0;
}

static int
read_file(int fd, uint8_t *buf, size_t *ret_len)
{
	size_t len = 0;
	ssize_t n;

	while (len < FILE_BYTES_MAX) {
		n = read(fd, buf + len, FILE_BYTES_MAX - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*ret_len = len;
	return 0;
}

int
zk_cluster_key_read(const char *path, struct zk_auth_key *ret_key,
    struct zk_fault *ret_fault)
{
	uint8_t bytes[FILE_BYTES_MAX];
	size_t len = 0;
	struct stat st = {0};
	int fd, rc;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	rc = fd < 0 || fstat(fd, &st) < 0 ? -errno : 0;
	if (rc == 0 && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
		(void)close(fd);
		return zk_fault_set(ret_fault, -EPERM, ZK_EXIT_USAGE,
		    "key=%s: others than its owner have permissions on it: "
		    "chmod 600",
		    path);
	}
	if (rc == 0)
		rc = read_file(fd, bytes, &len);
	if (fd >= 0)
		(void)close(fd);
	if (rc < 0)
		return zk_fault_set(ret_fault, rc, ZK_EXIT_USAGE, "key=%s: %s",
		    path, zk_err_text(rc));
	rc = parse(bytes, len, ret_key);
	explicit_bzero(bytes, sizeof(bytes));
	if (rc < 0)
		return zk_fault_set(ret_fault, rc, ZK_EXIT_USAGE,
		    "key=%s: not a key; `zkfs keygen` makes one", path);
	return 0;
}

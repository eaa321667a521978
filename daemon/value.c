#include "daemon/value.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/assert.h"

/* Enough for any bound of ours, short enough to reject noise at once. */
#define DIGITS_MAX 19

struct unit {
	const char *name;
	uint64_t factor;
};

static int
parse_digits(const char *text, const char **ret_end, uint64_t *ret_value)
{
	uint64_t value = 0;
	size_t i;

	for (i = 0; isdigit((unsigned char)text[i]); i++) {
		if (i == DIGITS_MAX)
			return -ERANGE;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	if (i == 0)
		return -EINVAL;
	*ret_end = text + i;
	*ret_value = value;
	return 0;
}

/* The unit named "" is the one for a bare number. */
static int
parse_scaled(const char *text, const struct unit *units, size_t unit_count,
    uint64_t max, uint64_t *ret_value)
{
	const char *end;
	uint64_t value;
	int rc;

	rc = parse_digits(text, &end, &value);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < unit_count; i++) {
		if (strcmp(end, units[i].name) != 0)
			continue;
		if (value > max / units[i].factor)
			return -ERANGE;
		*ret_value = value * units[i].factor;
		return 0;
	}
	return -EINVAL;
}

int
zk_value_duration(const char *text, uint32_t *ret_ms)
{
	static const struct unit units[] = {
	    {"", 1000},
	    {"ms", 1},
	    {"s", 1000},
	    {"m", 60000},
	    {"h", 3600000},
	};
	uint64_t value;
	int rc;

	rc = parse_scaled(text, units, sizeof(units) / sizeof(units[0]),
	    UINT32_MAX, &value);
	if (rc < 0)
		return rc;
	*ret_ms = (uint32_t)value;
	return 0;
}

int
zk_value_size(const char *text, uint64_t *ret_bytes)
{
	static const struct unit units[] = {
	    {"", 1},
	    {"K", 1ull << 10},
	    {"M", 1ull << 20},
	    {"G", 1ull << 30},
	};

	return parse_scaled(text, units, sizeof(units) / sizeof(units[0]),
	    UINT64_MAX, ret_bytes);
}

static int
parse_port(const char *text, uint16_t *ret_port, const char **ret_reason)
{
	const char *end;
	uint64_t value;

	*ret_reason = "the port must be a number from 1 to 65535";
	if (parse_digits(text, &end, &value) < 0 || *end != '\0')
		return -EINVAL;
	if (value == 0 || value > UINT16_MAX)
		return -EINVAL;
	*ret_port = (uint16_t)value;
	return 0;
}

static bool
is_ipv6(const char *host)
{
	char number[ZK_HOST_MAX + 1];
	struct in6_addr addr;
	char *zone;

	ZK_ASSERT(strlen(host) < sizeof(number));
	memcpy(number, host, strlen(host) + 1);
	zone = strchr(number, '%');
	if (zone != NULL && zone[1] == '\0')
		return false;
	if (zone != NULL)
		*zone = '\0';
	return inet_pton(AF_INET6, number, &addr) == 1;
}

/* RFC 1123, 2.1, and '_', which real networks use. */
static bool
is_host_name(const char *host)
{
	for (const char *p = host; *p != '\0'; p++) {
		const unsigned char c = (unsigned char)*p;

		if (!isalnum(c) && c != '.' && c != '-' && c != '_')
			return false;
	}
	return isalnum((unsigned char)host[0]);
}

static int
check_host(const char *host, bool bracketed, const char **ret_reason)
{
	struct in_addr addr;

	if (bracketed) {
		*ret_reason = "what stands in brackets must be an IPv6 address";
		return is_ipv6(host) ? 0 : -EINVAL;
	}
	*ret_reason = "the host must be a name, an IPv4 address, or an IPv6 "
	              "address in brackets";
	if (!is_host_name(host))
		return -EINVAL;
	/* A resolver would take "10.0.1" for 10.0.0.1: nobody means that. */
	if (strspn(host, "0123456789.") == strlen(host))
		return inet_pton(AF_INET, host, &addr) == 1 ? 0 : -EINVAL;
	return 0;
}

int
zk_value_address(const char *text, uint16_t port_default,
    struct zk_address *ret_address, const char **ret_reason)
{
	const bool bracketed = text[0] == '[';
	const char *host = bracketed ? text + 1 : text;
	const size_t host_len = strcspn(host, bracketed ? "]" : ":");
	const char *rest = host + host_len;
	struct zk_address address = {.port = port_default};

	ZK_ASSERT(host_len <= strlen(text));

	*ret_reason = "an IPv6 address needs brackets";
	if (!bracketed && *rest == ':' && strchr(rest + 1, ':') != NULL)
		return -EINVAL;
	*ret_reason = "it must be HOST:PORT";
	if (host_len == 0 || host_len > ZK_HOST_MAX)
		return -EINVAL;
	if (bracketed && *rest++ != ']')
		return -EINVAL;
	memcpy(address.host, host, host_len);
	address.host[host_len] = '\0';
	if (*rest == ':') {
		if (parse_port(rest + 1, &address.port, ret_reason) < 0)
			return -EINVAL;
	} else if (*rest != '\0') {
		return -EINVAL;
	}
	if (address.port == 0) {
		*ret_reason = "the port is missing";
		return -EINVAL;
	}
	if (check_host(address.host, bracketed, ret_reason) < 0)
		return -EINVAL;
	*ret_address = address;
	return 0;
}

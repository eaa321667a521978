#ifndef ZK_DAEMON_VALUE_H
#define ZK_DAEMON_VALUE_H

#include <stddef.h>
#include <stdint.h>

/*
 * The forms that values of options take.  Pure; any thread.  Each returns 0;
 * or a negative code, with the outputs untouched.
 */

#define ZK_HOST_MAX 255u /* RFC 1035, 2.3.4 */

struct zk_address {
	char host[ZK_HOST_MAX + 1]; /* name or number, no brackets; "": unset */
	uint16_t port;              /* host order, never 0 when set */
};

/*
 * "500ms", "10s", "2m", "1h", or seconds without a unit, into milliseconds.
 * -EINVAL: not of that form; -ERANGE: does not fit.
 */
int zk_value_duration(const char *text, uint32_t *ret_ms);

/* "16M", "64K", "1G" (powers of 1024) or plain bytes; codes as above. */
int zk_value_size(const char *text, uint64_t *ret_bytes);

/*
 * "host:port", "1.2.3.4:port", "[::1]:port"; the port may be absent where
 * port_default is not 0.  -EINVAL, with *ret_reason a static text.
 */
int zk_value_address(const char *text, uint16_t port_default,
    struct zk_address *ret_address, const char **ret_reason);

#endif

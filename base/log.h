#ifndef ZK_BASE_LOG_H
#define ZK_BASE_LOG_H

#include <stdbool.h>

/*
 * One line per event: an id in capitals first, then key=value.  Only daemon/
 * and ctl/ log; libraries return codes.  Any thread; errno is preserved.
 */

enum zk_log_level { ZK_LOG_ERROR, ZK_LOG_WARN, ZK_LOG_INFO, ZK_LOG_DEBUG };

/*
 * prefix: a static string, the program's name.  Lines go to stderr, or to
 * syslog (LOG_DAEMON) after zk_log_use_syslog().
 */
void zk_log_init(const char *prefix, enum zk_log_level level);
void zk_log_use_syslog(void);
bool zk_log_enabled(enum zk_log_level level);

void zk_log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* As zk_log_warnx, and appends ": " and the text of errno. */
void zk_log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void zk_log_warnx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void zk_log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void zk_log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif

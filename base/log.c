#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define LOG_LINE_MAX 1024

static const char *log_prefix = "zkfs";
static enum zk_log_level log_level = ZK_LOG_INFO;
static atomic_bool log_syslog;

void
zk_log_init(const char *prefix, enum zk_log_level level)
{
	log_prefix = prefix;
	log_level = level;
}

void
zk_log_use_syslog(void)
{
	openlog(log_prefix, LOG_PID | LOG_NDELAY, LOG_DAEMON);
	log_syslog = true;
}

bool
zk_log_enabled(enum zk_log_level level)
{
	return level <= log_level;
}

/* One write(2) a line, so that lines of several threads do not mix. */
static void
emit_line(enum zk_log_level level, const char *suffix, const char *fmt,
    va_list ap)
{
	static const int priority[] = {LOG_ERR, LOG_WARNING, LOG_INFO,
	    LOG_DEBUG};
	const int saved = errno;
	char line[LOG_LINE_MAX];
	int head, body, tail;

	if (!zk_log_enabled(level))
		return;
	head = snprintf(line, sizeof(line) - 1, "%s: ", log_prefix);
	body = vsnprintf(line + head, sizeof(line) - 1 - (size_t)head, fmt, ap);
	body = body < 0 ? 0 : body;
	tail = head + body;
	if (tail > (int)sizeof(line) - 2)
		tail = (int)sizeof(line) - 2;
	if (suffix != NULL && tail < (int)sizeof(line) - 2)
		tail += snprintf(line + tail, sizeof(line) - 1 - (size_t)tail,
		    ": %s", suffix);
	if (tail > (int)sizeof(line) - 2)
		tail = (int)sizeof(line) - 2;
	if (log_syslog) {
		syslog(priority[level], "%s", line + head);
	} else {
		line[tail++] = '\n';
		(void)!write(STDERR_FILENO, line, (size_t)tail);
	}
	errno = saved;
}

#define DEFINE_LOG(name, level)                                                \
	void name(const char *fmt, ...)                                        \
	{                                                                      \
		va_list ap;                                                    \
                                                                               \
		va_start(ap, fmt);                                             \
		emit_line(level, NULL, fmt, ap);                               \
		va_end(ap);                                                    \
	}

DEFINE_LOG(zk_log_error, ZK_LOG_ERROR)
DEFINE_LOG(zk_log_warnx, ZK_LOG_WARN)
DEFINE_LOG(zk_log_info, ZK_LOG_INFO)
DEFINE_LOG(zk_log_debug, ZK_LOG_DEBUG)

void
zk_log_warn(const char *fmt, ...)
{
	char text[128];
	va_list ap;

	/* The GNU strerror_r, which may return static text. */
	const char *reason = strerror_r(errno, text, sizeof(text));

	va_start(ap, fmt);
	emit_line(ZK_LOG_WARN, reason, fmt, ap);
	va_end(ap);
}

#include "fs/events_line.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/assert.h"
#include "base/utf8.h"

/* buf has room for the longest line there is. */
struct line {
	char *buf;
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void
add(struct line *line, const char *fmt, ...)
{
	const size_t room = ZK_EVENTS_LINE_MAX - line->len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line->buf + line->len, room, fmt, ap);
	va_end(ap);
	ZK_ASSERT(n >= 0);
	ZK_ASSERT((size_t)n < room);
	line->len += (size_t)n;
}

static void
add_string(struct line *line, const char *text, size_t len)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t n;

	add(line, "\"");
	for (size_t i = 0; i < len; i += n) {
		n = zk_utf8_character(p + i, len - i);
		if (n == 0) {
			add(line, "\\udc%02x", p[i]);
			n = 1;
		} else if (p[i] == '"' || p[i] == '\\') {
			add(line, "\\%c", p[i]);
		} else if (p[i] < 0x20 || p[i] == 0x7f) {
			add(line, "\\u%04x", p[i]);
		} else {
			add(line, "%.*s", (int)n, text + i);
		}
	}
	add(line, "\"");
}

static void
add_path(struct line *line, const char *key, const struct zk_past_place *place)
{
	add(line, ",\"%s\":", key);
	if (place->path_len == 0)
		add(line, "null");
	else
		add_string(line, place->path, place->path_len);
}

static const char *
type_name(uint32_t type)
{
	switch (type & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	default:
		return "device";
	}
}

static void
add_head(struct line *line, const struct zk_past *past, const char *op)
{
	const time_t sec = (time_t)past->time.sec;
	struct tm tm = {0};
	char text[64] = "";

	(void)gmtime_r(&sec, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	add(line,
	    "{\"rev\":%" PRIu64 ",\"sub\":%" PRIu32 ",\"time\":\"%s.%09" PRIu32
	    "Z\",\"op\":\"%s\"",
	    past->rev, past->sub, text, past->time.nsec, op);
}

static void
add_tail(struct line *line, const struct zk_past *past, uint64_t ino,
    uint32_t type)
{
	add(line,
	    ",\"type\":\"%s\",\"ino\":%" PRIu64 ",\"session\":%" PRIu64
	    ",\"host\":",
	    type_name(type), ino, past->session);
	add_string(line, past->host, past->host_len);
	add(line, "}\n");
}

static void
add_plain(struct line *line, const struct zk_past *past, const char *op,
    const struct zk_past_place *place)
{
	add_head(line, past, op);
	add_path(line, "path", place);
	add_tail(line, past, past->ino, past->type);
}

/* Of a move whose one end is hidden the other remains: it came, or went. */
static void
add_rename(struct line *line, const struct zk_past *past, bool at, bool to)
{
	if (at && to) {
		add_head(line, past, past->exchange ? "exchange" : "rename");
		add_path(line, "path", &past->at);
		add_path(line, "to", &past->to);
		if (past->ino2 != 0)
			add(line, ",\"%s\":%" PRIu64,
			    past->exchange ? "ino2" : "replaced", past->ino2);
		add_tail(line, past, past->ino, past->type);
	} else if (to) {
		add_plain(line, past, "create", &past->to);
	} else if (at && past->exchange) {
		add_head(line, past, "create");
		add_path(line, "path", &past->at);
		add_tail(line, past, past->ino2, past->type2);
	} else if (at) {
		add_plain(line, past, "delete", &past->at);
	}
}

size_t
zk_events_line(const struct zk_past *past, const struct zk_past_reader *reader,
    char *buf)
{
	static const char *const ops[] = {
	    [ZK_CHANGE_CREATE] = "create",
	    [ZK_CHANGE_DELETE] = "delete",
	    [ZK_CHANGE_RENAME] = "rename",
	    [ZK_CHANGE_MODIFY] = "modify",
	    [ZK_CHANGE_ATTRIB] = "attrib",
	};
	const bool at = zk_past_may_see(&past->at, reader);
	struct line line = {.buf = buf};

	if (past->kind == ZK_CHANGE_RENAME)
		add_rename(&line, past, at, zk_past_may_see(&past->to, reader));
	else if (at)
		add_plain(&line, past, ops[past->kind], &past->at);
	return line.len;
}

bool
zk_events_parse(const char *name, uint64_t *ret_rev)
{
	static const char prefix[] = ZK_EVENTS_NAME "@";
	uint64_t rev = 0;

	if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
		return false;
	name += sizeof(prefix) - 1;
	if (*name == '\0' || (*name == '0' && name[1] != '\0'))
		return false;
	for (; *name != '\0'; name++) {
		if (*name < '0' || *name > '9')
			return false;
		const uint64_t digit = (uint64_t)(*name - '0');

		/* Before it is counted in: it must not go round to a few. */
		if (rev > (ZK_EVENTS_REV_MAX - digit) / 10)
			return false;
		rev = rev * 10 + digit;
	}
	*ret_rev = rev;
	return true;
}

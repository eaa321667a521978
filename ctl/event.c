#include "ctl/event.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* What is left of the line. */
struct text {
	const char *at, *end;
};

static bool
take(struct text *t, char c)
{
	if (t->at == t->end || *t->at != c)
		return false;
	t->at++;
	return true;
}

static int
take_hex(struct text *t, unsigned *ret_code)
{
	unsigned code = 0;

	if (t->end - t->at < 4)
		return -EPROTO;
	for (int i = 0; i < 4; i++) {
		const char c = *t->at++;

		code <<= 4;
		if (c >= '0' && c <= '9')
			code += (unsigned)(c - '0');
		else if (c >= 'a' && c <= 'f')
			code += (unsigned)(c - 'a') + 10;
		else
			return -EPROTO;
	}
	*ret_code = code;
	return 0;
}

/* One character after a backslash; all that the daemon writes is a byte. */
static int
take_escape(struct text *t, char *ret_byte)
{
	unsigned code = 0;
	int rc;

	if (t->at == t->end)
		return -EPROTO;
	*ret_byte = *t->at++;
	if (*ret_byte == '"' || *ret_byte == '\\')
		return 0;
	if (*ret_byte != 'u')
		return -EPROTO;
	rc = take_hex(t, &code);
	if (rc == 0 && code >= 0xdc80 && code <= 0xdcff)
		code -= 0xdc00;
	else if (rc == 0 && code >= 0x80)
		rc = -EPROTO;
	*ret_byte = (char)code;
	return rc;
}

/* Into buf, which is as long as the line and more. */
static int
take_string(struct text *t, char *buf)
{
	size_t len = 0;

	if (!take(t, '"'))
		return -EPROTO;
	while (t->at < t->end && *t->at != '"') {
		char c = *t->at++;

		if (c == '\\' && take_escape(t, &c) < 0)
			return -EPROTO;
		if (c == '\0')
			return -EPROTO;
		buf[len++] = c;
	}
	buf[len] = '\0';
	return take(t, '"') ? 0 : -EPROTO;
}

static int
take_number(struct text *t, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (t->at == t->end || *t->at < '0' || *t->at > '9')
		return -EPROTO;
	while (t->at < t->end && *t->at >= '0' && *t->at <= '9') {
		const unsigned digit = (unsigned)(*t->at++ - '0');

		if (number > (UINT64_MAX - digit) / 10)
			return -EPROTO;
		number = number * 10 + digit;
	}
	*ret_number = number;
	return 0;
}

static int
keep(const char *value, char *field, size_t cap)
{
	if (strlen(value) >= cap)
		return -EPROTO;
	memcpy(field, value, strlen(value) + 1);
	return 0;
}

static int
keep_path(const char *value, char **field)
{
	free(*field);
	*field = strdup(value);
	return *field == NULL ? -ENOMEM : 0;
}

static int
set_string(struct zk_ctl_event *e, const char *key, const char *value)
{
	if (strcmp(key, "op") == 0)
		return keep(value, e->op, sizeof(e->op));
	if (strcmp(key, "type") == 0)
		return keep(value, e->type, sizeof(e->type));
	if (strcmp(key, "time") == 0)
		return keep(value, e->time, sizeof(e->time));
	if (strcmp(key, "host") == 0)
		return keep(value, e->host, sizeof(e->host));
	if (strcmp(key, "path") == 0)
		return keep_path(value, &e->path);
	if (strcmp(key, "to") == 0)
		return keep_path(value, &e->to);
	return 0;
}

static void
set_number(struct zk_ctl_event *e, const char *key, uint64_t value)
{
	if (strcmp(key, "rev") == 0)
		e->rev = value;
	else if (strcmp(key, "sub") == 0)
		e->sub = (uint32_t)value;
	else if (strcmp(key, "ino") == 0)
		e->ino = value;
	else if (strcmp(key, "session") == 0)
		e->session = value;
}

/* One "key":value; keys that a later version adds are passed over. */
static int
take_member(struct text *t, char *buf, struct zk_ctl_event *e)
{
	char key[32];
	uint64_t number;
	int rc;

	rc = take_string(t, buf);
	if (rc == 0)
		rc = keep(buf, key, sizeof(key));
	if (rc < 0 || !take(t, ':') || t->at == t->end)
		return -EPROTO;
	if (*t->at == '"') {
		rc = take_string(t, buf);
		return rc == 0 ? set_string(e, key, buf) : rc;
	}
	if (*t->at == 'n') {
		if (t->end - t->at < 4 || memcmp(t->at, "null", 4) != 0)
			return -EPROTO;
		t->at += 4;
		return 0;
	}
	rc = take_number(t, &number);
	if (rc == 0)
		set_number(e, key, number);
	return rc;
}

int
zk_ctl_event_parse(const char *line, size_t len, struct zk_ctl_event *ret_event)
{
	struct text t = {line, line + len};
	struct zk_ctl_event event = {0};
	char *buf;
	int rc;

	buf = malloc(len + 1);
	if (buf == NULL)
		return -ENOMEM;
	rc = take(&t, '{') ? 0 : -EPROTO;
	while (rc == 0) {
		rc = take_member(&t, buf, &event);
		if (rc < 0 || !take(&t, ','))
			break;
	}
	if (rc == 0 &&
	    (!take(&t, '}') || t.at != t.end || event.rev == 0 ||
	        event.op[0] == '\0'))
		rc = -EPROTO;
	free(buf);
	if (rc < 0) {
		zk_ctl_event_free(&event);
		return rc;
	}
	*ret_event = event;
	return 0;
}

void
zk_ctl_event_free(struct zk_ctl_event *event)
{
	free(event->path);
	free(event->to);
	*event = (struct zk_ctl_event){0};
}

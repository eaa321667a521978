#include "store/txn_parse.h"

#include <errno.h>
#include <string.h>

/* What is left of one line. */
struct cursor {
	const char *at, *end;
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void
skip_blanks(struct cursor *in)
{
	while (in->at < in->end && is_blank(*in->at))
		in->at++;
}

/* The bytes up to the next blank. */
static size_t
take_word(struct cursor *in, const char **ret_word)
{
	*ret_word = in->at;
	while (in->at < in->end && !is_blank(*in->at))
		in->at++;
	return (size_t)(in->at - *ret_word);
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* One escape, after the backslash.  A byte, or -EINVAL. */
static int
unescape_one(struct cursor *in)
{
	static const char from[] = "ntrs\\", to[] = "\n\t\r \\";
	const char *found;
	int high, low;

	if (in->at == in->end)
		return -EINVAL;
	if (*in->at == 'x') {
		if (in->end - in->at < 3)
			return -EINVAL;
		high = hex_digit(in->at[1]);
		low = hex_digit(in->at[2]);
		in->at += 3;
		return high < 0 || low < 0 ? -EINVAL : high << 4 | low;
	}
	found = *in->at == '\0' ? NULL : strchr(from, *in->at);
	if (found == NULL)
		return -EINVAL;
	in->at++;
	return (unsigned char)to[found - from];
}

static int
unescape(const char *text, size_t len, uint8_t *buf, size_t cap,
    size_t *ret_len)
{
	struct cursor in = {text, text + len};
	size_t out = 0;

	while (in.at < in.end) {
		int byte = (unsigned char)*in.at++;

		if (byte == '\\')
			byte = unescape_one(&in);
		if (byte < 0)
			return byte;
		if (out == cap)
			return -ENAMETOOLONG;
		buf[out++] = (uint8_t)byte;
	}
	*ret_len = out;
	return 0;
}

static int
parse_version(const char *word, size_t len, struct zk_line *line)
{
	if (len == 1 && *word == '-') {
		line->want = ZK_VERSION_ABSENT;
		return 0;
	}
	if (len == 1 && *word == '*') {
		line->want = ZK_VERSION_ANY;
		return 0;
	}
	line->want = ZK_VERSION_NUMBER;
	line->version = 0;
	for (size_t i = 0; i < len; i++) {
		if (word[i] < '0' || word[i] > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(line->version, 10ull,
		        &line->version) ||
		    __builtin_add_overflow(line->version,
		        (uint64_t)(word[i] - '0'), &line->version))
			return -EINVAL;
	}
	return len == 0 ? -EINVAL : 0;
}

/* The rest of the line after one blank, with the newline rule of echo(1). */
static int
parse_value(struct cursor *in, uint8_t *buf, struct zk_line *line)
{
	size_t len, cut = 0;
	int rc;

	line->value = buf;
	line->value_len = 0;
	if (in->at == in->end)
		return 0;
	in->at++;
	len = (size_t)(in->end - in->at);
	if (len == 0)
		return 0;
	if (len >= 2 && memcmp(in->end - 2, "\\c", 2) == 0 &&
	    !(len >= 3 && in->end[-3] == '\\'))
		cut = 2;
	rc = unescape(in->at, len - cut, buf, len, &line->value_len);
	if (rc == 0 && cut == 0)
		buf[line->value_len++] = '\n';
	return rc;
}

static enum zk_line_op
op_of(const char *word, size_t len)
{
	static const struct {
		const char *word;
		enum zk_line_op op;
	} ops[] = {
	    {"check", ZK_LINE_CHECK},
	    {"create", ZK_LINE_CREATE},
	    {"set", ZK_LINE_SET},
	    {"delete", ZK_LINE_DELETE},
	    {"mkdir", ZK_LINE_MKDIR},
	};

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (strlen(ops[i].word) == len &&
		    memcmp(ops[i].word, word, len) == 0)
			return ops[i].op;
	return ZK_LINE_NONE;
}

static int
parse_line(struct cursor *in, uint8_t *buf, struct zk_line *line)
{
	const char *word;
	size_t len;
	int rc;

	skip_blanks(in);
	if (in->at == in->end || *in->at == '#')
		return 0;
	len = take_word(in, &word);
	line->op = op_of(word, len);
	if (line->op == ZK_LINE_NONE)
		return -EINVAL;
	skip_blanks(in);
	len = take_word(in, &word);
	if (len == 0)
		return -EINVAL;
	rc = unescape(word, len, (uint8_t *)line->path, sizeof(line->path),
	    &line->path_len);
	if (rc < 0)
		return rc;
	if (memchr(line->path, '\0', line->path_len) != NULL)
		return -EINVAL;
	if (line->op == ZK_LINE_CREATE || line->op == ZK_LINE_SET)
		return parse_value(in, buf, line);
	skip_blanks(in);
	if (line->op == ZK_LINE_CHECK) {
		len = take_word(in, &word);
		rc = parse_version(word, len, line);
		skip_blanks(in);
	}
	return rc == 0 && in->at != in->end ? -EINVAL : rc;
}

int
zk_txn_next(struct zk_txn_text *in, struct zk_line *ret_line)
{
	struct cursor line;
	const char *end;

	if (in->pos >= in->len)
		return -ENOENT;
	line.at = in->text + in->pos;
	end = memchr(line.at, '\n', in->len - in->pos);
	line.end = end != NULL ? end : in->text + in->len;
	in->pos = (size_t)(line.end - in->text) + 1;
	in->line++;
	ret_line->op = ZK_LINE_NONE;
	if (memchr(line.at, '\0', (size_t)(line.end - line.at)) != NULL)
		return -EINVAL;
	return parse_line(&line, in->value, ret_line);
}

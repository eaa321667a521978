#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "tests/lib/history.h"

#define FIELDS_MAX 8

static size_t
find_slot(const struct history_text *text, const char *word)
{
	size_t at = zk_crc32c(0, word, strlen(word)) & (text->slot_count - 1);

	while (text->slots[at] != 0 &&
	    strcmp(text->words[text->slots[at] - 1].text, word) != 0)
		at = (at + 1) & (text->slot_count - 1);
	return at;
}

static void
grow(struct history_text *text)
{
	text->word_cap = text->word_cap == 0 ? 64 : 2 * text->word_cap;
	text->words =
	    reallocarray(text->words, text->word_cap, sizeof(*text->words));
	free(text->slots);
	text->slot_count = 2 * text->word_cap;
	text->slots = calloc(text->slot_count, sizeof(*text->slots));
	if (text->words == NULL || text->slots == NULL)
		abort();
	for (size_t i = 0; i < text->word_count; i++)
		text->slots[find_slot(text, text->words[i].text)] =
		    (uint32_t)i + 1;
}

static uint32_t
intern(struct history_text *text, const char *word)
{
	struct history_word *made;
	size_t slot;

	if (text->word_count == text->word_cap)
		grow(text);
	slot = find_slot(text, word);
	if (text->slots[slot] == 0) {
		made = &text->words[text->word_count++];
		*made = (struct history_word){.text = strdup(word)};
		if (made->text == NULL)
			abort();
		text->slots[slot] = (uint32_t)text->word_count;
	}
	return text->slots[slot] - 1;
}

static bool
parse_number(const char *word, uint64_t *ret_number)
{
	char *end;

	if (word[0] < '0' || word[0] > '9')
		return false;
	errno = 0;
	*ret_number = strtoull(word, &end, 10);
	return errno == 0 && *end == '\0' && *ret_number < HISTORY_NEVER;
}

struct verb {
	const char *word;
	enum history_kind kind;
	int args;
};

static const struct verb verbs[] = {
    {"read", HISTORY_READ, 0},
    {"write", HISTORY_WRITE, 1},
    {"cas", HISTORY_CAS, 2},
    {"casv", HISTORY_CAS_VERSION, 2},
    {"create", HISTORY_CREATE, 1},
    {"remove", HISTORY_REMOVE, 0},
    {"next", HISTORY_NEXT, 0},
    {"hold", HISTORY_HOLD, 0},
};

static bool
parse_args(struct history_text *text, char **args, struct history_op *op)
{
	switch (op->kind) {
	case HISTORY_WRITE:
	case HISTORY_CREATE:
		op->value = intern(text, args[0]);
		return true;
	case HISTORY_CAS:
		op->expect = intern(text, args[0]);
		op->value = intern(text, args[1]);
		return true;
	case HISTORY_CAS_VERSION:
		op->value = intern(text, args[1]);
		return parse_number(args[0], &op->expect);
	case HISTORY_READ:
	case HISTORY_REMOVE:
	case HISTORY_NEXT:
	case HISTORY_HOLD:
	default:
		return true;
	}
}

static bool
parse_result(struct history_text *text, char *word, struct history_op *op)
{
	char *version = strrchr(word, '@');

	if (strcmp(word, "?") == 0) {
		op->result = HISTORY_UNKNOWN;
		return true;
	}
	if (op->kind == HISTORY_NEXT || op->kind == HISTORY_HOLD)
		return parse_number(word, &op->value);
	if (version != NULL) {
		*version = '\0';
		if (!parse_number(version + 1, &op->version))
			return false;
	}
	if (op->kind == HISTORY_READ) {
		op->value = strcmp(word, "none") == 0 ? HISTORY_NONE
		                                      : intern(text, word);
		return true;
	}
	if (strcmp(word, "fail") == 0)
		op->result = HISTORY_REFUSED;
	return op->result == HISTORY_REFUSED || strcmp(word, "ok") == 0;
}

/* A later line of the same name replaces an earlier one. */
static void
put(struct history_text *text, const struct history_op *op)
{
	struct history_word *word = &text->words[op->name];

	if (word->op != 0) {
		text->history.ops[word->op - 1] = *op;
		return;
	}
	history_add(&text->history, op);
	word->op = text->history.count;
}

static bool
parse_fields(struct history_text *text, char **fields, int count)
{
	struct history_op op = {
	    .returned = HISTORY_NEVER,
	    .version = HISTORY_UNTOLD,
	};
	const struct verb *verb = NULL;

	for (size_t i = 0; count >= 5 && i < sizeof(verbs) / sizeof(verbs[0]);
	     i++)
		if (strcmp(fields[4], verbs[i].word) == 0)
			verb = &verbs[i];
	if (verb == NULL || count != 6 + verb->args)
		return false;
	op.kind = verb->kind;
	op.name = intern(text, fields[0]);
	op.key = intern(text, fields[1]);
	if (!parse_number(fields[2], &op.invoked) ||
	    (strcmp(fields[3], "-") != 0 &&
	        !parse_number(fields[3], &op.returned)) ||
	    !parse_args(text, &fields[5], &op) ||
	    !parse_result(text, fields[count - 1], &op) ||
	    op.returned < op.invoked)
		return false;
	put(text, &op);
	return true;
}

bool
history_read(struct history_text *text, FILE *file, size_t *ret_line)
{
	char *line = NULL;
	size_t cap = 0;
	bool good = true;

	*ret_line = 0;
	while (good && getline(&line, &cap, file) >= 0) {
		char *fields[FIELDS_MAX + 1], *rest = line;
		int count = 0;

		++*ret_line;
		if (line[0] == '#')
			continue;
		while (count <= FIELDS_MAX &&
		    (fields[count] = strtok_r(rest, " \t\n", &rest)) != NULL)
			count++;
		good = count == 0 || parse_fields(text, fields, count);
	}
	free(line);
	return good;
}

void
history_text_free(struct history_text *text)
{
	for (size_t i = 0; i < text->word_count; i++)
		free(text->words[i].text);
	free(text->words);
	free(text->slots);
	history_free(&text->history);
	*text = (struct history_text){0};
}

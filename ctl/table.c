#include "ctl/table.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/text.h"

#define COLUMNS_MAX 8

static size_t
split(char *line, char *words[COLUMNS_MAX])
{
	char *save = NULL, *word;
	size_t count = 0;

	for (word = strtok_r(line, " \t", &save);
	     word != NULL && count < COLUMNS_MAX;
	     word = strtok_r(NULL, " \t", &save))
		words[count++] = word;
	return count;
}

/* Two passes over a copy each: first how wide the columns are. */
static void
pass_table(const char *text, bool print, size_t widths[COLUMNS_MAX])
{
	char *copy, *save = NULL, *line, *words[COLUMNS_MAX];
	size_t count;

	copy = strdup(text);
	if (copy == NULL)
		return;
	for (line = strtok_r(copy, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		count = split(line, words);
		for (size_t i = 0; i < count; i++) {
			const size_t width = strlen(words[i]);

			if (width > widths[i])
				widths[i] = width;
			if (print)
				(void)printf("%-*s%s",
				    i + 1 < count ? (int)widths[i] : 0,
				    words[i], i + 1 < count ? "  " : "\n");
		}
	}
	free(copy);
}

void
zk_ctl_table_print(const char *text)
{
	size_t widths[COLUMNS_MAX] = {0};

	pass_table(text, false, widths);
	pass_table(text, true, widths);
}

/* 12.5, a rate: what a value of a setting or a version is not taken for. */
static bool
is_rate(const char *word)
{
	const size_t whole = strspn(word, "0123456789");

	return whole > 0 && whole <= 15 && word[whole] == '.' &&
	    (word[0] != '0' || whole == 1) && word[whole + 1] != '\0' &&
	    word[whole + 1 + strspn(word + whole + 1, "0123456789")] == '\0';
}

void
zk_ctl_table_json(char *text, size_t text_columns)
{
	char *save = NULL, *line, *keys[COLUMNS_MAX], *words[COLUMNS_MAX];
	size_t key_count = 0, count, row = 0;

	line = strtok_r(text, "\n", &save);
	if (line != NULL) {
		for (char *c = line; *c != '\0'; c++)
			*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
		key_count = split(line, keys);
	}
	while ((line = strtok_r(NULL, "\n", &save)) != NULL) {
		count = split(line, words);
		(void)fputs(row++ == 0 ? "{" : ",{", stdout);
		for (size_t i = 0; i < count && i < key_count; i++) {
			(void)printf("%s\"%s\":", i == 0 ? "" : ",", keys[i]);
			if (i < text_columns)
				zk_ctl_json_string(stdout, words[i]);
			else if (is_rate(words[i]))
				(void)fputs(words[i], stdout);
			else
				zk_ctl_json_value(stdout, words[i]);
		}
		(void)fputc('}', stdout);
	}
}

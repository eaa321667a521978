#ifndef ZK_CTL_TABLE_H
#define ZK_CTL_TABLE_H

#include <stddef.h>

/*
 * Tables as the files below .zkfs have them: a header, then lines of words.
 */

/* For people: columns below each other. */
void zk_ctl_table_print(const char *text);

/*
 * The lines as objects of JSON with commas between them; the header's words,
 * in lower case, are the keys.  The first text_columns are strings, even where
 * they look like numbers.  Changes text.
 */
void zk_ctl_table_json(char *text, size_t text_columns);

#endif

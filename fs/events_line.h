#ifndef ZK_FS_EVENTS_LINE_H
#define ZK_FS_EVENTS_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/past.h"

/*
 * A change as a line of JSON, for one reader.
 *
 * Bytes of a path that are not UTF-8 become \udc80 to \udcff, one each: what
 * Python and others call "surrogateescape", so that nothing is lost.
 */

#define ZK_EVENTS_NAME "events"

/* events@REV has the inode ZK_INO_EVENTS + REV. */
#define ZK_EVENTS_REV_MAX ((1ull << 62) - 1)

/* The revision after which events@REV begins; false: no such name. */
bool zk_events_parse(const char *name, uint64_t *ret_rev);

/* No line is longer. */
#define ZK_EVENTS_LINE_MAX (1024u + 2u * 6u * ZK_PAST_PATH_MAX)

/*
 * Writes the line to buf, which has room for ZK_EVENTS_LINE_MAX, and returns
 * its length; 0: it is nothing that this reader may see.
 */
size_t zk_events_line(const struct zk_past *past,
    const struct zk_past_reader *reader, char *buf);

#endif

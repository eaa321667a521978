#ifndef ZK_BASE_NEXT_H
#define ZK_BASE_NEXT_H

#include <stdint.h>
#include <sys/ioctl.h>

/*
 * ioctl(2) on a group's open `next`: the record at the position that was last
 * read from is about to be processed.  In: how many times this descriptor has
 * begun with it before.  Out: for the which time the group does, from 1 on,
 * whoever of it did before and whatever became of him.  With ZK_NEXT_UNTRY in
 * what goes in, that was not begun after all.
 *
 * From the second time on, and for the first records after a partition has
 * changed hands, that is agreed on when it returns.  Otherwise it is as soon as
 * the descriptor is closed, so that a record costs no agreement of its own: a
 * host that is lost may take along that it had begun with a record.
 */
#define ZK_NEXT_TRY   _IOWR('z', 1, uint32_t)
#define ZK_NEXT_UNTRY 0x80000000u

#endif

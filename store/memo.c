#include "store/memo.h"

void
zk_memo_clear(struct zk_memo *memo)
{
	memo->session.id = 0;
	memo->dir = 0;
	memo->log_last = 0;
	memo->counted = false;
}

void
zk_memo_forget(struct zk_memo *memo, uint8_t table)
{
	switch (table) {
	case ZK_TABLE_SESSION:
		memo->session.id = 0;
		break;
	case ZK_TABLE_INODE:
		memo->dir = 0;
		break;
	case ZK_TABLE_LOG:
		memo->log_last = 0;
		break;
	case ZK_TABLE_HISTORY:
		memo->counted = false;
		break;
	default:
		break;
	}
}

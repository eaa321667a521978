#include "daemon/sending.h"

static bool
is_noted(const struct zk_sending *s, uint64_t to, bool bulk)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->to[i].node == to && s->to[i].bulk == bulk)
			return true;
	return false;
}

void
zk_sending_send(struct zk_sending *s, uint64_t to, bool bulk, const void *bytes,
    size_t len)
{
	const struct zk_node_network *network = s->network;

	network->send(network->arg, to, bulk, bytes, len);
	if (network->push == NULL || is_noted(s, to, bulk))
		return;
	if (s->count == ZK_SENDING_MAX)
		zk_sending_push(s);
	s->to[s->count].node = to;
	s->to[s->count++].bulk = bulk;
}

void
zk_sending_push(struct zk_sending *s)
{
	for (size_t i = 0; i < s->count; i++)
		s->network->push(s->network->arg, s->to[i].node, s->to[i].bulk);
	s->count = 0;
}

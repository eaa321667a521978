#include "queue/partition.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static bool
nodes_make_sense(const uint64_t *nodes, uint32_t count)
{
	if (count == 0 || count > ZK_REPLICAS_MAX)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		if (nodes[i] == 0)
			return false;
		for (uint32_t k = 0; k < i; k++)
			if (nodes[k] == nodes[i])
				return false;
	}
	return true;
}

static bool
makes_sense(const struct zk_request *what, const uint8_t *bytes, size_t len)
{
	const struct zk_partition_spec *spec = what->spec;

	if (what->kind == ZK_REQUEST_APPEND)
		return len > 0 && len <= ZK_BATCH_MAX && bytes[len - 1] == '\n';
	if (what->kind != ZK_REQUEST_SET)
		return true;
	return spec != NULL && spec->id != 0 && spec->id == what->partition &&
	    nodes_make_sense(spec->founders, spec->founder_count) &&
	    nodes_make_sense(spec->replicas, spec->replica_count);
}

int
zk_request_new(const struct zk_request *what, const void *bytes, size_t len,
    struct zk_request **ret_request)
{
	struct zk_request *request;

	if (!makes_sense(what, bytes, len))
		return -EINVAL;
	request = malloc(sizeof(*request) + len);
	if (request == NULL)
		return -ENOMEM;
	*request = (struct zk_request){
	    .kind = what->kind,
	    .partition = what->partition,
	    .offset = what->offset,
	    .time = what->time,
	    .node = what->node,
	    .limit_ms = what->limit_ms,
	    .holder = what->holder,
	    .want = what->want < ZK_PARTITION_READ_MAX ? what->want
	                                               : ZK_PARTITION_READ_MAX,
	    .done = what->done,
	    .arg = what->arg,
	    .len = len,
	};
	if (len > 0)
		memcpy(request->bytes, bytes, len);
	if (what->kind == ZK_REQUEST_SET) {
		request->spec = malloc(sizeof(*request->spec));
		if (request->spec == NULL) {
			free(request);
			return -ENOMEM;
		}
		*request->spec = *what->spec;
	}
	*ret_request = request;
	return 0;
}

void
zk_request_free(struct zk_request *request)
{
	if (request == NULL)
		return;
	free(request->spec);
	free(request->copy);
	free(request);
}

void
zk_request_list_init(struct zk_request_list *list)
{
	*list = (struct zk_request_list){0};
	list->last = &list->first;
}

void
zk_request_list_add(struct zk_request_list *list, struct zk_request *request)
{
	request->next = NULL;
	*list->last = request;
	list->last = &request->next;
	list->count++;
	list->bytes += request->len;
}

struct zk_request *
zk_request_list_pop(struct zk_request_list *list)
{
	struct zk_request *request = list->first;

	if (request == NULL)
		return NULL;
	ZK_ASSERT(list->count > 0);
	list->first = request->next;
	if (list->first == NULL)
		list->last = &list->first;
	list->count--;
	list->bytes -= request->len;
	request->next = NULL;
	return request;
}

void
zk_request_list_join(struct zk_request_list *list, struct zk_request_list *from)
{
	if (from->first == NULL)
		return;
	*list->last = from->first;
	list->last = from->last;
	list->count += from->count;
	list->bytes += from->bytes;
	zk_request_list_init(from);
}

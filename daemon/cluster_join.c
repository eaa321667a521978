#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/log.h"
#include "daemon/cluster_impl.h"

/*
 * Requests to be let in, on their way through the ensemble.  What apply says
 * is the answer; what cannot be asked now is asked again by who wants it.
 */

struct request {
	struct zk_cluster *cluster;
	uint64_t node;
	char name[ZK_AUTH_NAME_MAX + 1];
};

/* On the node thread, or at its end. */
static void
on_answer(void *arg, const struct zk_outcome *out)
{
	struct request *request = arg;
	struct zk_cluster *c = request->cluster;
	struct zk_cluster_session *session;

	/* First what there is to be told. */
	if (out->rc == 0)
		zk_cluster_reload(c);
	(void)pthread_mutex_lock(&c->lock);
	if (request->node == c->self)
		c->announcing = false;
	session = zk_cluster_session(c, request->node);
	if (session != NULL) {
		session->joining = false;
		if (out->rc == 0 &&
		    zk_cluster_is_known(&c->directory, session->name,
		        session->node))
			zk_cluster_say_found(c, session->node);
		else if (out->rc < 0)
			zk_cluster_say_refused(c, session, out->rc);
	}
	(void)pthread_mutex_unlock(&c->lock);
	/* Our own session's end says nothing of the other. */
	if (out->rc < 0 && out->rc != -ZK_ESESSION && out->rc != -EROFS)
		zk_log_warnx("JOIN member=%s node=%016" PRIx64 " reason=%s",
		    request->name, request->node, zk_err_text(out->rc));
	free(request);
}

static int
submit(struct zk_cluster *c, const char *name, uint64_t node,
    const char *address, size_t address_len)
{
	const struct zk_command cmd = {
	    .op = ZK_OP_MEMBER,
	    .mode = ZK_MEMBER_JOIN,
	    .ino = node,
	    .name = name,
	    .name_len = strlen(name),
	    .data = address,
	    .data_len = address_len,
	};
	struct request *request;
	int rc;

	/* Without a session nothing can be asked of the ensemble. */
	if (c->node == NULL || zk_node_session(c->node) == 0)
		return -EAGAIN;
	request = calloc(1, sizeof(*request));
	if (request == NULL)
		return -ENOMEM;
	request->cluster = c;
	request->node = node;
	(void)snprintf(request->name, sizeof(request->name), "%s", name);
	rc = zk_node_submit(c->node, &cmd, on_answer, request, NULL);
	if (rc < 0)
		free(request);
	return rc;
}

void
zk_cluster_let_in(struct zk_cluster *c, struct zk_cluster_session *session,
    const char *address, size_t address_len)
{
	const int i = zk_directory_find(&c->directory, session->name);
	const uint64_t node = i >= 0 ? c->directory.members[i].node : 0;

	if (node == session->node) {
		zk_cluster_say_found(c, session->node);
		return;
	}
	/* Who was here before must be wanted again; who is new is welcome. */
	if (!session->fresh && i < 0)
		return;
	if (session->joining)
		return;
	/* An operator has said where it is. */
	if (i >= 0)
		address_len = 0;
	if (submit(c, session->name, session->node, address, address_len) == 0)
		session->joining = true;
}

void
zk_cluster_announce(struct zk_cluster *c)
{
	const int i = zk_directory_find_node(&c->directory, c->self);

	if (i < 0 || c->announcing || c->address[0] == '\0' ||
	    c->directory.index == 0 ||
	    strcmp(c->directory.members[i].address, c->address) == 0)
		return;
	if (submit(c, c->name, c->self, c->address, strlen(c->address)) == 0)
		c->announcing = true;
}

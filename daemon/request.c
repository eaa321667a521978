#include "daemon/request.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/err.h"
#include "daemon/value.h"
#include "store/roster.h"

static const struct {
	const char *word;
	enum zk_member_verb verb;
} verbs[] = {
    {"add", ZK_MEMBER_ADD},
    {"remove", ZK_MEMBER_REMOVE},
    {"promote", ZK_MEMBER_PROMOTE},
    {"transfer", ZK_MEMBER_TRANSFER},
};

static bool
is_address(const char *text)
{
	struct zk_address address;
	const char *reason;

	return strlen(text) <= ZK_ROSTER_ADDRESS_MAX &&
	    zk_value_address(text, 0, &address, &reason) == 0;
}

int
zk_request_parse(char *text, struct zk_command *ret_cmd)
{
	struct zk_command cmd = {.op = ZK_OP_MEMBER};
	char *save = NULL, *address;
	const char *verb = strtok_r(text, " \t\n", &save);
	char *name = strtok_r(NULL, " \t\n", &save);

	if (verb == NULL || name == NULL ||
	    strtok_r(NULL, " \t\n", &save) != NULL)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(verbs[i].word, verb) == 0)
			cmd.mode = verbs[i].verb;
	address = strchr(name, '=');
	if (cmd.mode == 0 || (address != NULL) != (cmd.mode == ZK_MEMBER_ADD))
		return -EINVAL;
	if (address != NULL) {
		*address++ = '\0';
		if (!is_address(address))
			return -EINVAL;
		cmd.data = address;
		cmd.data_len = strlen(address);
	}
	if (!zk_roster_name_is_good(name, strlen(name)))
		return -EINVAL;
	cmd.name = name;
	cmd.name_len = strlen(name);
	*ret_cmd = cmd;
	return 0;
}

const char *
zk_request_reason(int rc)
{
	switch (rc) {
	case -EPROTO:
		return "not a request: add NAME=ADDR:PORT, or remove, promote "
		       "or transfer NAME";
	case -EINVAL:
		return "not a voter that is here: it cannot lead";
	case -EAGAIN:
		return "the ensemble is still being founded; try again";
	case -EEXIST:
		return "there is a member of that name";
	case -EADDRINUSE:
		return "there is a member with that address";
	case -EADDRNOTAVAIL:
		return "it has no address: start it with listen=ADDR:PORT";
	case -EUSERS:
		return "there are as many members of that kind as there can be";
	case -ENOENT:
		return "there is no member of that name";
	case -EBUSY:
		return "refused: without it no majority of voters is left that "
		       "can be reached, or it is leaving already";
	case -EROFS:
		return "this host has no session with the ensemble";
	case -ETIMEDOUT:
		return "no answer in time: it may have been done, or not";
	default:
		return zk_err_text(rc);
	}
}

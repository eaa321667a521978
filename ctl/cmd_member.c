/*
 * zkfs member: who is in the ensemble, and who is to be.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/say.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "ctl/where.h"

#define FILE_BYTES_MAX  ((size_t)1024 * 1024)
#define ANSWER_BYTES    512
#define REQUEST_BYTES   512
#define WAIT_DEFAULT_MS 30000u
#define LOOK_AGAIN_MS   100u

/* Name, address and role are words, even where they look like numbers. */
#define TEXT_COLUMNS 3

struct request {
	bool json;
	uint32_t wait_ms;
};

/* ctl NULL: nothing is said of what fails. */
static int
read_members(const struct zk_ctl *ctl, const struct zk_ctl_mount *mount,
    char **ret_text)
{
	char *path = zk_ctl_where_control(mount, "members");
	int rc;

	rc = path == NULL ? -ENOMEM
	                  : zk_ctl_read_file(path, FILE_BYTES_MAX, ret_text);
	if (rc < 0 && ctl != NULL)
		zk_ctl_say_errno(ctl, path == NULL ? "members" : path, -rc);
	free(path);
	return rc;
}

static int
list(const struct zk_ctl *ctl, const struct zk_ctl_mount *mount, bool json)
{
	char *text;

	if (read_members(ctl, mount, &text) < 0)
		return ZK_EXIT_FAILED;
	if (json) {
		(void)fputc('[', stdout);
		zk_ctl_table_json(text, TEXT_COLUMNS);
		(void)fputs("]\n", stdout);
	} else {
		zk_ctl_table_print(text);
	}
	free(text);
	return ZK_EXIT_OK;
}

/* --- requests ------------------------------------------------------------- */

/* The same open file says what it was. */
static void
say_failure(const struct zk_ctl *ctl, int fd, const char *what, int err)
{
	char answer[ANSWER_BYTES];
	ssize_t len;

	len = pread(fd, answer, sizeof(answer) - 1, 0);
	answer[len > 0 ? len : 0] = '\0';
	answer[strcspn(answer, "\n")] = '\0';
	/* Without an answer of the daemon's nothing was written there. */
	if (err == ETIMEDOUT || answer[0] == '\0' ||
	    strncmp(answer, "ok ", 3) == 0)
		zk_ctl_say_errno(ctl, what, err);
	else
		zk_ctl_say(ctl, "%s: %s", what, answer);
}

static int
send_request(const struct zk_ctl *ctl, const struct zk_ctl_mount *mount,
    const char *verb, const char *what)
{
	char line[REQUEST_BYTES];
	const int len = snprintf(line, sizeof(line), "%s %s\n", verb, what);
	char *path = zk_ctl_where_control(mount, "member");
	int fd = -1, rc = 0;

	if (len < 0 || (size_t)len >= sizeof(line))
		rc = ENAMETOOLONG;
	else if (path == NULL)
		rc = ENOMEM;
	else
		fd = open(path, O_RDWR | O_CLOEXEC);
	if (rc == 0 && fd < 0)
		rc = errno;
	if (rc != 0)
		zk_ctl_say_errno(ctl, path == NULL ? "member" : path, rc);
	free(path);
	if (rc != 0)
		return ZK_EXIT_FAILED;
	if (write(fd, line, (size_t)len) != len)
		rc = errno;
	if (rc != 0)
		say_failure(ctl, fd, what, rc);
	(void)close(fd);
	return rc == 0 ? ZK_EXIT_OK : ZK_EXIT_FAILED;
}

/* Its role, in buf; "" when there is no such member. */
static int
find_role(const struct zk_ctl *ctl, const struct zk_ctl_mount *mount,
    const char *name, char *buf, size_t cap)
{
	char *text, *save = NULL, *inner, *line, *word;
	int rc;

	buf[0] = '\0';
	rc = read_members(ctl, mount, &text);
	if (rc < 0)
		return rc;
	for (line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		inner = NULL;
		word = strtok_r(line, " ", &inner);
		if (word == NULL || strcmp(word, name) != 0)
			continue;
		(void)strtok_r(NULL, " ", &inner);
		word = strtok_r(NULL, " ", &inner);
		(void)snprintf(buf, cap, "%s", word != NULL ? word : "");
	}
	free(text);
	return 0;
}

static bool
is_done(const char *verb, const char *role)
{
	if (strcmp(verb, "remove") == 0)
		return role[0] == '\0';
	if (strcmp(verb, "transfer") == 0)
		return strcmp(role, "leader") == 0;
	return strcmp(role, "voter") == 0 || strcmp(role, "leader") == 0;
}

/* Whether the mount is that member's own. */
static bool
is_own(const struct zk_ctl_mount *mount, const char *name)
{
	char *path = zk_ctl_where_control(mount, "status");
	const size_t len = strlen(name);
	char *text = NULL, *at;
	bool own = false;

	if (path != NULL &&
	    zk_ctl_read_file(path, FILE_BYTES_MAX, &text) >= 0) {
		at = strstr(text, "\nmember:");
		if (at != NULL) {
			at += strlen("\nmember:");
			at += strspn(at, " ");
			own = strncmp(at, name, len) == 0 && at[len] == '\n';
		}
		free(text);
	}
	free(path);
	return own;
}

/* What was agreed the leader carries out: look until it has. */
static int
wait_done(const struct zk_ctl *ctl, const struct zk_ctl_mount *mount,
    const char *verb, const char *name, uint32_t wait_ms, bool leaves)
{
	const struct timespec pause = {0, LOOK_AGAIN_MS * 1000000L};
	char role[32];

	for (uint32_t waited = 0;; waited += LOOK_AGAIN_MS) {
		/* A member that is out ends, and its mount with it. */
		if (find_role(leaves ? NULL : ctl, mount, name, role,
		        sizeof(role)) < 0)
			return leaves ? ZK_EXIT_OK : ZK_EXIT_FAILED;
		if (is_done(verb, role))
			return ZK_EXIT_OK;
		if (waited >= wait_ms)
			break;
		(void)nanosleep(&pause, NULL);
	}
	zk_ctl_say(ctl, "%s: agreed, but not done yet; zkfs member tells more",
	    name);
	return ZK_EXIT_FAILED;
}

static int
change(const struct zk_ctl *ctl, const struct zk_ctl_mount *mount,
    const char *verb, const char *what, const struct request *request)
{
	const bool leaves = strcmp(verb, "remove") == 0 && is_own(mount, what);
	int status;

	status = send_request(ctl, mount, verb, what);
	/* Who is added comes when its daemon is started. */
	if (status != ZK_EXIT_OK || strcmp(verb, "add") == 0 ||
	    request->wait_ms == 0)
		return status;
	return wait_done(ctl, mount, verb, what, request->wait_ms, leaves);
}

static bool
is_verb(const char *word)
{
	static const char *const verbs[] = {"add", "remove", "promote",
	    "transfer"};

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(verbs[i], word) == 0)
			return true;
	return false;
}

/* NAME=ADDR:PORT, as far as one sees; the daemon knows the rest. */
static bool
is_addition(const char *what)
{
	const char *equals = strchr(what, '=');

	return equals != NULL && equals != what &&
	    strrchr(equals, ':') != NULL && strrchr(equals, ':')[1] != '\0';
}

/* --- arguments ------------------------------------------------------------ */

/* Returns -1 to go on, else the exit status. */
static int
take_options(struct zk_ctl *ctl, int argc, char **argv, struct request *request)
{
	static const struct option options[] = {
	    ZK_CTL_LONG,
	    {"json", no_argument, NULL, 'j'},
	    {"wait", required_argument, NULL, 'w'},
	    {0},
	};
	int option, status = -1;

	while (status < 0 &&
	    (option = getopt_long(argc, argv, ZK_CTL_SHORT "jw:", options,
	         NULL)) != -1) {
		if (option == 'j') {
			request->json = true;
			continue;
		}
		status = option == 'w'
		    ? zk_ctl_option_seconds(ctl, &request->wait_ms)
		    : zk_ctl_option(ctl, option, argv);
	}
	return status;
}

static int
run(struct zk_ctl *ctl, int argc, char **argv)
{
	struct request request = {.wait_ms = WAIT_DEFAULT_MS};
	const struct zk_ctl_mount *mount;
	const char *verb = "list";
	int status;

	status = take_options(ctl, argc, argv, &request);
	if (status >= 0)
		return status;
	argc -= optind;
	argv += optind;
	/* Options may come after the verb, too. */
	if (argc > 0) {
		verb = argv[0];
		optind = 0;
		status = take_options(ctl, argc, argv, &request);
		if (status >= 0)
			return status;
		argc -= optind;
		argv += optind;
	}
	if (strcmp(verb, "list") == 0 ? argc > 0 : !is_verb(verb) || argc != 1)
		return zk_ctl_usage(ctl);
	if (strcmp(verb, "add") == 0 && !is_addition(argv[0])) {
		zk_ctl_say(ctl, "%s: not NAME=ADDR:PORT", argv[0]);
		return ZK_EXIT_USAGE;
	}
	if (zk_ctl_where_mount(ctl, &mount) < 0)
		return ZK_EXIT_FAILED;
	if (strcmp(verb, "list") == 0)
		return list(ctl, mount, request.json);
	return change(ctl, mount, verb, argv[0], &request);
}

const struct zk_ctl_command zk_ctl_member = {
    .name = "member",
    .arguments = "[list | add NAME=ADDR:PORT | remove NAME | promote NAME | "
                 "transfer NAME] [-j] [-w SECONDS] [-m DIR]",
    .summary = "Tell who the members are, or change that",
    .details =
        "  list                  a line for each, with its role\n"
        "  add NAME=ADDR:PORT    expect a new voter; then start it there\n"
        "  remove NAME           let it go; a leader hands over first\n"
        "  promote NAME          make a voter of an observer\n"
        "  transfer NAME         let it lead\n\n"
        "  -j, --json            the list as JSON\n"
        "  -w, --wait SECONDS    wait so long until it is done (30); 0: only\n"
        "                        until it is agreed\n"
        "  -m, --mount DIR       the mount of that ensemble\n\n"
        "Changes need root.\n",
    .run = run,
};

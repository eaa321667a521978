#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/config.h"
#include "daemon/options.h"

static char dir[] = "/tmp/zkfs-test-config-XXXXXX";
static char path[sizeof(dir) + 16];
static struct zk_options options;
static struct zk_fault fault;

static void
make_dir(void)
{
	cr_assert_not_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/zkfs.conf", dir);
}

static void
remove_dir(void)
{
	(void)unlink(path);
	(void)rmdir(dir);
}

static void
write_file(const void *text, size_t len)
{
	FILE *file = fopen(path, "w");

	cr_assert_not_null(file);
	cr_assert_eq(fwrite(text, 1, len, file), len);
	cr_assert_eq(fclose(file), 0);
}

/* The file says `text`; the command line is DIR and, unless NULL, -o list. */
static int
parse(const char *text, const char *list)
{
	const struct zk_options_env env = {path, false};
	char name[] = "mount.zkfs", mount[] = "/zk", flag[] = "-o";
	char *copy = strdup(list == NULL ? "" : list);
	char *argv[] = {name, mount, flag, copy, NULL};
	int rc;

	if (text != NULL)
		write_file(text, strlen(text));
	memset(&fault, 0, sizeof(fault));
	rc = zk_options_parse(4, argv, &env, &options, &fault);
	free(copy);
	return rc;
}

TestSuite(config, .init = make_dir, .fini = remove_dir);

Test(config, a_line_is_split_into_key_and_value)
{
	static const struct {
		const char *line, *key, *value;
	} cases[] = {
	    {"", NULL, NULL},
	    {"  # comment", NULL, NULL},
	    {"data=/d", "data", "/d"},
	    {" data = /d # comment", "data", "/d"},
	    {"data = /d#1", "data", "/d#1"},
	    {"data = a b\t", "data", "a b"},
	    {"data = \" a # \\\"b\\\\ \" # c", "data", " a # \"b\\ "},
	    {"data = \"\"", "data", ""},
	    {"data =", "data", ""},
	    {"data = # nothing", "data", ""},
	    {"insecure", "insecure", NULL},
	    {"insecure # yes", "insecure", NULL},
	    {"data = /d\r", "data", "/d"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char line[64], *key, *value;
		const char *reason;

		(void)snprintf(line, sizeof(line), "%s", cases[i].line);
		cr_assert_eq(zk_config_line(line, &key, &value, &reason), 0);
		cr_expect_eq(key == NULL, cases[i].key == NULL, "%s",
		    cases[i].line);
		cr_expect_eq(value == NULL, cases[i].value == NULL, "%s",
		    cases[i].line);
		if (key != NULL && cases[i].key != NULL)
			cr_expect_str_eq(key, cases[i].key);
		if (value != NULL && cases[i].value != NULL)
			cr_expect_str_eq(value, cases[i].value);
	}
}

Test(config, the_file_is_between_defaults_and_the_command_line)
{
	cr_assert_eq(parse("# example\n"
	                   "source = z1=h:1, z2=i:1\n"
	                   "name = z1\n"
	                   "data = /from/file\n"
	                   "session_timeout = 4s\n"
	                   "insecure = no\n"
	                   "log = warn\n"
	                   "log = syslog",
	                 "data=/from/line"),
	    0, "%s", fault.text);
	cr_expect_str_eq(options.config, path);
	cr_expect_str_eq(options.data, "/from/line");
	cr_expect_eq(options.session_timeout_ms, 4000);
	cr_expect_eq(options.op_timeout_ms, 10000);
	cr_expect_eq(options.role, ZK_ROLE_VOTER);
	cr_expect_str_eq(options.members[1].name, "z2");
	cr_expect_not(options.insecure);
	cr_expect_eq(options.log_level, ZK_LOG_WARN);
	cr_expect(options.log_syslog);
}

Test(config, ro_in_the_file_is_not_undone_by_mount_8s_rw)
{
	cr_assert_eq(parse("ro\n", "rw"), 0);
	cr_expect(options.read_only);
	cr_expect(options.mount_flags & MS_RDONLY);
	cr_assert_eq(parse(NULL, "ro=no"), 0);
	cr_expect_not(options.read_only);
}

Test(config, a_file_that_is_named_must_be_there)
{
	char list[128];

	cr_assert_eq(parse(NULL, NULL), 0, "the default one need not be");
	cr_expect_str_eq(options.config, "");
	(void)snprintf(list, sizeof(list), "config=%s", path);
	cr_expect_eq(parse(NULL, list), -ENOENT);
	cr_expect_not_null(strstr(fault.text, path));
	cr_assert_eq(parse("name = z1\n", list), 0);
	cr_expect_str_eq(options.name, "z1");
	cr_assert_eq(parse("bogus\n", "config=none"), 0, "config=none: unread");
	cr_expect_str_eq(options.config, "");
}

Test(config, an_error_names_file_line_key_and_reason)
{
	static const struct {
		const char *text, *wants[2];
	} cases[] = {
	    {"\n\nbogus = 1\n", {":3: bogus: ", "unknown option"}},
	    {"noexec\n", {":1: noexec: ", "command line"}},
	    {"lost = x\n", {":1: lost=x: ", "stale or eio"}},
	    {"#\ndata\n", {":2: data: ", "needs a value"}},
	    {"data = relative\n", {":1: data=relative: ", "absolute"}},
	    {"data = \"x\n", {":1: ", "closing quote is missing"}},
	    {"data = \"x\" y\n", {":1: ", "follows the closing quote"}},
	    {"data /x\n", {":1: ", "KEY = VALUE"}},
	    {"= /x\n", {":1: ", "KEY = VALUE"}},
	    {"config = /x\n", {":1: config=/x: ", "cannot name another"}},
	    {"source = z1=h:0\n", {":1: source: z1=h:0: ", "port"}},
	    {"name = a\x01\n", {":1: name=a?: ", "letters"}},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_expect(parse(cases[i].text, NULL) < 0, "%s", cases[i].text);
		cr_expect_eq(fault.status, ZK_EXIT_USAGE);
		cr_expect_eq(strncmp(fault.text, path, strlen(path)), 0);
		for (size_t j = 0; j < 2; j++)
			cr_expect_not_null(
			    strstr(fault.text, cases[i].wants[j]),
			    "\"%s\" gives \"%s\", without \"%s\"",
			    cases[i].text, fault.text, cases[i].wants[j]);
		cr_expect_null(strchr(fault.text, '\n'));
	}
}

Test(config, what_is_no_text_file_is_refused)
{
	char *big = malloc(ZK_CONFIG_FILE_MAX + 1);

	cr_assert_not_null(big);
	memset(big, '#', ZK_CONFIG_FILE_MAX + 1);
	write_file(big, ZK_CONFIG_FILE_MAX + 1);
	cr_expect_eq(parse(NULL, NULL), -EINVAL);
	cr_expect_not_null(strstr(fault.text, "larger than"));
	write_file(big, ZK_CONFIG_FILE_MAX);
	cr_expect_eq(parse(NULL, NULL), -EINVAL);
	cr_expect_not_null(strstr(fault.text, "line is longer"));
	free(big);

	write_file("data\0x", 6);
	cr_expect_eq(parse(NULL, NULL), -EINVAL);
	cr_expect_not_null(strstr(fault.text, "not a text file"));

	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_expect_eq(parse(NULL, NULL), -EINVAL, "and does not hang");
	cr_expect_not_null(strstr(fault.text, "not a regular file"));
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(mkdir(path, 0700), 0);
	cr_expect_eq(parse(NULL, NULL), -EINVAL);
	cr_assert_eq(rmdir(path), 0);
}

/* Whatever the bytes, the reader ends, and says nothing or one line. */
Test(config, noise_is_survived)
{
	uint64_t state = 42;
	char line[64], *key, *value;
	const char *reason;

	for (int round = 0; round < 20000; round++) {
		static const char alphabet[] = "ab=#\"\\ \t\r,:[]1";
		size_t len;

		state = state * 6364136223846793005ull + 1442695040888963407ull;
		len = (size_t)(state >> 58);
		for (size_t i = 0; i < len; i++) {
			state = state * 6364136223846793005ull + 1;
			line[i] =
			    alphabet[(state >> 40) % (sizeof(alphabet) - 1)];
		}
		line[len] = '\0';
		if (zk_config_line(line, &key, &value, &reason) == 0 &&
		    key != NULL)
			cr_assert(strlen(key) > 0);
	}
}

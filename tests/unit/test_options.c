#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "daemon/generic.h"
#include "daemon/options.h"
#include "daemon/settings.h"

#define ARGS_MAX 16

static struct zk_options options;
static struct zk_fault fault;

/* Words separated by blanks after "mount.zkfs"; no configuration file. */
static int
parse_as(const char *line, bool called_by_mount, const char *config_path)
{
	const struct zk_options_env env = {config_path, called_by_mount};
	static char buf[64 * 1024];
	char *argv[ARGS_MAX + 1] = {NULL}, *save = NULL, *word;
	int argc = 0;

	(void)snprintf(buf, sizeof(buf), "mount.zkfs %s", line);
	for (word = strtok_r(buf, " ", &save); word != NULL;
	     word = strtok_r(NULL, " ", &save)) {
		cr_assert(argc < ARGS_MAX);
		argv[argc++] = word;
	}
	memset(&fault, 0, sizeof(fault));
	return zk_options_parse(argc, argv, &env, &options, &fault);
}

static int
parse(const char *line)
{
	return parse_as(line, false, "/nonexistent/zkfs.conf");
}

Test(options, a_lone_directory_gets_every_default)
{
	cr_assert_eq(parse("/zk"), 0, "%s", fault.text);
	cr_expect_eq(options.action, ZK_ACTION_MOUNT);
	cr_expect_str_eq(options.dir, "/zk");
	cr_expect_str_eq(options.data, "/var/lib/zkfs");
	cr_expect_str_eq(options.config, "");
	cr_expect_str_eq(options.name, "");
	cr_expect_eq(options.role, ZK_ROLE_ALONE);
	cr_expect_eq(options.member_count, 0);
	cr_expect_eq(options.session_timeout_ms, 10000);
	cr_expect_eq(options.op_timeout_ms, 10000);
	cr_expect_eq(options.max_file_bytes, 16u << 20);
	cr_expect_eq(options.log_level, ZK_LOG_INFO);
	cr_expect_not(options.foreground);
	cr_expect_not(options.read_only);
	cr_expect_not(options.lost_eio);
	cr_expect_not(options.insecure);
	cr_expect_eq(options.mount_flags, (unsigned long)MS_NOSUID | MS_NODEV);
	cr_expect_null(zk_options_listen(&options));
}

Test(options, every_key_arrives)
{
	cr_assert_eq(
	    parse(
	        "z1=h:1,z2=[::1]:2 /zk -o name=z2,data=/d,listen=0.0.0.0:3,"
	        "session_timeout=2500ms,op_timeout=2m,lost=eio,ro,max_file=64K "
	        "-o key=/k,tls_cert=/c,tls_key=/p,tls_ca=/a,insecure,"
	        "http=127.0.0.1:80,log=debug,log=syslog"),
	    0, "%s", fault.text);
	cr_expect_eq(options.role, ZK_ROLE_VOTER);
	cr_expect_eq(options.self, 1);
	cr_expect_eq(options.member_count, 2);
	cr_expect_str_eq(options.members[0].name, "z1");
	cr_expect_str_eq(options.members[0].address.host, "h");
	cr_expect_str_eq(options.members[1].address.host, "::1");
	cr_expect_eq(options.members[1].address.port, 2);
	cr_expect_str_eq(options.data, "/d");
	cr_expect_str_eq(options.listen.host, "0.0.0.0");
	cr_expect_eq(options.listen.port, 3);
	cr_expect_eq(options.session_timeout_ms, 2500);
	cr_expect_eq(options.op_timeout_ms, 120000);
	cr_expect(options.lost_eio);
	cr_expect(options.read_only);
	cr_expect(options.mount_flags & MS_RDONLY);
	cr_expect_eq(options.max_file_bytes, 65536);
	cr_expect_str_eq(options.key, "/k");
	cr_expect_str_eq(options.tls_cert, "/c");
	cr_expect_str_eq(options.tls_key, "/p");
	cr_expect_str_eq(options.tls_ca, "/a");
	cr_expect(options.insecure);
	cr_expect_eq(options.http.port, 80);
	cr_expect_eq(options.log_level, ZK_LOG_DEBUG);
	cr_expect(options.log_syslog);
	cr_expect_eq(zk_options_listen(&options), &options.listen);
}

/* The calls that mount(8) of util-linux makes of its helpers. */
Test(options, mount_8_puts_options_after_the_operands)
{
	cr_assert_eq(parse_as("zkfs /zk -s -n -v -o rw,_netdev,nofail -t zkfs",
	                 true, "/nonexistent"),
	    0, "%s", fault.text);
	cr_expect_eq(options.action, ZK_ACTION_MOUNT);
	cr_expect(options.sloppy);
	cr_expect(options.verbose);
	cr_expect_eq(options.member_count, 0);

	cr_assert_eq(parse_as("zkfs /zk -f -o rw", true, "/nonexistent"), 0);
	cr_expect_eq(options.action, ZK_ACTION_CHECK, "mount -f is a fake");
	cr_expect_not(options.foreground);
	cr_assert_eq(parse("zkfs /zk -f -o rw"), 0);
	cr_expect_eq(options.action, ZK_ACTION_MOUNT);
	cr_expect(options.foreground);

	/* It hands back what /proc/mounts says of the mount. */
	cr_assert_eq(parse("zkfs /zk -o rw,nosuid,nodev,relatime,user_id=0,"
	                   "group_id=0,default_permissions,allow_other,"
	                   "max_read=131072,remount,ro"),
	    0, "%s", fault.text);
	cr_expect_eq(options.action, ZK_ACTION_REMOUNT);
	cr_expect(options.read_only);
}

Test(options, order_of_options_and_operands_is_free)
{
	static const char *const lines[] = {
	    "-o name=z1 z1=h:1 /zk",
	    "z1=h:1 -o name=z1 /zk",
	    "z1=h:1 /zk -oname=z1",
	    "-oname=z1 -- z1=h:1 /zk",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		cr_assert_eq(parse(lines[i]), 0, "%s", lines[i]);
		cr_expect_str_eq(options.dir, "/zk");
		cr_expect_eq(options.role, ZK_ROLE_VOTER, "%s", lines[i]);
	}
	cr_assert_eq(parse("/zk --check"), 0);
	cr_expect_eq(options.action, ZK_ACTION_CHECK);
	cr_assert_eq(parse("--help"), 0);
	cr_expect_eq(options.action, ZK_ACTION_HELP);
	cr_assert_eq(parse("-V"), 0);
	cr_expect_eq(options.action, ZK_ACTION_VERSION);
}

Test(options, a_name_outside_the_list_or_none_is_an_observer)
{
	cr_assert_eq(parse("z1=h:1,z2=i:1 /zk -o name=z9"), 0);
	cr_expect_eq(options.role, ZK_ROLE_OBSERVER);
	cr_expect_null(zk_options_listen(&options));
	cr_assert_eq(parse("z1=h:1,z2=i:1 /zk"), 0);
	cr_expect_eq(options.role, ZK_ROLE_OBSERVER);
	cr_assert_eq(parse("z1=h,z2=i /zk -o name=z2"), 0);
	cr_expect_eq(options.members[1].address.port, ZK_OPTIONS_PORT);
	cr_expect_eq(zk_options_listen(&options), &options.members[1].address);
}

/* One line that names the key and the reason, and the status of mount(8). */
Test(options, what_is_wrong_is_named)
{
	static const struct {
		const char *line, *wants[2];
	} cases[] = {
	    {"", {"DIR is missing", "mount.zkfs [SOURCE] DIR"}},
	    {"a b /zk", {"too many operands", "/zk"}},
	    {"/zk -x", {"unknown option -x", ""}},
	    {"/zk --bogus", {"unknown option --bogus", ""}},
	    {"/zk -o", {"an argument is missing after -o", ""}},
	    {"/zk -o bogus=1", {"bogus", "unknown option"}},
	    {"/zk -o =1", {"unknown option", ""}},
	    {"/zk -o data", {"data", "needs a value"}},
	    {"/zk -o data=", {"data=", "must be a path"}},
	    {"/zk -o session_timeout=5x", {"session_timeout=5x", "duration"}},
	    {"/zk -o session_timeout=1ms",
	        {"session_timeout=1ms", "from 2000ms"}},
	    {"/zk -o session_timeout=2h", {"session_timeout=2h", "to 3600s"}},
	    {"/zk -o op_timeout=99999999999999999999", {"op_timeout", "from"}},
	    {"/zk -o op_timeout=-1", {"op_timeout=-1", "duration"}},
	    {"/zk -o op_timeout=", {"op_timeout=", "duration"}},
	    {"/zk -o lost=maybe", {"lost=maybe", "stale or eio"}},
	    {"/zk -o max_file=2G", {"max_file=2G", "from 1K to 1G"}},
	    {"/zk -o max_file=16Q", {"max_file=16Q", "size"}},
	    {"/zk -o log=loud", {"log=loud", "syslog"}},
	    {"/zk -o insecure=maybe", {"insecure=maybe", "yes or no"}},
	    {"/zk -o ro=maybe", {"ro=maybe", "yes or no"}},
	    {"/zk -o listen=1.2.3.4", {"listen=1.2.3.4", "port is missing"}},
	    {"/zk -o listen=1.2.3.4:0", {"listen", "from 1 to 65535"}},
	    {"/zk -o listen=1.2.3.4:65536", {"listen", "from 1 to 65535"}},
	    {"/zk -o listen=1.2.3.4:4180x", {"listen", "from 1 to 65535"}},
	    {"/zk -o listen=::1:4180", {"listen", "needs brackets"}},
	    {"/zk -o listen=[::g]:4180", {"listen", "IPv6"}},
	    {"/zk -o listen=[::1:4180", {"listen", "HOST:PORT"}},
	    {"/zk -o listen=:4180", {"listen", "HOST:PORT"}},
	    {"/zk -o listen=1.2.3:4180", {"listen", "IPv4"}},
	    {"/zk -o http=a/b:1", {"http", "name"}},
	    {"/zk -o tls_cert=/c", {"tls_key", "missing"}},
	    {"/zk -o tls_cert=/c,tls_key=/k", {"tls_ca", "missing"}},
	    {"/zk -o name=a/b", {"name=a/b", "letters"}},
	    {"/zk -o name=.a", {"name=.a", "letters"}},
	    {"/zk -o noexec=1", {"noexec", "takes no value"}},
	    {"/zk -o context=", {"context", "SELinux"}},
	    {"host:/x /zk", {"source: host:/x", "NAME=HOST:PORT"}},
	    {"z1=h:1,z1=i:1 /zk", {"z1=i:1", "name is in the list twice"}},
	    {"z1=h:1,z2=H:1 /zk", {"z2=H:1", "address is in the list twice"}},
	    {"z1=h:1, /zk", {"member 2", "is empty"}},
	    {"z1=h:99999 /zk", {"z1=h:99999", "port"}},
	    {"=h:1 /zk", {"=h:1", "name"}},
	    {"/zk -o config=/nonexistent", {"config=/nonexistent", "No such"}},
	    {"/zk -o config", {"config", "needs a value"}},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_expect(parse(cases[i].line) < 0, "%s", cases[i].line);
		cr_expect_eq(fault.status, ZK_EXIT_USAGE, "%s", cases[i].line);
		for (size_t j = 0; j < 2; j++)
			cr_expect_not_null(
			    strstr(fault.text, cases[i].wants[j]),
			    "\"%s\" gives \"%s\", without \"%s\"",
			    cases[i].line, fault.text, cases[i].wants[j]);
		cr_expect_null(strchr(fault.text, '\n'));
	}
}

/* mount(8), FILESYSTEM-INDEPENDENT MOUNT OPTIONS. */
Test(options, every_generic_option_is_accepted)
{
	cr_assert_eq(
	    parse("/zk -o async,atime,noatime,auto,noauto,defaults,dev,nodev,"
	          "diratime,nodiratime,dirsync,exec,noexec,group,iversion,"
	          "noiversion,mand,nomand,_netdev,nofail,relatime,norelatime,"
	          "strictatime,nostrictatime,lazytime,nolazytime,suid,nosuid,"
	          "silent,loud,owner,rw,sync,user,user=joe,nouser,users,"
	          "x-systemd.automount,X-mount.mkdir=0755,x-foo=a=b,comment=hi,"
	          "nosymfollow,symfollow,uhelper=udisks2,private,,"),
	    0, "%s", fault.text);
	cr_expect_eq(options.mount_flags,
	    (unsigned long)MS_NOATIME | MS_NODIRATIME | MS_NOEXEC | MS_NOSUID |
	        MS_NODEV);
	cr_expect_eq(options.propagation_flags, (unsigned long)MS_PRIVATE);
}

Test(options, flags_follow_the_order_in_which_they_are_given)
{
	static const struct {
		const char *line;
		unsigned long want;
	} cases[] = {
	    {"/zk -o ro,rw", MS_NOSUID | MS_NODEV},
	    {"/zk -o rw,ro", MS_NOSUID | MS_NODEV | MS_RDONLY},
	    {"/zk -r", MS_NOSUID | MS_NODEV | MS_RDONLY},
	    {"/zk -r -w", MS_NOSUID | MS_NODEV},
	    {"/zk -o suid", MS_NODEV},
	    {"/zk -o dev", MS_NOSUID | MS_NODEV},
	    {"/zk -o users,exec,suid", MS_NODEV},
	    {"/zk -o owner,group", MS_NOSUID | MS_NODEV},
	    {"/zk -o exec,users", MS_NOSUID | MS_NODEV | MS_NOEXEC},
	    {"/zk -o sync", MS_NOSUID | MS_NODEV},
	    {"/zk -o relatime,lazytime",
	        MS_NOSUID | MS_NODEV | MS_RELATIME | MS_LAZYTIME},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_eq(parse(cases[i].line), 0, "%s", cases[i].line);
		cr_expect_eq(options.mount_flags, cases[i].want, "%s: %lx",
		    cases[i].line, options.mount_flags);
		cr_expect_eq(options.read_only,
		    (options.mount_flags & MS_RDONLY) != 0);
	}
}

Test(options, commas_in_values_are_escaped_or_quoted)
{
	cr_assert_eq(parse("/zk -o data=/a\\,b,key=\"/c,d\",name=z1"), 0, "%s",
	    fault.text);
	cr_expect_str_eq(options.data, "/a,b");
	cr_expect_str_eq(options.key, "/c,d");
	cr_expect_str_eq(options.name, "z1");
	cr_assert_eq(parse("/zk -o data=/a\\040b\\\\c\\x,key=/q\"r"), 0);
	cr_expect_str_eq(options.data, "/a b\\c\\x");
	cr_expect_str_eq(options.key, "/q\"r");
	cr_assert_eq(parse("/zk -o source=z1=h:1\\,z2=i:1,name=z1"), 0);
	cr_expect_eq(options.member_count, 2);
	cr_assert_eq(parse("/zk -o context=\"a:b:s0:c1,c2\",rootcontext=x"), 0);
	cr_expect_str_eq(options.mount_data,
	    "context=\"a:b:s0:c1,c2\",rootcontext=\"x\"");
}

Test(options, sloppy_tolerates_the_unknown_but_not_the_wrong)
{
	cr_expect_eq(parse("/zk -s -o bogus=1,name=z1"), 0);
	cr_expect_str_eq(options.name, "z1");
	cr_expect(parse("/zk -s -o lost=maybe") < 0);
}

Test(options, relative_paths_mean_the_callers_directory)
{
	cr_assert_eq(chdir("/usr"), 0);
	cr_assert_eq(parse("zk -o data=lib/zk"), 0);
	cr_expect_str_eq(options.data, "/usr/lib/zk");
	cr_assert_eq(parse("zk -o data=/lib"), 0);
	cr_expect_str_eq(options.data, "/lib");
}

Test(options, at_most_32_members)
{
	char line[4096] = "";

	for (int count = 1; count <= 33; count++) {
		const size_t len = strlen(line);

		(void)snprintf(line + len, sizeof(line) - len, "%sz%d=h:%d",
		    count > 1 ? "," : "", count, count);
		if (count < 32)
			continue;
		zk_settings_init(&options);
		cr_expect_eq(
		    zk_settings_set(&options, "source", line, "", &fault),
		    count == 32 ? 0 : -EINVAL);
	}
	cr_expect_not_null(strstr(fault.text, "at most 32"));
}

Test(options, strangers_are_not_listened_to_without_a_key)
{
	static const struct {
		const char *line;
		bool refused;
	} cases[] = {
	    {"/zk", false},
	    {"/zk -o listen=127.0.0.1:1", false},
	    {"/zk -o listen=127.9.9.9:1", false},
	    {"/zk -o listen=[::1]:1", false},
	    {"/zk -o listen=localhost:1", false},
	    {"/zk -o listen=0.0.0.0:1", true},
	    {"/zk -o listen=[::]:1", true},
	    {"/zk -o listen=10.0.0.1:1,key=/k", false},
	    {"/zk -o listen=10.0.0.1:1,insecure", false},
	    {"z1=10.0.0.1:1,z2=10.0.0.2:1 /zk -o name=z1", true},
	    {"z1=10.0.0.1:1,z2=10.0.0.2:1 /zk -o name=o1", false},
	    {"z1=10.0.0.1:1 /zk -o name=z1,listen=127.0.0.1:1", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_eq(parse(cases[i].line), 0, "%s", cases[i].line);
		cr_expect_eq(zk_options_check_exposure(&options, &fault) < 0,
		    cases[i].refused, "%s", cases[i].line);
		if (cases[i].refused)
			cr_expect_not_null(strstr(fault.text, "zkfs keygen"));
	}
}

Test(value, durations_and_sizes_are_exact_or_refused)
{
	uint32_t ms = 7;
	uint64_t bytes = 7;

	cr_expect_eq(zk_value_duration("90", &ms), 0);
	cr_expect_eq(ms, 90000);
	cr_expect_eq(zk_value_duration("1h", &ms), 0);
	cr_expect_eq(ms, 3600000);
	cr_expect_eq(zk_value_duration("4294967295ms", &ms), 0);
	cr_expect_eq(ms, UINT32_MAX);
	cr_expect_eq(zk_value_duration("4294967296ms", &ms), -ERANGE);
	cr_expect_eq(zk_value_duration("1.5s", &ms), -EINVAL);
	cr_expect_eq(zk_value_duration(" 1s", &ms), -EINVAL);
	cr_expect_eq(zk_value_duration("s", &ms), -EINVAL);
	cr_expect_eq(ms, UINT32_MAX, "errors leave the output alone");

	cr_expect_eq(zk_value_size("1G", &bytes), 0);
	cr_expect_eq(bytes, 1ull << 30);
	cr_expect_eq(zk_value_size("9999999999999999999", &bytes), 0);
	cr_expect_eq(zk_value_size("9999999999999999999K", &bytes), -ERANGE);
	cr_expect_eq(zk_value_size("16m", &bytes), -EINVAL);
	cr_expect_eq(zk_value_size("+1", &bytes), -EINVAL);
}

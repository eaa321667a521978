#include <dirent.h>
#include <sys/inotify.h>

#include "tests/unit/test_fs_serve.h"

/*
 * Events for changes that no system call on the mount made, with the races
 * made certain: a helper that is stopped is overtaken.
 */

#define TEXT_MAX ((size_t)4096)

static int queue;

static void
setup(void)
{
	serve_start(10000);
	queue = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	cr_assert(inotify_add_watch(queue, ".", IN_ALL_EVENTS) >= 0);
}

static void
setup_impatient(void)
{
	serve_start(300);
	queue = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	cr_assert(inotify_add_watch(queue, ".", IN_ALL_EVENTS) >= 0);
}

TestSuite(watch, .init = setup, .fini = serve_stop);
TestSuite(watch_late, .init = setup_impatient, .fini = serve_stop);

static const struct {
	uint32_t bit;
	const char *name;
} names[] = {
    {IN_CREATE, "CREATE "},
    {IN_MODIFY, "MODIFY "},
    {IN_CLOSE_WRITE, "CLOSE_WRITE "},
    {IN_ATTRIB, "ATTRIB "},
    {IN_DELETE, "DELETE "},
    {IN_MOVED_FROM, "MOVED_FROM "},
    {IN_MOVED_TO, "MOVED_TO "},
};

/* Appends an event to text; true when it is the mark's. */
static bool
add_event(const struct inotify_event *event, const char *mark, char *text)
{
	if (event->len == 0 || (event->mask & IN_ISDIR) != 0)
		return false;
	if (strcmp(event->name, mark) == 0)
		return (event->mask & IN_CREATE) != 0;
	if (strncmp(event->name, "mark", 4) == 0)
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if ((event->mask & names[i].bit) != 0) {
			const size_t len = strlen(text);
			(void)snprintf(text + len, TEXT_MAX - len, "%s%s; ",
			    names[i].name, event->name);
		}
	return false;
}

/* What came, up to a change that another host makes last. */
static const char *
events(void)
{
	static char text[TEXT_MAX];
	static unsigned count;
	static char buf[65536]
	    __attribute__((aligned(__alignof__(struct inotify_event))));
	struct pollfd fd = {.fd = queue, .events = POLLIN};
	char mark[32], line[64];
	bool done = false;

	text[0] = '\0';
	(void)snprintf(mark, sizeof(mark), "mark%u", ++count);
	(void)snprintf(line, sizeof(line), "put %s x", mark);
	serve_tell(line);
	while (!done) {
		ssize_t n;

		cr_assert_eq(poll(&fd, 1, 20000), 1, "after: %s", text);
		n = read(queue, buf, sizeof(buf));
		for (char *at = buf; n > 0 && at < buf + n;) {
			const struct inotify_event *event = (const void *)at;
			done = add_event(event, mark, text) || done;
			at += sizeof(*event) + event->len;
		}
	}
	return text;
}

/* The helper of the server: its child by the name of zkfs-replay. */
static pid_t
helper(void)
{
	char path[64], comm[32], pids[256];
	struct dirent *entry;
	pid_t found = 0;
	DIR *tasks;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", serve.pid);
	tasks = opendir(path);
	while (tasks != NULL && (entry = readdir(tasks)) != NULL) {
		char *save = NULL, *pid;

		(void)snprintf(path, sizeof(path),
		    "/proc/%d/task/%.16s/children", serve.pid, entry->d_name);
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(pids, sizeof(pids), "%s", get(path));
		for (pid = strtok_r(pids, " ", &save); pid != NULL;
		     pid = strtok_r(NULL, " ", &save)) {
			(void)snprintf(path, sizeof(path), "/proc/%.16s/comm",
			    pid);
			(void)snprintf(comm, sizeof(comm), "%s", get(path));
			if (strcmp(comm, "zkfs-replay\n") == 0)
				found = (pid_t)strtol(pid, NULL, 10);
		}
	}
	if (tasks != NULL)
		(void)closedir(tasks);
	return found;
}

static pid_t
stop_helper(void)
{
	pid_t pid = 0;

	EVENTUALLY((pid = helper()) != 0);
	/* It has done what came before, so it is not in a task. */
	(void)events();
	cr_assert_eq(kill(pid, SIGSTOP), 0);
	return pid;
}

Test(watch, every_kind_of_change_elsewhere_is_told)
{
	serve_tell("put f v");
	cr_expect_str_eq(events(), "CREATE f; ");
	serve_tell("append f w");
	cr_expect_str_eq(events(), "MODIFY f; CLOSE_WRITE f; ");
	serve_tell("rename f g");
	cr_expect_str_eq(events(), "MOVED_FROM f; MOVED_TO g; ");
	serve_tell("remove g");
	cr_expect_str_eq(events(), "DELETE g; ");
}

Test(watch, own_changes_are_told_once)
{
	put("f", "v");
	cr_expect_str_eq(events(), "CREATE f; MODIFY f; CLOSE_WRITE f; ");
	cr_assert_eq(rename("f", "g"), 0);
	cr_assert_eq(unlink("g"), 0);
	cr_expect_str_eq(events(), "MOVED_FROM f; MOVED_TO g; DELETE g; ");
}

Test(watch, a_name_made_elsewhere_and_removed_here_is_not_told_as_made)
{
	pid_t pid = stop_helper();

	serve_tell("put x v");
	cr_assert_eq(unlink("x"), 0);
	(void)kill(pid, SIGCONT);
	cr_expect_str_eq(events(), "DELETE x; ");
}

Test(watch, a_name_removed_elsewhere_and_made_here_is_not_told_as_removed)
{
	pid_t pid;

	put("x", "old");
	pid = stop_helper();
	serve_tell("remove x");
	EVENTUALLY(access("x", F_OK) != 0);
	put("x", "new");
	(void)kill(pid, SIGCONT);
	cr_expect_str_eq(events(), "CREATE x; MODIFY x; CLOSE_WRITE x; ");
	cr_expect_str_eq(get("x"), "new");
}

Test(watch, the_half_of_a_rename_that_was_not_overtaken_is_told)
{
	pid_t pid;

	put("a", "moved");
	put("c", "moved");
	pid = stop_helper();
	serve_tell("rename a b");
	/* Until the kernel has heard of it, the name leads to the old file. */
	EVENTUALLY(access("a", F_OK) != 0);
	put("a", "new");
	serve_tell("rename c d");
	cr_assert_eq(unlink("d"), 0);
	(void)kill(pid, SIGCONT);
	cr_expect_str_eq(events(),
	    "CREATE a; MODIFY a; CLOSE_WRITE a; DELETE d; MOVED_TO b; "
	    "MOVED_FROM c; ");
}

Test(watch, what_was_overtaken_twice_is_told_as_it_is)
{
	pid_t pid = stop_helper();

	serve_tell("put x one");
	cr_assert_eq(unlink("x"), 0);
	serve_tell("put x two");
	(void)kill(pid, SIGCONT);
	cr_expect_str_eq(events(), "DELETE x; CREATE x; ");
	cr_expect_str_eq(get("x"), "two");
}

Test(watch, what_a_killed_helper_was_to_do_is_done_by_another)
{
	pid_t pid = stop_helper();

	serve_tell("put x v");
	serve_tell("remove x");
	(void)kill(pid, SIGKILL);
	cr_expect_str_eq(events(), "CREATE x; DELETE x; ");
	cr_expect_neq(helper(), pid);
}

Test(watch_late, a_change_whose_caller_was_told_etimedout_is_told)
{
	serve_tell("hold");
	cr_expect_eq(mknod("late", S_IFREG | 0644, 0), -1);
	cr_expect_eq(errno, ETIMEDOUT);
	serve_tell("go");
	EVENTUALLY(access("late", F_OK) == 0);
	cr_expect_str_eq(events(),
	    "CREATE late; MODIFY late; "
	    "CLOSE_WRITE late; ");
}

/*
 * The kernel drops the name of a directory when it hears that it is gone, and
 * that may be long before the helper comes to what was removed in it.
 */
Test(watch, what_was_removed_before_its_directory_is_told)
{
	pid_t pid;

	cr_assert_eq(mkdir("d", 0755), 0);
	put("d/f", "v");
	cr_assert(inotify_add_watch(queue, "d", IN_ALL_EVENTS) >= 0);
	cr_expect_str_eq(events(), "");
	pid = stop_helper();
	serve_tell("remove d/f");
	serve_tell("remove d");
	EVENTUALLY(access("d", F_OK) != 0);
	(void)kill(pid, SIGCONT);
	cr_expect_str_eq(events(), "DELETE f; ");
}

Test(watch, what_changed_in_a_directory_before_it_was_moved_is_told)
{
	pid_t pid;

	cr_assert_eq(mkdir("d", 0755), 0);
	put("d/f", "v");
	cr_assert(inotify_add_watch(queue, "d", IN_ALL_EVENTS) >= 0);
	cr_expect_str_eq(events(), "");
	pid = stop_helper();
	serve_tell("append d/f w");
	serve_tell("put d/g w");
	serve_tell("rename d/f d/h");
	serve_tell("rename d e");
	EVENTUALLY(access("d", F_OK) != 0);
	(void)kill(pid, SIGCONT);
	cr_expect_str_eq(events(),
	    "MODIFY f; CLOSE_WRITE f; CREATE g; MOVED_FROM f; MOVED_TO h; ");
	cr_expect_str_eq(get("e/h"), "vw");
}

/* What nobody uses the kernel forgets; what was used just now, the next time. */
static void
drop_caches(void)
{
	for (int i = 0; i < 3; i++)
		put("/proc/sys/vm/drop_caches", "2");
}

Test(watch_late, a_write_whose_caller_was_told_etimedout_is_told_by_name)
{
	int fd;

	put("f", "old");
	fd = open("f", O_WRONLY);
	cr_assert(fd >= 0);
	(void)events();
	serve_tell("hold");
	cr_expect_eq(write(fd, "new", 3), -1);
	cr_expect_eq(errno, ETIMEDOUT);
	cr_assert_eq(close(fd), 0);
	drop_caches();
	serve_tell("go");
	EVENTUALLY(strcmp(get("f"), "new") == 0);
	cr_expect_str_eq(events(), "CLOSE_WRITE f; MODIFY f; ");
}

Test(watch_late, a_mode_whose_caller_was_told_etimedout_is_told_by_name)
{
	struct stat st;

	put("f", "v");
	(void)events();
	serve_tell("hold");
	cr_expect_eq(chmod("f", 0600), -1);
	cr_expect_eq(errno, ETIMEDOUT);
	drop_caches();
	serve_tell("go");
	EVENTUALLY(stat("f", &st) == 0 && (st.st_mode & 07777) == 0600);
	cr_expect_str_eq(events(), "ATTRIB f; ");
}

Test(watch, a_truncation_at_close_is_told_by_name)
{
	int fd;

	put("f", "old");
	fd = open("f", O_WRONLY | O_TRUNC);
	cr_assert(fd >= 0);
	(void)events();
	serve_tell("hold");
	cr_assert_eq(close(fd), 0);
	drop_caches();
	serve_tell("go");
	EVENTUALLY(strcmp(get("f"), "") == 0);
	cr_expect_str_eq(events(), "CLOSE_WRITE f; MODIFY f; ");
}

Test(watch, a_change_of_what_was_then_moved_here_is_told_there)
{
	pid_t pid;

	put("f", "v");
	pid = stop_helper();
	serve_tell("append f w");
	cr_assert_eq(rename("f", "g"), 0);
	(void)kill(pid, SIGCONT);
	cr_expect_str_eq(events(),
	    "MOVED_FROM f; MOVED_TO g; MODIFY g; CLOSE_WRITE g; ");
	cr_expect_str_eq(get("g"), "vw");
}

/* Whether it waits for an answer of the server. */
static bool
is_asking(pid_t pid)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/wchan", (int)pid);
	return strstr(get(path), "request_wait") != NULL;
}

static int
move_f_to_g(void)
{
	return rename("f", "g") == 0 ? 0 : 1;
}

/*
 * A name that a rename has in hand cannot be told of meanwhile: it is
 * forgotten right after it, although it leads to what was moved there.
 */
Test(watch, and_also_when_the_kernel_has_forgotten_that_place)
{
	pid_t pid, mover;

	put("f", "v");
	pid = stop_helper();
	serve_tell("put other x");
	serve_tell("hold");
	mover = start(move_f_to_g);
	EVENTUALLY(is_asking(mover));
	serve_tell("append f w");
	serve_tell("put g x");
	serve_tell("remove g");
	serve_tell("go");
	cr_assert_eq(finish(mover), 0);
	(void)kill(pid, SIGCONT);
	cr_expect_str_eq(events(),
	    "MOVED_FROM f; MOVED_TO g; CREATE other; MODIFY g; CLOSE_WRITE "
	    "g; ");
	cr_expect_str_eq(get("g"), "vw");
}

/* The write that was found done has its event from its own system call. */
Test(watch, what_a_snapshot_brings_is_told_but_not_this_mounts_own)
{
	pid_t pid;

	put("f", "v");
	put("g", "v");
	pid = stop_helper();
	serve_tell("put other x");
	serve_tell("snapshot write f theirs;write g ours");
	serve_tell("found g");
	(void)kill(pid, SIGCONT);
	cr_expect_str_eq(events(), "CREATE other; MODIFY f; CLOSE_WRITE f; ");
	cr_expect_str_eq(get("f"), "theirs");
	cr_expect_str_eq(get("g"), "ours");
}

Test(watch, what_was_in_directories_that_a_snapshot_lacks_is_told_first)
{
	cr_assert_eq(mkdir("d", 0755), 0);
	put("d/f", "v");
	put("g", "v");
	cr_assert(inotify_add_watch(queue, "d", IN_ALL_EVENTS) >= 0);
	(void)events();
	serve_tell("snapshot remove d/f;remove d;remove g");
	cr_expect_str_eq(events(), "DELETE f; DELETE g; ");
}

/* A change comes under one name; if that is gone by then, under another, too. */
Test(watch, a_change_under_a_link_that_is_gone_is_told_to_the_other)
{
	pid_t pid;

	put("f", "v");
	cr_assert_eq(link("f", "g"), 0);
	pid = stop_helper();
	serve_tell("put other x");
	serve_tell("append f w");
	serve_tell("remove f");
	EVENTUALLY(access("f", F_OK) != 0);
	(void)kill(pid, SIGCONT);
	cr_expect_str_eq(events(),
	    "CREATE other; MODIFY f; CLOSE_WRITE f; MODIFY g; DELETE f; ");
	cr_expect_str_eq(get("g"), "vw");
}

/* Who watches the file alone does not make the kernel know its directory. */
Test(watch, what_was_replaced_is_told_where_its_directory_is_not_known)
{
	const int own = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct pollfd fd = {.fd = own, .events = POLLIN};
	struct inotify_event event = {0};
	uint32_t seen = 0;
	char buf[256];
	pid_t pid;

	cr_assert_eq(mkdir("d", 0755), 0);
	put("d/f", "v");
	put("d/new", "w");
	cr_assert(inotify_add_watch(own, "d/f", IN_DELETE_SELF) >= 0);
	pid = stop_helper();
	serve_tell("put other x");
	serve_tell("rename d/new d/f");
	EVENTUALLY(access("d/new", F_OK) != 0);
	drop_caches();
	(void)kill(pid, SIGCONT);
	while ((seen & IN_DELETE_SELF) == 0) {
		cr_assert_eq(poll(&fd, 1, 10000), 1, "IN_DELETE_SELF");
		cr_assert(read(own, buf, sizeof(buf)) > 0);
		memcpy(&event, buf, sizeof(event));
		seen |= event.mask;
	}
	(void)close(own);
}

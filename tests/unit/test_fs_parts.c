#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/expect.h"
#include "fs/mount.h"
#include "fs/proc.h"

Test(fs_mount, what_the_kernel_is_told_ends_in_what_is_asked_for)
{
	char text[512];

	cr_assert_eq(zk_mount_data(7, "", text, sizeof(text)), 0);
	cr_expect_str_eq(text,
	    "fd=7,rootmode=40000,user_id=0,group_id=0,default_permissions,"
	    "allow_other");
	cr_assert_eq(
	    zk_mount_data(7, "context=\"a:b:c:s0,s1\"", text, sizeof(text)), 0);
	cr_expect_not_null(
	    strstr(text, ",allow_other,context=\"a:b:c:s0,s1\""));
	cr_expect_eq(zk_mount_data(7, "", text, 20), -EMSGSIZE);
}

Test(fs_mount, the_root_is_mounted_and_nonsense_is_not)
{
	cr_expect(zk_mount_id("/proc") > 0);
	cr_expect_eq(zk_mount_id("/no such place"), -ENOENT);
}

Test(fs_proc, a_thread_belongs_to_its_process)
{
	struct zk_process self, none;

	cr_assert_eq(zk_proc_of((pid_t)syscall(SYS_gettid), &self), 0);
	cr_expect_eq(self.pid, getpid());
	cr_expect(self.life > 0);
	cr_expect_eq(zk_proc_of(0, &none), -ESRCH);
	cr_expect_eq(zk_proc_in_open(0), -ESRCH);
}

static struct zk_expects expects;

Test(fs_expect, an_expectation_holds_once_and_for_its_file)
{
	pid_t tid = (pid_t)syscall(SYS_gettid);
	struct zk_expect expect;

	zk_expects_init(&expects);
	cr_expect_not(zk_expects_take(&expects, 7, tid, &expect));
	cr_assert_eq(zk_expects_set(&expects, 7, tid, 3), 0);
	cr_assert_eq(zk_expects_set(&expects, 7, tid, 4), 0);
	cr_expect_not(zk_expects_take(&expects, 8, tid, &expect));
	cr_expect(zk_expects_take(&expects, 7, tid, &expect));
	cr_expect_eq(expect.version, 4, "the last one counts");
	cr_expect_not(zk_expects_take(&expects, 7, tid, &expect));
	zk_expects_restore(&expects, &expect);
	cr_expect(zk_expects_take(&expects, 7, tid, &expect));
	cr_assert_eq(zk_expects_set(&expects, 7, tid, 5), 0);
	zk_expects_restore(&expects, &expect);
	cr_expect(zk_expects_take(&expects, 7, tid, &expect));
	cr_expect_eq(expect.version, 5, "the newer one stays");
	zk_expects_fini(&expects);
}

Test(fs_expect, none_is_ever_dropped_for_another)
{
	pid_t tid = (pid_t)syscall(SYS_gettid);

	zk_expects_init(&expects);
	for (uint64_t ino = 1; ino <= ZK_EXPECTS_MAX; ino++)
		cr_assert_eq(zk_expects_set(&expects, ino, tid, 1), 0);
	cr_expect_eq(zk_expects_set(&expects, ZK_EXPECTS_MAX + 1, tid, 1),
	    -ENOSPC);
	cr_expect_eq(zk_expects_set(&expects, 1, tid, 2), 0, "it is there");
	zk_expects_fini(&expects);
}

#include "tests/bench/peers/peer.h"

#include <err.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char zk_peer_value[ZK_PEER_VALUE_BYTES + 1] =
    "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"
    "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv";

size_t
zk_peer_split(char *list, char *ret_parts[ZK_PEER_HOSTS_MAX])
{
	size_t count = 0;
	char *rest = NULL, *part;

	for (part = strtok_r(list, ",", &rest);
	     part != NULL && count < ZK_PEER_HOSTS_MAX;
	     part = strtok_r(NULL, ",", &rest))
		ret_parts[count++] = part;
	if (count == 0)
		errx(2, "no hosts");
	return count;
}

void
zk_peer_pause(double us)
{
	struct timespec left = {
	    .tv_sec = (time_t)(us / 1e6),
	    .tv_nsec = (long)(us - 1e6 * (double)(time_t)(us / 1e6)) * 1000,
	};

	(void)nanosleep(&left, NULL);
}

int
zk_peer_main(int argc, char **argv, const struct zk_verb *verbs, size_t count)
{
	(void)alarm(150);
	(void)signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < count; i++)
		if (argc == verbs[i].args + 2 &&
		    strcmp(argv[1], verbs[i].name) == 0) {
			verbs[i].run(argv + 2);
			return 0;
		}
	errx(2, "usage: see the head of the source");
}

/* --- a closed loop ------------------------------------------------------ */

void
zk_load_begin(struct zk_load *load, size_t inflight)
{
	*load = (struct zk_load){.inflight = inflight};
	(void)pthread_mutex_init(&load->lock, NULL);
	load->begun_us = zk_bench_now_us();
}

bool
zk_load_answer(struct zk_load *load, double asked_us, bool ok)
{
	double now_us = zk_bench_now_us();
	bool counting;

	(void)pthread_mutex_lock(&load->lock);
	counting = load->ended_us == 0;
	if (!counting)
		load->inflight--;
	else if (ok)
		zk_samples_add(&load->took_us, now_us - asked_us);
	if (!ok)
		load->errors++;
	(void)pthread_mutex_unlock(&load->lock);
	return counting;
}

void
zk_load_end(struct zk_load *load)
{
	(void)pthread_mutex_lock(&load->lock);
	load->ended_us = zk_bench_now_us();
	(void)pthread_mutex_unlock(&load->lock);
}

size_t
zk_load_inflight(struct zk_load *load)
{
	size_t inflight;

	(void)pthread_mutex_lock(&load->lock);
	inflight = load->inflight;
	(void)pthread_mutex_unlock(&load->lock);
	return inflight;
}

bool
zk_peer_is_bare(const char *name)
{
	return strcmp(name, "-") == 0;
}

void
zk_load_print(struct zk_load *load, const char *name, bool latency)
{
	double seconds = (load->ended_us - load->begun_us) / 1e6;
	char line[128];
	struct zk_row row = {
	    .name = line,
	    .unit = "us",
	    .ours = &load->took_us,
	};

	if (load->took_us.count == 0)
		errx(1, "%s: no answer", name);
	if (load->errors > 0)
		warnx("%s: %zu errors", name, load->errors);
	if (zk_peer_is_bare(name)) {
		(void)printf("%.1f ", (double)load->took_us.count / seconds);
		zk_peer_print_latency(name, &load->took_us);
		return;
	}
	zk_bench_single(name, (double)load->took_us.count / seconds, "/s",
	    ZK_GOAL_NONE, 0);
	if (latency) {
		(void)snprintf(line, sizeof(line), "%s, median", name);
		zk_bench_row(&row);
	}
}

void
zk_peer_print_latency(const char *name, struct zk_samples *took_us)
{
	char line[128];
	struct zk_row row = {.name = name, .unit = "us", .ours = took_us};

	if (zk_peer_is_bare(name)) {
		(void)printf("%.1f %.1f\n", zk_samples_at(took_us, 0.5),
		    zk_samples_at(took_us, 0.99));
		return;
	}
	zk_bench_row(&row);
	(void)snprintf(line, sizeof(line), "%s, 99th", name);
	row.name = line;
	row.share = 0.99;
	zk_bench_row(&row);
}

/* --- owners ------------------------------------------------------------- */

void
zk_owners_fork(struct zk_owner *owners, size_t count,
    void (*own)(size_t self, void *arg), void *arg)
{
	for (size_t i = 0; i < count; i++) {
		owners[i] = (struct zk_owner){.pid = fork()};
		if (owners[i].pid < 0)
			err(1, "fork");
		if (owners[i].pid == 0) {
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
			own(i, arg);
			_exit(1);
		}
	}
}

void
zk_owners_kill(struct zk_owner *owners, size_t count, double timeout_s,
    void (*pass)(double us), const char *name)
{
	struct zk_samples took_ms = {0};
	struct zk_row row = {.name = name, .unit = "ms", .ours = &took_ms};
	double end_us;
	size_t gone;

	pass(timeout_s * 1e6);
	for (size_t i = 0; i < count; i++) {
		pass(timeout_s * 1e6 / 3 / (double)count);
		owners[i].killed_us = zk_bench_now_us();
		(void)kill(owners[i].pid, SIGKILL);
		(void)waitpid(owners[i].pid, NULL, 0);
	}
	end_us = zk_bench_now_us() + timeout_s * 3e6 + 10e6;
	do {
		pass(10e3);
		gone = 0;
		for (size_t i = 0; i < count; i++)
			gone += atomic_load(&owners[i].gone_us) > 0;
	} while (gone < count && zk_bench_now_us() < end_us);
	for (size_t i = 0; i < count; i++)
		if (atomic_load(&owners[i].gone_us) > 0)
			zk_samples_add(&took_ms,
			    (atomic_load(&owners[i].gone_us) -
			        owners[i].killed_us) /
			        1e3);
	if (gone < count)
		warnx("%s: %zu of %zu never went", name, count - gone, count);
	zk_bench_row(&row);
	zk_samples_fini(&took_ms);
}

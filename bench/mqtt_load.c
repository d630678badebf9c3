/* Load for the speed table: options, the measured phase, and one line of JSON at the end. See load.h. */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

#define DRAIN_S    10
#define DRAIN_TICK 2000 /* us */

_Noreturn void fail(const char *format, ...)
{
	va_list args;

	fputs("mqtt_load: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(2);
}

void *need(void *memory)
{
	if (!memory)
		fail("out of memory");
	return memory;
}

/* ---- what the kernel says of a process ---- */

uint64_t process_cpu_ns(pid_t pid)
{
	uint64_t total = 0, ns;
	char path[300];
	struct dirent *e;
	DIR *dir;

	/* The schedstat of the process itself speaks of its first thread only. */
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	if (!(dir = opendir(path)))
		fail("%s: %s", path, strerror(errno));
	while ((e = readdir(dir))) {
		FILE *f;
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/schedstat", (int)pid, e->d_name);
		if (!(f = fopen(path, "r")))
			continue; /* the thread ended */
		if (fscanf(f, "%lu", &ns) == 1)
			total += ns;
		fclose(f);
	}
	closedir(dir);
	return total;
}

uint64_t process_rss(pid_t pid)
{
	unsigned long size = 0, resident = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	if (!(f = fopen(path, "r")) || fscanf(f, "%lu %lu", &size, &resident) != 2)
		fail("cannot read %s", path);
	fclose(f);
	return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* ---- one run ---- */

struct sample {
	double at_s;
	uint64_t delivered, broker_ns, load_ns;
};

struct totals {
	uint64_t sent, delivered, acked, faults;
};

static double now_s(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void pause_s(double s)
{
	struct timespec t = {.tv_sec = (time_t)s, .tv_nsec = (long)((s - (double)(time_t)s) * 1e9)};

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		continue;
}

static struct totals totals(const struct load *load)
{
	struct totals t = {0};

	for (unsigned i = 0; i < load->plan->threads; i++) {
		t.sent += atomic_load(&load->workers[i].sent);
		t.delivered += atomic_load(&load->workers[i].delivered);
		t.acked += atomic_load(&load->workers[i].acked);
		t.faults += atomic_load(&load->workers[i].faults);
	}
	return t;
}

static struct sample sample(const struct load *load)
{
	return (struct sample){
		.at_s = now_s(CLOCK_MONOTONIC),
		.delivered = totals(load).delivered,
		.broker_ns = process_cpu_ns(load->plan->pid),
		.load_ns = (uint64_t)(now_s(CLOCK_PROCESS_CPUTIME_ID) * 1e9),
	};
}

/* Has everything that was sent arrived, and been acknowledged? */
static bool is_drained(const struct load *load)
{
	struct totals t = totals(load);
	uint64_t copies = load->plan->mode == MODE_FANOUT ? load->plan->flows : 1;

	return t.delivered == t.sent * copies && (load->plan->qos == 0 || t.acked == t.sent);
}

static void report(const struct load *load, const struct sample *a, const struct sample *b)
{
	const struct plan *p = load->plan;
	double seconds = b->at_s - a->at_s, messages = (double)(b->delivered - a->delivered);
	struct totals t = totals(load);
	uint64_t expected = t.sent * (p->mode == MODE_FANOUT ? p->flows : 1);

	printf("{\"seconds\": %.4f, \"delivered\": %.0f, \"per_second\": %.0f, \"us_per_message\": %.5f, "
	       "\"broker_cores\": %.3f, \"load_cores\": %.3f, \"lost\": %ld, \"faults\": %lu}\n",
	       seconds, messages, messages / seconds,
	       messages > 0 ? (double)(b->broker_ns - a->broker_ns) / messages / 1000 : 0,
	       (double)(b->broker_ns - a->broker_ns) / seconds / 1e9,
	       (double)(b->load_ns - a->load_ns) / seconds / 1e9, (long)(expected - t.delivered), t.faults);
}

static int run_traffic(struct load *load)
{
	const struct plan *p = load->plan;
	pthread_t threads[THREADS_MAX];
	struct sample begin, end;
	double give_up;

	load_connect(load);
	load_subscribe(load);
	for (unsigned i = 0; i < p->threads; i++)
		worker_init(&load->workers[i], load, i);
	for (unsigned i = 0; i < p->threads; i++) {
		if (pthread_create(&threads[i], NULL, worker_run, &load->workers[i]) != 0)
			fail("cannot start a thread");
	}
	pause_s(p->warm_s);
	begin = sample(load);
	pause_s(p->measure_s);
	end = sample(load);
	atomic_store(&load->phase, PHASE_DRAIN);
	give_up = now_s(CLOCK_MONOTONIC) + DRAIN_S;
	/* A thread may be between its look at the phase and its send: ask twice. */
	do {
		usleep(DRAIN_TICK);
	} while (!(is_drained(load) && (usleep(DRAIN_TICK), is_drained(load))) &&
		 now_s(CLOCK_MONOTONIC) < give_up);
	atomic_store(&load->phase, PHASE_END);
	for (unsigned i = 0; i < p->threads; i++) {
		pthread_join(threads[i], NULL);
		worker_fini(&load->workers[i]);
	}
	report(load, &begin, &end);
	return is_drained(load) && totals(load).faults == 0 ? 0 : 1;
}

static int run_idle(struct load *load)
{
	const struct plan *p = load->plan;
	uint64_t before, connected, subscribed;

	before = process_rss(p->pid);
	load_connect(load);
	pause_s(p->warm_s);
	connected = process_rss(p->pid);
	load_subscribe(load);
	pause_s(p->warm_s);
	subscribed = process_rss(p->pid);
	printf("{\"connections\": %u, \"subscriptions\": %u, \"bytes_per_connection\": %.1f, "
	       "\"bytes_per_subscription\": %.1f}\n",
	       p->flows, p->flows * p->filters, (double)(int64_t)(connected - before) / p->flows,
	       p->filters > 0 ? (double)(int64_t)(subscribed - connected) / p->flows / p->filters : 0);
	return 0;
}

/* ---- options ---- */

static const char usage[] =
	"usage: mqtt_load --mode exchange|fanout|fanin|idle --port N --pid BROKER [--host 127.0.0.1] "
	"[--flows "
	"100]\n"
	"       [--filters 1] [--qos 0] [--window 32] [--batch 8] [--threads 2] [--slow 0] [--warm 0.5] "
	"[--seconds 2]\n"
	"Prints one line of JSON. Exit 0; 1 when a message was lost, repeated or out of order; 2 when it "
	"could not run.\n";

static unsigned number(const char *name, const char *text, unsigned least, unsigned most)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (!*text || *end || v < least || v > most)
		fail("--%s: %s is not in %u..%u", name, text, least, most);
	return (unsigned)v;
}

static double seconds(const char *name, const char *text)
{
	char *end;
	double v = strtod(text, &end);

	if (!*text || *end || !(v >= 0 && v <= 3600))
		fail("--%s: %s is not in 0..3600", name, text);
	return v;
}

static enum mode mode_of(const char *text)
{
	static const char *const names[] = {"exchange", "fanout", "fanin", "idle"};

	for (unsigned i = 0; i < 4; i++) {
		if (strcmp(text, names[i]) == 0)
			return (enum mode)i;
	}
	fail("--mode: %s is none of exchange, fanout, fanin, idle", text);
}

static void option(struct plan *p, const char *name, const char *text)
{
	if (strcmp(name, "host") == 0)
		p->host = text;
	else if (strcmp(name, "mode") == 0)
		p->mode = mode_of(text);
	else if (strcmp(name, "port") == 0)
		p->port = (uint16_t)number(name, text, 1, 65535);
	else if (strcmp(name, "pid") == 0)
		p->pid = (pid_t)number(name, text, 1, 0x7fffffff);
	else if (strcmp(name, "flows") == 0)
		p->flows = number(name, text, 1, 65535);
	else if (strcmp(name, "filters") == 0)
		p->filters = number(name, text, 0, 1000000);
	else if (strcmp(name, "qos") == 0)
		p->qos = number(name, text, 0, 2);
	else if (strcmp(name, "window") == 0)
		p->window = number(name, text, 1, WINDOW_MAX);
	else if (strcmp(name, "batch") == 0)
		p->batch = number(name, text, 1, WINDOW_MAX);
	else if (strcmp(name, "threads") == 0)
		p->threads = number(name, text, 1, THREADS_MAX);
	else if (strcmp(name, "slow") == 0)
		p->slow = number(name, text, 0, 1000);
	else if (strcmp(name, "warm") == 0)
		p->warm_s = seconds(name, text);
	else
		p->measure_s = seconds(name, text);
}

static void options(struct plan *p, int argc, char **argv)
{
	static const char *const names[] = {"host",   "mode",  "port",    "pid",  "flows", "filters", "qos",
					    "window", "batch", "threads", "slow", "warm",  "seconds"};
	struct option table[sizeof(names) / sizeof(names[0]) + 1] = {0};
	int at, got;

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		table[i] = (struct option){.name = names[i], .has_arg = required_argument, .val = 1};
	while ((got = getopt_long(argc, argv, "", table, &at)) != -1) {
		if (got != 1) {
			fputs(usage, stderr);
			exit(2);
		}
		option(p, table[at].name, optarg);
	}
	if (optind < argc || p->port == 0 || p->pid == 0 || p->batch > p->window) {
		fputs(usage, stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct plan plan = {.host = "127.0.0.1",
			    .flows = 100,
			    .filters = 1,
			    .window = 32,
			    .batch = 8,
			    .threads = 2,
			    .warm_s = 0.5,
			    .measure_s = 2};
	struct load *load = need(calloc(1, sizeof(*load)));
	struct rlimit files;
	int status;

	options(&plan, argc, argv);
	if (plan.threads > plan.flows)
		plan.threads = plan.flows;
	snprintf(plan.prefix, sizeof(plan.prefix), "b%d", (int)getpid() % 1000000);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	load->plan = &plan;
	status = plan.mode == MODE_IDLE ? run_idle(load) : run_traffic(load);
	load_close(load);
	free(load);
	return status;
}

#include "daemon/limits.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "mqtt/broker.h"

#define CONNECTIONS_DEFAULT 100000u
#define SESSION_BYTES       2048u
#define SESSIONS_LEAST      1000u
#define SESSIONS_MAX        1000000000u
#define PATH_BYTES          512

/* Standard streams, signals, the timers of the loops, files being read, and room for what a library opens for a moment. */
#define DESCRIPTORS_BASE         32u
#define DESCRIPTORS_PER_THREAD   3u
#define DESCRIPTORS_PER_LINE     2u
#define DESCRIPTORS_PER_LISTENER 2u /* one to spare */
#define DESCRIPTORS_MAX          UINT32_MAX

uint64_t limits_raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1024;
	if (limit.rlim_cur < limit.rlim_max) {
		struct rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};

		if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
			limit = raised;
	}
	return limit.rlim_cur < DESCRIPTORS_MAX ? limit.rlim_cur : DESCRIPTORS_MAX;
}

uint32_t limits_connections(const struct gateway_config *cfg, uint32_t workers, uint64_t descriptors)
{
	uint64_t wanted = cfg->broker.max_connections ? cfg->broker.max_connections : CONNECTIONS_DEFAULT;
	uint64_t own = DESCRIPTORS_BASE + (workers + 2u) * DESCRIPTORS_PER_THREAD +
		       cfg->nlisteners * DESCRIPTORS_PER_LISTENER + cfg->nlines * DESCRIPTORS_PER_LINE;
	uint64_t room = descriptors > own ? descriptors - own : 1;

	return (uint32_t)(wanted < room ? wanted : room);
}

/* A file of the kernel's, made when it is read: it does not block. */
static uint64_t resident_pages(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%*u %lu", &pages) != 1)
		pages = 0;
	fclose(f);
	return pages;
}

uint64_t limits_memory_in_use(uint64_t *most)
{
	uint64_t now = resident_pages() * (uint64_t)sysconf(_SC_PAGESIZE);
	struct rusage usage;

	*most = getrusage(RUSAGE_SELF, &usage) == 0 ? 1024u * (uint64_t)usage.ru_maxrss : 0;
	if (*most < now)
		*most = now;
	return now;
}

/* The first line of a file that begins with `key`, behind it. false: there is none. */
static bool read_line(const char *path, const char *key, char *line, size_t size)
{
	FILE *f = fopen(path, "re");
	size_t len = strlen(key);
	bool found = false;

	while (f && !found && fgets(line, (int)size, f))
		found = strncmp(line, key, len) == 0;
	if (f)
		fclose(f);
	if (!found)
		return false;
	memmove(line, line + len, strlen(line + len) + 1);
	line[strcspn(line, "\n")] = '\0';
	return true;
}

static uint64_t machine_memory(const char *root)
{
	char path[PATH_BYTES], line[PATH_BYTES];
	uint64_t kib;

	snprintf(path, sizeof(path), "%s/proc/meminfo", root);
	if (!read_line(path, "MemTotal:", line, sizeof(line)) || sscanf(line, "%" SCNu64, &kib) != 1)
		return 0;
	return kib * 1024;
}

/* The smallest limit of the control group at `group` and those around it; 0: there is none. "max" is no number. */
static uint64_t group_memory(const char *root, const char *base, char *group, const char *file)
{
	uint64_t least = 0;

	for (;;) {
		char path[3 * PATH_BYTES], line[PATH_BYTES];
		uint64_t bytes;
		char *slash;

		snprintf(path, sizeof(path), "%s%s%s/%s", root, base, group, file);
		if (read_line(path, "", line, sizeof(line)) && sscanf(line, "%" SCNu64, &bytes) == 1 &&
		    (least == 0 || bytes < least))
			least = bytes;
		slash = strrchr(group, '/');
		if (!slash)
			return least;
		*slash = '\0';
	}
}

static uint64_t groups_memory(const char *root)
{
	static const struct {
		const char *line, *base, *file;
	} versions[] = {
		{"0::", "/sys/fs/cgroup", "memory.max"},
		{NULL, "/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, /* version 1: from its root */
	};
	uint64_t least = 0;

	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		char path[PATH_BYTES], group[PATH_BYTES] = "";
		uint64_t bytes;

		snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
		if (versions[i].line && !read_line(path, versions[i].line, group, sizeof(group)))
			continue;
		bytes = group_memory(root, versions[i].base, group, versions[i].file);
		if (bytes && (least == 0 || bytes < least))
			least = bytes;
	}
	return least;
}

uint64_t limits_memory(const struct gateway_config *cfg, const char *root)
{
	uint64_t machine = machine_memory(root), group = groups_memory(root);

	if (cfg->broker.memory_limit)
		return cfg->broker.memory_limit;
	return (group && (group < machine || !machine) ? group : machine) / 2;
}

uint32_t limits_sessions(const struct gateway_config *cfg, uint64_t memory)
{
	uint64_t fit = memory ? memory / 4 / SESSION_BYTES : SESSIONS_MAX;

	if (cfg->broker.max_sessions)
		return cfg->broker.max_sessions;
	return (uint32_t)(fit < SESSIONS_LEAST ? SESSIONS_LEAST : fit > SESSIONS_MAX ? SESSIONS_MAX : fit);
}

_Static_assert(CONFIG_WORKERS_MAX + 1 == BROKER_LANES_MAX, "one lane is the field side's");

uint32_t limits_workers(const struct gateway_config *cfg)
{
	uint32_t n = cfg->broker.workers;
	cpu_set_t cpus;

	if (n == 0)
		n = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? (uint32_t)CPU_COUNT(&cpus) : 1;
	if (n == 0)
		return 1;
	return n < CONFIG_WORKERS_MAX ? n : CONFIG_WORKERS_MAX;
}

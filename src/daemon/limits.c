#include "daemon/limits.h"

#include <sched.h>
#include <sys/resource.h>

#include "mqtt/broker.h"

#define CONNECTIONS_DEFAULT 100000u

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

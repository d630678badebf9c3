#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "tools/bench.h"

int bench_process_cpu(unsigned pid, uint64_t *ns)
{
	char path[300];
	struct dirent *e;
	DIR *dir;

	/* The schedstat of the process itself speaks of its first thread only. */
	snprintf(path, sizeof(path), "/proc/%u/task", pid);
	if (!(dir = opendir(path)))
		return ERR_NOT_FOUND;
	*ns = 0;
	while ((e = readdir(dir))) {
		uint64_t one;
		FILE *f;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%u/task/%.16s/schedstat", pid, e->d_name);
		if (!(f = fopen(path, "re")))
			continue; /* the thread ended */
		if (fscanf(f, "%" SCNu64, &one) == 1)
			*ns += one;
		fclose(f);
	}
	closedir(dir);
	return OK;
}

int bench_process_rss(unsigned pid, uint64_t *bytes)
{
	unsigned long size = 0, resident = 0;
	char path[64];
	int fields;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/statm", pid);
	if (!(f = fopen(path, "re")))
		return ERR_NOT_FOUND;
	fields = fscanf(f, "%lu %lu", &size, &resident);
	fclose(f);
	if (fields != 2)
		return ERR_NOT_FOUND;
	*bytes = (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
	return OK;
}

/*
 * What the simulated disk and SQLite's view of it (disk_sim_vfs.c) share.
 */
#ifndef STORE_DISK_SIM_IMPL_H
#define STORE_DISK_SIM_IMPL_H

#include <sqlite3.h>

#include "base/list.h"
#include "store/disk_sim.h"

struct image {
	uint8_t *bytes; /* those from `len` to `room` are 0 */
	uint64_t len, room;
};

/* What a name stands for; it may have lost its name, or not got it on the medium yet. */
struct sim_file {
	struct list node;
	struct image now;    /* as it is read */
	struct image medium; /* as it was synced */
	struct list changes; /* of `now` that are not synced, in order */
	uint32_t nchanges;
	uint32_t handles;
	/* locks of SQLite: how many share it, and who has more */
	uint32_t shared;
	const void *reserved, *pending, *exclusive;
};

struct sim_name {
	struct list node;
	struct sim_file *now, *medium; /* NULL: no file has it */
	char text[];
};

struct sim_disk {
	sqlite3_vfs vfs;
	char vfs_name[32];
	uint64_t random;
	struct list files, names;
	struct sim_disk_faults faults;
	uint64_t ops, crash_op; /* the operation that it crashes at; 0: none */
	uint64_t life;          /* restarts; handles of an older life are dead */
	bool crashed;
};

uint64_t sim_disk_random(struct sim_disk *d, uint64_t bound);

/* Operations on a live disk: OK, ERR_IO, ERR_FULL, ERR_NOMEM. */
int sim_file_open(struct sim_disk *d, const char *name, bool create,
		  struct sim_file **out);                             /* ERR_NOT_FOUND */
int sim_file_unlink(struct sim_disk *d, const char *name, bool sync); /* ERR_NOT_FOUND */
int sim_file_read(struct sim_disk *d, const struct sim_file *f, void *bytes, uint64_t len, uint64_t at,
		  uint64_t *got);
int sim_file_write(struct sim_disk *d, struct sim_file *f, const void *bytes, uint64_t len, uint64_t at);
int sim_file_resize(struct sim_disk *d, struct sim_file *f, uint64_t size);
int sim_file_sync(struct sim_disk *d, struct sim_file *f, bool and_names);
/* NULL: a file without a name. */
struct sim_file *sim_file_find(const struct sim_disk *d, const char *name);
/* Frees files that nobody can get at any more. */
void sim_disk_sweep(struct sim_disk *d);

int sim_disk_register(struct sim_disk *d);
void sim_disk_unregister(struct sim_disk *d);

#endif

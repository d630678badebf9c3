/*
 * A simulated disk: a file system of SQLite in memory, deterministic from its seed, that knows what was written and what was
 * synced. For tests and simulations; the database code itself runs on it unchanged.
 *
 * It can crash at a drawn operation. From then on every call fails until sim_disk_restart(), which computes what is there then:
 *
 *   power cut      what was synced is intact. Each write and each change of a size that was not synced is there, lost, or torn,
 *                  sector by sector or at any byte, in any order; files that were made or removed may not have been
 *   process crash  all that was written is there; the operation in hand may be done in part
 *
 * As with the real file system of SQLite on Linux, the first sync of a journal or log that was opened syncs the directory too, and
 * so does a removal that is asked to. Writes of a byte do not endanger those beside it. There is no shared memory: a database in WAL mode needs exclusive locking.
 *
 * One thread. SQLite's own random numbers, which are global, begin anew with each disk, so that runs replay.
 */
#ifndef STORE_DISK_SIM_H
#define STORE_DISK_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct sim_disk;

/* A new disk begins without any. An operation that fails may have been done in part. */
struct sim_disk_faults {
	uint32_t read_one_in;  /* an I/O error once in so many reads; 0: never */
	uint32_t write_one_in; /* of writes, changes of size, files made and removed */
	uint32_t sync_one_in;  /* what a failed sync did not write may be taken for written by the next one */
	uint64_t capacity;     /* bytes of all files; 0: no limit */
	bool read_only;        /* all that changes anything fails */
	bool sync_lies;        /* does nothing: to see that a test would find it */
};

enum sim_disk_crash { SIM_DISK_POWER_CUT, SIM_DISK_PROCESS_CRASH };

/* Registered with SQLite under the name of sim_disk_vfs(). ERR_NOMEM. */
MUST_USE int sim_disk_create(uint64_t seed, struct sim_disk **out);
/* All its files are closed. Accepts NULL. */
void sim_disk_destroy(struct sim_disk *d);
const char *sim_disk_vfs(const struct sim_disk *d);

void sim_disk_set_faults(struct sim_disk *d, const struct sim_disk_faults *f);

/* Operations so far that change anything or sync. */
uint64_t sim_disk_ops(const struct sim_disk *d);
/* Crash at the n-th operation from now, 1 the next; 0: not. */
void sim_disk_crash_at(struct sim_disk *d, uint64_t nth);
/* Now. */
void sim_disk_crash(struct sim_disk *d);
bool sim_disk_crashed(const struct sim_disk *d);
/*
 * After a crash or without one; there is none to come after it. Files that are open fail from now on, and have to be closed.
 */
void sim_disk_restart(struct sim_disk *d, enum sim_disk_crash how);

/* Bytes of all files as they are read. */
uint64_t sim_disk_used(const struct sim_disk *d);
/* A file's name as it was opened; -1: it is not there. */
int64_t sim_disk_size(const struct sim_disk *d, const char *name);
/* The name of the i-th file; NULL: there are no more. */
const char *sim_disk_name(const struct sim_disk *d, unsigned i);
/* Change some bytes in a random page of `page` bytes, on the medium; false: the file has none. */
bool sim_disk_damage(struct sim_disk *d, const char *name, uint32_t page);
/* Cut a file off, on the medium; false: it is not there, or not so long. */
bool sim_disk_truncate(struct sim_disk *d, const char *name, uint64_t size);

#endif

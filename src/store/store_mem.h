/*
 * A disk in memory, for tests: it stays when a store that was on it is destroyed, so another one finds what was committed, as after
 * a crash of the process or of the power: nothing that was committed is lost, nothing else is there.
 *
 *   store_mem_disk_create(&disk);
 *   store_mem_open(disk, &backend);   // store_create() takes it
 *   ...
 *   store_mem_fail(disk, UINT_MAX, ERR_IO);   // what store_destroy() would write is lost, as in a crash
 *   store_destroy(store);
 *   store_mem_fail(disk, 0, OK);
 *   store_mem_open(disk, &backend);   // the next start
 *
 * One store at a time. store_mem_create() in backend.h is a backend with a disk of its own.
 */
#ifndef STORE_STORE_MEM_H
#define STORE_STORE_MEM_H

#include "store/backend.h"

struct store_mem_disk;

MUST_USE int store_mem_disk_create(struct store_mem_disk **out);
/* Nobody has it open. Accepts NULL. */
void store_mem_disk_destroy(struct store_mem_disk *disk);
MUST_USE int store_mem_open(struct store_mem_disk *disk, struct store_backend **out);
/* The next `commits` commits fail with `rc`; what came before is not touched. */
void store_mem_fail(struct store_mem_disk *disk, unsigned commits, int rc);
/* How many tidy() calls will say that there is more to do. */
void store_mem_set_untidy(struct store_mem_disk *disk, unsigned calls);
/* Since it was created. */
uint64_t store_mem_commits(const struct store_mem_disk *disk);
uint64_t store_mem_tidied(const struct store_mem_disk *disk);

#endif

/*
 * SQLite's file system over the simulated disk.
 */
#include <stdio.h>
#include <string.h>

#include "store/disk_sim_impl.h"

struct handle {
	sqlite3_file base;
	struct sim_disk *disk;
	struct sim_file *file;
	uint64_t life;
	int lock;
	bool sync_names; /* by the first sync */
};

static struct handle *handle_of(sqlite3_file *f)
{
	return container_of(f, struct handle, base);
}

static bool is_dead(const struct handle *h)
{
	return h->disk->crashed || h->life != h->disk->life;
}

/* ERR_* as SQLite's code; `io` is that of an I/O error here. */
static int code_of(int rc, int io)
{
	switch (rc) {
	case OK:
		return SQLITE_OK;
	case ERR_FULL:
		return SQLITE_FULL;
	case ERR_NOMEM:
		return SQLITE_IOERR_NOMEM;
	default:
		return io;
	}
}

/* ---- bytes ---- */

static int vfs_read(sqlite3_file *file, void *bytes, int len, sqlite3_int64 at)
{
	struct handle *h = handle_of(file);
	uint64_t got = 0;

	if (is_dead(h) || sim_file_read(h->disk, h->file, bytes, (uint64_t)len, (uint64_t)at, &got) < 0)
		return SQLITE_IOERR_READ;
	if (got == (uint64_t)len)
		return SQLITE_OK;
	memset((uint8_t *)bytes + got, 0, (size_t)len - got);
	return SQLITE_IOERR_SHORT_READ;
}

static int vfs_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
	struct handle *h = handle_of(file);

	if (is_dead(h))
		return SQLITE_IOERR_WRITE;
	return code_of(sim_file_write(h->disk, h->file, bytes, (uint64_t)len, (uint64_t)at),
		       SQLITE_IOERR_WRITE);
}

static int vfs_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct handle *h = handle_of(file);

	if (is_dead(h))
		return SQLITE_IOERR_TRUNCATE;
	return code_of(sim_file_resize(h->disk, h->file, (uint64_t)size), SQLITE_IOERR_TRUNCATE);
}

static int vfs_sync(sqlite3_file *file, int flags)
{
	struct handle *h = handle_of(file);
	int rc;

	(void)flags;
	if (is_dead(h))
		return SQLITE_IOERR_FSYNC;
	rc = sim_file_sync(h->disk, h->file, h->sync_names);
	if (rc == OK)
		h->sync_names = false;
	return code_of(rc, SQLITE_IOERR_FSYNC);
}

static int vfs_file_size(sqlite3_file *file, sqlite3_int64 *size)
{
	struct handle *h = handle_of(file);

	if (is_dead(h))
		return SQLITE_IOERR_FSTAT;
	*size = (sqlite3_int64)h->file->now.len;
	return SQLITE_OK;
}

/* ---- locks ---- */

static int vfs_unlock(sqlite3_file *file, int to)
{
	struct handle *h = handle_of(file);
	struct sim_file *f = h->file;

	if (h->life != h->disk->life || to >= h->lock)
		return SQLITE_OK;
	if (f->reserved == h)
		f->reserved = NULL;
	if (f->pending == h)
		f->pending = NULL;
	if (f->exclusive == h)
		f->exclusive = NULL;
	if (to == SQLITE_LOCK_NONE)
		f->shared--;
	h->lock = to;
	return SQLITE_OK;
}

/* Has somebody else taken it? Else it is h's. */
static bool taken(const void **holder, const struct handle *h)
{
	if (*holder && *holder != h)
		return true;
	*holder = h;
	return false;
}

static int vfs_lock(sqlite3_file *file, int to)
{
	struct handle *h = handle_of(file);
	struct sim_file *f = h->file;

	if (is_dead(h))
		return SQLITE_IOERR_LOCK;
	if (to <= h->lock)
		return SQLITE_OK;
	if (h->lock == SQLITE_LOCK_NONE) {
		if (f->pending || f->exclusive)
			return SQLITE_BUSY;
		f->shared++;
		h->lock = SQLITE_LOCK_SHARED;
	}
	if (to >= SQLITE_LOCK_RESERVED && taken(&f->reserved, h))
		return SQLITE_BUSY;
	if (to == SQLITE_LOCK_EXCLUSIVE && (taken(&f->pending, h) || f->shared > 1))
		return SQLITE_BUSY;
	if (to == SQLITE_LOCK_EXCLUSIVE)
		f->exclusive = h;
	h->lock = to;
	return SQLITE_OK;
}

static int vfs_check_reserved(sqlite3_file *file, int *out)
{
	*out = handle_of(file)->file->reserved != NULL;
	return SQLITE_OK;
}

/* ---- files ---- */

static int vfs_file_control(sqlite3_file *file, int op, void *arg)
{
	(void)file;
	(void)op;
	(void)arg;
	return SQLITE_NOTFOUND;
}

static int vfs_sector_size(sqlite3_file *file)
{
	(void)file;
	return 4096;
}

static int vfs_characteristics(sqlite3_file *file)
{
	(void)file;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static int vfs_close(sqlite3_file *file)
{
	struct handle *h = handle_of(file);

	(void)vfs_unlock(file, SQLITE_LOCK_NONE);
	h->file->handles--;
	sim_disk_sweep(h->disk);
	return SQLITE_OK;
}

static const sqlite3_io_methods methods = {
	.iVersion = 1,
	.xClose = vfs_close,
	.xRead = vfs_read,
	.xWrite = vfs_write,
	.xTruncate = vfs_truncate,
	.xSync = vfs_sync,
	.xFileSize = vfs_file_size,
	.xLock = vfs_lock,
	.xUnlock = vfs_unlock,
	.xCheckReservedLock = vfs_check_reserved,
	.xFileControl = vfs_file_control,
	.xSectorSize = vfs_sector_size,
	.xDeviceCharacteristics = vfs_characteristics,
};

static struct sim_disk *disk_of(sqlite3_vfs *vfs)
{
	return vfs->pAppData;
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
	struct handle *h = handle_of(file);
	struct sim_disk *d = disk_of(vfs);
	bool create = flags & SQLITE_OPEN_CREATE || !name;
	int rc;

	*h = (struct handle){.disk = d, .life = d->life};
	rc = sim_file_open(d, name, create, &h->file);
	if (rc < 0)
		return rc == ERR_NOMEM ? SQLITE_NOMEM : SQLITE_CANTOPEN;
	h->base.pMethods = &methods;
	h->file->handles++;
	h->sync_names = create && flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL);
	if (out_flags)
		*out_flags = flags;
	return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
	int rc = sim_file_unlink(disk_of(vfs), name, sync);

	return rc == ERR_NOT_FOUND ? SQLITE_IOERR_DELETE_NOENT : code_of(rc, SQLITE_IOERR_DELETE);
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
	struct sim_disk *d = disk_of(vfs);

	if (d->crashed)
		return SQLITE_IOERR_ACCESS;
	*out = sim_file_find(d, name) && !(flags == SQLITE_ACCESS_READWRITE && d->faults.read_only);
	return SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *name, int room, char *out)
{
	(void)vfs;
	return snprintf(out, (size_t)room, "%s", name) < room ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int vfs_randomness(sqlite3_vfs *vfs, int len, char *out)
{
	for (int i = 0; i < len; i++)
		out[i] = (char)sim_disk_random(disk_of(vfs), 256);
	return len;
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
	(void)vfs;
	return us;
}

static int vfs_time(sqlite3_vfs *vfs, double *days)
{
	(void)vfs;
	*days = 2461041.5; /* 2026-01-01, in Julian days */
	return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *vfs, int room, char *out)
{
	(void)vfs;
	if (room > 0)
		out[0] = '\0';
	return 0;
}

int sim_disk_register(struct sim_disk *d)
{
	snprintf(d->vfs_name, sizeof(d->vfs_name), "sim-%p", (void *)d);
	d->vfs = (sqlite3_vfs){
		.iVersion = 1,
		.szOsFile = sizeof(struct handle),
		.mxPathname = 512,
		.zName = d->vfs_name,
		.pAppData = d,
		.xOpen = vfs_open,
		.xDelete = vfs_delete,
		.xAccess = vfs_access,
		.xFullPathname = vfs_full_path,
		.xRandomness = vfs_randomness,
		.xSleep = vfs_sleep,
		.xCurrentTime = vfs_time,
		.xGetLastError = vfs_last_error,
	};
	return sqlite3_vfs_register(&d->vfs, 0) == SQLITE_OK ? OK : ERR_NOMEM;
}

void sim_disk_unregister(struct sim_disk *d)
{
	(void)sqlite3_vfs_unregister(&d->vfs);
}

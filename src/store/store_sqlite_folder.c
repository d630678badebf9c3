/*
 * The folder of the database: 0700 if we make it, files 0600 whatever the umask is (SQLite gives its log the mode of the
 * database); a lock, so that two gateways do not use it; and a reserve: a file that is given up when the disk is full, so that
 * what was accepted, and deletes, can still be written.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "store/sqlite_db.h"

#define RESERVE_MAX (UINT64_C(64) << 20)
#define RESERVE_OF  16                  /* of the bytes we can have, one in so many */
#define RESERVE_MIN (UINT64_C(8) << 20) /* more than that when this is less */
#define RESERVE_TOP 4                   /* but no more than one in so many */

static char *in_folder(const struct store_sqlite *s, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", s->folder, name) < 0 ? NULL : path;
}

void sq_folder_init(struct sq_folder *f)
{
	*f = (struct sq_folder){.lock_fd = -1};
}

/* It may be somebody's on purpose: what is in it is 0600 anyway. */
static void warn_if_open(const struct store_sqlite *s)
{
	struct stat st;

	if (!s->vfs && stat(s->folder, &st) == 0 && S_ISDIR(st.st_mode) && st.st_mode & 022)
		log_warning("store", "%s: others may write there; chmod 700 %s", s->folder, s->folder);
}

static int make_folder(struct store_sqlite *s, char *why, size_t size)
{
	if (mkdir(s->folder, 0700) == 0) {
		if (chmod(s->folder, 0700) == 0)
			return OK;
	} else if (errno == EEXIST) {
		warn_if_open(s);
		return OK;
	}
	snprintf(why, size, "cannot make the folder %s: %s", s->folder, strerror(errno));
	return ERR_IO;
}

/* Open a file of the folder, made if it is not there, for its owner alone. -1: errno says why. */
static int open_private(const struct store_sqlite *s, const char *name)
{
	char *path = in_folder(s, name);
	int fd;

	if (!path) {
		errno = ENOMEM;
		return -1;
	}
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	free(path);
	/* Not ours to change on some file systems, and no reason to stop then. */
	if (fd >= 0 && fchmod(fd, 0600) < 0)
		log_warning("store", "%s/%s: cannot make it private: %s", s->folder, name, strerror(errno));
	return fd;
}

static int lock_folder(struct store_sqlite *s, char *why, size_t size)
{
	char pid[24] = "";
	int fd = open_private(s, "lock");
	ssize_t n;

	if (fd < 0) {
		snprintf(why, size, "cannot write in %s: %s", s->folder, strerror(errno));
		return ERR_IO;
	}
	s->disk.lock_fd = fd;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		n = pread(fd, pid, sizeof(pid) - 1, 0);
		pid[n > 0 ? n : 0] = '\0';
		snprintf(why, size, "another gateway uses %s: process %s; stop it, or name another folder",
			 s->folder, *pid ? pid : "unknown");
		return ERR_BUSY;
	}
	/* For people only: a full disk is no reason to stop. */
	n = snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) < 0)
		log_info("store", "%s/lock: %s", s->folder, strerror(errno));
	return OK;
}

int sq_folder_open(struct store_sqlite *s, char *why, size_t size)
{
	int rc = make_folder(s, why, size);

	return rc < 0 ? rc : lock_folder(s, why, size);
}

int sq_folder_make_file(struct store_sqlite *s, const char *name)
{
	int fd = open_private(s, name);

	if (fd < 0)
		return ERR_IO;
	close(fd);
	return OK;
}

uint64_t sq_folder_free(const struct store_sqlite *s)
{
	struct statvfs v;

	return statvfs(s->folder, &v) < 0 ? 0 : (uint64_t)v.f_bavail * v.f_frsize;
}

static bool make_reserve(struct store_sqlite *s)
{
	int fd = open_private(s, "reserve");
	bool made = fd >= 0 && posix_fallocate(fd, 0, (off_t)s->disk.ballast) == 0;

	if (fd >= 0 && !made && ftruncate(fd, 0) < 0)
		log_info("store", "%s/reserve: %s", s->folder, strerror(errno));
	if (fd >= 0)
		close(fd);
	s->disk.ballast_there = made;
	return made;
}

/* Of what is free and what is ours already, so that it is the same again after a start on a disk that is full of our database. */
static uint64_t reserve_size(uint64_t bytes)
{
	uint64_t size = bytes / RESERVE_OF;

	if (size > RESERVE_MAX)
		return RESERVE_MAX;
	if (size >= RESERVE_MIN)
		return size;
	return bytes / RESERVE_TOP < RESERVE_MIN ? bytes / RESERVE_TOP : RESERVE_MIN;
}

void sq_folder_plan(struct store_sqlite *s)
{
	struct stat st;
	uint64_t own = stat(s->path, &st) == 0 ? (uint64_t)st.st_size : 0;

	sq_folder_spend(s); /* of the last run */
	s->disk.ballast = reserve_size(sq_folder_free(s) + own);
}

bool sq_folder_reserve(struct store_sqlite *s)
{
	return s->disk.ballast_there || s->disk.ballast == 0 || make_reserve(s);
}

void sq_folder_spend(struct store_sqlite *s)
{
	char *path = in_folder(s, "reserve");

	if (path)
		unlink(path);
	free(path);
	s->disk.ballast_there = false;
}

bool sq_folder_restore(struct store_sqlite *s)
{
	if (s->disk.ballast_there || s->disk.ballast == 0)
		return true;
	return sq_folder_free(s) >= 2 * s->disk.ballast && make_reserve(s);
}

void sq_folder_close(struct store_sqlite *s)
{
	if (s->disk.lock_fd < 0)
		return;
	if (s->disk.ballast)
		sq_folder_spend(s);
	close(s->disk.lock_fd);
	s->disk.lock_fd = -1;
}

#include "store/disk_sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/disk_sim_impl.h"

#define SECTOR      512u
#define CHANGES_MAX 4096u /* of a file that are not synced: older ones get to the medium by themselves */

/* A write, or with `size_only` a change of the size to `at`. */
struct change {
	struct list node;
	uint64_t at, len;
	bool size_only;
	bool forgotten; /* a sync failed: this one never gets to the medium, though it is read */
	uint8_t bytes[];
};

uint64_t sim_disk_random(struct sim_disk *d, uint64_t bound)
{
	uint64_t x;

	/* splitmix64 */
	x = d->random += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (x ^ x >> 31) % bound;
}

static bool one_in(struct sim_disk *d, uint64_t n)
{
	return n > 0 && sim_disk_random(d, n) == 0;
}

/* ---- images ---- */

static int image_reserve(struct image *m, uint64_t size)
{
	uint64_t room = m->room ? m->room : 4096;
	uint8_t *bytes;

	if (size <= m->room)
		return OK;
	while (room < size)
		room *= 2;
	bytes = realloc(m->bytes, room);
	if (!bytes)
		return ERR_NOMEM;
	memset(bytes + m->room, 0, room - m->room);
	m->bytes = bytes;
	m->room = room;
	return OK;
}

static int image_resize(struct image *m, uint64_t size)
{
	if (image_reserve(m, size) < 0)
		return ERR_NOMEM;
	if (size < m->len)
		memset(m->bytes + size, 0, m->len - size);
	m->len = size;
	return OK;
}

static int image_write(struct image *m, const uint8_t *bytes, uint64_t len, uint64_t at)
{
	if (len == 0)
		return OK;
	if (at + len > m->len && image_resize(m, at + len) < 0)
		return ERR_NOMEM;
	memcpy(m->bytes + at, bytes, len);
	return OK;
}

static int image_copy(struct image *to, const struct image *from)
{
	if (image_resize(to, 0) < 0 || image_resize(to, from->len) < 0)
		return ERR_NOMEM;
	if (from->len > 0)
		memcpy(to->bytes, from->bytes, from->len);
	return OK;
}

/* ---- changes that are not synced ---- */

static int change_apply(struct image *m, const struct change *c)
{
	return c->size_only ? image_resize(m, c->at) : image_write(m, c->bytes, c->len, c->at);
}

static void change_free(struct sim_file *f, struct change *c)
{
	list_remove(&c->node);
	f->nchanges--;
	free(c);
}

static int change_add(struct sim_file *f, const struct change *what, const void *bytes)
{
	struct change *c;
	int rc;

	if (f->nchanges == CHANGES_MAX) {
		c = container_of(f->changes.next, struct change, node);
		if (!c->forgotten && (rc = change_apply(&f->medium, c)) < 0)
			return rc;
		change_free(f, c);
	}
	c = malloc(sizeof(*c) + what->len);
	if (!c)
		return ERR_NOMEM;
	*c = *what;
	list_init(&c->node);
	if (c->len > 0)
		memcpy(c->bytes, bytes, c->len);
	list_append(&f->changes, &c->node);
	f->nchanges++;
	return change_apply(&f->now, c);
}

static int changes_to_medium(struct sim_file *f)
{
	list_for_each (node, &f->changes) {
		struct change *c = container_of(node, struct change, node);
		int rc = c->forgotten ? OK : change_apply(&f->medium, c);

		if (rc < 0)
			return rc;
		change_free(f, c);
	}
	return OK;
}

/* ---- files and names ---- */

static void file_free(struct sim_file *f)
{
	list_for_each (node, &f->changes)
		change_free(f, container_of(node, struct change, node));
	list_remove(&f->node);
	free(f->now.bytes);
	free(f->medium.bytes);
	free(f);
}

static struct sim_file *file_create(struct sim_disk *d)
{
	struct sim_file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	list_init(&f->changes);
	list_init(&f->node);
	list_append(&d->files, &f->node);
	return f;
}

static bool file_has_name(const struct sim_disk *d, const struct sim_file *f)
{
	list_for_each (node, &d->names) {
		const struct sim_name *n = container_of(node, struct sim_name, node);

		if (n->now == f || n->medium == f)
			return true;
	}
	return false;
}

void sim_disk_sweep(struct sim_disk *d)
{
	list_for_each (node, &d->files) {
		struct sim_file *f = container_of(node, struct sim_file, node);

		if (f->handles == 0 && !file_has_name(d, f))
			file_free(f);
	}
}

static struct sim_name *name_find(const struct sim_disk *d, const char *text)
{
	list_for_each (node, &d->names) {
		struct sim_name *n = container_of(node, struct sim_name, node);

		if (strcmp(n->text, text) == 0)
			return n;
	}
	return NULL;
}

static struct sim_name *name_make(struct sim_disk *d, const char *text)
{
	struct sim_name *n = name_find(d, text);

	if (n)
		return n;
	n = calloc(1, sizeof(*n) + strlen(text) + 1);
	if (!n)
		return NULL;
	memcpy(n->text, text, strlen(text) + 1);
	list_init(&n->node);
	list_append(&d->names, &n->node);
	return n;
}

struct sim_file *sim_file_find(const struct sim_disk *d, const char *name)
{
	const struct sim_name *n = name_find(d, name);

	return n ? n->now : NULL;
}

static void names_to_medium(struct sim_disk *d)
{
	list_for_each (node, &d->names) {
		struct sim_name *n = container_of(node, struct sim_name, node);

		n->medium = n->now;
	}
	sim_disk_sweep(d);
}

/* ---- operations ---- */

/*
 * Every operation that changes anything begins here. ERR_CLOSED: the disk crashes at this one, which may be done all the same,
 * but nobody will be told.
 */
static int begin_op(struct sim_disk *d, uint32_t fails_one_in)
{
	if (d->crashed)
		return ERR_IO;
	d->ops++;
	if (d->ops == d->crash_op) {
		d->crashed = true;
		return ERR_CLOSED;
	}
	if (d->faults.read_only || one_in(d, fails_one_in))
		return ERR_IO;
	return OK;
}

int sim_file_open(struct sim_disk *d, const char *name, bool create, struct sim_file **out)
{
	struct sim_name *n = name ? name_find(d, name) : NULL;
	struct sim_file *f;
	int rc;

	if (n && n->now) {
		*out = n->now;
		return d->crashed ? ERR_IO : OK;
	}
	if (!create)
		return d->crashed ? ERR_IO : ERR_NOT_FOUND;
	rc = begin_op(d, d->faults.write_one_in);
	if (rc < 0 && rc != ERR_CLOSED)
		return rc;
	f = file_create(d);
	if (!f)
		return ERR_NOMEM;
	if (name) {
		n = name_make(d, name);
		if (!n)
			return ERR_NOMEM; /* the next sweep finds it */
		n->now = f;
	}
	*out = f;
	return rc == ERR_CLOSED ? ERR_IO : OK;
}

int sim_file_unlink(struct sim_disk *d, const char *name, bool sync)
{
	struct sim_name *n = name_find(d, name);
	int rc;

	if (d->crashed)
		return ERR_IO;
	if (!n || !n->now)
		return ERR_NOT_FOUND;
	rc = begin_op(d, d->faults.write_one_in);
	if (rc < 0 && rc != ERR_CLOSED)
		return rc;
	n->now = NULL;
	if (rc == ERR_CLOSED)
		return ERR_IO;
	if (!sync)
		return OK;
	rc = begin_op(d, d->faults.sync_one_in);
	if (rc == OK && !d->faults.sync_lies)
		names_to_medium(d);
	return rc == ERR_CLOSED ? ERR_IO : rc;
}

int sim_file_read(struct sim_disk *d, const struct sim_file *f, void *bytes, uint64_t len, uint64_t at,
		  uint64_t *got)
{
	if (d->crashed || one_in(d, d->faults.read_one_in))
		return ERR_IO;
	*got = at >= f->now.len ? 0 : f->now.len - at < len ? f->now.len - at : len;
	if (*got > 0)
		memcpy(bytes, f->now.bytes + at, *got);
	return OK;
}

uint64_t sim_disk_used(const struct sim_disk *d)
{
	uint64_t sum = 0;

	list_for_each (node, &d->files)
		sum += container_of(node, struct sim_file, node)->now.len;
	return sum;
}

/* How much of a write to f has room: what is there may be written anew. */
static uint64_t fits(const struct sim_disk *d, const struct sim_file *f, uint64_t len, uint64_t at)
{
	uint64_t used = sim_disk_used(d), end = at + len, free_bytes;

	if (d->faults.capacity == 0 || end <= f->now.len)
		return len;
	free_bytes = used < d->faults.capacity ? d->faults.capacity - used : 0;
	if (end - f->now.len <= free_bytes)
		return len;
	end = f->now.len + free_bytes;
	return end > at ? end - at : 0;
}

int sim_file_write(struct sim_disk *d, struct sim_file *f, const void *bytes, uint64_t len, uint64_t at)
{
	struct change c = {.at = at};
	int begun = begin_op(d, d->faults.write_one_in), rc;

	if (d->crashed && begun != ERR_CLOSED)
		return ERR_IO;
	c.len = fits(d, f, len, at);
	if (begun == ERR_IO) { /* in part */
		if (d->faults.read_only)
			return ERR_IO;
		c.len = sim_disk_random(d, c.len + 1);
	}
	if (c.len > 0 && (rc = change_add(f, &c, bytes)) < 0)
		return rc;
	if (begun < 0)
		return ERR_IO;
	return c.len == len ? OK : ERR_FULL;
}

int sim_file_resize(struct sim_disk *d, struct sim_file *f, uint64_t size)
{
	struct change c = {.at = size, .size_only = true};
	int begun = begin_op(d, d->faults.write_one_in), rc;

	if (begun < 0 && begun != ERR_CLOSED)
		return ERR_IO;
	if (size > f->now.len && fits(d, f, size - f->now.len, f->now.len) < size - f->now.len)
		return ERR_FULL;
	rc = change_add(f, &c, NULL);
	return begun == ERR_CLOSED ? ERR_IO : rc;
}

/* Linux takes the pages of a sync that failed for clean. */
static void sync_fails(struct sim_disk *d, struct sim_file *f)
{
	bool forgets = one_in(d, 2);

	list_for_each (node, &f->changes)
		if (forgets && one_in(d, 2))
			container_of(node, struct change, node)->forgotten = true;
}

int sim_file_sync(struct sim_disk *d, struct sim_file *f, bool and_names)
{
	int rc = begin_op(d, d->faults.sync_one_in);

	if (rc < 0) {
		if (rc == ERR_IO && !d->crashed)
			sync_fails(d, f);
		return ERR_IO;
	}
	if (d->faults.sync_lies)
		return OK;
	rc = changes_to_medium(f);
	if (rc == OK && and_names) {
		rc = begin_op(d, d->faults.sync_one_in);
		if (rc == OK)
			names_to_medium(d);
		else
			rc = ERR_IO;
	}
	return rc;
}

/* ---- what a power cut leaves ---- */

enum outcome {
	ALL_LOST,
	ALL_KEPT,
	FIRST_KEPT,  /* as a journal of the file system does it: up to one that is torn */
	SOME_KEPT,   /* each write is there or not */
	SECTORS_KEPT /* each sector of each is there, or not, or torn */
};

/* Bytes from..to of a write. */
static int keep_part(struct image *m, const struct change *c, uint64_t from, uint64_t to)
{
	return image_write(m, c->bytes + from, to - from, c->at + from);
}

static int keep_sectors(struct sim_disk *d, struct image *m, const struct change *c)
{
	uint64_t from = 0, to, cut;
	int rc = OK;

	for (; from < c->len && rc == OK; from = to) {
		to = from + SECTOR - (c->at + from) % SECTOR;
		if (to > c->len)
			to = c->len;
		cut = from + sim_disk_random(d, to - from + 1);
		switch (sim_disk_random(d, 6)) {
		case 0:
			rc = keep_part(m, c, from, cut);
			break;
		case 1:
			rc = keep_part(m, c, cut, to);
			break;
		case 2:
		case 3:
			rc = keep_part(m, c, from, to);
			break;
		default:
			break;
		}
	}
	return rc;
}

/* The size got to the medium, and the bytes did not. */
static int keep_size(struct image *m, const struct change *c)
{
	return c->at + c->len > m->len ? image_resize(m, c->at + c->len) : OK;
}

static int keep_some(struct sim_disk *d, struct image *m, const struct change *c, enum outcome how)
{
	int rc = OK;

	if (how == ALL_LOST || c->forgotten)
		return OK;
	if (how == ALL_KEPT || how == FIRST_KEPT)
		return change_apply(m, c);
	if (one_in(d, 8))
		rc = keep_size(m, c);
	if (rc == OK && how == SECTORS_KEPT && !c->size_only)
		return keep_sectors(d, m, c);
	return rc == OK && one_in(d, 2) ? change_apply(m, c) : rc;
}

static int file_after_power_cut(struct sim_disk *d, struct sim_file *f)
{
	enum outcome how = (enum outcome)sim_disk_random(d, SECTORS_KEPT + 1);
	uint64_t first = sim_disk_random(d, f->nchanges + 1u);

	list_for_each (node, &f->changes) {
		struct change *c = container_of(node, struct change, node);
		int rc = OK;

		if (how == FIRST_KEPT && first-- == 0) {
			if (!c->size_only && !c->forgotten)
				rc = keep_sectors(d, &f->medium, c);
			how = ALL_LOST;
		} else {
			rc = keep_some(d, &f->medium, c, how);
		}
		if (rc < 0)
			return rc;
		change_free(f, c);
	}
	return image_copy(&f->now, &f->medium);
}

static void names_after_power_cut(struct sim_disk *d)
{
	bool all = one_in(d, 3), none = !all && one_in(d, 2);

	list_for_each (node, &d->names) {
		struct sim_name *n = container_of(node, struct sim_name, node);

		if (n->now != n->medium && (none || (!all && one_in(d, 2))))
			n->now = n->medium;
	}
	names_to_medium(d);
}

/* What was in hand when the process died is in the memory of the system, which will write it. */
static void remember_changes(struct sim_file *f)
{
	list_for_each (node, &f->changes)
		container_of(node, struct change, node)->forgotten = false;
}

void sim_disk_restart(struct sim_disk *d, enum sim_disk_crash how)
{
	if (how == SIM_DISK_POWER_CUT)
		names_after_power_cut(d);
	list_for_each (node, &d->files) {
		struct sim_file *f = container_of(node, struct sim_file, node);

		f->shared = 0;
		f->reserved = f->pending = f->exclusive = NULL;
		if (how == SIM_DISK_PROCESS_CRASH)
			remember_changes(f);
		else if (file_after_power_cut(d, f) < 0)
			abort(); /* no memory, in a test */
	}
	d->crashed = false;
	d->crash_op = 0;
	d->life++;
}

/* ---- what tests ask and do ---- */

void sim_disk_set_faults(struct sim_disk *d, const struct sim_disk_faults *f)
{
	d->faults = *f;
}

uint64_t sim_disk_ops(const struct sim_disk *d)
{
	return d->ops;
}

void sim_disk_crash_at(struct sim_disk *d, uint64_t nth)
{
	d->crash_op = nth ? d->ops + nth : 0;
}

void sim_disk_crash(struct sim_disk *d)
{
	d->crashed = true;
}

bool sim_disk_crashed(const struct sim_disk *d)
{
	return d->crashed;
}

int64_t sim_disk_size(const struct sim_disk *d, const char *name)
{
	const struct sim_file *f = sim_file_find(d, name);

	return f ? (int64_t)f->now.len : -1;
}

const char *sim_disk_name(const struct sim_disk *d, unsigned i)
{
	list_for_each (node, &d->names) {
		const struct sim_name *n = container_of(node, struct sim_name, node);

		if (n->now && i-- == 0)
			return n->text;
	}
	return NULL;
}

bool sim_disk_damage(struct sim_disk *d, const char *name, uint32_t page)
{
	struct sim_file *f = sim_file_find(d, name);
	uint64_t first, at;

	if (!f || f->now.len < page)
		return false;
	first = sim_disk_random(d, f->now.len / page) * page;
	for (uint64_t n = 1 + sim_disk_random(d, 20); n > 0; n--) {
		uint8_t flip = (uint8_t)(1 + sim_disk_random(d, 255));

		at = first + sim_disk_random(d, page);
		f->now.bytes[at] ^= flip;
		if (at < f->medium.len)
			f->medium.bytes[at] ^= flip;
	}
	return true;
}

bool sim_disk_truncate(struct sim_disk *d, const char *name, uint64_t size)
{
	struct sim_file *f = sim_file_find(d, name);

	if (!f || size >= f->now.len || image_resize(&f->now, size) < 0)
		return false;
	if (size < f->medium.len && image_resize(&f->medium, size) < 0)
		return false;
	return true;
}

/* ---- life ---- */

int sim_disk_create(uint64_t seed, struct sim_disk **out)
{
	struct sim_disk *d = calloc(1, sizeof(*d));

	if (!d)
		return ERR_NOMEM;
	d->random = seed * UINT64_C(0x9e3779b97f4a7c15);
	list_init(&d->files);
	list_init(&d->names);
	if (sim_disk_register(d) < 0) {
		free(d);
		return ERR_NOMEM;
	}
	(void)sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, (int)(1 + seed % INT32_MAX), (sqlite3 *)NULL);
	*out = d;
	return OK;
}

void sim_disk_destroy(struct sim_disk *d)
{
	if (!d)
		return;
	sim_disk_unregister(d);
	list_for_each (node, &d->names) {
		list_remove(node);
		free(container_of(node, struct sim_name, node));
	}
	list_for_each (node, &d->files) {
		struct sim_file *f = container_of(node, struct sim_file, node);

		assert(f->handles == 0);
		file_free(f);
	}
	free(d);
}

const char *sim_disk_vfs(const struct sim_disk *d)
{
	return d->vfs_name;
}

#include "south/io_sysfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

struct chip {
	char *name;
	char *dir; /* NULL: it is not there */
	int rc;    /* of the last search: OK, ERR_NOT_FOUND, ERR_EXISTS (several of that name) */
};

struct point {
	size_t chip;
	char *name;
	double factor;
	bool is_lost; /* said already */
};

struct sysfs {
	struct io_driver driver;
	const struct sysfs_class *class;
	char *base; /* folder of the chips */
	struct chip *chips;
	size_t nchips;
	struct point *points[CONFIG_AREA_TC + 1];
	unsigned npoints[CONFIG_AREA_TC + 1];
};

/* ---- files ---- */

static int open_in(const char *dir, const char *file, int flags)
{
	char path[PATH_MAX];
	int fd, n = snprintf(path, sizeof(path), "%s/%s", dir, file);

	if (n < 0 || (size_t)n >= sizeof(path))
		return ERR_NOT_FOUND;
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO;
	return fd;
}

int sysfs_text(const char *dir, const char *file, char text[SYSFS_TEXT_MAX])
{
	int fd = open_in(dir, file, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	do
		n = read(fd, text, SYSFS_TEXT_MAX - 1);
	while (n < 0 && errno == EINTR);
	close(fd);
	if (n < 0)
		return ERR_IO;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return (int)strlen(text);
}

int sysfs_parse(const char *text, double *value)
{
	char *end;
	double x;

	if (!text[0] || !strchr("0123456789+-.", text[0])) /* strtod() would take "inf", "0x" and spaces */
		return ERR_MALFORMED;
	x = strtod(text, &end);
	if (end == text || (*end && *end != ' ') || !isfinite(x))
		return ERR_MALFORMED;
	*value = x;
	return OK;
}

int sysfs_number(const char *dir, const char *file, double *value)
{
	char text[SYSFS_TEXT_MAX];
	int rc = sysfs_text(dir, file, text);

	if (rc < 0)
		return rc;
	return sysfs_parse(text, value) < 0 ? ERR_IO : OK;
}

int sysfs_put(const char *dir, const char *file, int64_t value)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%" PRId64 "\n", value);
	int fd = open_in(dir, file, O_WRONLY), rc = OK;

	if (fd < 0)
		return fd;
	if (write(fd, text, (size_t)n) != n)
		rc = errno == EINVAL || errno == ERANGE ? ERR_RANGE : ERR_IO;
	close(fd);
	return rc;
}

const struct sysfs_quantity *sysfs_quantity(const struct sysfs_quantity *list, const char *point)
{
	for (; list->prefix; list++) {
		size_t n = strlen(list->prefix);

		if (strncmp(point, list->prefix, n) == 0 && strchr("0123456789_-", point[n]))
			break; /* strchr() finds the NUL, too */
	}
	return list;
}

/* ---- finding a chip ---- */

static bool file_says(const char *dir, const char *file, const char *name)
{
	char text[SYSFS_TEXT_MAX];

	return sysfs_text(dir, file, text) >= 0 && strcmp(text, name) == 0;
}

/* The last part of where `dir`/device leads, or of the folder that `dir` really is in. */
static bool has_address(const char *dir, const char *name)
{
	char path[PATH_MAX], real[PATH_MAX], *slash;
	int n = snprintf(path, sizeof(path), "%s/device", dir);

	if (n < 0 || (size_t)n >= sizeof(path))
		return false;
	if (!realpath(path, real)) {
		if (!realpath(dir, real) || !(slash = strrchr(real, '/')))
			return false;
		*slash = '\0';
	}
	slash = strrchr(real, '/');
	return slash && strcmp(slash + 1, name) == 0;
}

static bool is_chip(const char *dir, const char *name)
{
	return file_says(dir, "label", name) || file_says(dir, "name", name) || has_address(dir, name);
}

/* Look through the folder: one chip of that name, or how many. */
static int search(const struct sysfs *s, struct chip *c)
{
	size_t prefix = strlen(s->class->prefix);
	DIR *folder = opendir(s->base);
	int rc = ERR_NOT_FOUND;

	for (struct dirent *e = folder ? readdir(folder) : NULL; e; e = readdir(folder)) {
		char dir[PATH_MAX];
		int n = snprintf(dir, sizeof(dir), "%s/%s", s->base, e->d_name);

		if (strncmp(e->d_name, s->class->prefix, prefix) != 0 || n < 0 || (size_t)n >= sizeof(dir) ||
		    !is_chip(dir, c->name))
			continue;
		if (rc == OK) {
			rc = ERR_EXISTS;
			break;
		}
		c->dir = strdup(dir);
		rc = c->dir ? OK : ERR_NOMEM;
	}
	if (folder)
		closedir(folder);
	if (rc != OK) {
		free(c->dir);
		c->dir = NULL;
	}
	return rc;
}

/* The number of a folder may go to another chip, so its name is looked at each time. */
static int find(const struct sysfs *s, struct chip *c)
{
	if (c->dir && is_chip(c->dir, c->name))
		return OK;
	free(c->dir);
	c->dir = NULL;
	c->rc = search(s, c);
	return c->rc;
}

static bool fault(struct io_driver *d, char text[IO_FAULT_MAX])
{
	struct sysfs *s = container_of(d, struct sysfs, driver);
	const struct chip *first = &s->chips[0];

	for (size_t i = 0; i < s->nchips; i++)
		if (find(s, &s->chips[i]) == OK)
			return false;
	if (first->rc == ERR_EXISTS)
		snprintf(text, IO_FAULT_MAX,
			 "several chips are called \"%.30s\": name one by its address on its bus",
			 first->name);
	else
		snprintf(text, IO_FAULT_MAX, "no chip is called \"%.30s\" below %.36s", first->name, s->base);
	return true;
}

/* ---- points ---- */

static void say(struct point *p, const struct chip *c, int rc)
{
	if (rc < 0 && !p->is_lost)
		log_warning("io", "\"%s\" of chip \"%s\": %s", p->name, c->name,
			    !c->dir               ? "the chip is not there"
			    : rc == ERR_NOT_FOUND ? "the chip has no such point"
						  : err_text(rc));
	else if (rc == OK && p->is_lost)
		log_notice("io", "\"%s\" of chip \"%s\": there again", p->name, c->name);
	p->is_lost = rc < 0;
}

static void sysfs_read(struct io_driver *d, enum config_area kind, unsigned number, struct io_reading *r)
{
	struct sysfs *s = container_of(d, struct sysfs, driver);
	struct point *p = &s->points[kind][number];
	struct chip *c = &s->chips[p->chip];

	r->rc = find(s, c);
	if (r->rc == OK)
		r->rc = s->class->read(c->dir, p->name, kind == CONFIG_AREA_AO, r);
	say(p, c, r->rc);
	r->value *= p->factor;
}

static int sysfs_write(struct io_driver *d, enum config_area kind, unsigned number, bool on, double value)
{
	struct sysfs *s = container_of(d, struct sysfs, driver);
	struct point *p = &s->points[kind][number];
	struct chip *c = &s->chips[p->chip];
	int rc = find(s, c);

	(void)on;
	if (rc == OK && s->class->write)
		rc = s->class->write(c->dir, p->name, value / p->factor);
	if (rc == ERR_RANGE)
		return rc;
	say(p, c, rc);
	return rc < 0 ? ERR_IO : OK;
}

static const char *sysfs_unit(const struct io_driver *d, enum config_area kind, unsigned number)
{
	const struct sysfs *s = (const struct sysfs *)(const void *)d;

	return s->class->unit(s->points[kind][number].name);
}

/* ---- life ---- */

static void sysfs_destroy(struct io_driver *d)
{
	struct sysfs *s = container_of(d, struct sysfs, driver);

	for (size_t kind = 0; kind <= CONFIG_AREA_TC; kind++) {
		for (unsigned k = 0; k < s->npoints[kind]; k++)
			free(s->points[kind][k].name);
		free(s->points[kind]);
	}
	for (size_t i = 0; i < s->nchips; i++) {
		free(s->chips[i].name);
		free(s->chips[i].dir);
	}
	free(s->chips);
	free(s->base);
	free(s);
}

/* Index of the chip in *out; a module of its own for each. */
static int add_chip(struct sysfs *s, const char *name, size_t *out)
{
	for (*out = 0; *out < s->nchips; (*out)++)
		if (strcmp(s->chips[*out].name, name) == 0)
			return OK;
	s->chips[s->nchips] = (struct chip){.name = strdup(name), .rc = ERR_NOT_FOUND};
	return s->chips[s->nchips].name ? (s->nchips++, OK) : ERR_NOMEM;
}

static int add_point(struct sysfs *s, const struct config_module *m, unsigned k, size_t chip)
{
	struct point *p = &s->points[m->kind][s->npoints[m->kind]];

	*p = (struct point){.chip = chip, .name = strdup(m->points[k]), .factor = m->factor};
	if (!p->name)
		return ERR_NOMEM;
	s->npoints[m->kind]++;
	return OK;
}

static int add_module(struct sysfs *s, const struct config_line *line, const struct config_module *m)
{
	size_t chip;
	int rc = add_chip(s, m->device, &chip);

	if (rc == OK && !s->points[m->kind]) {
		s->points[m->kind] = calloc(config_line_channels(line, m->kind), sizeof(struct point));
		rc = s->points[m->kind] ? OK : ERR_NOMEM;
	}
	for (unsigned k = 0; rc == OK && k < m->channels; k++)
		rc = add_point(s, m, k, chip);
	return rc;
}

int io_sysfs_create(const struct sysfs_class *class, const struct config_line *line, struct io_driver **out)
{
	static const struct io_driver_ops ops = {.is_slow = true,
						 .read = sysfs_read,
						 .write = sysfs_write,
						 .fault = fault,
						 .unit = sysfs_unit,
						 .destroy = sysfs_destroy};
	const char *root = line->root ? line->root : "";
	struct sysfs *s = calloc(1, sizeof(*s));
	int rc = ERR_NOMEM;

	if (!s)
		return ERR_NOMEM;
	s->driver.ops = &ops;
	s->class = class;
	s->base = malloc(strlen(root) + strlen(class->dir) + 2);
	s->chips = calloc(line->nmodules, sizeof(*s->chips));
	if (!s->base || !s->chips)
		goto fail;
	sprintf(s->base, "%s/%s", root, class->dir);
	for (size_t i = 0; i < line->nmodules; i++)
		if ((rc = add_module(s, line, &line->modules[i])) < 0)
			goto fail;
	*out = &s->driver;
	return OK;
fail:
	sysfs_destroy(&s->driver);
	return rc;
}

/*
 * What drivers over the system's folders of chips (sysfs) have in common: a chip is found by its name, and again when it was away;
 * each of its values is a small file with a number. Reading may take as long as the chip takes to convert, so it is done in the rack's
 * thread.
 *
 * A chip is named by its label, its name, or its address on its bus (1-0048), in this order; by no number that the system gave
 * it, as that is another one after the next start.
 */
#ifndef SOUTH_IO_SYSFS_H
#define SOUTH_IO_SYSFS_H

#include "south/io_driver.h"

/* One class of chips. The functions are called in the rack's thread; `dir` is the folder of the chip. */
struct sysfs_class {
	const char *dir;    /* where the chips are, below the root: "sys/class/hwmon" */
	const char *prefix; /* of their folders: "hwmon" */
	/* OK, ERR_NOT_FOUND (no such point) or ERR_IO. */
	int (*read)(const char *dir, const char *point, bool is_output, struct io_reading *r);
	/* As read(), and ERR_RANGE. NULL: it has no outputs. */
	int (*write)(const char *dir, const char *point, double value);
	/* Static, or NULL. */
	const char *(*unit)(const char *point);
};

MUST_USE int io_sysfs_create(const struct sysfs_class *class, const struct config_line *line,
			     struct io_driver **out);

/* A kind of point: what its name begins with, and what its number means. */
struct sysfs_quantity {
	const char *prefix; /* followed by a digit, '_', '-' or nothing; NULL ends the list */
	const char *unit;
	double divisor; /* of the number in the file */
};

/* The line for a point, or the last one, which has no prefix. */
const struct sysfs_quantity *sysfs_quantity(const struct sysfs_quantity *list, const char *point);

#define SYSFS_TEXT_MAX 128u

/* The first line of dir/file, without its end. Its length, ERR_NOT_FOUND (no such file) or ERR_IO. */
MUST_USE int sysfs_text(const char *dir, const char *file, char text[SYSFS_TEXT_MAX]);
/* The same as a number. ERR_IO also when it is none. */
MUST_USE int sysfs_number(const char *dir, const char *file, double *value);
MUST_USE int sysfs_put(const char *dir, const char *file, int64_t value);

/* A number as the files hold it: decimal, perhaps with a unit behind a space. ERR_MALFORMED leaves *value. Pure. */
MUST_USE int sysfs_parse(const char *text, double *value);

#endif

#include "config/schema_scalar.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct suffix {
	const char *text;
	double factor;
};

static const struct suffix size_suffixes[] = {{"", 1}, {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824}};
static const struct suffix time_suffixes[] = {
	{"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Store a whole number that fits by the field's range. */
static void store_int(const struct schema_field *f, void *at, int64_t value)
{
	switch (f->width) {
	case 1:
		*(uint8_t *)at = (uint8_t)value;
		break;
	case 2:
		*(uint16_t *)at = (uint16_t)value;
		break;
	case 4:
		*(uint32_t *)at = (uint32_t)value;
		break;
	default:
		*(uint64_t *)at = (uint64_t)value;
		break;
	}
}

static bool is_within(const struct schema_field *f, double value)
{
	return value >= f->min && value <= f->max;
}

static int read_bool(const char *text, bool *at)
{
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return ERR_RANGE;
	*at = text[0] == 't';
	return OK;
}

static int read_int(const struct schema_field *f, const char *text, void *at)
{
	size_t sign = text[0] == '-';
	long long value;

	if (!text[sign] || strspn(text + sign, "0123456789") != strlen(text + sign))
		return ERR_RANGE;
	errno = 0;
	value = strtoll(text, NULL, 10);
	if (errno || !is_within(f, (double)value))
		return ERR_RANGE;
	store_int(f, at, value);
	return OK;
}

static int read_number(const struct schema_field *f, const char *text, double *at)
{
	char *end;
	double value;

	if (!text[0] || strspn(text, "0123456789+-.eE") != strlen(text) || !strpbrk(text, "0123456789"))
		return ERR_RANGE;
	value = strtod(text, &end);
	if (*end || !isfinite(value))
		return ERR_RANGE;
	if ((f->min != 0 || f->max != 0) && !is_within(f, value))
		return ERR_RANGE;
	*at = value;
	return OK;
}

/* Digits and one of the suffixes; 0 needs none. */
static int read_suffixed(const struct schema_field *f, const char *text, const struct suffix *list, size_t n,
			 void *at)
{
	size_t digits = strspn(text, "0123456789");
	double value;

	if (!digits || digits > 15)
		return ERR_RANGE;
	value = strtod(text, NULL);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(text + digits, list[i].text) != 0 && !(value == 0 && !text[digits]))
			continue;
		if (!is_within(f, value * list[i].factor))
			return ERR_RANGE;
		store_int(f, at, (int64_t)(value * list[i].factor));
		return OK;
	}
	return ERR_RANGE;
}

static int read_word(const struct schema_field *f, const char *text, void *at)
{
	for (const struct schema_word *w = f->words; w->word; w++) {
		if (strcmp(w->word, text) != 0)
			continue;
		if (w->later)
			return ERR_UNSUPPORTED;
		store_int(f, at, w->value);
		return OK;
	}
	return ERR_RANGE;
}

static int read_text(const struct schema_reader *r, const struct schema_field *f, const char *text,
		     const char **at)
{
	if (f->rule && !f->rule->parse(text, NULL))
		return ERR_RANGE;
	*at = arena_text(r->arena, text, strlen(text));
	return *at ? OK : ERR_NOMEM;
}

static int read_path(const struct schema_reader *r, const char *text, const char **at)
{
	size_t dir = text[0] == '/' ? 0 : strlen(r->base_dir), len = strlen(text);
	char *path;

	if (!len)
		return ERR_RANGE;
	path = arena_alloc(r->arena, dir + len + 1);
	if (!path)
		return ERR_NOMEM;
	memcpy(path, r->base_dir, dir);
	memcpy(path + dir, text, len);
	*at = path;
	return OK;
}

int schema_scalar(const struct schema_reader *r, const struct schema_field *f, const char *text, void *at)
{
	switch (f->kind) {
	case SCHEMA_BOOL:
		return read_bool(text, at);
	case SCHEMA_INT:
		return read_int(f, text, at);
	case SCHEMA_NUMBER:
	case SCHEMA_NUMBERS:
		return read_number(f, text, at);
	case SCHEMA_SIZE:
		return read_suffixed(f, text, size_suffixes, COUNT(size_suffixes), at);
	case SCHEMA_TIME:
		return read_suffixed(f, text, time_suffixes, COUNT(time_suffixes), at);
	case SCHEMA_ENUM:
		return read_word(f, text, at);
	case SCHEMA_RULE:
		return f->rule->parse(text, at) ? OK : ERR_RANGE;
	case SCHEMA_PATH:
		return read_path(r, text, at);
	case SCHEMA_TEXT:
	case SCHEMA_TEXTS:
		return read_text(r, f, text, at);
	case SCHEMA_MAP:
	case SCHEMA_MAPS:
	case SCHEMA_KEYS:
	case SCHEMA_LABELS:
	case SCHEMA_OPTION:
	case SCHEMA_ANY_MAP:
	case SCHEMA_ANY_LIST:
	case SCHEMA_LATER:
		break;
	}
	return ERR_RANGE;
}

/* In YAML a plain scalar may be text; in JSON it is a number, true, false or null. */
bool schema_takes_plain(const struct schema_reader *r, const struct schema_field *f)
{
	switch (f->kind) {
	case SCHEMA_BOOL:
	case SCHEMA_INT:
	case SCHEMA_NUMBER:
	case SCHEMA_NUMBERS:
	case SCHEMA_SIZE:
	case SCHEMA_TIME:
		return true;
	default:
		return r->format == DOC_YAML || (f->rule && f->rule->takes_number);
	}
}

bool schema_takes_quoted(const struct schema_reader *r, const struct schema_field *f)
{
	(void)r;
	return f->kind != SCHEMA_BOOL && f->kind != SCHEMA_INT && f->kind != SCHEMA_NUMBER &&
	       f->kind != SCHEMA_NUMBERS;
}

/* The largest unit that gives a whole number. */
static const char *suffixed(double value, const struct suffix *list, size_t n, char *buf, size_t size)
{
	for (size_t i = n; i-- > 0;) {
		if (i > 0 && (value < list[i].factor || fmod(value, list[i].factor) != 0))
			continue;
		snprintf(buf, size, "%.0f%s", value / list[i].factor, value == 0 ? "" : list[i].text);
		break;
	}
	return buf;
}

const char *schema_size_text(double bytes, char *buf, size_t size)
{
	return suffixed(bytes, size_suffixes, COUNT(size_suffixes), buf, size);
}

const char *schema_time_text(double ms, char *buf, size_t size)
{
	return suffixed(ms, time_suffixes, COUNT(time_suffixes), buf, size);
}

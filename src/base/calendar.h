/*
 * Dates of the Gregorian calendar and milliseconds since 1970, UTC: without time zones, leap seconds, the C library's
 * tables or its time_t. And ISO 8601 text, "2026-11-22T10:00:00Z", with ".250" when there are milliseconds. Pure.
 */
#ifndef BASE_CALENDAR_H
#define BASE_CALENDAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

struct calendar {
	int year; /* 1970..9999 */
	unsigned month, day, hour, minute, second, ms;
};

/* The first and the last that has a text of four digits for the year. */
#define CALENDAR_MS_MIN 0
#define CALENDAR_MS_MAX 253402300799999

/* ERR_RANGE: no such date or time. *ms is untouched then. */
MUST_USE int calendar_to_ms(const struct calendar *c, int64_t *ms);

/* `ms` is CALENDAR_MS_MIN..CALENDAR_MS_MAX. */
void calendar_of_ms(int64_t ms, struct calendar *out);

/* The same range. Returns the length; NUL terminated. */
#define CALENDAR_TEXT_MAX 25
size_t calendar_text(char buf[CALENDAR_TEXT_MAX], int64_t ms);

/*
 * Read such a text: with or without a fraction (digits beyond milliseconds must be 0), ending in Z or in an offset +hh:mm.
 * ERR_MALFORMED: not of the form; ERR_RANGE: no such date, or outside the range above.
 */
MUST_USE int calendar_parse(struct span text, int64_t *ms);

#endif

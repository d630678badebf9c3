#include "base/calendar.h"

#include <assert.h>
#include <stdio.h>

#define MS_PER_DAY 86400000

/* Days from 1970-01-01: years are counted from March, so that the leap day is the last of one. */
static int64_t days_of(int year, unsigned month, unsigned day)
{
	int y = year - (month <= 2);
	unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return (int64_t)y * 365 + y / 4 - y / 100 + y / 400 + of_year - 719468;
}

static unsigned days_in(int year, unsigned month)
{
	static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && is_leap);
}

int calendar_to_ms(const struct calendar *c, int64_t *ms)
{
	if (c->year < 1970 || c->year > 9999 || c->month < 1 || c->month > 12 || c->day < 1 ||
	    c->day > days_in(c->year, c->month) || c->hour > 23 || c->minute > 59 || c->second > 59 ||
	    c->ms > 999)
		return ERR_RANGE;
	*ms = days_of(c->year, c->month, c->day) * MS_PER_DAY +
	      ((c->hour * 60 + c->minute) * 60 + c->second) * INT64_C(1000) + c->ms;
	return OK;
}

void calendar_of_ms(int64_t ms, struct calendar *out)
{
	int64_t day = ms / MS_PER_DAY;
	unsigned rest = (unsigned)(ms % MS_PER_DAY);

	assert(ms >= CALENDAR_MS_MIN && ms <= CALENDAR_MS_MAX);
	*out = (struct calendar){.year = 1970 + (int)(day / 366), .month = 1, .day = 1};
	while (days_of(out->year + 1, 1, 1) <= day)
		out->year++;
	day -= days_of(out->year, 1, 1);
	for (; day >= days_in(out->year, out->month); out->month++)
		day -= days_in(out->year, out->month);
	out->day = (unsigned)day + 1;
	out->hour = rest / 3600000;
	out->minute = rest / 60000 % 60;
	out->second = rest / 1000 % 60;
	out->ms = rest % 1000;
}

size_t calendar_text(char buf[CALENDAR_TEXT_MAX], int64_t ms)
{
	struct calendar c;
	int n;

	calendar_of_ms(ms, &c);
	n = snprintf(buf, CALENDAR_TEXT_MAX, "%04d-%02u-%02uT%02u:%02u:%02u", c.year % 10000, c.month % 100,
		     c.day % 100, c.hour % 100, c.minute % 100, c.second % 100);
	n += snprintf(buf + n, CALENDAR_TEXT_MAX - (size_t)n, c.ms ? ".%03uZ" : "Z", c.ms % 1000);
	return (size_t)n;
}

/* `digits` digits, then `after` unless it is NUL. */
static bool take(struct rd *r, unsigned digits, char after, unsigned *out)
{
	*out = 0;
	for (; digits; digits--) {
		uint8_t c = rd_u8(r);

		if (r->bad || c < '0' || c > '9')
			return false;
		*out = *out * 10 + (c - '0');
	}
	return !after || rd_u8(r) == (uint8_t)after;
}

/* Behind the dot. */
static bool take_fraction(struct rd *r, unsigned *ms)
{
	unsigned weight = 100, digits = 0;

	for (; r->left && r->p[0] >= '0' && r->p[0] <= '9'; weight /= 10, digits++) {
		unsigned digit = rd_u8(r) - '0';

		if (digit && !weight)
			return false;
		*ms += digit * weight;
	}
	return digits > 0 && digits <= 9;
}

static bool take_zone(struct rd *r, int *minutes)
{
	uint8_t sign = rd_u8(r);
	unsigned hour, minute;

	*minutes = 0;
	if (sign == 'Z')
		return r->left == 0;
	if ((sign != '+' && sign != '-') || !take(r, 2, ':', &hour) || !take(r, 2, 0, &minute) || hour > 23 ||
	    minute > 59)
		return false;
	*minutes = (int)(hour * 60 + minute) * (sign == '-' ? -1 : 1);
	return r->left == 0;
}

int calendar_parse(struct span text, int64_t *ms)
{
	struct rd r = rd_of(text.p, text.len);
	struct calendar c = {0};
	unsigned year;
	int minutes, rc;
	int64_t at;

	if (!take(&r, 4, '-', &year) || !take(&r, 2, '-', &c.month) || !take(&r, 2, 'T', &c.day) ||
	    !take(&r, 2, ':', &c.hour) || !take(&r, 2, ':', &c.minute) || !take(&r, 2, 0, &c.second))
		return ERR_MALFORMED;
	if (r.left && r.p[0] == '.' && (rd_u8(&r), !take_fraction(&r, &c.ms)))
		return ERR_MALFORMED;
	if (!take_zone(&r, &minutes) || r.bad)
		return ERR_MALFORMED;
	c.year = (int)year;
	if ((rc = calendar_to_ms(&c, &at)) < 0)
		return rc;
	at -= (int64_t)minutes * 60000;
	if (at < CALENDAR_MS_MIN || at > CALENDAR_MS_MAX)
		return ERR_RANGE;
	*ms = at;
	return OK;
}

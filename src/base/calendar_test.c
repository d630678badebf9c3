#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/calendar.h"

static void every_day_to_9999_is_that_of_the_c_library(void **state)
{
	(void)state;
	for (int64_t ms = 0; ms <= CALENDAR_MS_MAX;
	     ms += 86400000 - 999) { /* the time of day wanders along */
		time_t seconds = (time_t)(ms / 1000);
		struct calendar c;
		struct tm tm;
		int64_t back;

		gmtime_r(&seconds, &tm);
		calendar_of_ms(ms, &c);
		assert_int_equal(c.year, tm.tm_year + 1900);
		assert_int_equal(c.month, tm.tm_mon + 1);
		assert_int_equal(c.day, tm.tm_mday);
		assert_int_equal(c.hour, tm.tm_hour);
		assert_int_equal(c.minute, tm.tm_min);
		assert_int_equal(c.second, tm.tm_sec);
		assert_int_equal(c.ms, ms % 1000);
		assert_int_equal(calendar_to_ms(&c, &back), OK);
		assert_true(back == ms);
	}
}

static void what_the_calendar_does_not_have_is_refused(void **state)
{
	static const struct calendar wrong[] = {
		{1969, 12, 31, 23, 59, 59, 0}, {10000, 1, 1, 0, 0, 0, 0},  {2026, 0, 1, 0, 0, 0, 0},
		{2026, 13, 1, 0, 0, 0, 0},     {2026, 1, 0, 0, 0, 0, 0},   {2026, 2, 29, 0, 0, 0, 0},
		{2100, 2, 29, 0, 0, 0, 0},     {2026, 4, 31, 0, 0, 0, 0},  {2026, 1, 1, 24, 0, 0, 0},
		{2026, 1, 1, 0, 60, 0, 0},     {2026, 1, 1, 0, 0, 60, 0},  {2026, 1, 1, 0, 0, 0, 1000},
		{2023, 2, 29, 0, 0, 0, 0},     {2024, 2, 30, 12, 0, 0, 0},
	};
	static const struct calendar right[] = {{2024, 2, 29, 0, 0, 0, 0}, {2000, 2, 29, 23, 59, 59, 999}};
	int64_t ms = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(calendar_to_ms(&wrong[i], &ms), ERR_RANGE);
	assert_true(ms == 7);
	for (size_t i = 0; i < sizeof(right) / sizeof(*right); i++)
		assert_int_equal(calendar_to_ms(&right[i], &ms), OK);
}

static void texts_are_read_and_written(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
		const char *again; /* NULL: the same */
	} cases[] = {
		{"1970-01-01T00:00:00Z", 0, NULL},
		{"2026-11-22T10:00:00Z", 1795341600000, NULL},
		{"2026-11-22T10:00:00.250Z", 1795341600250, NULL},
		{"2026-11-22T10:00:00.007Z", 1795341600007, NULL},
		{"9999-12-31T23:59:59.999Z", CALENDAR_MS_MAX, NULL},
		{"2026-11-22T10:00:00.0Z", 1795341600000, "2026-11-22T10:00:00Z"},
		{"2026-11-22T10:00:00.500000000Z", 1795341600500, "2026-11-22T10:00:00.500Z"},
		{"2026-11-22T11:30:00+01:30", 1795341600000, "2026-11-22T10:00:00Z"},
		{"2026-11-22T09:00:00-01:00", 1795341600000, "2026-11-22T10:00:00Z"},
	};
	static const struct {
		const char *text;
		int rc;
	} refused[] = {
		{"", ERR_MALFORMED},
		{"2026-11-22", ERR_MALFORMED},
		{"2026-11-22T10:00:00", ERR_MALFORMED},
		{"2026-11-22 10:00:00Z", ERR_MALFORMED},
		{"2026-11-22T10:00:00z", ERR_MALFORMED},
		{"2026-11-22T10:00:00.Z", ERR_MALFORMED},
		{"2026-11-22T10:00:00.0001Z", ERR_MALFORMED},
		{"2026-11-22T10:00:00.0000000000Z", ERR_MALFORMED},
		{"2026-11-22T10:00:00ZZ", ERR_MALFORMED},
		{"2026-11-22T10:00:00+0100", ERR_MALFORMED},
		{"2026-11-22T10:00:00+24:00", ERR_MALFORMED},
		{"+026-11-22T10:00:00Z", ERR_MALFORMED},
		{"2026-02-29T10:00:00Z", ERR_RANGE},
		{"2026-11-22T24:00:00Z", ERR_RANGE},
		{"1969-12-31T23:59:59Z", ERR_RANGE},
		{"1970-01-01T00:00:00+00:01", ERR_RANGE},
		{"9999-12-31T23:59:59-00:01", ERR_RANGE},
	};
	char text[CALENDAR_TEXT_MAX];
	size_t len;
	int64_t ms;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(calendar_parse(span_str(cases[i].text), &ms), OK);
		assert_true(ms == cases[i].ms);
		len = calendar_text(text, ms);
		assert_int_equal(len, strlen(text));
		assert_string_equal(text, cases[i].again ? cases[i].again : cases[i].text);
	}
	ms = 7;
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++)
		assert_int_equal(calendar_parse(span_str(refused[i].text), &ms), refused[i].rc);
	assert_true(ms == 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_day_to_9999_is_that_of_the_c_library),
		cmocka_unit_test(what_the_calendar_does_not_have_is_refused),
		cmocka_unit_test(texts_are_read_and_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

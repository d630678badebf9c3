#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/calendar.h"
#include "wire/modbus_value.h"

#define T(x) .type = VALUE_TYPE_##x
#define O(x) .order = BYTE_ORDER_##x

/* The registers are written by hand from the documents of the makers. */
static void date_times_of_meters_are_read_and_written(void **state)
{
	static const struct {
		struct modbus_format f;
		uint16_t regs[7];
		const char *text;
	} cases[] = {
		{{T(UNIX32), O(ABCD)}, {0x6B02, 0xBD20}, "2026-11-22T10:00:00Z"},
		{{T(UNIX32), O(CDAB)}, {0xBD20, 0x6B02}, "2026-11-22T10:00:00Z"},
		{{T(UNIX32), O(ABCD)}, {0xFFFF, 0xFFFF}, "2106-02-07T06:28:15Z"},
		{{T(UNIX64), O(ABCDEFGH)}, {0, 0, 0x6B02, 0xBD20}, "2026-11-22T10:00:00Z"},
		{{T(UNIX64), O(HGFEDCBA)}, {0x20BD, 0x026B, 0, 0}, "2026-11-22T10:00:00Z"},
		{{T(UNIX64MS), O(ABCDEFGH)}, {0, 0x01A2, 0x02B2, 0xC5FA}, "2026-11-22T10:00:00.250Z"},
		{{T(DATETIME3), O(ABCD)}, {0x1A0B, 0x160A, 0x1E05}, "2026-11-22T10:30:05Z"},
		{{T(DATETIME3), O(CDAB)}, {0x1E05, 0x160A, 0x1A0B}, "2026-11-22T10:30:05Z"},
		{{T(DATETIME3), O(BADC)}, {0x0B1A, 0x0A16, 0x051E}, "2026-11-22T10:30:05Z"},
		{{T(DATETIME3BCD), O(ABCD)}, {0x2611, 0x2210, 0x3005}, "2026-11-22T10:30:05Z"},
		{{T(DATETIME4), O(ABCD)}, {0x001A, 0x0B16, 0x0A1E, 0x13EC}, "2026-11-22T10:30:05.100Z"},
		{{T(DATETIME4), O(CDAB)}, {0x13EC, 0x0A1E, 0x0B16, 0x001A}, "2026-11-22T10:30:05.100Z"},
		{{T(DATETIME6), O(ABCD)}, {2026, 11, 22, 10, 30, 5}, "2026-11-22T10:30:05Z"},
		{{T(DATETIME7), O(ABCD)}, {2026, 11, 22, 10, 30, 5, 250}, "2026-11-22T10:30:05.250Z"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct modbus_value v;
		char text[CALENDAR_TEXT_MAX];
		uint16_t back[7] = {0};

		assert_int_equal(modbus_format_check(&cases[i].f), OK);
		assert_int_equal(modbus_value_decode(&cases[i].f, cases[i].regs, &v), OK);
		assert_int_equal(v.kind, VALUE_KIND_TIME);
		calendar_text(text, v.time);
		assert_string_equal(text, cases[i].text);
		assert_int_equal(modbus_value_encode(&cases[i].f, &v, back), OK);
		assert_memory_equal(back, cases[i].regs, sizeof(back));
	}
}

static void what_a_device_adds_is_passed_over(void **state)
{
	const struct modbus_format iec = {T(DATETIME4), O(ABCD)}, six = {T(DATETIME6), O(ABCD)};
	/* a day of the week, summer time, a reserved bit; a year of two digits */
	const uint16_t marked[4] = {0x801A, 0x0BF6, 0x8A1E, 0}, short_year[6] = {26, 11, 22, 10, 30, 0};
	struct modbus_value v;

	(void)state;
	assert_int_equal(modbus_value_decode(&iec, marked, &v), OK);
	assert_true(v.time == 1795343400000);
	assert_int_equal(modbus_value_decode(&six, short_year, &v), OK);
	assert_true(v.time == 1795343400000);
}

static void what_is_no_date_is_malformed(void **state)
{
	static const struct {
		struct modbus_format f;
		uint16_t regs[7];
	} cases[] = {
		{{T(UNIX64), O(ABCDEFGH)}, {0, 0x003B, 0, 0}},
		{{T(UNIX64MS), O(ABCDEFGH)}, {0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF}},
		{{T(DATETIME3), O(ABCD)}, {0x1A0D, 0x160A, 0x1E05}},
		{{T(DATETIME3BCD), O(ABCD)}, {0x261A, 0x2210, 0x3005}},
		{{T(DATETIME3BCD), O(ABCD)}, {0x2611, 0xA210, 0x3005}},
		{{T(DATETIME4), O(ABCD)}, {0x001A, 0x0B16, 0x0A9E, 0}}, /* marked as invalid */
		{{T(DATETIME4), O(ABCD)}, {0x001A, 0x0B16, 0x0A1E, 60000}},
		{{T(DATETIME4), O(ABCD)}, {0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF}},
		{{T(DATETIME6), O(ABCD)}, {2026, 2, 29, 10, 30, 5}},
		{{T(DATETIME6), O(ABCD)}, {0, 0, 0, 0, 0, 0}},
		{{T(DATETIME7), O(ABCD)}, {2026, 11, 22, 10, 30, 5, 1000}},
	};
	struct modbus_value v = {.kind = VALUE_KIND_NONE};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(modbus_value_decode(&cases[i].f, cases[i].regs, &v), ERR_MALFORMED);
	assert_int_equal(v.kind, VALUE_KIND_NONE);
}

static void what_the_device_cannot_store_is_refused(void **state)
{
	static const struct {
		struct modbus_format f;
		const char *text;
		int rc;
	} cases[] = {
		{{T(UNIX32), O(ABCD)}, "2106-02-07T06:28:16Z", ERR_RANGE},
		{{T(UNIX32), O(ABCD)}, "2026-11-22T10:00:00.001Z", ERR_RANGE},
		{{T(DATETIME3), O(ABCD)}, "1999-12-31T23:59:59Z", ERR_RANGE},
		{{T(DATETIME3), O(ABCD)}, "2255-12-31T23:59:59Z", OK},
		{{T(DATETIME3), O(ABCD)}, "2256-01-01T00:00:00Z", ERR_RANGE},
		{{T(DATETIME3BCD), O(ABCD)}, "2099-12-31T23:59:59Z", OK},
		{{T(DATETIME3BCD), O(ABCD)}, "2100-01-01T00:00:00Z", ERR_RANGE},
		{{T(DATETIME3BCD), O(ABCD)}, "2026-11-22T10:00:00.001Z", ERR_RANGE},
		{{T(DATETIME4), O(ABCD)}, "2127-12-31T23:59:59.999Z", OK},
		{{T(DATETIME4), O(ABCD)}, "2128-01-01T00:00:00Z", ERR_RANGE},
		{{T(DATETIME6), O(ABCD)}, "2026-11-22T10:00:00.001Z", ERR_RANGE},
	};
	const struct modbus_value number = {.kind = VALUE_KIND_UINT, .u = 1};
	uint16_t regs[7] = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct modbus_value v = {.kind = VALUE_KIND_TIME};

		assert_int_equal(calendar_parse(span_str(cases[i].text), &v.time), OK);
		assert_int_equal(modbus_value_encode(&cases[i].f, &v, regs), cases[i].rc);
	}
	assert_int_equal(modbus_value_encode(&cases[0].f, &number, regs), ERR_UNSUPPORTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(date_times_of_meters_are_read_and_written),
		cmocka_unit_test(what_a_device_adds_is_passed_over),
		cmocka_unit_test(what_is_no_date_is_malformed),
		cmocka_unit_test(what_the_device_cannot_store_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

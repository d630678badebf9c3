#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/modbus_address.h"

static void addresses_read_as_written(void **state)
{
	static const struct {
		const char *text;
		int rc;
		enum modbus_area area;
		unsigned number;
		int bit;
		const char *formatted; /* NULL: as it was */
	} cases[] = {
		{"holding:0", OK, MODBUS_AREA_HOLDING, 0, MODBUS_NO_BIT},
		{"holding:65535", OK, MODBUS_AREA_HOLDING, 65535, MODBUS_NO_BIT},
		{"holding:65536", ERR_RANGE, 0, 0, 0},
		{"holding:99999999999999999999", ERR_RANGE, 0, 0, 0},
		{"holding:7.3", OK, MODBUS_AREA_HOLDING, 7, 3},
		{"input:7.15", OK, MODBUS_AREA_INPUT, 7, 15},
		{"input:7.16", ERR_RANGE, 0, 0, 0},
		{"holding:7.", ERR_MALFORMED, 0, 0, 0},
		{"holding:", ERR_MALFORMED, 0, 0, 0},
		{"holding", ERR_MALFORMED, 0, 0, 0},
		{"", ERR_MALFORMED, 0, 0, 0},
		{"holding:-1", ERR_MALFORMED, 0, 0, 0},
		{"holding: 1", ERR_MALFORMED, 0, 0, 0},
		{"holding:1x", ERR_MALFORMED, 0, 0, 0},
		{"holding:7.3.1", ERR_MALFORMED, 0, 0, 0},
		{"coil:3", OK, MODBUS_AREA_COIL, 3, MODBUS_NO_BIT},
		{"coil:3.1", ERR_MALFORMED, 0, 0, 0},
		{"discrete:3", OK, MODBUS_AREA_DISCRETE, 3, MODBUS_NO_BIT},
		{"coils:3", ERR_NOT_FOUND, 0, 0, 0},
		{":3", ERR_NOT_FOUND, 0, 0, 0},
		{"40001", OK, MODBUS_AREA_HOLDING, 0, MODBUS_NO_BIT, "holding:0"},
		{"465536", OK, MODBUS_AREA_HOLDING, 65535, MODBUS_NO_BIT, "holding:65535"},
		{"40008.3", OK, MODBUS_AREA_HOLDING, 7, 3, "holding:7.3"},
		{"30001", OK, MODBUS_AREA_INPUT, 0, MODBUS_NO_BIT, "input:0"},
		{"100001", OK, MODBUS_AREA_DISCRETE, 0, MODBUS_NO_BIT, "discrete:0"},
		{"00001", OK, MODBUS_AREA_COIL, 0, MODBUS_NO_BIT, "coil:0"},
		{"00001.1", ERR_MALFORMED, 0, 0, 0},
		{"40000", ERR_RANGE, 0, 0, 0},
		{"465537", ERR_RANGE, 0, 0, 0},
		{"20001", ERR_NOT_FOUND, 0, 0, 0},
		{"50001", ERR_NOT_FOUND, 0, 0, 0},
		{"4001", ERR_MALFORMED, 0, 0, 0},
		{"4000001", ERR_MALFORMED, 0, 0, 0},
		{"40001x", ERR_MALFORMED, 0, 0, 0},
	};
	char text[MODBUS_ADDRESS_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct modbus_address a = {.number = 4242};

		assert_int_equal(modbus_address_parse(cases[i].text, &a), cases[i].rc);
		if (cases[i].rc < 0) {
			assert_int_equal(a.number, 4242);
			continue;
		}
		assert_int_equal(a.area, cases[i].area);
		assert_int_equal(a.number, cases[i].number);
		assert_int_equal(a.bit, cases[i].bit);
		assert_string_equal(modbus_address_format(&a, text, sizeof(text)),
				    cases[i].formatted ? cases[i].formatted : cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_read_as_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/gateway_rules.h"
#include "views/modbus_impl.h"

static struct config_allow entry(const char *net, enum config_access access)
{
	struct config_allow a = {.access = access};

	assert_true(rule_net.parse(net, &a.net));
	return a;
}

static void of_the_networks_that_hold_a_master_the_longest_prefix_decides(void **state)
{
	struct config_allow list[] = {
		entry("10.0.0.0/8", CONFIG_ACCESS_READ),   entry("10.1.2.0/23", CONFIG_ACCESS_WRITE),
		entry("10.1.3.7/32", CONFIG_ACCESS_NONE),  entry("fd00::/9", CONFIG_ACCESS_READ),
		entry("fd00::1/128", CONFIG_ACCESS_WRITE),
	};
	const struct config_modbus_view view = {.allow = list,
						.nallow = sizeof(list) / sizeof(list[0]),
						.default_access = CONFIG_ACCESS_NONE};
	static const struct {
		const char *peer;
		enum config_access access;
	} cases[] = {
		{"10.0.0.1:5000", CONFIG_ACCESS_READ},
		{"10.1.1.255:1", CONFIG_ACCESS_READ},
		{"10.1.2.0:1", CONFIG_ACCESS_WRITE},
		{"10.1.3.255:1", CONFIG_ACCESS_WRITE},
		{"10.1.4.0:1", CONFIG_ACCESS_READ},
		{"10.1.3.7:1", CONFIG_ACCESS_NONE},
		{"11.0.0.1:1", CONFIG_ACCESS_NONE},
		{"9.255.255.255:1", CONFIG_ACCESS_NONE},
		{"[::ffff:10.1.2.3]:1", CONFIG_ACCESS_WRITE},
		{"[fd00::1]:1", CONFIG_ACCESS_WRITE},
		{"[fd7f::2%eth0]:1", CONFIG_ACCESS_READ},
		{"[fd80::2]:1", CONFIG_ACCESS_NONE},
		{"[fd00::1", CONFIG_ACCESS_WRITE},
		{"somebody", CONFIG_ACCESS_NONE},
		{"", CONFIG_ACCESS_NONE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(modbus_allow_access(&view, cases[i].peer), cases[i].access);
}

static void without_networks_the_default_holds(void **state)
{
	const struct config_modbus_view view = {.default_access = CONFIG_ACCESS_READ};

	(void)state;
	assert_int_equal(modbus_allow_access(&view, "127.0.0.1:1"), CONFIG_ACCESS_READ);
}

static void what_is_no_network_is_refused(void **state)
{
	static const char *const texts[] = {"",           "10.0.0.0",   "10.0.0.0/",   "10.0.0.0/33",
					    "10.0.0.1/8", "fd00::/129", "10.0.0.0/ 8", "10.0.0.0/0008",
					    "/8",         "fd00::1/64"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_false(rule_net.parse(texts[i], NULL));
}

static void units_are_numbers_and_ranges(void **state)
{
	static const char *const wrong[] = {"",   "0",  "248",  "5-",   "-5",    "5-4",
					    "1,", ",1", "1,,2", "1 -2", "1-2-3", "0001"};
	struct config_units u = {{0}};

	(void)state;
	assert_true(rule_units.parse("1-3,9,247", &u));
	for (unsigned n = 0; n < 256; n++)
		assert_int_equal(u.bits[n / 8] >> n % 8 & 1, (n >= 1 && n <= 3) || n == 9 || n == 247);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(rule_units.parse(wrong[i], NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_the_networks_that_hold_a_master_the_longest_prefix_decides),
		cmocka_unit_test(without_networks_the_default_holds),
		cmocka_unit_test(what_is_no_network_is_refused),
		cmocka_unit_test(units_are_numbers_and_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/control_path.h"

static void a_configured_place_is_taken_as_it_is(void **state)
{
	struct gateway_config cfg = {.gateway = {.name = "n", .control_socket = "dir/c.sock"}};
	char buf[256];

	(void)state;
	assert_int_equal(control_path(&cfg, buf, sizeof(buf)), OK);
	assert_string_equal(buf, "dir/c.sock");
}

static void by_default_it_follows_from_user_and_name(void **state)
{
	struct gateway_config cfg = {.gateway = {.name = "plant1"}};
	char buf[256], expected[64];

	(void)state;
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	assert_int_equal(control_path(&cfg, buf, sizeof(buf)), OK);
	assert_string_equal(buf,
			    geteuid() ? "/run/user/7/lineside/plant1.sock" : "/run/lineside/plant1.sock");
	setenv("XDG_RUNTIME_DIR", "relative", 1); /* to be ignored, its specification says */
	assert_int_equal(control_path(&cfg, buf, sizeof(buf)), OK);
	snprintf(expected, sizeof(expected), "/tmp/lineside-%u/plant1.sock", (unsigned)geteuid());
	assert_string_equal(buf, geteuid() ? expected : "/run/lineside/plant1.sock");
}

static void a_path_is_no_longer_than_a_socket_can_have(void **state)
{
	struct gateway_config cfg = {.gateway = {.name = "n"}};
	char path[CONTROL_PATH_BYTES + 1], buf[256];

	(void)state;
	memset(path, 'x', sizeof(path));
	path[CONTROL_PATH_BYTES - 1] = '\0';
	cfg.gateway.control_socket = path;
	assert_int_equal(control_path(&cfg, buf, sizeof(buf)), OK);
	assert_int_equal(control_path(&cfg, buf, CONTROL_PATH_BYTES - 1), ERR_TOO_LARGE);
	path[CONTROL_PATH_BYTES - 1] = 'x';
	path[CONTROL_PATH_BYTES] = '\0';
	assert_int_equal(control_path(&cfg, buf, sizeof(buf)), ERR_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_configured_place_is_taken_as_it_is),
		cmocka_unit_test(by_default_it_follows_from_user_and_name),
		cmocka_unit_test(a_path_is_no_longer_than_a_socket_can_have),
	};

	return cmocka_run_group_tests_name("control_path", tests, NULL, NULL);
}

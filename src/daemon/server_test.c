#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/alloc_fail.h"
#include "daemon/server.h"

static const char text[] =
	"gateway: {control_socket: server_test.sock}\n"
	"broker: {workers: 2}\n"
	"listeners: [{name: l, protocol: mqtt, address: 127.0.0.1, port: 0, allow_anonymous: true}]\n"
	"lines: [{name: r, type: sim}, {name: p, type: modbus-tcp, host: 127.0.0.1, port: 1}]\n"
	"devices: [{name: rack, line: r}, {name: d, line: p, tags: [{name: t, address: coil:0}]}]\n";

static struct gateway_config *load(void)
{
	struct gateway_config *cfg = NULL;
	struct faults faults;

	faults_init(&faults, "f");
	assert_int_equal(gateway_config_parse("f", text, strlen(text), &cfg, &faults), OK);
	faults_fini(&faults);
	return cfg;
}

/* A SIGTERM that waits for the gateway to take it. */
static void hold_sigterm(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, set, NULL), 0);
	assert_int_equal(raise(SIGTERM), 0);
}

static void drop_sigterm(const sigset_t *set)
{
	const struct timespec now = {0};

	while (sigtimedwait(set, NULL, &now) == SIGTERM)
		;
}

static void a_gateway_that_is_told_to_stop_while_it_starts_stops(void **state)
{
	const struct server_options options = {.has_level = true, .level = LOG_ERROR};
	sigset_t set;

	(void)state;
	hold_sigterm(&set);
	assert_int_equal(server_run(&options, load()), OK);
	assert_int_equal(sigtimedwait(&set, NULL, &(struct timespec){0}), -1);
}

/* What it can do without it does without; the rest ends it, with everything freed. */
static void a_gateway_ends_cleanly_whatever_allocation_fails(void **state)
{
	const struct server_options options = {.has_level = true, .level = LOG_ERROR};
	bool hit = true;
	sigset_t set;

	(void)state;
	for (long n = 1; hit; n++) {
		struct gateway_config *cfg = load();
		int rc;

		hold_sigterm(&set);
		alloc_fail_at(n);
		rc = server_run(&options, cfg);
		hit = alloc_fail_end();
		assert_true(rc == OK || hit);
		drop_sigterm(&set);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_gateway_that_is_told_to_stop_while_it_starts_stops),
		cmocka_unit_test(a_gateway_ends_cleanly_whatever_allocation_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

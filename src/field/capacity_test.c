#include "field/capacity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/alloc_fail.h"
#include "config/faults.h"

static char said[CAPACITY_TEXT_MAX];
static unsigned nsaid;

static void say(void *arg, const char *text)
{
	(void)arg;
	snprintf(said, sizeof(said), "%s", text);
	nsaid++;
}

static struct gateway_config *parse(const char *line, const char *device)
{
	struct gateway_config *cfg = NULL;
	struct faults faults;
	char yaml[1024];

	snprintf(yaml, sizeof(yaml),
		 "gateway: {name: p}\nlines: [{name: a, %s}]\ndevices:\n  - {name: m1, line: a, %s, tags: "
		 "[{name: x, address: "
		 "'holding:0', type: int16}, {name: y, address: 'holding:59', type: int16}]}\n",
		 line, device);
	faults_init(&faults, "test.yaml");
	if (gateway_config_parse("test.yaml", yaml, strlen(yaml), &cfg, &faults) < 0)
		faults_print(&faults, stderr);
	faults_fini(&faults);
	assert_non_null(cfg);
	return cfg;
}

static void verdict(const char *line, const char *device, const char *expected)
{
	struct gateway_config *cfg = parse(line, device);

	nsaid = 0;
	assert_int_equal(capacity_check(cfg, say, NULL), OK);
	if (expected)
		assert_string_equal(said, expected);
	assert_int_equal(nsaid, expected != NULL);
	gateway_config_destroy(cfg);
}

#define PORT "type: modbus-rtu, path: /dev/ttyS0, "

/*
 * One block of 60 registers at 9600 8E1: 8 + 125 characters of 11 bits are 152.4 ms, 3.5 more are 4.0, and 10 ms are assumed before the
 * answer: 166.4 ms. Two requests of one register each: 2 * (8 + 7) characters are 34.4 ms, and 2 * 14 more: 62.4 ms.
 */
static void complaint_2_what_does_not_fit_the_baud_rate_is_said_before_the_start(void **state)
{
	(void)state;
	verdict(PORT "baud: 9600", "max_gap: 60, groups: [{name: g, scan: 167ms}]", NULL);
	verdict(PORT "baud: 9600", "max_gap: 60, groups: [{name: g, scan: 166ms}]",
		"line a: its scans ask for 101 % of the time that 9600 baud have; group g of m1 alone asks "
		"for 167 ms every 166 ms: "
		"scan it slower, or use 19200 baud");
	verdict(PORT "baud: 9600", "max_gap: 0, groups: [{name: g, scan: 63ms}]", NULL);
	verdict(PORT "baud: 9600", "max_gap: 0, groups: [{name: g, scan: 50ms}]",
		"line a: its scans ask for 125 % of the time that 9600 baud have; group g of m1 alone asks "
		"for 63 ms every 50 ms: "
		"scan it slower, join its 2 requests into 1 (max_gap), or use 19200 baud");
	verdict(PORT "baud: 115200", "silence: 150ms, groups: [{name: g, scan: 100ms}]",
		"line a: its scans ask for 327 % of the time that 115200 baud have; group g of m1 alone asks "
		"for 327 ms every 100 "
		"ms: scan it slower, join its 2 requests into 1 (max_gap)");
	verdict("type: modbus-tcp, host: h", "groups: [{name: g, scan: 10ms}]", NULL);
}

static void every_allocation_may_fail(void **state)
{
	struct gateway_config *cfg = parse(PORT "baud: 9600", "groups: [{name: g, scan: 10ms}]");
	bool hit = true;

	(void)state;
	for (long n = 1; hit; n++) {
		int rc;

		alloc_fail_at(n);
		rc = capacity_check(cfg, say, NULL);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
	}
	gateway_config_destroy(cfg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(complaint_2_what_does_not_fit_the_baud_rate_is_said_before_the_start),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

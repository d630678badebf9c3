/* For tests: tables of configurations with the one fault that each has. */
#ifndef CONFIG_GATEWAY_CONFIG_ROWS_H
#define CONFIG_GATEWAY_CONFIG_ROWS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config/gateway_config.h"

/* The caller has *cfg, if there is one, and `faults` to destroy. */
static int parse(const char *text, struct gateway_config **cfg, struct faults *faults)
{
	faults_init(faults, "f");
	return gateway_config_parse("f.yaml", text, strlen(text), cfg, faults);
}

struct row {
	const char *text;
	const char *fault; /* what stands behind the place; with it; NULL: no fault */
};

static void check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct gateway_config *cfg = NULL;
		struct faults faults;
		char got[1024] = "";
		int rc = parse(rows[i].text, &cfg, &faults);

		if (faults.count)
			snprintf(got, sizeof(got), "%s: %s", faults.list[0].path, faults.list[0].text);
		assert_string_equal(got, rows[i].fault ? rows[i].fault : "");
		assert_int_equal(faults.count, rows[i].fault ? 1 : 0);
		assert_int_equal(rc, rows[i].fault ? ERR_CONFIG : OK);
		gateway_config_destroy(cfg);
		faults_fini(&faults);
	}
}
#define CHECK_ROWS(rows) check_rows(rows, sizeof(rows) / sizeof((rows)[0]))

#endif

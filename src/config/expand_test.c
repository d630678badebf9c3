#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc_fail.h"
#include "config/expand.h"
#include "config/gateway_config.h"

#define LINES "lines: [{name: l, type: modbus-tcp, host: h}]\n"
#define PUMP                                                                                             \
	LINES "templates:\n"                                                                             \
	      "  - name: pump\n"                                                                         \
	      "    parameters: {base: null, ct: 0.5, what: bar}\n"                                       \
	      "    max_gap: 3\n"                                                                         \
	      "    groups: [{name: fast, scan: 2s}, {name: slow}]\n"                                     \
	      "    tags:\n"                                                                              \
	      "      - {name: a, address: \"holding:${base}\", type: int16, group: fast}\n"              \
	      "      - {name: b, address: \"holding:${base+10}\", type: int16, scale: \"${ct}\", unit: " \
	      "\"m${what}\", "                                                                           \
	      "group: slow}\n"                                                                           \
	      "devices:\n"

static int parse(const char *name, const char *text, struct gateway_config **cfg, struct faults *faults)
{
	faults_init(faults, name);
	return gateway_config_parse(name, text, strlen(text), cfg, faults);
}

static struct gateway_config *load(const char *name, const char *text)
{
	struct gateway_config *cfg = NULL;
	struct faults faults;
	int rc = parse(name, text, &cfg, &faults);

	if (rc < 0)
		faults_print(&faults, stderr);
	assert_int_equal(rc, OK);
	faults_fini(&faults);
	return cfg;
}

static void a_device_has_what_its_template_says(void **state)
{
	struct gateway_config *cfg =
		load("f.yaml", PUMP "  - {name: d, line: l, template: pump, parameters: {base: 100}}\n"
				    "  - {name: e, line: l, template: pump, max_gap: 5, parameters: {base: "
				    "7, ct: 2, what: V}}\n");
	const struct config_device *d = &cfg->devices[0], *e = &cfg->devices[1];

	(void)state;
	assert_int_equal(d->max_gap, 3);
	assert_int_equal(d->ngroups, 2);
	assert_int_equal(d->groups[0].scan_ms, 2000);
	assert_int_equal(d->ntags, 2);
	assert_int_equal(d->tags[0].address.number, 100);
	assert_int_equal(d->tags[1].address.number, 110);
	assert_true(d->tags[1].scale == 0.5);
	assert_string_equal(d->tags[1].unit, "mbar");
	assert_int_equal(e->max_gap, 5);
	assert_int_equal(e->tags[1].address.number, 17);
	assert_true(e->tags[1].scale == 2);
	assert_string_equal(e->tags[1].unit, "mV");
	gateway_config_destroy(cfg);
}

static void what_a_device_has_itself_stands_in_the_place_of_the_templates(void **state)
{
	struct gateway_config *cfg = load(
		"f.yaml", PUMP "  - name: d\n    line: l\n    template: pump\n    parameters: {base: 1}\n"
			       "    groups: [{name: slow, scan: 9s}, {name: more}]\n"
			       "    tags: [{name: c, address: coil:0, group: more}, {name: a, address: "
			       "coil:1, group: slow}]\n");
	const struct config_device *d = &cfg->devices[0];

	(void)state;
	assert_int_equal(d->ngroups, 3);
	assert_string_equal(d->groups[0].name, "fast");
	assert_int_equal(d->groups[1].scan_ms, 9000);
	assert_string_equal(d->groups[2].name, "more");
	assert_int_equal(d->ntags, 3);
	assert_string_equal(d->tags[0].name, "a");
	assert_int_equal(d->tags[0].address.area, CONFIG_AREA_COIL);
	assert_string_equal(d->tags[1].name, "b");
	assert_string_equal(d->tags[2].name, "c");
	gateway_config_destroy(cfg);
}

static void a_json_file_takes_templates_too(void **state)
{
	struct gateway_config *cfg =
		load("f.json", "{\"lines\":[{\"name\":\"l\",\"type\":\"modbus-tcp\",\"host\":\"h\"}],"
			       "\"templates\":[{\"name\":\"t\",\"parameters\":"
			       "{\"n\":4,\"u\":\"V\"},\"tags\":[{\"name\":\"x\",\"address\":\"holding:${n}\","
			       "\"type\":\"int16\",\"scale\":\"${n}\","
			       "\"unit\":\"${u}\"}]}],\"devices\":[{\"name\":\"d\",\"line\":\"l\","
			       "\"template\":\"t\"},{\"name\":\"e\",\"line\":\"l\","
			       "\"template\":\"abb-b23\"}]}");

	(void)state;
	assert_true(cfg->devices[0].tags[0].scale == 4);
	assert_string_equal(cfg->devices[0].tags[0].unit, "V");
	assert_true(cfg->devices[1].ntags > 10);
	gateway_config_destroy(cfg);
}

static void names_of_topics_are_left_to_them(void **state)
{
	struct gateway_config *cfg =
		load("f.yaml",
		     LINES "templates: [{name: t, parameters: {site: north}, topic: "
			   "\"${root}/${site}/${device}/${tag}\", tags: "
			   "[{name: x, address: coil:0}]}]\ndevices: [{name: d, line: l, template: t}]\n");

	(void)state;
	assert_string_equal(cfg->devices[0].tags[0].policy->topic, "${root}/north/${device}/${tag}");
	gateway_config_destroy(cfg);
}

static void what_is_wrong_names_the_template_and_the_device(void **state)
{
	static const struct {
		const char *text;
		const char *fault; /* the first */
	} cases[] = {
		{PUMP "  - {name: d, line: l, template: pump}\n",
		 "f.yaml:11:34: devices[0].template: the template \"pump\" needs the parameter base: add "
		 "parameters: {base: ...}"},
		{PUMP "  - {name: d, line: l, template: pump, parameters: {base: 1, bse: 2}}\n",
		 "f.yaml:11:67: devices[0].parameters.bse: is not a parameter of the template \"pump\", "
		 "allowed: base, ct, what"},
		{PUMP "  - {name: d, line: l, template: pump, parameters: {base: [1]}}\n",
		 "f.yaml:11:59: devices[0].parameters.base: allowed: a text or a number"},
		{PUMP "  - {name: d, line: l, template: pump, parameters: {base: x}}\n",
		 "f.yaml:8:28: devices[0].tags[0].address: found \"holding:x\""},
		{PUMP "  - {name: d, line: l, template: pump, parameters: {base: 65530}}\n",
		 "f.yaml:9:28: devices[0].tags[1].address: found \"holding:65540\""},
		{PUMP "  - {name: d, line: l, template: pmp, parameters: {base: 65530}}\n",
		 "f.yaml:11:34: devices[0].template: found \"pmp\", allowed: the name of a template of this "
		 "file"},
		{PUMP "  - {name: d, line: l, parameters: {base: 65530}, tags: []}\n",
		 "f.yaml:11:36: devices[0].parameters: applies only beside template"},
		{LINES "templates: [{name: t, tags: [{name: x, address: \"coil:${y}\"}]}]\ndevices: [{name: "
		       "d, line: l, template: t}]\n",
		 "f.yaml:2:49: devices[0].tags[0].address: found ${y} in the template \"t\", allowed: its "
		 "parameters: none"},
		{LINES "templates: [{name: t, tags: [{name: x, address: \"coil:${y\"}]}]\ndevices: [{name: "
		       "d, line: l, template: t}]\n",
		 "f.yaml:2:49: devices[0].tags[0].address: found \"coil:${y\", allowed: ${NAME}, ${NAME+4} "
		 "or ${NAME-4}"},
		{LINES "templates: [{name: t}, {name: t}]\n",
		 "f.yaml:2:24: templates[1]: found the name of another template: give it one of its own"},
		{LINES "templates: [{name: t, line: l}]\n",
		 "f.yaml:2:29: templates[0].line: does not belong in a template: give it to the device"},
		{LINES "templates: [{tags: []}]\n",
		 "f.yaml:2:13: templates[0]: found no map with a name, needed"},
		{LINES "templates: {name: t}\n", "f.yaml:2:12: templates: allowed: a list of maps"},
		{LINES
		 "devices: [{name: d, line: l, template: sunspec-inverter, parameters: {inverter: 65530}}]\n",
		 "sunspec-inverter.yaml (built in):"},
		{LINES "devices: [{name: d, line: l, tags_file: nothing.csv}]\n",
		 "f.yaml:2:41: devices[0].tags_file: cannot be read, allowed: a table of tags: No such file "
		 "or directory"},
		{LINES "devices: [{name: d, line: l, tags_file: /dev/zero}]\n",
		 "f.yaml:2:41: devices[0].tags_file: cannot be read, allowed: a table of tags: Invalid "
		 "argument"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct gateway_config *cfg = NULL;
		struct faults faults;
		char line[1024];

		assert_int_equal(parse("f.yaml", cases[i].text, &cfg, &faults), ERR_CONFIG);
		fault_format(&faults, 0, line, sizeof(line));
		if (strncmp(line, cases[i].fault, strlen(cases[i].fault)) != 0)
			assert_string_equal(line, cases[i].fault);
		faults_fini(&faults);
	}
}

static void memory_may_end_anywhere(void **state)
{
	char path[] = "/tmp/lineside-expand-XXXXXX", text[2048];
	int fd = mkstemp(path);
	static const char table[] =
		"name,address,type,map,group\nb,holding:1,int16,\"{raw: [0, 1], value: [0, 2]}\",slow\n";

	(void)state;
	assert_int_equal(write(fd, table, sizeof(table) - 1), sizeof(table) - 1);
	close(fd);
	snprintf(text, sizeof(text),
		 PUMP "  - {name: d, line: l, template: pump, parameters: {base: 1}, tags_file: %s, tags: "
		      "[{name: a, address: coil:0, group: fast}]}\n"
		      "  - {name: e, line: l, template: eurotherm-3200}\n",
		 path);
	for (long n = 1;; n++) {
		struct gateway_config *cfg = NULL;
		struct faults faults;
		bool hit;
		int rc;

		alloc_fail_at(n);
		rc = parse("f.yaml", text, &cfg, &faults);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		gateway_config_destroy(cfg);
		faults_fini(&faults);
		if (!hit)
			break;
	}
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_device_has_what_its_template_says),
		cmocka_unit_test(what_a_device_has_itself_stands_in_the_place_of_the_templates),
		cmocka_unit_test(a_json_file_takes_templates_too),
		cmocka_unit_test(names_of_topics_are_left_to_them),
		cmocka_unit_test(what_is_wrong_names_the_template_and_the_device),
		cmocka_unit_test(memory_may_end_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

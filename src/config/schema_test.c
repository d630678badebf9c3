#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc_fail.h"
#include "config/schema.h"

struct part {
	int32_t depth;
};

struct thing {
	bool on;
	int8_t small;
	uint16_t word;
	uint64_t big;
	double ratio, share;
	const char *text, *file;
	int colour;
	uint64_t bytes;
	uint32_t wait_ms;
	const char **names;
	size_t nnames;
	struct part part;
	struct part *parts;
	size_t nparts;
};

#define AT(member) SCHEMA_AT(struct thing, member)

static const struct schema_word colours[] = {{"red", 1}, {"green", 2}, {"blue", 0, .later = true}, {NULL, 0}};

static const struct schema_field part_fields[] = {
	{"depth", "d", SCHEMA_INT, SCHEMA_AT(struct part, depth), .min = -5, .max = 5, .preset = "3"},
};

static const struct schema part_table = {"part", sizeof(struct part), part_fields, 1};

static const struct schema_field fields[] = {
	{"on", "d", SCHEMA_BOOL, AT(on), .preset = "true"},
	{"small", "d", SCHEMA_INT, AT(small), .min = -128, .max = 127, .preset = "-1"},
	{"word", "d", SCHEMA_INT, AT(word), .min = 0, .max = 65535, .unset = "nothing"},
	{"big", "d", SCHEMA_INT, AT(big), .min = 0, .max = 1e15},
	{"ratio", "d", SCHEMA_NUMBER, AT(ratio), .preset = "0.5"},
	{"share", "d", SCHEMA_NUMBER, AT(share), .min = 0, .max = 1},
	{"text", "a \"quoted\" word", SCHEMA_TEXT, AT(text), .preset = "t"},
	{"file", "d", SCHEMA_PATH, AT(file)},
	{"colour", "d", SCHEMA_ENUM, AT(colour), .words = colours, .preset = "red"},
	{"bytes", "d", SCHEMA_SIZE, AT(bytes), .min = 1, .max = 1073741824.0 * 4},
	{"wait", "d", SCHEMA_TIME, AT(wait_ms), .min = 0, .max = 86400000.0 * 2},
	{"names", "d", SCHEMA_TEXTS, SCHEMA_LIST_AT(struct thing, names, nnames)},
	{"part", "d", SCHEMA_MAP, AT(part), .sub = &part_table},
	{"parts", "d", SCHEMA_MAPS, SCHEMA_LIST_AT(struct thing, parts, nparts), .sub = &part_table},
	{"soon", "what comes", SCHEMA_LATER},
};

static const struct schema table = {"thing", sizeof(struct thing), fields,
				    sizeof(fields) / sizeof(fields[0])};

struct result {
	struct thing thing;
	struct arena arena;
	struct faults faults;
	int rc;
};

static void read_thing(struct result *r, const char *text, enum doc_format format)
{
	struct schema_reader reader = {
		.arena = &r->arena, .faults = &r->faults, .format = format, .base_dir = "etc/"};
	struct doc *doc = NULL;

	*r = (struct result){0};
	faults_init(&r->faults, "f");
	r->rc = doc_parse(text, strlen(text), format, &r->faults, &doc);
	if (r->rc == OK)
		r->rc = schema_read(&reader, &table, doc->root, &r->thing);
	doc_destroy(doc);
}

static void done_with(struct result *r)
{
	arena_free(&r->arena);
	faults_fini(&r->faults);
}

static void absent_keys_get_their_presets(void **state)
{
	struct result r;

	(void)state;
	read_thing(&r, "{}", DOC_YAML);
	assert_int_equal(r.rc, OK);
	assert_false(faults_any(&r.faults));
	assert_true(r.thing.on);
	assert_int_equal(r.thing.small, -1);
	assert_int_equal(r.thing.word, 0);
	assert_true(r.thing.ratio == 0.5);
	assert_string_equal(r.thing.text, "t");
	assert_null(r.thing.file);
	assert_int_equal(r.thing.colour, 1);
	assert_int_equal(r.thing.part.depth, 3);
	assert_int_equal(r.thing.nparts, 0);
	done_with(&r);
}

static void every_kind_is_converted(void **state)
{
	static const char yaml[] =
		"{on: false, small: -128, word: 65535, big: 1000000000000000, ratio: -1.5e3, "
		"share: 1, text: 12, file: a.pem, colour: green, bytes: 4GiB, wait: 2d, "
		"names: [a, 'b'], part: {depth: -5}, parts: [{}, {depth: 5}]}";
	static const char json[] =
		"{\"on\": false, \"small\": -128, \"word\": 65535, \"big\": 1000000000000000, "
		"\"ratio\": -1.5e3, \"share\": 1, \"text\": \"12\", \"file\": \"a.pem\", "
		"\"colour\": \"green\", \"bytes\": 4294967296, \"wait\": \"2d\", "
		"\"names\": [\"a\", \"b\"], \"part\": {\"depth\": -5}, "
		"\"parts\": [{}, {\"depth\": 5}]}";
	struct result r;

	(void)state;
	for (int i = 0; i < 2; i++) {
		read_thing(&r, i ? json : yaml, i ? DOC_JSON : DOC_YAML);
		assert_int_equal(r.rc, OK);
		assert_false(faults_any(&r.faults));
		assert_false(r.thing.on);
		assert_int_equal(r.thing.small, -128);
		assert_int_equal(r.thing.word, 65535);
		assert_true(r.thing.big == 1000000000000000u);
		assert_true(r.thing.ratio == -1500);
		assert_true(r.thing.share == 1);
		assert_string_equal(r.thing.text, "12");
		assert_string_equal(r.thing.file, "etc/a.pem");
		assert_int_equal(r.thing.colour, 2);
		assert_true(r.thing.bytes == 4294967296u);
		assert_int_equal(r.thing.wait_ms, 172800000);
		assert_int_equal(r.thing.nnames, 2);
		assert_string_equal(r.thing.names[1], "b");
		assert_int_equal(r.thing.part.depth, -5);
		assert_int_equal(r.thing.nparts, 2);
		assert_int_equal(r.thing.parts[0].depth, 3);
		assert_int_equal(r.thing.parts[1].depth, 5);
		done_with(&r);
	}
}

static void each_suffix_has_its_factor(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes, ms;
	} rows[] = {
		{"bytes: 1", 1, 0},
		{"bytes: 3KiB", 3072, 0},
		{"bytes: \"2MiB\"", 2097152, 0},
		{"bytes: 1GiB", 1u << 30, 0},
		{"wait: 7ms", 0, 7},
		{"wait: 7s", 0, 7000},
		{"wait: '7min'", 0, 420000},
		{"wait: 7h", 0, 25200000},
		{"wait: 1d", 0, 86400000},
		{"wait: 0", 0, 0},
		{"wait: 0s", 0, 0},
	};
	struct result r;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		read_thing(&r, rows[i].text, DOC_YAML);
		assert_false(faults_any(&r.faults));
		assert_true(r.thing.bytes == rows[i].bytes);
		assert_int_equal(r.thing.wait_ms, rows[i].ms);
		done_with(&r);
	}
}

static void a_wrong_value_says_what_was_found_and_what_is_allowed(void **state)
{
	static const struct {
		const char *text, *fault;
	} rows[] = {
		{"on: yes", "f:1:5: on: found \"yes\", allowed: true, false"},
		{"on: 'true'", "f:1:5: on: found the text \"true\", allowed: true, false"},
		{"small: 128", "f:1:8: small: found \"128\", allowed: a whole number, -128..127"},
		{"small: -129", "f:1:8: small: found \"-129\", allowed: a whole number, -128..127"},
		{"small: 1.0", "f:1:8: small: found \"1.0\", allowed: a whole number, -128..127"},
		{"small: 0x1", "f:1:8: small: found \"0x1\", allowed: a whole number, -128..127"},
		{"small: -x", "f:1:8: small: found \"-x\", allowed: a whole number, -128..127"},
		{"small: 99999999999999999999",
		 "f:1:8: small: found \"99999999999999999999\", allowed: a whole number, -128..127"},
		{"small:", "f:1:7: small: found nothing, allowed: a whole number, -128..127"},
		{"small: {}", "f:1:8: small: found a map, allowed: a whole number, -128..127"},
		{"ratio: .inf", "f:1:8: ratio: found \".inf\", allowed: a number"},
		{"ratio: 1e999", "f:1:8: ratio: found \"1e999\", allowed: a number"},
		{"ratio: 1,5", "f:1:8: ratio: found \"1,5\", allowed: a number"},
		{"ratio: e", "f:1:8: ratio: found \"e\", allowed: a number"},
		{"share: 1.01", "f:1:8: share: found \"1.01\", allowed: a number, 0..1"},
		{"share: -0.1", "f:1:8: share: found \"-0.1\", allowed: a number, 0..1"},
		{"text: [a]", "f:1:7: text: found a list, allowed: text"},
		{"text: ~", "f:1:7: text: found nothing, allowed: text"},
		{"file: ''", "f:1:7: file: found \"\", allowed: a file name"},
		{"colour: gren",
		 "f:1:9: colour: found \"gren\", allowed: red, green; did you mean \"green\"?"},
		{"colour: blue", "f:1:9: colour: \"blue\" is not in this version"},
		{"bytes: 0", "f:1:8: bytes: found \"0\", allowed: a size in bytes, KiB, MiB or GiB, 1..4GiB"},
		{"bytes: 5GiB",
		 "f:1:8: bytes: found \"5GiB\", allowed: a size in bytes, KiB, MiB or GiB, 1..4GiB"},
		{"bytes: 5MB",
		 "f:1:8: bytes: found \"5MB\", allowed: a size in bytes, KiB, MiB or GiB, 1..4GiB"},
		{"wait: 5", "f:1:7: wait: found \"5\", allowed: a time in ms, s, min, h or d, 0..2d"},
		{"wait: 3d", "f:1:7: wait: found \"3d\", allowed: a time in ms, s, min, h or d, 0..2d"},
		{"wait: 1.5s", "f:1:7: wait: found \"1.5s\", allowed: a time in ms, s, min, h or d, 0..2d"},
		{"names: a", "f:1:8: names: found \"a\", allowed: a list of texts"},
		{"names: [a, {}]", "f:1:12: names[1]: found a map, allowed: text"},
		{"part: []", "f:1:7: part: found a list, allowed: a map"},
		{"part: {depth: 6}", "f:1:15: part.depth: found \"6\", allowed: a whole number, -5..5"},
		{"parts: {}", "f:1:8: parts: found a map, allowed: a list of maps"},
		{"parts: [{}, 1]", "f:1:13: parts[1]: found \"1\", allowed: a map, a part"},
		{"parts: [{dept: 1}]",
		 "f:1:10: parts[0].dept: is not a key of a part, did you mean \"depth\"?"},
		{"part: {xyz: 1}", "f:1:8: part.xyz: is not a key of a part, allowed: depth"},
		{"soon: 1", "f:1:7: soon: is not in this version (what comes)"},
		{"[]", "f:1:1: found a list, allowed: a map, a thing"},
	};
	char line[1024];
	struct result r;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		read_thing(&r, rows[i].text, DOC_YAML);
		assert_int_equal(r.rc, OK);
		assert_int_equal(r.faults.count, 1);
		assert_string_equal(fault_format(&r.faults, 0, line, sizeof(line)), rows[i].fault);
		done_with(&r);
	}
}

static void json_keeps_text_and_numbers_apart(void **state)
{
	static const char *const wrong[] = {"{\"text\": 12}",     "{\"text\": true}",   "{\"text\": null}",
					    "{\"small\": \"1\"}", "{\"on\": \"true\"}", "{\"colour\": 1}"};
	struct result r;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		read_thing(&r, wrong[i], DOC_JSON);
		assert_int_equal(r.faults.count, 1);
		done_with(&r);
	}
}

static const char *next_colour(const void *arg, size_t i)
{
	(void)arg;
	return colours[i].word;
}

static void the_nearest_word_is_one_that_is_mostly_right(void **state)
{
	char word[60];

	(void)state;
	assert_string_equal(schema_nearest("geren", next_colour, NULL), "green");
	assert_string_equal(schema_nearest("rd", next_colour, NULL), "red");
	assert_string_equal(schema_nearest("greens", next_colour, NULL), "green");
	assert_null(schema_nearest("", next_colour, NULL));
	assert_null(schema_nearest("yellow", next_colour, NULL));
	memset(word, 'g', sizeof(word));
	word[sizeof(word) - 1] = '\0';
	assert_null(schema_nearest(word, next_colour, NULL));
}

static void every_failing_allocation_is_reported(void **state)
{
	static const char text[] = "{text: a, file: b, names: [a, b], parts: [{}, {}], small: x, colour: y}";
	bool hit = true;

	(void)state;
	for (long n = 1; hit; n++) {
		struct result r;

		alloc_fail_at(n);
		read_thing(&r, text, DOC_YAML);
		hit = alloc_fail_end();
		assert_int_equal(r.rc, hit ? ERR_NOMEM : OK);
		done_with(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(absent_keys_get_their_presets),
		cmocka_unit_test(every_kind_is_converted),
		cmocka_unit_test(each_suffix_has_its_factor),
		cmocka_unit_test(a_wrong_value_says_what_was_found_and_what_is_allowed),
		cmocka_unit_test(json_keeps_text_and_numbers_apart),
		cmocka_unit_test(the_nearest_word_is_one_that_is_mostly_right),
		cmocka_unit_test(every_failing_allocation_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

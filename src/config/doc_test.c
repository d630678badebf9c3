#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc_fail.h"
#include "config/doc.h"

/* What a tree holds, as one text: every value with its place, "k@1:2=v". */
static void describe(const struct doc_node *n, char *buf, size_t size)
{
	static const char *const opens[] = {"{", "[", ""}, *const closes[] = {"}", "]", ""};
	size_t at = strlen(buf);

	snprintf(buf + at, size - at, "%s%s%u:%u%s%s%s", n->key ? n->key : "", n->key ? "@" : "", n->line,
		 n->column,
		 n->quoted ? "'"
		 : n->text ? "="
			   : "",
		 n->text ? n->text : "", opens[n->kind]);
	for (const struct doc_node *c = n->first; c; c = c->next) {
		describe(c, buf, size);
		at = strlen(buf);
		snprintf(buf + at, size - at, "%s", c->next ? " " : "");
	}
	at = strlen(buf);
	snprintf(buf + at, size - at, "%s", closes[n->kind]);
}

struct reading {
	const char *input;
	enum doc_format format;
	const char *tree;  /* NULL: none */
	const char *fault; /* the first one, or NULL */
};

static void check_reading(const struct reading *t)
{
	char got[1024] = "", line[1024];
	struct doc *doc = NULL;
	struct faults faults;
	int rc;

	faults_init(&faults, "f");
	rc = doc_parse(t->input, strlen(t->input), t->format, &faults, &doc);
	if (t->tree) {
		assert_int_equal(rc, OK);
		describe(doc->root, got, sizeof(got));
		assert_string_equal(got, t->tree);
	} else {
		assert_int_equal(rc, ERR_CONFIG);
		assert_null(doc);
	}
	if (t->fault) {
		assert_true(faults_any(&faults));
		assert_string_equal(fault_format(&faults, 0, line, sizeof(line)), t->fault);
	} else {
		assert_false(faults_any(&faults));
	}
	doc_destroy(doc);
	faults_fini(&faults);
}

static void a_tree_knows_the_place_of_every_value(void **state)
{
	static const struct reading table[] = {
		{"a: 1\nb:\n  - 'x'\n  - y\n", DOC_YAML, "1:1{a@1:4=1 b@3:3[3:5'x 4:5=y]}"},
		{"{\n \"a\": 1,\n \"b\": [\"x\", true]}", DOC_JSON, "1:1{a@2:7=1 b@3:7[3:8'x 3:13=true]}"},
		{"{\"\xc3\xa4\":1,\"b\":-2.5e3}", DOC_JSON, "1:1{\xc3\xa4@1:6=1 b@1:12=-2.5e3}"},
		{"\xc3\xa4: \xe2\x82\xac\n", DOC_YAML, "1:1{\xc3\xa4@1:4=\xe2\x82\xac}"},
		{"{\"a\": \"q\\\"\\u00e4\\ud83d\\ude00\\\\\"}", DOC_JSON,
		 "1:1{a@1:7'q\"\xc3\xa4\xf0\x9f\x98\x80\\}"},
		{"{\"a\\u0062\":{},\"c\":[]}\n", DOC_JSON, "1:1{ab@1:12{} c@1:19[]}"},
		{"t: |\n  two\n  lines\n", DOC_YAML, "1:1{t@1:4'two\nlines\n}"},
		{"a:\nb: ~\n", DOC_YAML, "1:1{a@1:3= b@2:4=~}"},
		{"%YAML 1.1\n---\na: 1\n...\n", DOC_YAML, "3:1{a@3:4=1}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		check_reading(&table[i]);
}

static void what_is_not_taken_is_refused_with_its_place(void **state)
{
	static const struct reading table[] = {
		{"a: 1\nb: 2\na: 3\n", DOC_YAML, "1:1{a@1:4=1 b@2:4=2 a@3:4=3}",
		 "f:3:1: a: the key stands here again, first at line 1; remove one of them"},
		{"{\"a\":\n[{\"b\":1,\n\"b\":2}]}", DOC_JSON, "1:1{a@2:1[2:2{b@2:7=1 b@3:5=2}]}",
		 "f:3:1: a[0].b: the key stands here again, first at line 2; remove one of them"},
		{"a: &x 1\n", DOC_YAML, "1:1{a@1:4=1}",
		 "f:1:4: a: found the anchor &x, but anchors and aliases are not taken"},
		{"a: &x {}\nb: *x\n", DOC_YAML, NULL,
		 "f:1:4: a: found the anchor &x, but anchors and aliases are not taken"},
		{"a: [*x]\n", DOC_YAML, NULL,
		 "f:1:5: a[0]: found the alias *x, but anchors and aliases are not taken"},
		{"a: [1, !!str 2]\n", DOC_YAML, "1:1{a@1:4[1:5=1 1:8=2]}",
		 "f:1:8: a[1]: found the tag tag:yaml.org,2002:str, but tags are not taken"},
		{"%TAG ! tag:x,2000:\n---\na: 1\n", DOC_YAML, "3:1{a@3:4=1}",
		 "f:1:1: found a %TAG directive, but tags are not taken"},
		{"a: 1\n---\nb: 1\n", DOC_YAML, NULL, "f:2:1: a second document starts here, allowed: one"},
		{"? [a]\n: 1\n", DOC_YAML, NULL, "f:1:3: found a list as a key, allowed: text"},
		{"a: {? {b: 1} : 2}\n", DOC_YAML, NULL, "f:1:7: a: found a map as a key, allowed: text"},
		{"a: \"\\0\"\n", DOC_YAML, NULL, "f:1:4: a: text with a NUL character"},
		{"a: [1\nb: 2\n", DOC_YAML, NULL,
		 "f:2:2: not YAML: did not find expected ',' or ']' (while parsing a flow sequence from line "
		 "1)"},
		{"a: \xff\n", DOC_YAML, NULL,
		 "f:1:4: not YAML: invalid leading UTF-8 octet; give it as text in UTF-8"},
		{"a:\n\tb: 1\n", DOC_YAML, NULL,
		 "f:2:1: not YAML: a tab at the beginning of the line, allowed: spaces"},
		{"a:\n  \tb: 1\n", DOC_YAML, NULL,
		 "f:2:3: not YAML: a tab at the beginning of the line, allowed: spaces"},
		{"\t", DOC_YAML, NULL,
		 "f:1:1: not YAML: a tab at the beginning of the line, allowed: spaces"},
		{"{\"a\": 1,}", DOC_JSON, NULL, "f:1:9: not JSON: string or '}' expected near '}'"},
		{"{\"a\": 01}", DOC_JSON, NULL, "f:1:7: not JSON: invalid token near '0'"},
		{"{\"a\": 1} x", DOC_JSON, NULL, "f:1:10: not JSON: end of file expected near 'x'"},
		{"{'a': 1}", DOC_JSON, NULL, "f:1:2: not JSON: string or '}' expected near '''"},
		{"{\"a\": \"\\u0000\"}", DOC_JSON, NULL,
		 "f:1:14: not JSON: \\u0000 is not allowed without JSON_ALLOW_NUL near '\"\\u0000\"'"},
		{"", DOC_JSON, NULL, "f:1:1: not JSON: '[' or '{' expected near end of file"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		check_reading(&table[i]);
}

static void an_empty_document_has_no_root(void **state)
{
	struct doc *doc = NULL;
	struct faults faults;

	(void)state;
	faults_init(&faults, "f");
	assert_int_equal(doc_parse("# nothing\n", 10, DOC_YAML, &faults, &doc), OK);
	assert_null(doc->root);
	doc_destroy(doc);
	faults_fini(&faults);
}

/* `depth` lists in each other, in a buffer to free. */
static char *nested(size_t depth)
{
	char *text = malloc(2 * depth + 1);

	assert_non_null(text);
	memset(text, '[', depth);
	memset(text + depth, ']', depth);
	text[2 * depth] = '\0';
	return text;
}

static void nesting_ends_at_its_limit(void **state)
{
	static const enum doc_format formats[] = {DOC_YAML, DOC_JSON};
	struct faults faults;
	struct doc *doc;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		for (size_t depth = DOC_MAX_DEPTH; depth <= DOC_MAX_DEPTH + 1; depth++) {
			char *text = nested(depth);
			int rc;

			doc = NULL;
			faults_init(&faults, "f");
			rc = doc_parse(text, 2 * depth, formats[i], &faults, &doc);
			assert_int_equal(rc, depth <= DOC_MAX_DEPTH ? OK : ERR_CONFIG);
			assert_int_equal(faults_any(&faults), depth > DOC_MAX_DEPTH);
			doc_destroy(doc);
			faults_fini(&faults);
			free(text);
		}
	}
}

static void keys_of_a_map_end_at_their_limit(void **state)
{
	char text[16 * (DOC_MAX_KEYS + 2)];
	struct faults faults;
	struct doc *doc;
	size_t at;

	(void)state;
	for (size_t n = DOC_MAX_KEYS; n <= DOC_MAX_KEYS + 1; n++) {
		at = 0;
		for (size_t i = 0; i < n; i++)
			at += (size_t)snprintf(text + at, sizeof(text) - at, "k%zu: 1\n", i);
		doc = NULL;
		faults_init(&faults, "f");
		assert_int_equal(doc_parse(text, at, DOC_YAML, &faults, &doc),
				 n <= DOC_MAX_KEYS ? OK : ERR_CONFIG);
		doc_destroy(doc);
		faults_fini(&faults);
	}
}

static void a_file_larger_than_its_limit_is_refused_unread(void **state)
{
	char *text = calloc(1, DOC_MAX_BYTES + 1);
	struct doc *doc = NULL;
	struct faults faults;

	(void)state;
	assert_non_null(text);
	faults_init(&faults, "f");
	assert_int_equal(doc_parse(text, DOC_MAX_BYTES + 1, DOC_YAML, &faults, &doc), ERR_CONFIG);
	assert_int_equal(faults.count, 1);
	faults_fini(&faults);
	free(text);
}

static void every_failing_allocation_is_reported(void **state)
{
	static const char text[] = "a: [1, {b: c, b: d}]\ne: |\n  f\n";
	bool hit = true;

	(void)state;
	for (long n = 1; hit; n++) {
		struct doc *doc = NULL;
		struct faults faults;
		int rc;

		faults_init(&faults, "f");
		alloc_fail_at(n);
		rc = doc_parse(text, sizeof(text) - 1, DOC_YAML, &faults, &doc);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		doc_destroy(doc);
		faults_fini(&faults);
	}
}

static void faults_beyond_the_limit_are_counted(void **state)
{
	char long_text[FAULT_TEXT_BYTES * 2];
	struct faults f;

	(void)state;
	memset(long_text, 'x', sizeof(long_text));
	long_text[sizeof(long_text) - 1] = '\0';
	faults_init(&f, "f");
	for (unsigned i = 0; i < FAULTS_MAX + 3; i++)
		faults_add(&f, FAULTS_MAX + 3 - i, 1, long_text, "%s\x1b[m\xff\n", i ? "x" : long_text);
	assert_int_equal(f.count, FAULTS_MAX);
	assert_int_equal(f.left_out, 3);
	assert_string_equal(f.list[1].text, "x?[m??");
	assert_string_equal(f.list[0].text + FAULT_TEXT_BYTES - 5, "x...");
	faults_sort(&f);
	for (size_t i = 1; i < f.count; i++)
		assert_true(f.list[i - 1].line < f.list[i].line);
	faults_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tree_knows_the_place_of_every_value),
		cmocka_unit_test(what_is_not_taken_is_refused_with_its_place),
		cmocka_unit_test(an_empty_document_has_no_root),
		cmocka_unit_test(nesting_ends_at_its_limit),
		cmocka_unit_test(keys_of_a_map_end_at_their_limit),
		cmocka_unit_test(a_file_larger_than_its_limit_is_refused_unread),
		cmocka_unit_test(every_failing_allocation_is_reported),
		cmocka_unit_test(faults_beyond_the_limit_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

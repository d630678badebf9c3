#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc_fail.h"
#include "tools/store_copy.h"
#include "tools/store_groups.h"

static const char whole[] =
	"{\"type\":\"lineside-store\",\"version\":1}\n"
	"{\"type\":\"session\",\"client\":\"a\",\"expiry_s\":60,\"away_ms\":5}\n"
	"{\"type\":\"session\",\"client\":\"b\",\"will\":{\"delay_s\":1,\"message\":{\"topic\":\"w\","
	"\"payload\":\"p\","
	"\"qos\":1}}}\n"
	"{\"type\":\"subscription\",\"client\":\"a\",\"filter\":\"t/#\",\"qos\":1}\n"
	"{\"type\":\"received\",\"client\":\"b\",\"packet_id\":7}\n"
	"{\"type\":\"retained\",\"message\":{\"topic\":\"r\",\"payload_base64\":\"AP8=\",\"qos\":1,"
	"\"retain\":true}}\n"
	"{\"type\":\"message\",\"client\":\"a\",\"qos\":2,\"state\":\"released\",\"packet_id\":3}\n"
	"{\"type\":\"message\",\"client\":\"a\",\"qos\":2,\"state\":\"sent\",\"packet_id\":4,\"subscription_"
	"ids\":[1,2],"
	"\"message\":{\"topic\":\"t/x\",\"payload\":\"1\",\"qos\":2}}\n"
	"{\"type\":\"message\",\"client\":\"a\",\"qos\":1,\"message\":{\"topic\":\"t/"
	"y\",\"payload\":\"\",\"qos\":1}}\n"
	"{\"type\":\"end\",\"lines\":9}\n";

static FILE *file_of(const char *text)
{
	FILE *f = fmemopen((void *)(uintptr_t)text, strlen(text), "r");

	assert_non_null(f);
	return f;
}

static int import(struct store_backend *b, const char *text, bool replace, struct store_import_result *out)
{
	struct store_problem p;
	FILE *f = file_of(text);
	int rc = store_import(b, f, replace, 1000, out, &p);

	fclose(f);
	return rc;
}

/* To free(); NULL: *rc says why. */
static char *exported(struct store_backend *b, int *rc)
{
	struct store_counts n;
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	*rc = f ? store_export(b, f, &n) : ERR_NOMEM;
	if (f)
		fclose(f);
	if (*rc == OK)
		return text;
	free(text);
	return NULL;
}

static struct store_backend *backend(void)
{
	struct store_backend *b = NULL;

	assert_int_equal(store_mem_create(&b), OK);
	return b;
}

static void what_is_imported_is_exported_the_same(void **state)
{
	struct store_backend *b = backend();
	struct store_import_result r;
	char *text;
	int rc;

	(void)state;
	for (int i = 0; i < 2; i++) { /* also in place of what is there */
		assert_int_equal(import(b, whole, true, &r), OK);
		assert_int_equal(r.taken.sessions, 2);
		assert_int_equal(r.taken.messages, 3);
		assert_int_equal(r.kept, 0);
		text = exported(b, &rc);
		assert_int_equal(rc, OK);
		assert_string_equal(text, whole);
		free(text);
	}
	b->ops->close(b);
}

static void what_is_there_stays(void **state)
{
	static const char other[] =
		"{\"type\":\"lineside-store\",\"version\":1}\n{\"type\":\"session\",\"client\":\"a\"}\n"
		"{\"type\":\"subscription\",\"client\":\"a\",\"filter\":\"other\",\"qos\":0}\n"
		"{\"type\":\"retained\",\"message\":{\"topic\":\"r\",\"payload\":\"new\",\"qos\":1,"
		"\"retain\":true}}\n"
		"{\"type\":\"end\",\"lines\":4}\n";
	struct store_backend *b = backend();
	struct store_import_result r;
	char *text;
	int rc;

	(void)state;
	assert_int_equal(import(b, whole, false, &r), OK);
	assert_int_equal(import(b, other, false, &r), OK);
	assert_int_equal(r.kept, 1);
	assert_int_equal(r.kept_retained, 1);
	assert_int_equal(r.taken.sessions + r.taken.subs + r.taken.retained, 0);
	text = exported(b, &rc);
	assert_string_equal(text, whole);
	free(text);
	b->ops->close(b);
}

static void a_check_finds_what_is_wrong_as_a_whole(void **state)
{
#define BEGIN   "{\"type\":\"lineside-store\",\"version\":1}\n"
#define SESSION "{\"type\":\"session\",\"client\":\"a\"}\n"
	static const struct {
		const char *text;
		uint64_t line; /* 0: nothing is wrong */
	} rows[] = {
		{whole, 0},
		{BEGIN "{\"type\":\"end\",\"lines\":1}\n", 0},
		{BEGIN "{\"type\":\"end\",\"lines\":1}\n\n", 0},
		{BEGIN "{\"type\":\"end\",\"lines\":1}", 0},
		{"x", 1},
		{SESSION, 1},
		{BEGIN, 2},
		{BEGIN BEGIN, 2},
		{BEGIN "{\"type\":\"end\",\"lines\":2}\n", 2},
		{BEGIN "{\"type\":\"end\",\"lines\":1}\n" BEGIN, 3},
		{BEGIN SESSION SESSION "{\"type\":\"end\",\"lines\":3}\n", 3},
		{BEGIN
		 "{\"type\":\"received\",\"client\":\"a\",\"packet_id\":1}\n{\"type\":\"end\",\"lines\":2}\n",
		 2},
		{BEGIN SESSION "{\"type\":\"received\",\"client\":\"a\",\"packet_id\":1}\n"
			       "{\"type\":\"received\",\"client\":\"a\",\"packet_id\":1}\n",
		 4},
		{BEGIN SESSION
		 "{\"type\":\"message\",\"client\":\"a\",\"qos\":2,\"state\":\"released\",\"packet_id\":1}\n"
		 "{\"type\":\"received\",\"client\":\"a\",\"packet_id\":1}\n"
		 "{\"type\":\"message\",\"client\":\"a\",\"qos\":2,\"state\":\"released\",\"packet_id\":1}\n",
		 5},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct store_counts n;
		struct store_problem p;
		FILE *f = file_of(rows[i].text);
		int rc = store_import_check(f, &n, &p);

		fclose(f);
		assert_int_equal(rc, rows[i].line ? ERR_MALFORMED : OK);
		if (rows[i].line)
			assert_int_equal(p.line, rows[i].line);
	}
}

static void every_failing_allocation_is_reported(void **state)
{
	(void)state;
	for (long n = 1;; n++) {
		struct store_backend *b = backend();
		struct store_import_result r;
		struct store_counts counts;
		struct store_problem p;
		char *text = NULL;
		FILE *f = file_of(whole);
		bool hit;
		int rc;

		alloc_fail_at(n);
		rc = store_import_check(f, &counts, &p);
		if (rc == OK) {
			rewind(f);
			rc = store_import(b, f, false, 1000, &r, &p);
		}
		if (rc == OK)
			text = exported(b, &rc);
		hit = alloc_fail_end();
		if (!hit)
			assert_string_equal(text, whole);
		else if (rc < 0)
			assert_true(rc == ERR_NOMEM || rc == ERR_IO);
		else
			assert_string_equal(text, whole);
		free(text);
		fclose(f);
		b->ops->close(b);
		if (!hit)
			break;
	}
}

/* "a:4," for a session with so many lines, ":1," for retained messages. */
static int read_groups(const char *text, char *out, size_t size)
{
	struct store_groups *g = NULL;
	struct store_group one;
	struct store_problem p;
	FILE *f = file_of(text);
	size_t len = 0, n = 1;
	int rc;

	out[0] = '\0';
	rc = f ? store_groups_open(f, &p, &g) : ERR_NOMEM;
	while (rc == OK && n && (rc = store_groups_next(g, &one)) == OK) {
		n = one.n;
		if (n)
			len += (size_t)snprintf(out + len, size - len, "%.*s:%zu,",
						(int)one.lines[0].client.len,
						(const char *)one.lines[0].client.p, n);
		store_group_fini(&one);
	}
	store_groups_close(g);
	fclose(f);
	return rc;
}

static void lines_are_put_together_by_session(void **state)
{
	static char text[32768];
	char out[128];
	size_t len;

	(void)state;
	assert_int_equal(read_groups(whole, out, sizeof(out)), OK);
	assert_string_equal(out, "a:5,b:2,:1,");
	len = (size_t)snprintf(text, sizeof(text), "{\"type\":\"lineside-store\",\"version\":1}\n");
	for (unsigned i = 0; i < 300; i++)
		len += (size_t)snprintf(
			text + len, sizeof(text) - len,
			"{\"type\":\"retained\",\"message\":{\"topic\":\"r%u\",\"payload\":\"x\",\"qos\":1,"
			"\"retain\":true}}\n",
			i);
	snprintf(text + len, sizeof(text) - len, "{\"type\":\"end\",\"lines\":301}\n");
	assert_int_equal(read_groups(text, out, sizeof(out)), OK);
	assert_string_equal(out, ":256,:44,");
}

static void grouping_reports_every_failing_allocation(void **state)
{
	bool failed = true;
	char out[128];
	int rc;

	(void)state;
	for (unsigned n = 2; failed; n++) { /* the first is the test's own */
		alloc_fail_at(n);
		rc = read_groups(whole, out, sizeof(out));
		failed = alloc_fail_end();
		if (rc == OK)
			assert_string_equal(out, "a:5,b:2,:1,");
		else
			assert_true(rc == ERR_NOMEM || rc == ERR_IO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_imported_is_exported_the_same),
		cmocka_unit_test(what_is_there_stays),
		cmocka_unit_test(a_check_finds_what_is_wrong_as_a_whole),
		cmocka_unit_test(every_failing_allocation_is_reported),
		cmocka_unit_test(lines_are_put_together_by_session),
		cmocka_unit_test(grouping_reports_every_failing_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

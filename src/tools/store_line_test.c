#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc_fail.h"
#include "tools/json_text.h"
#include "tools/store_line.h"

#define M(more) "\"message\":{\"topic\":\"t/x\",\"payload\":\"p\",\"qos\":1" more "}"

/* What is read and printed again, to free(); NULL: out of memory. */
static char *again(const char *text, int *rc)
{
	struct store_line l;
	char why[256], *out = NULL;
	size_t len;
	FILE *f;

	*rc = store_line_read(span_str(text), &l, why, sizeof(why));
	if (*rc < 0)
		return NULL;
	f = open_memstream(&out, &len);
	if (!f)
		*rc = ERR_NOMEM;
	else if (l.kind == STORE_LINE_BEGIN)
		*rc = store_line_print_begin(f);
	else if (l.kind == STORE_LINE_END)
		*rc = store_line_print_end(f, l.lines);
	else
		*rc = store_line_print(f, l.client, &l.op);
	store_line_fini(&l);
	if (f)
		fclose(f);
	if (out && *rc == OK)
		out[strcspn(out, "\n")] = '\0';
	return out;
}

static const char *const lines[] = {
	"{\"type\":\"lineside-store\",\"version\":1}",
	"{\"type\":\"end\",\"lines\":123456789012}",
	"{\"type\":\"session\",\"client\":\"a\"}",
	"{\"type\":\"session\",\"client\":\"\u00e4\\\"\\\\\",\"expiry_s\":4294967294,\"away_ms\":"
	"1763800000000}",
	"{\"type\":\"session\",\"client\":\"a\",\"expiry_s\":1,\"will\":{\"delay_s\":5,\"expiry_s\":0," M(
		",\"retain\":true,\"properties_base64\":\"AQE=\"") "}}",
	"{\"type\":\"session\",\"client\":\"a\",\"will\":{\"delay_s\":0," M("") "}}",
	"{\"type\":\"subscription\",\"client\":\"a\",\"filter\":\"$share/g/#\",\"qos\":2,\"no_local\":true,"
	"\"retain_as_published\":true,\"retain_handling\":2,\"subscription_id\":268435455}",
	"{\"type\":\"subscription\",\"client\":\"a\",\"filter\":\"+/b\",\"qos\":0}",
	"{\"type\":\"received\",\"client\":\"a\",\"packet_id\":65535}",
	"{\"type\":\"message\",\"client\":\"a\",\"qos\":1," M("") "}",
	"{\"type\":\"message\",\"client\":\"a\",\"qos\":2,\"retain\":true,\"state\":\"sent\",\"packet_id\":9,"
	"\"subscription_ids\":[1,268435455]," M(",\"expires_ms\":1763800000000") "}",
	"{\"type\":\"message\",\"client\":\"a\",\"qos\":2,\"state\":\"released\",\"packet_id\":1}",
	"{\"type\":\"retained\",\"message\":{\"topic\":\"/\",\"payload_base64\":\"AP8=\",\"qos\":0,"
	"\"retain\":true}}",
};

static void every_line_is_printed_as_it_was_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		int rc;
		char *text = again(lines[i], &rc);

		assert_int_equal(rc, OK);
		assert_string_equal(text, lines[i]);
		free(text);
	}
}

static void a_wrong_line_is_told_why(void **state)
{
	static const struct {
		const char *line, *why;
	} rows[] = {
		{"", "no JSON: "},
		{"[]", "\"type\": needed"},
		{"{\"type\":\"session\",\"client\":\"a\"} x", "no JSON: "},
		{"{\"type\":\"session\",\"type\":\"session\",\"client\":\"a\"}", "no JSON: duplicate"},
		{"{\"type\":\"thing\"}", "\"type\": needed"},
		{"{\"type\":\"lineside-store\",\"version\":2}", "\"version\": this version"},
		{"{\"type\":\"session\"}", "\"client\": needed: a text"},
		{"{\"type\":\"session\",\"client\":\"\"}", "\"client\": needed: a client id"},
		{"{\"type\":\"session\",\"client\":\"a\",\"expiry_s\":-1}",
		 "\"expiry_s\": needed: a whole number, 0..4294967295"},
		{"{\"type\":\"session\",\"client\":\"a\",\"expiry_s\":4294967296}", "\"expiry_s\": needed"},
		{"{\"type\":\"session\",\"client\":\"a\",\"expires\":1}", "\"expires\" is not a member"},
		{"{\"type\":\"session\",\"client\":\"a\",\"will\":{\"delay_s\":1}}",
		 "\"message\" is missing"},
		{"{\"type\":\"session\",\"client\":\"a\",\"will\":5}", "found no object"},
		{"{\"type\":\"subscription\",\"client\":\"a\",\"filter\":\"a#\",\"qos\":0}",
		 "\"filter\": needed"},
		{"{\"type\":\"subscription\",\"client\":\"a\",\"filter\":\"a\",\"qos\":3}",
		 "\"qos\": needed: a whole number, 0..2"},
		{"{\"type\":\"subscription\",\"client\":\"a\",\"filter\":\"a\",\"qos\":1,\"no_local\":1}",
		 "\"no_local\": needed: true or false"},
		{"{\"type\":\"received\",\"client\":\"a\",\"packet_id\":0}", "\"packet_id\": needed"},
		{"{\"type\":\"received\",\"client\":\"a\",\"packet_id\":65536}", "\"packet_id\": needed"},
		{"{\"type\":\"message\",\"client\":\"a\",\"qos\":0," M("") "}",
		 "\"qos\": needed: a whole number, 1..2"},
		{"{\"type\":\"message\",\"client\":\"a\",\"qos\":1,\"state\":\"sent\",\"packet_id\":1," M(
			 "") "}",
		 "\"state\": sent is one of QoS 2 only"},
		{"{\"type\":\"message\",\"client\":\"a\",\"qos\":2,\"state\":\"sent\"," M("") "}",
		 "\"packet_id\": needed"},
		{"{\"type\":\"message\",\"client\":\"a\",\"qos\":2,\"packet_id\":1," M("") "}",
		 "\"packet_id\": found one"},
		{"{\"type\":\"message\",\"client\":\"a\",\"qos\":2,\"state\":\"released\",\"packet_id\":1," M(
			 "") "}",
		 "\"message\": found one"},
		{"{\"type\":\"message\",\"client\":\"a\",\"qos\":2,\"state\":\"gone\"," M("") "}",
		 "\"state\": needed"},
		{"{\"type\":\"message\",\"client\":\"a\",\"qos\":1,\"subscription_ids\":[0]," M("") "}",
		 "\"subscription_ids\": needed"},
		{"{\"type\":\"retained\",\"message\":{\"topic\":\"a/+\",\"payload\":\"p\",\"qos\":1}}",
		 "\"topic\": needed"},
		{"{\"type\":\"retained\",\"message\":{\"topic\":\"a\",\"qos\":1}}", "needed: \"payload\" or"},
		{"{\"type\":\"retained\",\"message\":{\"topic\":\"a\",\"payload\":\"p\","
		 "\"payload_base64\":\"\",\"qos\":1}}",
		 "needed: \"payload\" or"},
		{"{\"type\":\"retained\",\"message\":{\"topic\":\"a\",\"payload\":\"\",\"qos\":1,"
		 "\"retain\":true}}",
		 "needed: a message with"},
		{"{\"type\":\"retained\"," M("") "}", "needed: a message with"},
		{"{\"type\":\"retained\",\"message\":{\"topic\":\"a\",\"payload_base64\":\"AP9=\",\"qos\":1}"
		 "}",
		 "\"payload_base64\": needed: base64"},
		{"{\"type\":\"message\",\"client\":\"a\",\"qos\":1," M(
			 ",\"properties_base64\":\"AgAAAAE=\"") "}",
		 "\"properties_base64\": needed: properties"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct store_line l;
		char why[256];

		assert_int_equal(store_line_read(span_str(rows[i].line), &l, why, sizeof(why)),
				 ERR_MALFORMED);
		if (strncmp(why, rows[i].why, strlen(rows[i].why)) != 0)
			fail_msg("%s: %s", rows[i].line, why);
	}
}

static void bytes_of_all_lengths_survive_base64(void **state)
{
	uint8_t bytes[300], *back;
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + 130);
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		json_t *text = json_base64(span_of(bytes, n));

		assert_int_equal(
			json_base64_decode(json_string_value(text), json_string_length(text), &back, &len),
			OK);
		assert_int_equal(len, n);
		if (n)
			assert_memory_equal(back, bytes, n);
		free(back);
		json_decref(text);
	}
}

static void base64_that_is_none_is_refused(void **state)
{
	static const char *const wrong[] = {"A",    "AA",   "AAA",  "A===", "====",  "AA=A",    "AB==",
					    "AAB=", "AA-A", "A A=", "=AAA", "AAAA=", "AA==AAAA"};
	uint8_t *back;
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(json_base64_decode(wrong[i], strlen(wrong[i]), &back, &len), ERR_MALFORMED);
		assert_null(back);
	}
}

static void every_failing_allocation_is_reported(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		for (long n = 1;; n++) {
			int rc;
			char *text;
			bool hit;

			alloc_fail_at(n);
			text = again(lines[i], &rc);
			hit = alloc_fail_end();
			if (!hit)
				assert_string_equal(text, lines[i]);
			else if (rc != OK)
				assert_true(rc == ERR_NOMEM || rc == ERR_IO);
			free(text);
			if (!hit)
				break;
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_line_is_printed_as_it_was_read),
		cmocka_unit_test(a_wrong_line_is_told_why),
		cmocka_unit_test(bytes_of_all_lengths_survive_base64),
		cmocka_unit_test(base64_that_is_none_is_refused),
		cmocka_unit_test(every_failing_allocation_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

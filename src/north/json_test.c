#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "north/table.h"

static const char *text_of(const struct wr *w, char *buf)
{
	assert_false(w->bad);
	w->p[0] = '\0';
	return buf;
}

static void a_tag_is_the_json_of_the_product_page(void **state)
{
	static const uint8_t raw[] = {0x00, 0xab, 0xff};
	const struct {
		struct tag_sample sample;
		const char *unit;
		const char *json;
	} cases[] = {
		{{tag_double(23.4), QUALITY_GOOD, REASON_NONE, 1732272000123},
		 "°C",
		 "{\"value\":23.4,\"ts\":1732272000123,\"quality\":\"good\",\"unit\":\"°C\"}"},
		{{tag_float(230.1f), QUALITY_GOOD, REASON_NONE, 1},
		 NULL,
		 "{\"value\":230.1,\"ts\":1,\"quality\":\"good\"}"},
		{{tag_none(), QUALITY_BAD, REASON_TIMEOUT, 7},
		 "V",
		 "{\"value\":null,\"ts\":7,\"quality\":\"bad\",\"reason\":\"timeout\",\"unit\":\"V\"}"},
		{{tag_int(5), QUALITY_UNCERTAIN, REASON_STALE, 7},
		 NULL,
		 "{\"value\":5,\"ts\":7,\"quality\":\"uncertain\",\"reason\":\"stale\"}"},
		{{tag_uint(UINT64_MAX), QUALITY_GOOD, REASON_NONE, -1},
		 NULL,
		 "{\"value\":18446744073709551615,\"ts\":-1,\"quality\":\"good\"}"},
		{{tag_double((double)NAN), QUALITY_GOOD, REASON_NONE, 7},
		 NULL,
		 "{\"value\":null,\"ts\":7,\"quality\":\"bad\",\"reason\":\"range\"}"},
		{{tag_float(-INFINITY), QUALITY_GOOD, REASON_NONE, 7},
		 NULL,
		 "{\"value\":null,\"ts\":7,\"quality\":\"bad\",\"reason\":\"range\"}"},
		{{tag_bool(true), QUALITY_GOOD, REASON_NONE, 7},
		 NULL,
		 "{\"value\":true,\"ts\":7,\"quality\":\"good\"}"},
		{{tag_bytes(span_of(raw, 3)), QUALITY_GOOD, REASON_NONE, 7},
		 NULL,
		 "{\"value\":\"00abff\",\"ts\":7,\"quality\":\"good\"}"},
		{{tag_string(span_str("a\"b\\c\n\x01\x7f")), QUALITY_GOOD, REASON_NONE, 7},
		 "\"",
		 "{\"value\":\"a\\\"b\\\\c\\u000a\\u0001\\u007f\",\"ts\":7,\"quality\":\"good\",\"unit\":"
		 "\"\\\"\"}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char buf[256];
		struct wr w = wr_of(buf, sizeof(buf));

		north_json.encode_tag(&w, &cases[i].sample, &(struct payload_names){.unit = cases[i].unit});
		assert_string_equal(text_of(&w, buf), cases[i].json);
	}
}

static void bytes_that_are_no_utf8_become_the_replacement_character(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"\xc3\xa4", "ä"},
		{"\xe2\x82\xac", "€"},
		{"\xf0\x9f\x98\x80", "😀"},
		{"\xff", "�"},
		{"\xc0\x80", "��"},           /* overlong */
		{"\xed\xa0\x80", "���"},      /* a surrogate */
		{"\xf4\x90\x80\x80", "����"}, /* beyond U+10FFFF */
		{"\xe2\x82", "��"},           /* cut */
		{"\xf0\x8f\xbf\xbf", "����"},
		{"\xe0\x9f\xbf", "���"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct tag_sample s = {.value = tag_string(span_str(cases[i].in)), .ts_ms = 1};
		char buf[128], want[128];
		struct wr w = wr_of(buf, sizeof(buf));

		snprintf(want, sizeof(want), "{\"value\":\"%s\",\"ts\":1,\"quality\":\"good\"}",
			 cases[i].out);
		north_json.encode_tag(&w, &s, &(struct payload_names){.unit = NULL});
		assert_string_equal(text_of(&w, buf), want);
	}
}

static void a_result_says_what_was_written_or_why_not(void **state)
{
	const struct {
		struct set_outcome o;
		const char *json;
	} cases[] = {
		{{.id = span_str("a1"), .ok = true, .value = tag_double(23.5), .ts_ms = 9},
		 "{\"id\":\"a1\",\"ok\":true,\"value\":23.5,\"ts\":9}"},
		{{.ok = true, .value = tag_bool(false), .ts_ms = 9},
		 "{\"ok\":true,\"value\":false,\"ts\":9}"},
		{{.id = span_str("a1"), .error = "exception", .exception = 2, .ts_ms = 9},
		 "{\"id\":\"a1\",\"ok\":false,\"error\":\"exception\",\"exception\":2,\"ts\":9}"},
		{{.id = span_str(""), .error = "range", .text = "above \"max\"", .ts_ms = 9},
		 "{\"id\":\"\",\"ok\":false,\"error\":\"range\",\"text\":\"above \\\"max\\\"\",\"ts\":9}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char buf[256];
		struct wr w = wr_of(buf, sizeof(buf));

		north_json.encode_result(&w, &cases[i].o);
		assert_string_equal(text_of(&w, buf), cases[i].json);
	}
}

static void a_status_has_state_times_and_counters(void **state)
{
	const struct device_counters counters = {.ok = 1,
						 .timeouts = 2,
						 .exceptions = 3,
						 .errors = 4,
						 .writes = 5,
						 .late = 6,
						 .late_ms = 7,
						 .sent = 18,
						 .retries = 8,
						 .crc = 9,
						 .by_exception = {[0] = 1, [2] = 2}};
	struct response_times response = {0};
	const struct scan_times times = {.count = 2, .sum_ms = 2001, .worst_ms = 1002, .late = 1};
	const struct group_status group = {.name = "fast", .scan_ms = 1000, .times = &times};
	struct device_status s = {.state = "online",
				  .since_ms = 5,
				  .last_ok_ms = 6,
				  .counters = &counters,
				  .response = &response,
				  .groups = &group,
				  .ngroups = 1};
	char buf[512];
	struct wr w = wr_of(buf, sizeof(buf));

	(void)state;
	response_add(&response, 5000);
	response_add(&response, 5001);
	response_add(&response, 3000000);
	north_json.encode_status(&w, &s);
	assert_string_equal(
		text_of(&w, buf),
		"{\"state\":\"online\",\"since\":5,\"last_ok\":6,\"last_error\":null,\"ok\":1,"
		"\"timeouts\":2,\"exceptions\":3,\"errors\":4,\"writes\":5,\"late\":6,\"late_ms\":7,"
		"\"sent\":18,\"retries\":8,\"crc\":9,\"exception_codes\":{\"other\":1,\"2\":2},"
		"\"response_ms\":{\"count\":3,\"mean\":1003.3,\"max\":3000.0,\"up_to\":{\"5\":1,"
		"\"10\":1,\"more\":1}},\"groups\":{\"fast\":{\"scan_ms\":1000,\"average_ms\":1000.5,"
		"\"worst_ms\":1002,\"late\":1}}}");
	for (s.nrefused = 0; s.nrefused < 2; s.nrefused++)
		snprintf(s.refused[s.nrefused].text, sizeof(s.refused[0].text), "coil:%zu", s.nrefused);
	w = wr_of(buf, sizeof(buf));
	north_json.encode_status(&w, &s);
	assert_non_null(strstr(text_of(&w, buf), ",\"refused\":[\"coil:0\",\"coil:1\"]}"));
	s.nrefused = 0;
	s.last_ok_ms = 0;
	s.last_error = "no answer in time";
	s.more_groups = 7;
	w = wr_of(buf, sizeof(buf));
	north_json.encode_status(&w, &s);
	assert_non_null(strstr(text_of(&w, buf), "\"last_ok\":null,\"last_error\":\"no answer in time\""));
	assert_non_null(strstr(text_of(&w, buf), "}},\"more_groups\":7}"));
}

static void a_line_has_its_utilisation_and_counters(void **state)
{
	const struct line_counters counters = {
		.sent = 20, .answered = 15, .timeouts = 2, .crc = 1, .errors = 2, .passed = 3};
	const struct line_status s = {.name = "rs485-1",
				      .state = "online",
				      .devices = 2,
				      .online = 1,
				      .waiting = 4,
				      .passes = 5,
				      .utilisation = 423,
				      .counters = &counters};
	char buf[512];
	struct wr w = wr_of(buf, sizeof(buf));

	(void)state;
	north_json.encode_line(&w, &s);
	assert_string_equal(
		text_of(&w, buf),
		"{\"state\":\"online\",\"utilisation_percent\":42.3,\"devices\":2,\"online\":1,"
		"\"commands_waiting\":4,\"passes_waiting\":5,\"sent\":20,\"answered\":15,\"timeouts\":2,"
		"\"crc\":1,\"errors\":2,\"passed\":3}");
}

static void a_payload_that_does_not_fit_is_refused_not_cut(void **state)
{
	struct tag_sample s = {.value = tag_int(1), .ts_ms = 1};
	char buf[64];
	struct wr w;

	(void)state;
	for (size_t room = 0; room < strlen("{\"value\":1,\"ts\":1,\"quality\":\"good\"}"); room++) {
		w = wr_of(buf, room);
		north_json.encode_tag(&w, &s, &(struct payload_names){.unit = NULL});
		assert_true(w.bad);
	}
	w = wr_of(buf, strlen("{\"value\":1,\"ts\":1,\"quality\":\"good\"}"));
	north_json.encode_tag(&w, &s, &(struct payload_names){.unit = NULL});
	assert_false(w.bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tag_is_the_json_of_the_product_page),
		cmocka_unit_test(bytes_that_are_no_utf8_become_the_replacement_character),
		cmocka_unit_test(a_result_says_what_was_written_or_why_not),
		cmocka_unit_test(a_status_has_state_times_and_counters),
		cmocka_unit_test(a_line_has_its_utilisation_and_counters),
		cmocka_unit_test(a_payload_that_does_not_fit_is_refused_not_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

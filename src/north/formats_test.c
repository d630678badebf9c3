/*
 * The formats beside JSON.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "north/table.h"

#define TS 1732272000123

static const struct tag_sample good = {{TAG_DOUBLE, {.d = 23.4}}, QUALITY_GOOD, REASON_NONE, TS};
static const struct tag_sample on = {{TAG_BOOL, {.b = true}}, QUALITY_GOOD, REASON_NONE, TS};
static const struct tag_sample bad = {{TAG_NONE, {.b = false}}, QUALITY_BAD, REASON_TIMEOUT, TS + 7};
static const struct tag_sample text = {
	{TAG_STRING, {.s = {(const uint8_t *)"a\"\xff", 3}}}, QUALITY_GOOD, REASON_NONE, TS};
static const struct tag_sample bytes = {
	{TAG_BYTES, {.s = {(const uint8_t *)"\x0f\xa0", 2}}}, QUALITY_GOOD, REASON_NONE, -1};
static const struct tag_sample nan_ = {{TAG_DOUBLE, {.d = (double)NAN}}, QUALITY_GOOD, REASON_NONE, TS};

static void a_tag_in_each_format(void **state)
{
	static const struct {
		enum config_payload format;
		const struct tag_sample *sample;
		const char *payload, *template;
	} rows[] = {
		{CONFIG_PAYLOAD_VALUE, &good, "23.4", NULL},
		{CONFIG_PAYLOAD_VALUE, &on, "true", NULL},
		{CONFIG_PAYLOAD_VALUE, &bad, "null", NULL},
		{CONFIG_PAYLOAD_VALUE, &text, "\"a\\\"\xef\xbf\xbd\"", NULL},
		{CONFIG_PAYLOAD_PLAIN, &good, "23.4", NULL},
		{CONFIG_PAYLOAD_PLAIN, &on, "true", NULL},
		{CONFIG_PAYLOAD_PLAIN, &bad, "", NULL},
		{CONFIG_PAYLOAD_PLAIN, &nan_, "", NULL},
		{CONFIG_PAYLOAD_PLAIN, &text, "a\"\xef\xbf\xbd", NULL},
		{CONFIG_PAYLOAD_PLAIN, &bytes, "0fa0", NULL},
		{CONFIG_PAYLOAD_MOXA, &good, "{\"value\":23.4}", NULL},
		{CONFIG_PAYLOAD_MOXA, &on, "{\"value\":1}", NULL},
		{CONFIG_PAYLOAD_MOXA, &bad, "{\"value\":null}", NULL},
		{CONFIG_PAYLOAD_NEURON_VALUES, &good,
		 "{\"timestamp\":1732272000123,\"node\":\"d\\\"1\",\"group\":\"fast\",\"values\":{\"t\":23.4}"
		 ",\"errors\":{},"
		 "\"metas\":{}}",
		 NULL},
		{CONFIG_PAYLOAD_NEURON_TAGS, &bad,
		 "{\"timestamp\":1732272000130,\"node\":\"d\\\"1\",\"group\":\"fast\",\"tags\":[{\"name\":"
		 "\"t\",\"error\":3015}]}",
		 NULL},
		{CONFIG_PAYLOAD_TEMPLATE, &good,
		 "{\"v\":23.4,\"at\":\"2024-11-22T10:40:00.123Z\",\"of\":\"g/d\\\"1/fast/t\"}",
		 "{\"v\":${value},\"at\":\"${iso}\",\"of\":\"${gateway}/${device}/${group}/${tag}\"}"},
		{CONFIG_PAYLOAD_TEMPLATE, &bad, "null||bad|timeout|1732272000130",
		 "${value}|${text}|${quality}|${reason}|${ts}"},
		{CONFIG_PAYLOAD_TEMPLATE, &good, "23.4 V $ good", "${text} ${unit} $$ ${quality}"},
		{CONFIG_PAYLOAD_TEMPLATE, &text, "\"a\\\"\xef\xbf\xbd\" a\"\xef\xbf\xbd", "${value} ${text}"},
		{CONFIG_PAYLOAD_TEMPLATE, &nan_, "null bad range", "${value} ${quality} ${reason}"},
		{CONFIG_PAYLOAD_TEMPLATE, &bytes, "1969-12-31T23:59:59.999Z \"0fa0\"", "${iso} ${value}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct payload_names n = {.gateway = "g",
						.device = "d\"1",
						.group = "fast",
						.tag = "t",
						.unit = "V",
						.template = rows[i].template};
		char buf[512];
		struct wr w = wr_of(buf, sizeof(buf) - 1);

		north_formats[rows[i].format]->encode_tag(&w, rows[i].sample, &n);
		assert_false(w.bad);
		*w.p = '\0';
		assert_string_equal(buf, rows[i].payload);
	}
}

static bool next(const struct payload_group *g, size_t *at, struct payload_member *m)
{
	static const struct payload_member members[] = {
		{"a", &good}, {"b", &bad}, {"c\"", &on}, {"d", &nan_}, {"e", &text}};

	(void)g;
	if (*at == sizeof(members) / sizeof(members[0]))
		return false;
	*m = members[(*at)++];
	return true;
}

static void a_group_in_each_format(void **state)
{
	static const struct {
		enum config_payload format;
		const char *payload;
	} rows[] = {
		{CONFIG_PAYLOAD_JSON,
		 "{\"ts\":5,\"values\":{\"a\":23.4,\"c\\\"\":true,\"e\":\"a\\\"\xef\xbf\xbd\"},"
		 "\"bad\":{\"b\":\"timeout\",\"d\":\"range\"}}"},
		{CONFIG_PAYLOAD_NEURON_VALUES,
		 "{\"timestamp\":5,\"node\":\"d\",\"group\":\"fast\",\"values\":{\"a\":23.4,\"c\\\"\":true,"
		 "\"e\":\"a\\\"\xef\xbf\xbd\"},\"errors\":{\"b\":3015,\"d\":3000},\"metas\":{}}"},
		{CONFIG_PAYLOAD_NEURON_TAGS, "{\"timestamp\":5,\"node\":\"d\",\"group\":\"fast\",\"tags\":[{"
					     "\"name\":\"a\",\"value\":23.4},"
					     "{\"name\":\"b\",\"error\":3015},{\"name\":\"c\\\"\",\"value\":"
					     "true},{\"name\":\"d\",\"error\":3000},"
					     "{\"name\":\"e\",\"value\":\"a\\\"\xef\xbf\xbd\"}]}"},
	};
	const struct payload_group g = {
		.gateway = "g", .device = "d", .group = "fast", .ts_ms = 5, .next = next};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char buf[512];
		struct wr w = wr_of(buf, sizeof(buf) - 1);

		north_formats[rows[i].format]->encode_group(&w, &g);
		assert_false(w.bad);
		*w.p = '\0';
		assert_string_equal(buf, rows[i].payload);
	}
}

static void what_does_not_fit_is_not_written(void **state)
{
	const struct payload_names n = {
		.gateway = "g", .device = "d", .group = "x", .tag = "t", .template = "${value}${device}"};

	(void)state;
	for (size_t i = 0; i < CONFIG_PAYLOAD_COUNT; i++) {
		char buf[4];
		struct wr w = wr_of(buf, 3);

		north_formats[i]->encode_tag(&w, &good, &n);
		assert_true(w.bad);
	}
}

static void commands_of_each_format(void **state)
{
	static const struct {
		enum config_payload format;
		const char *payload;
		int rc;
		enum tag_kind kind;
		const char *text;
	} rows[] = {
		{CONFIG_PAYLOAD_MOXA, "{\"value\": 1}", OK, TAG_INT, NULL},
		{CONFIG_PAYLOAD_VALUE, "1", OK, TAG_INT, NULL},
		{CONFIG_PAYLOAD_VALUE, "on", ERR_MALFORMED, TAG_NONE, NULL},
		{CONFIG_PAYLOAD_PLAIN, "1.5", OK, TAG_DOUBLE, NULL},
		{CONFIG_PAYLOAD_PLAIN, "true", OK, TAG_BOOL, NULL},
		{CONFIG_PAYLOAD_PLAIN, "on", OK, TAG_STRING, "on"},
		{CONFIG_PAYLOAD_PLAIN, "truely", OK, TAG_STRING, "truely"},
		{CONFIG_PAYLOAD_PLAIN, "\"5\"", OK, TAG_STRING, "5"},
		{CONFIG_PAYLOAD_PLAIN, "", OK, TAG_STRING, ""},
		{CONFIG_PAYLOAD_PLAIN, "\xff", ERR_MALFORMED, TAG_NONE, NULL},
		{CONFIG_PAYLOAD_PLAIN, "{\"val\":1}", ERR_MALFORMED, TAG_NONE, NULL},
		{CONFIG_PAYLOAD_TEMPLATE, "{\"value\":\"x\",\"id\":\"7\"}", OK, TAG_STRING, "x"},
		{CONFIG_PAYLOAD_NEURON_TAGS, "{\"value\":2}", OK, TAG_INT, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char fault[SET_FAULT_MAX];
		struct set_command c;

		assert_int_equal(
			north_formats[rows[i].format]->decode_set(span_str(rows[i].payload), &c, fault),
			rows[i].rc);
		if (rows[i].rc < 0) {
			assert_int_not_equal(fault[0], '\0');
			continue;
		}
		assert_int_equal(c.value.kind, rows[i].kind);
		if (rows[i].text)
			assert_true(span_equal(c.value.s, span_str(rows[i].text)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tag_in_each_format),
		cmocka_unit_test(a_group_in_each_format),
		cmocka_unit_test(what_does_not_fit_is_not_written),
		cmocka_unit_test(commands_of_each_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

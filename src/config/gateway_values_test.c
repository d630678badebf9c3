/*
 * What a tag may say of its value: addresses in all their forms, bit fields, orders, maps, enumerations.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc_fail.h"
#include "config/gateway_config_rows.h"
#include "config/schema.h"

#define LINES     "lines: [{name: l, type: modbus-tcp, host: h}]\n"
#define DEVICE(x) LINES "devices: [{name: d, line: l, unit: 3, " x "}]\n"
#define TAG(x)    DEVICE("tags: [{name: t, " x "}]")
#define AT        "devices[0].tags[0]."

/* The only tag of the only device. */
static struct gateway_config *load(const char *text, const struct config_tag **tag)
{
	struct gateway_config *cfg = NULL;
	struct faults faults;

	assert_int_equal(parse(text, &cfg, &faults), OK);
	*tag = &cfg->devices[0].tags[0];
	faults_fini(&faults);
	return cfg;
}

static void every_form_of_an_address_is_the_same_place(void **state)
{
	static const struct {
		const char *text;
		enum config_area area;
		unsigned number;
		int bit;
		enum byte_order order;
		unsigned length;
	} cases[] = {
		{TAG("address: holding:0, type: uint32"), CONFIG_AREA_HOLDING, 0, -1, BYTE_ORDER_ABCD, 0},
		{TAG("address: 40001, type: uint32"), CONFIG_AREA_HOLDING, 0, -1, BYTE_ORDER_ABCD, 0},
		{TAG("address: '49999', type: uint16"), CONFIG_AREA_HOLDING, 9998, -1, BYTE_ORDER_AB, 0},
		{TAG("address: 400001, type: uint32"), CONFIG_AREA_HOLDING, 0, -1, BYTE_ORDER_ABCD, 0},
		{TAG("address: 465536, type: uint16"), CONFIG_AREA_HOLDING, 65535, -1, BYTE_ORDER_AB, 0},
		{TAG("address: 30010, type: int16"), CONFIG_AREA_INPUT, 9, -1, BYTE_ORDER_AB, 0},
		{TAG("address: 300010, type: int16"), CONFIG_AREA_INPUT, 9, -1, BYTE_ORDER_AB, 0},
		{TAG("address: 10001"), CONFIG_AREA_DISCRETE, 0, -1, BYTE_ORDER_AB, 0},
		{TAG("address: 100016"), CONFIG_AREA_DISCRETE, 15, -1, BYTE_ORDER_AB, 0},
		{TAG("address: 00001"), CONFIG_AREA_COIL, 0, -1, BYTE_ORDER_AB, 0},
		{TAG("address: 000010"), CONFIG_AREA_COIL, 9, -1, BYTE_ORDER_AB, 0},
		{TAG("address: 40002.7, type: bool"), CONFIG_AREA_HOLDING, 1, 7, BYTE_ORDER_AB, 0},
		{TAG("address: 3!400001, type: uint32"), CONFIG_AREA_HOLDING, 0, -1, BYTE_ORDER_ABCD, 0},
		{TAG("address: 3!40001, type: uint32"), CONFIG_AREA_HOLDING, 0, -1, BYTE_ORDER_ABCD, 0},
		{TAG("address: '3!400001#BL', type: uint32"), CONFIG_AREA_HOLDING, 0, -1, BYTE_ORDER_CDAB, 0},
		{TAG("address: '3!400001#LB', type: float32"), CONFIG_AREA_HOLDING, 0, -1, BYTE_ORDER_BADC,
		 0},
		{TAG("address: '3!400001#BB', type: float32"), CONFIG_AREA_HOLDING, 0, -1, BYTE_ORDER_DCBA,
		 0},
		{TAG("address: '3!400001#LL', type: float32"), CONFIG_AREA_HOLDING, 0, -1, BYTE_ORDER_ABCD,
		 0},
		{TAG("address: 3!300004#B, type: int16"), CONFIG_AREA_INPUT, 3, -1, BYTE_ORDER_BA, 0},
		{TAG("address: 3!300004#L, type: int16"), CONFIG_AREA_INPUT, 3, -1, BYTE_ORDER_AB, 0},
		{TAG("address: 3!400010.4, type: bool"), CONFIG_AREA_HOLDING, 9, 4, BYTE_ORDER_AB, 0},
		{TAG("address: 3!400001.20, type: string"), CONFIG_AREA_HOLDING, 0, -1, BYTE_ORDER_AB, 20},
		{TAG("address: 3!400001.20L, type: string"), CONFIG_AREA_HOLDING, 0, -1, BYTE_ORDER_BA, 20},
		{TAG("address: 3!400001.20H, type: string"), CONFIG_AREA_HOLDING, 0, -1, BYTE_ORDER_AB, 20},
		{TAG("address: '3!400001.20#BL', type: uint32, bits: 12"), CONFIG_AREA_HOLDING, 0, 20,
		 BYTE_ORDER_CDAB, 0},
		{TAG("address: holding:5.8, type: bytes"), CONFIG_AREA_HOLDING, 5, -1, BYTE_ORDER_AB, 8},
		{TAG("address: holding:5.8, type: bytes, length: 8"), CONFIG_AREA_HOLDING, 5, -1,
		 BYTE_ORDER_AB, 8},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct config_tag *tag;
		struct gateway_config *cfg = load(cases[i].text, &tag);

		assert_int_equal(tag->address.area, cases[i].area);
		assert_int_equal(tag->address.number, cases[i].number);
		assert_int_equal(tag->address.bit, cases[i].bit);
		assert_int_equal(tag->order, cases[i].order);
		assert_int_equal(tag->length, cases[i].length);
		gateway_config_destroy(cfg);
	}
}

static void what_is_no_address_is_refused(void **state)
{
	static const char *const texts[] = {
		"40000",
		"400000",
		"465537",
		"4001",
		"4000001",
		"20001",
		"50001",
		"40001#BL",
		"1!holding:0",
		"!400001",
		"256!400001",
		"1!400001#",
		"1!400001#XL",
		"1!400001#BLB",
		"1!400001.",
		"1!400001.251",
		"1!400001.8X",
		"1!400001.8D",
		"1!400001.8H#BL",
		"1!1!400001",
		"holding:0#BL",
		"holding:0.8H",
		"-0001",
		"4000l",
		"holding:",
		":0",
		"holding:0x1",
		"1!",
		"",
		"holding:1:2",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct gateway_config *cfg = NULL;
		struct faults faults;
		char text[256];

		snprintf(text, sizeof(text), TAG("address: '%s', type: uint16"), texts[i]);
		assert_int_equal(parse(text, &cfg, &faults), ERR_CONFIG);
		assert_string_equal(faults.list[0].path, "devices[0].tags[0].address");
		assert_non_null(strstr(faults.list[0].text, "400001, 1!400001.3#BL"));
		faults_fini(&faults);
	}
}

static void what_an_address_says_along_must_fit(void **state)
{
	static const struct row rows[] = {
		{TAG("address: 1!400001, type: uint16"),
		 AT "address: found unit 1, but the device has unit 3: give the unit that belongs here, or a "
		    "device of "
		    "its own"},
		{TAG("address: '3!400001#BL', type: uint32, order: CDAB"),
		 AT "order: stands in the address, too: give one of them"},
		{TAG("address: '3!400001#BL', type: uint16"), NULL},
		{TAG("address: '3!400001#B', type: uint32"),
		 AT "address: found \"BA\", allowed with the type uint32: ABCD, CDAB, BADC, DCBA"},
		{TAG("address: '3!400001.20#BL', type: string"),
		 AT "address: found \"CDAB\", allowed with the type string: AB, BA"},
		{TAG("address: 3!400001.20, type: string, length: 10"),
		 AT "address: found the length 20, allowed: 1..250, as in length"},
		{TAG("address: holding:0.0, type: string"),
		 AT "address: found the length 0, allowed: 1..250, as in length"},
		{TAG("address: holding:0.64, type: uint64, bits: 1"),
		 AT "address: found bit 64, allowed: 0..63"},
		{TAG("address: 3!000001.2"),
		 AT "address: found bit 2, allowed only for a bool of a register, or with bits"},
	};

	(void)state;
	CHECK_ROWS(rows);
}

static void bit_fields_fit_their_type(void **state)
{
	static const struct row rows[] = {
		{TAG("address: holding:0.4, type: uint16, bits: 12, access: rw"), NULL},
		{TAG("address: holding:0, type: int64, bits: 64"), NULL},
		{TAG("address: holding:0.20, type: uint32, bits: 12, scale: 0.1"), NULL},
		{TAG("address: holding:0.4, type: uint16, bits: 13"),
		 AT "bits: found 13 from bit 4 on, allowed in uint16: at most 12"},
		{TAG("address: holding:0.16, type: uint16, bits: 1"),
		 AT "bits: found 1 from bit 16 on, allowed in uint16: at most 0"},
		{TAG("address: holding:0, type: float32, bits: 4"),
		 AT "bits: does not apply to the type float32, allowed: int16, uint16 and wider ones"},
		{TAG("address: holding:0.1, type: bool, bits: 1"),
		 AT "bits: does not apply to the type bool, allowed: int16, uint16 and wider ones"},
		{TAG("address: holding:0, type: uint16, bits: 65"),
		 AT "bits: found \"65\", allowed: a whole number, 1..64"},
	};

	(void)state;
	CHECK_ROWS(rows);
}

static void a_device_says_the_order_of_its_numbers_and_of_its_texts(void **state)
{
	static const struct {
		const char *keys, *tag;
		enum byte_order order;
	} cases[] = {
		{"order: CDAB", "address: holding:0, type: float32", BYTE_ORDER_CDAB},
		{"order: CDAB", "address: holding:0, type: uint64", BYTE_ORDER_CDAB},
		{"order: CDAB", "address: holding:0, type: unix32", BYTE_ORDER_CDAB},
		{"order: CDAB", "address: holding:0, type: float32, order: ABCD", BYTE_ORDER_ABCD},
		{"order: CDAB", "address: '1!400001#BB', type: float32", BYTE_ORDER_DCBA},
		{"order: CDAB", "address: holding:0, type: string, length: 4", BYTE_ORDER_AB},
		{"order: DCBA", "address: holding:0.1, type: bool", BYTE_ORDER_AB},
		{"order: CDAB", "address: coil:0", BYTE_ORDER_AB},
		{"string_order: BA", "address: holding:0, type: string, length: 4", BYTE_ORDER_BA},
		{"string_order: BA", "address: holding:0, type: bytes, length: 4", BYTE_ORDER_BA},
		{"string_order: BA", "address: holding:0, type: string, length: 4, order: AB", BYTE_ORDER_AB},
		{"string_order: BA", "address: holding:0, type: float32", BYTE_ORDER_ABCD},
	};
	static const struct row rows[] = {
		{DEVICE("order: AB, tags: [{name: t, address: coil:0}]"),
		 "devices[0].order: found \"AB\", allowed: ABCD, CDAB, BADC, DCBA; did you mean \"ABCD\"?"},
		{DEVICE("string_order: ABCD, tags: [{name: t, address: coil:0}]"),
		 "devices[0].string_order: found \"ABCD\", allowed: AB, BA"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct config_tag *tag;
		struct gateway_config *cfg;
		char text[256];

		snprintf(text, sizeof(text),
			 LINES "devices: [{name: d, line: l, %s, tags: [{name: t, %s}]}]\n", cases[i].keys,
			 cases[i].tag);
		cfg = load(text, &tag);
		assert_int_equal(tag->order, cases[i].order);
		gateway_config_destroy(cfg);
	}
	CHECK_ROWS(rows);
}

static void maps_have_two_points(void **state)
{
#define INT16(x) TAG("address: holding:0, type: int16, " x)
	static const struct row rows[] = {
		{INT16("map: {raw: [0, 27648], value: [-50, 150.5], clamp: true}, access: rw"), NULL},
		{INT16("map: {raw: [0, 27648]}"),
		 AT "map.value: found nothing, allowed: a list of 2 numbers"},
		{INT16("map: {raw: [0], value: [0, 1]}"),
		 AT "map.raw: found a list, allowed: a list of 2 numbers"},
		{INT16("map: {raw: [0, one], value: [0, 1]}"),
		 AT "map.raw[1]: found \"one\", allowed: a list of 2 numbers"},
		{INT16("map: {raw: [4, 4], value: [0, 1]}"),
		 AT "map.raw: found 4 twice, allowed: two different numbers"},
		{INT16("map: {raw: [0, 4], value: [1, 1]}"),
		 AT "map.value: found 1 twice, allowed: two different numbers"},
		{INT16("map: [0, 4]"), AT "map: found a list, allowed: a map"},
		{INT16("map: {raw: [0, 4], value: [1, 2]}, scale: 2"),
		 AT "scale: does not go with map: give one of them"},
		{INT16("map: {raw: [0, 4], value: [1, 2]}, offset: 2"),
		 AT "offset: does not go with map: give one of them"},
		{TAG("address: coil:0, map: {raw: [0, 4], value: [1, 2]}"),
		 AT "map: does not apply to the type bool; remove it"},
	};

	(void)state;
	CHECK_ROWS(rows);
}

static void enumerations_have_each_number_and_text_once(void **state)
{
	static const struct row rows[] = {
		{INT16("enum: {0: stopped, 1: running, -1: 'no'}, access: rw"), NULL},
		{TAG("address: coil:0, enum: {0: open, 1: closed}"), NULL},
		{TAG("address: holding:0.3, type: uint16, bits: 2, enum: {3: all}"), NULL},
		{INT16("enum: {0: a, 0: b}"),
		 AT "enum.0: the key stands here again, first at line 2; remove one of them"},
		{INT16("enum: {0: a, 1: a}"),
		 AT "enum.1: found the text of 0 twice: give each number a text of its own"},
		{INT16("enum: {one: a}"),
		 AT "enum.one: found the key \"one\", allowed: a map of whole numbers to "
		    "texts, such as {0: stopped, 1: running}"},
		{INT16("enum: {01: a}"),
		 AT "enum.01: found the key \"01\", allowed: a map of whole numbers to "
		    "texts, such as {0: stopped, 1: running}"},
		{INT16("enum: {0: [a]}"), AT "enum.0: allowed: a text of 1 to 64 bytes"},
		{INT16("enum: {}"),
		 AT "enum: found a map, allowed: a map of whole numbers to texts, such as {0: "
		    "stopped, 1: running}"},
		{INT16("enum: {40000: a}"),
		 AT "enum: found the number 40000, allowed: what the type int16 holds"},
		{TAG("address: holding:0, type: uint16, enum: {-1: a}"),
		 AT "enum: found the number -1, allowed: what the type uint16 holds"},
		{TAG("address: holding:0.0, type: uint16, bits: 2, enum: {4: a}"),
		 AT "enum: found the number 4, allowed: what the type uint16 holds"},
		{TAG("address: coil:0, enum: {2: a}"),
		 AT "enum: found the number 2, allowed: what the type bool "
		    "holds"},
		{TAG("address: holding:0, type: float32, enum: {2: a}"),
		 AT "enum: does not apply to the type float32; remove it"},
		{INT16("enum: {0: a}, scale: 2"), AT "scale: does not go with enum, whose values are texts"},
	};

	(void)state;
	CHECK_ROWS(rows);
}

static void a_scale_tag_is_a_whole_number_of_the_same_group(void **state)
{
#define TAGS(a, b)                                                                                 \
	DEVICE("groups: [{name: g}, {name: h}], tags: [{name: a, group: g, address: holding:0, " a \
	       "}, {name: b, address: holding:1, " b "}]")
	static const struct row rows[] = {
		{TAGS("type: uint16, scale_tag: b", "group: g, type: int16"), NULL},
		{TAGS("type: uint16, scale_tag: c", "group: g, type: int16"),
		 AT "scale_tag: found \"c\", allowed: the name of another tag of this device"},
		{TAGS("type: uint16, scale_tag: a", "group: g, type: int16"),
		 AT "scale_tag: found \"a\", allowed: an integer tag without scale, map and enum"},
		{TAGS("type: uint16, scale_tag: b", "group: g, type: float32"),
		 AT "scale_tag: found \"b\", allowed: an integer tag without scale, map and enum"},
		{TAGS("type: uint16, scale_tag: b", "group: g, type: int16, scale: 2"),
		 AT "scale_tag: found \"b\", allowed: an integer tag without scale, map and enum"},
		{TAGS("type: uint16, scale_tag: b", "group: h, type: int16"),
		 AT "scale_tag: found \"b\" of another group, allowed: a tag of the same group, so that both "
		    "are read at "
		    "the same time"},
		{TAGS("type: string, length: 4, scale_tag: b", "group: g, type: int16"),
		 AT "scale_tag: does not apply to the type string; remove it"},
	};

	(void)state;
	CHECK_ROWS(rows);
}

static void each_key_of_a_value_makes_a_device_another(void **state)
{
	static const char *const variants[] = {
		"type: uint16",
		"type: uint16, bits: 3",
		"type: uint16, invalid: 0",
		"type: uint16, invalid: 1",
		"type: uint16, map: {raw: [0, 1], value: [0, 2]}",
		"type: uint16, map: {raw: [0, 1], value: [0, 2], clamp: true}",
		"type: uint16, map: {raw: [0, 1], value: [0, 3]}",
		"type: uint16, enum: {0: a}",
		"type: uint16, enum: {0: b}",
		"type: uint16, enum: {0: a, 1: b}",
		"type: uint16, scale_tag: s",
	};
	struct gateway_config *cfg[sizeof(variants) / sizeof(*variants)][2];
	const size_t n = sizeof(variants) / sizeof(*variants);

	(void)state;
	for (size_t i = 0; i < 2 * n; i++) {
		struct faults faults;
		char text[512];

		snprintf(text, sizeof(text),
			 DEVICE("tags: [{name: t, address: holding:0, %s}, {name: s, address: holding:9, "
				"type: int16}]"),
			 variants[i / 2]);
		assert_int_equal(parse(text, &cfg[i / 2][i % 2], &faults), OK);
		faults_fini(&faults);
	}
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++)
			assert_int_equal(config_device_equal(cfg[i][0]->devices, cfg[k][1]->devices), i == k);
	for (size_t i = 0; i < 2 * n; i++)
		gateway_config_destroy(cfg[i / 2][i % 2]);
}

static void memory_may_end_anywhere(void **state)
{
	static const char *const texts[] = {
		TAG("address: holding:0, type: int16, map: {raw: [0, 1], value: [0, 2]}"),
		TAG("address: holding:0, type: int16, enum: {3: a, 1: b}"),
	};

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		for (long n = 1;; n++) {
			struct gateway_config *cfg = NULL;
			struct faults faults;
			bool hit;
			int rc;

			alloc_fail_at(n);
			rc = parse(texts[k], &cfg, &faults);
			hit = alloc_fail_end();
			assert_int_equal(rc, hit ? ERR_NOMEM : OK);
			gateway_config_destroy(cfg);
			faults_fini(&faults);
			if (!hit)
				break;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_of_an_address_is_the_same_place),
		cmocka_unit_test(what_is_no_address_is_refused),
		cmocka_unit_test(what_an_address_says_along_must_fit),
		cmocka_unit_test(bit_fields_fit_their_type),
		cmocka_unit_test(a_device_says_the_order_of_its_numbers_and_of_its_texts),
		cmocka_unit_test(maps_have_two_points),
		cmocka_unit_test(enumerations_have_each_number_and_text_once),
		cmocka_unit_test(a_scale_tag_is_a_whole_number_of_the_same_group),
		cmocka_unit_test(each_key_of_a_value_makes_a_device_another),
		cmocka_unit_test(memory_may_end_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

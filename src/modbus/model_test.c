#include <stdio.h>

#include "modbus/sim_test.h"

/* What a model answers, byte by byte, and what a master makes of it. */

static const char *texts[256];

static const char *object(void *model, uint8_t unit, uint8_t id)
{
	(void)model;
	(void)unit;
	return texts[id];
}

static void counters(void *model, uint8_t unit, struct modbus_counters *out)
{
	(void)model;
	(void)unit;
	*out = (struct modbus_counters){.messages = 7, .exceptions = 2, .served = 5};
}

static const struct modbus_model_ops full_ops = {
	.read_bits = model_read_bits,
	.read_regs = model_read_regs,
	.write_regs = model_write_regs,
	.object = object,
	.counters = counters,
};

static size_t answer(const struct modbus_model_ops *ops, struct model *m, const uint8_t *pdu, size_t len,
		     uint8_t out[MODBUS_PDU_MAX])
{
	return modbus_model_answer(ops, m, 1, span_of(pdu, len), out);
}

static void a_mask_write_changes_the_bits_it_names(void **state)
{
	/* The example of AP 6.16: 0x12 becomes 0x17 with 0xF2 and 0x25. */
	static const uint8_t pdu[] = {22, 0, 4, 0, 0xF2, 0, 0x25};
	struct model m = {.regs[4] = 0x12};
	uint8_t out[MODBUS_PDU_MAX];

	(void)state;
	assert_int_equal(answer(&full_ops, &m, pdu, sizeof(pdu), out), sizeof(pdu));
	assert_memory_equal(out, pdu, sizeof(pdu));
	assert_int_equal(m.regs[4], 0x17);
}

static void a_read_write_reads_what_it_wrote(void **state)
{
	static const uint8_t pdu[] = {23, 0, 3, 0, 2, 0, 4, 0, 1, 2, 0xAB, 0xCD};
	static const uint8_t expected[] = {23, 4, 0, 9, 0xAB, 0xCD};
	struct model m = {.regs = {[3] = 9}};
	uint8_t out[MODBUS_PDU_MAX];

	(void)state;
	assert_int_equal(answer(&full_ops, &m, pdu, sizeof(pdu), out), sizeof(expected));
	assert_memory_equal(out, expected, sizeof(expected));
}

static void a_read_write_whose_read_is_refused_writes_nothing(void **state)
{
	static const uint8_t pdu[] = {23, 1, 0, 0, 2, 0, 4, 0, 1, 2, 0xAB, 0xCD};
	struct model m = {0};
	uint8_t out[MODBUS_PDU_MAX];

	(void)state;
	assert_int_equal(answer(&full_ops, &m, pdu, sizeof(pdu), out), 2);
	assert_int_equal(out[0], 0x97);
	assert_int_equal(out[1], MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS);
	assert_int_equal(m.writes, 0);
	assert_int_equal(m.regs[4], 0);
}

static void diagnostics_echo_and_read_counters_and_do_nothing_else(void **state)
{
	static const struct {
		uint8_t pdu[8];
		size_t len;
		uint8_t out[8];
		size_t out_len;
	} cases[] = {
		{{8, 0, 0, 0xA5, 0x37}, 5, {8, 0, 0, 0xA5, 0x37}, 5},
		{{8, 0, 0, 1, 2, 3, 4}, 7, {8, 0, 0, 1, 2, 3, 4}, 7},
		{{8, 0, 11, 0, 0}, 5, {8, 0, 11, 0, 7}, 5},
		{{8, 0, 13, 0, 0}, 5, {8, 0, 13, 0, 2}, 5},
		{{8, 0, 18, 0, 0}, 5, {8, 0, 18, 0, 0}, 5},
		{{8, 0, 11, 0, 1}, 5, {0x88, 3}, 2},
		{{8, 0, 11, 0, 0, 0, 0}, 7, {0x88, 3}, 2},
		{{8, 0, 1, 0, 0}, 5, {0x88, 1}, 2},  /* restart */
		{{8, 0, 4, 0, 0}, 5, {0x88, 1}, 2},  /* listen only */
		{{8, 0, 10, 0, 0}, 5, {0x88, 1}, 2}, /* clear */
		{{8, 0, 19, 0, 0}, 5, {0x88, 1}, 2},
		{{11}, 1, {11, 0, 0, 0, 3}, 5},
	};
	struct model m = {0};
	uint8_t out[MODBUS_PDU_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(answer(&full_ops, &m, cases[i].pdu, cases[i].len, out), cases[i].out_len);
		assert_memory_equal(out, cases[i].out, cases[i].out_len);
	}
}

static void a_model_without_them_refuses_the_functions(void **state)
{
	static const struct modbus_model_ops none = {0};
	static const uint8_t pdus[][12] = {
		{8, 0, 0, 0, 0}, {22}, {43, 14, 1}, {23, 0, 0, 0, 1, 0, 0, 0, 1, 2}};
	static const size_t lens[] = {5, 7, 4, 12};
	static const uint8_t count[] = {11};
	uint8_t out[MODBUS_PDU_MAX];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(answer(&none, NULL, pdus[i], lens[i], out), 2);
		assert_int_equal(out[0], pdus[i][0] | 0x80);
		assert_int_equal(out[1], MODBUS_EXCEPTION_ILLEGAL_FUNCTION);
	}
	assert_int_equal(answer(&none, NULL, count, 1, out), 2);
	assert_int_equal(out[1], MODBUS_EXCEPTION_ILLEGAL_FUNCTION);
}

/* ---- identification ---- */

/* All objects of a category, asked for as a client does; as "id=text ..." */
static void collect(uint8_t read_code, uint8_t from, char *text, size_t room)
{
	bool more = true;

	text[0] = 0;
	for (unsigned asked = 0; more; asked++) {
		struct modbus_req req = {.fc = 43, .read_code = read_code, .object_id = from};
		uint8_t pdu[MODBUS_PDU_MAX], out[MODBUS_PDU_MAX], exception = 0, id;
		union modbus_data data;
		struct span value;
		struct rd list;
		size_t len = 0;

		assert_true(asked < 10);
		assert_int_equal(modbus_req_encode(&req, pdu, sizeof(pdu), &len), OK);
		len = answer(&full_ops, NULL, pdu, len, out);
		assert_int_equal(modbus_rsp_decode(out, len, &req, &data, &exception), OK);
		list = rd_of(data.objects.list, data.objects.len);
		while (modbus_object_next(&list, &id, &value)) {
			size_t at = strlen(text);

			snprintf(text + at, room - at, "%u=%.*s ", id, value.len > 9 ? 1 : (int)value.len,
				 (const char *)value.p);
		}
		more = data.objects.more;
		from = data.objects.next;
	}
}

static void each_category_holds_those_before_it(void **state)
{
	char text[200];

	(void)state;
	memset(texts, 0, sizeof(texts));
	texts[0] = "maker";
	texts[1] = "code";
	texts[2] = "1.0";
	texts[4] = "name";
	texts[0x80] = "own";
	collect(MODBUS_READ_BASIC, 0, text, sizeof(text));
	assert_string_equal(text, "0=maker 1=code 2=1.0 ");
	collect(MODBUS_READ_REGULAR, 0, text, sizeof(text));
	assert_string_equal(text, "0=maker 1=code 2=1.0 4=name ");
	collect(MODBUS_READ_EXTENDED, 0, text, sizeof(text));
	assert_string_equal(text, "0=maker 1=code 2=1.0 4=name 128=own ");
	collect(MODBUS_READ_REGULAR, 2, text, sizeof(text));
	assert_string_equal(text, "2=1.0 4=name ");
	/* An object that there is not, or of another category: from the first on. */
	collect(MODBUS_READ_REGULAR, 3, text, sizeof(text));
	assert_string_equal(text, "0=maker 1=code 2=1.0 4=name ");
	collect(MODBUS_READ_BASIC, 4, text, sizeof(text));
	assert_string_equal(text, "0=maker 1=code 2=1.0 ");
	collect(MODBUS_READ_INDIVIDUAL, 0x80, text, sizeof(text));
	assert_string_equal(text, "128=own ");
}

static void what_does_not_fit_follows_with_the_next_answer(void **state)
{
	static char long_text[400];
	char text[200];

	(void)state;
	memset(long_text, 'x', sizeof(long_text) - 1);
	memset(texts, 0, sizeof(texts));
	texts[0] = "maker";
	texts[1] = long_text; /* cut, alone in its answer */
	texts[2] = "1.0";
	collect(MODBUS_READ_BASIC, 0, text, sizeof(text));
	assert_string_equal(text, "0=maker 1=x 2=1.0 ");
}

static void an_object_that_there_is_not_has_no_address(void **state)
{
	static const uint8_t pdu[] = {43, 14, 4, 9};
	uint8_t out[MODBUS_PDU_MAX];

	(void)state;
	memset(texts, 0, sizeof(texts));
	assert_int_equal(answer(&full_ops, NULL, pdu, sizeof(pdu), out), 2);
	assert_int_equal(out[0], 0xAB);
	assert_int_equal(out[1], MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS);
}

static void the_conformity_level_is_that_of_the_last_object(void **state)
{
	static const uint8_t pdu[] = {43, 14, 1, 0};
	static const struct {
		uint8_t last, level;
	} cases[] = {{2, 0x81}, {3, 0x82}, {0x7F, 0x82}, {0x80, 0x83}, {0xFF, 0x83}};
	uint8_t out[MODBUS_PDU_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(texts, 0, sizeof(texts));
		texts[0] = texts[1] = texts[2] = texts[cases[i].last] = "x";
		assert_true(answer(&full_ops, NULL, pdu, sizeof(pdu), out) > 3);
		assert_int_equal(out[3], cases[i].level);
	}
}

/* ---- through a master ---- */

static void done(struct modbus_request *r)
{
	*(bool *)r->owner = true;
}

static void a_master_does_them_all(void **state)
{
	static const struct modbus_req reqs[] = {
		{.fc = 22, .address = 1, .count = 1, .and_mask = 0xFF00, .or_mask = 0x0034},
		{.fc = 23, .address = 1, .count = 2, .write_address = 2, .write_count = 1, .data.regs = {77}},
	};
	struct world x;

	(void)state;
	world_open(&x, 1, NULL, NULL);
	x.model.regs[1] = 0x1200;
	for (size_t i = 0; i < 2; i++) {
		bool is_done = false;
		struct modbus_request r = {
			.unit = 1, .req = reqs[i], .timeout_ms = 1000, .done = done, .owner = &is_done};

		modbus_master_submit(x.master, &r);
		world_run(&x, SECOND);
		assert_true(is_done);
		assert_int_equal(r.rc, OK);
		if (i == 1) {
			assert_int_equal(r.data.regs[0], 0x1234);
			assert_int_equal(r.data.regs[1], 77);
		}
	}
	world_close(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mask_write_changes_the_bits_it_names),
		cmocka_unit_test(a_read_write_reads_what_it_wrote),
		cmocka_unit_test(a_read_write_whose_read_is_refused_writes_nothing),
		cmocka_unit_test(diagnostics_echo_and_read_counters_and_do_nothing_else),
		cmocka_unit_test(a_model_without_them_refuses_the_functions),
		cmocka_unit_test(each_category_holds_those_before_it),
		cmocka_unit_test(what_does_not_fit_follows_with_the_next_answer),
		cmocka_unit_test(an_object_that_there_is_not_has_no_address),
		cmocka_unit_test(the_conformity_level_is_that_of_the_last_object),
		cmocka_unit_test(a_master_does_them_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

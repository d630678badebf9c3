#include "modbus/client_test.h"
#include "modbus/slave.h"
#include "wire/modbus_rtu.h"

/* A slave for units 5 and 6 behind the simulated wire, at 9600 baud. */
struct bench {
	struct world x;
	struct client c;
	struct acceptor acceptor;
	struct modbus_slave *slave;
	struct modbus_slave_options options;
};

static void slave_ended(struct modbus_slave *s, void *arg)
{
	struct bench *b = arg;

	modbus_slave_destroy(s);
	b->slave = NULL;
}

static void bench_accepted(struct acceptor *a, struct stream *s)
{
	struct bench *b = container_of(a, struct bench, acceptor);

	assert_int_equal(modbus_slave_create(b->x.far, s, &b->options, &model_ops, &b->x.model, slave_ended,
					     b, &b->slave),
			 OK);
	assert_int_equal(stream_attach(s, b->x.far), OK);
}

static void bench_open(struct bench *b, bool is_ascii)
{
	b->acceptor = (struct acceptor){.accepted = bench_accepted};
	b->slave = NULL;
	b->options = (struct modbus_slave_options){.is_ascii = is_ascii, .baud = 9600};
	modbus_units_add(&b->options.units, 5);
	modbus_units_add(&b->options.units, 6);
	world_open(&b->x, 1, NULL, NULL);
	world_unlisten(&b->x);
	assert_int_equal(sim_net_listen(b->x.net, b->x.far, "device", &b->acceptor, &b->x.listener), OK);
	connect_client(&b->x, &b->c);
}

static void bench_close(struct bench *b)
{
	stream_close(b->c.s);
	modbus_slave_destroy(b->slave);
	world_close(&b->x);
}

static size_t rtu(uint8_t *to, uint8_t unit, const uint8_t *pdu, size_t len)
{
	size_t size = 0;

	assert_int_equal(modbus_rtu_encode(unit, span_of(pdu, len), to, MODBUS_RTU_MAX, &size), OK);
	return size;
}

static void say(struct bench *b, uint8_t unit, const uint8_t *pdu, size_t len)
{
	uint8_t out[MODBUS_RTU_MAX];
	size_t size = rtu(out, unit, pdu, len);

	assert_int_equal(client_send(&b->c, out, size), size);
}

/* The answer that came since the last one. */
static void expect(struct bench *b, uint8_t unit, const uint8_t *pdu, size_t len)
{
	struct modbus_frame frame = {0};

	world_run(&b->x, SECOND);
	if (b->options.is_ascii) {
		static uint8_t bytes[MODBUS_RTU_MAX];
		size_t used = 0;

		assert_int_equal(modbus_ascii_split(b->c.bytes, b->c.len, bytes, &frame, &used), OK);
		assert_int_equal(used, b->c.len);
	} else {
		assert_int_equal(modbus_rtu_decode(b->c.bytes, b->c.len, &frame), OK);
	}
	assert_int_equal(frame.unit, unit);
	assert_true(span_equal(frame.pdu, span_of(pdu, len)));
	b->c.len = 0;
}

static void expect_silence(struct bench *b)
{
	world_run(&b->x, SECOND);
	assert_int_equal(b->c.len, 0);
}

static const uint8_t read_one[] = {3, 0, 4, 0, 1};
static const uint8_t one_is_7[] = {3, 2, 0, 7};

static void its_units_answer_and_no_others(void **state)
{
	static struct bench b;
	struct modbus_counters counters;

	(void)state;
	bench_open(&b, false);
	b.x.model.regs[4] = 7;
	say(&b, 5, read_one, sizeof(read_one));
	expect(&b, 5, one_is_7, sizeof(one_is_7));
	say(&b, 6, read_one, sizeof(read_one));
	expect(&b, 6, one_is_7, sizeof(one_is_7));
	say(&b, 7, read_one, sizeof(read_one));
	expect_silence(&b);
	modbus_slave_counters(b.slave, &counters);
	assert_int_equal(counters.messages, 3);
	assert_int_equal(counters.served, 2);
	assert_int_equal(counters.line_errors, 0);
	bench_close(&b);
}

static void a_request_in_pieces_is_one_request(void **state)
{
	static struct bench b;
	uint8_t out[MODBUS_RTU_MAX];
	size_t len = rtu(out, 5, read_one, sizeof(read_one));

	(void)state;
	bench_open(&b, false);
	b.x.model.regs[4] = 7;
	for (size_t i = 0; i < len; i++) {
		assert_int_equal(client_send(&b.c, out + i, 1), 1);
		world_run(&b.x, SECOND / 100);
	}
	expect(&b, 5, one_is_7, sizeof(one_is_7));
	bench_close(&b);
}

static void the_answers_of_others_are_let_pass(void **state)
{
	/* 28 registers from 3 on: its answer begins like a request to read. */
	static const uint8_t asked[] = {3, 0, 3, 0, 28};
	uint8_t answer[2 + 56] = {3, 56};
	static struct bench b;
	struct modbus_counters counters;

	(void)state;
	bench_open(&b, false);
	b.x.model.regs[4] = 7;
	say(&b, 9, asked, sizeof(asked));
	world_run(&b.x, SECOND / 100);
	say(&b, 9, answer, sizeof(answer));
	world_run(&b.x, SECOND / 100);
	say(&b, 5, read_one, sizeof(read_one));
	expect(&b, 5, one_is_7, sizeof(one_is_7));
	/* Nor does one that never comes do harm. */
	say(&b, 9, asked, sizeof(asked));
	world_run(&b.x, SECOND / 100);
	say(&b, 9, asked, sizeof(asked));
	world_run(&b.x, SECOND / 100);
	say(&b, 5, read_one, sizeof(read_one));
	expect(&b, 5, one_is_7, sizeof(one_is_7));
	modbus_slave_counters(b.slave, &counters);
	assert_int_equal(counters.line_errors, 0);
	bench_close(&b);
}

static void a_broadcast_is_done_by_all_and_answered_by_none(void **state)
{
	static const uint8_t write[] = {6, 0, 4, 0, 9};
	static struct bench b;

	(void)state;
	bench_open(&b, false);
	say(&b, 0, write, sizeof(write));
	expect_silence(&b);
	assert_int_equal(b.x.model.writes, 2);
	assert_int_equal(b.x.model.regs[4], 9);
	say(&b, 0, read_one, sizeof(read_one));
	expect_silence(&b);
	bench_close(&b);
}

static void what_is_no_frame_is_over_with_silence(void **state)
{
	static struct bench b;
	struct modbus_counters counters;
	uint8_t out[MODBUS_RTU_MAX];
	size_t len = rtu(out, 5, read_one, sizeof(read_one));

	(void)state;
	bench_open(&b, false);
	b.x.model.regs[4] = 7;
	out[3] ^= 1;
	assert_int_equal(client_send(&b.c, out, len), len);
	expect_silence(&b);
	say(&b, 5, read_one, sizeof(read_one));
	expect(&b, 5, one_is_7, sizeof(one_is_7));
	/* Half a frame, then silence. */
	assert_int_equal(client_send(&b.c, out, 5), 5);
	expect_silence(&b);
	say(&b, 5, read_one, sizeof(read_one));
	expect(&b, 5, one_is_7, sizeof(one_is_7));
	modbus_slave_counters(b.slave, &counters);
	assert_int_equal(counters.line_errors, 2);
	bench_close(&b);
}

static void a_function_of_unknown_length_ends_with_silence(void **state)
{
	static const uint8_t unknown[] = {100, 1, 2, 3, 4, 5, 6, 7};
	static const uint8_t refused[] = {228, 1};
	static struct bench b;

	(void)state;
	bench_open(&b, false);
	say(&b, 5, unknown, sizeof(unknown));
	expect(&b, 5, refused, sizeof(refused));
	bench_close(&b);
}

static void more_bytes_than_any_frame_has_are_dropped(void **state)
{
	static uint8_t noise[4000];
	static struct bench b;

	(void)state;
	memset(noise, 100, sizeof(noise));
	bench_open(&b, false);
	b.x.model.regs[4] = 7;
	assert_int_equal(client_send(&b.c, noise, sizeof(noise)), sizeof(noise));
	expect_silence(&b);
	say(&b, 5, read_one, sizeof(read_one));
	expect(&b, 5, one_is_7, sizeof(one_is_7));
	bench_close(&b);
}

static void ascii_is_spoken_too(void **state)
{
	static const char broken[] = ":05030004000100\r\n";
	static struct bench b;
	struct modbus_counters counters;
	uint8_t out[MODBUS_ASCII_MAX];
	size_t len = 0;

	(void)state;
	bench_open(&b, true);
	b.x.model.regs[4] = 7;
	assert_int_equal(modbus_ascii_encode(5, span_of(read_one, sizeof(read_one)), out, sizeof(out), &len),
			 OK);
	assert_int_equal(client_send(&b.c, out, 4), 4);
	world_run(&b.x, SECOND / 2);
	assert_int_equal(client_send(&b.c, out + 4, len - 4), len - 4);
	expect(&b, 5, one_is_7, sizeof(one_is_7));
	assert_int_equal(client_send(&b.c, broken, sizeof(broken) - 1), sizeof(broken) - 1);
	expect_silence(&b);
	modbus_slave_counters(b.slave, &counters);
	assert_int_equal(counters.line_errors, 1);
	bench_close(&b);
}

static void the_answer_waits_for_silence(void **state)
{
	static struct bench b;
	uint64_t asked_at;

	(void)state;
	bench_open(&b, false);
	say(&b, 5, read_one, sizeof(read_one));
	asked_at = loop_now_us(b.x.near);
	while (b.c.len == 0)
		world_run(&b.x, 100);
	/* 3.5 characters of 11 bits at 9600 baud are 4010 us. */
	assert_true(loop_now_us(b.x.near) - asked_at >= 4010);
	bench_close(&b);
}

static void the_end_of_the_stream_is_told(void **state)
{
	static struct bench b;

	(void)state;
	bench_open(&b, false);
	stream_close(b.c.s);
	b.c.s = NULL;
	world_run(&b.x, SECOND);
	assert_null(b.slave);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(its_units_answer_and_no_others),
		cmocka_unit_test(a_request_in_pieces_is_one_request),
		cmocka_unit_test(the_answers_of_others_are_let_pass),
		cmocka_unit_test(a_broadcast_is_done_by_all_and_answered_by_none),
		cmocka_unit_test(what_is_no_frame_is_over_with_silence),
		cmocka_unit_test(a_function_of_unknown_length_ends_with_silence),
		cmocka_unit_test(more_bytes_than_any_frame_has_are_dropped),
		cmocka_unit_test(ascii_is_spoken_too),
		cmocka_unit_test(the_answer_waits_for_silence),
		cmocka_unit_test(the_end_of_the_stream_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

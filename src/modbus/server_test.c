#include "modbus/client_test.h"

static void requests_sent_together_are_answered_in_order(void **state)
{
	static const uint8_t pdu[] = {3, 0, 0, 0, 125};
	static struct client c;
	uint8_t out[40 * 12];
	struct modbus_adu adu;
	struct world x;
	size_t len = 0, at = 0;

	(void)state;
	world_open(&x, 1, NULL, NULL);
	connect_client(&x, &c);
	for (uint16_t i = 0; i < 40; i++)
		len += frame(out + len, i, 1, pdu, sizeof(pdu));
	assert_int_equal(client_send(&c, out, len), len);
	world_run(&x, SECOND);
	for (uint16_t i = 0; i < 40; i++) {
		assert_int_equal(modbus_adu_split(c.bytes + at, c.len - at, &adu), OK);
		assert_int_equal(adu.transaction, i);
		assert_int_equal(adu.pdu.len, 252);
		at += adu.size;
	}
	assert_int_equal(at, c.len);
	stream_close(c.s);
	world_close(&x);
}

static void half_a_request_waits_for_the_other_half(void **state)
{
	static const uint8_t pdu[] = {3, 0, 0, 0, 1};
	static struct client c;
	struct world x;
	uint8_t out[MODBUS_ADU_MAX];
	size_t len;

	(void)state;
	world_open(&x, 1, NULL, NULL);
	connect_client(&x, &c);
	len = frame(out, 7, 1, pdu, sizeof(pdu));
	for (size_t i = 0; i < len; i++) {
		assert_int_equal(c.len, 0);
		assert_int_equal(client_send(&c, out + i, 1), 1);
		world_run(&x, SECOND);
	}
	assert_int_equal(c.len, 11);
	stream_close(c.s);
	world_close(&x);
}

static void requests_that_are_wrong_get_exceptions(void **state)
{
	static const struct {
		uint8_t pdu[12];
		size_t len;
		uint8_t unit;
		uint8_t exception;
	} cases[] = {
		{{43, 14, 1, 0}, 4, 1, 1},    {{5, 0, 0, 0xFF, 0}, 5, 1, 1}, /* the model has no write_bits */
		{{3, 0, 199, 0, 2}, 5, 1, 2}, {{3, 0xFF, 0xFF, 0, 2}, 5, 1, 2},
		{{3, 0, 0, 0, 126}, 5, 1, 3}, {{3, 0, 0, 0, 0}, 5, 1, 3},
		{{3, 0, 0}, 3, 1, 3},         {{16, 0, 0, 0, 1, 3, 0, 0, 0}, 9, 1, 3},
		{{3, 0, 0, 0, 1}, 5, 99, 4},
	};
	static struct client c;
	struct modbus_server_stats stats;
	struct world x;

	(void)state;
	world_open(&x, 1, NULL, NULL);
	connect_client(&x, &c);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t out[MODBUS_ADU_MAX];
		size_t len = frame(out, 1, cases[i].unit, cases[i].pdu, cases[i].len);

		c.len = 0;
		assert_int_equal(client_send(&c, out, len), len);
		world_run(&x, SECOND);
		assert_int_equal(c.len, 9);
		assert_int_equal(c.bytes[7], cases[i].pdu[0] | 0x80);
		assert_int_equal(c.bytes[8], cases[i].exception);
	}
	modbus_server_stats(x.server, &stats);
	assert_int_equal(stats.exceptions, sizeof(cases) / sizeof(cases[0]));
	stream_close(c.s);
	world_close(&x);
}

static void bytes_that_are_no_modbus_close_the_connection(void **state)
{
	static const uint8_t pdu[] = {3, 0, 0, 0, 1};
	static struct client c;
	struct modbus_server_stats stats;
	uint8_t out[MODBUS_ADU_MAX + 8];
	struct world x;
	size_t len;

	(void)state;
	world_open(&x, 1, NULL, NULL);
	connect_client(&x, &c);
	len = frame(out, 1, 1, pdu, sizeof(pdu));
	memcpy(out + len, "GET / HT", 8);
	assert_int_equal(client_send(&c, out, len + 8), len + 8);
	world_run(&x, SECOND);
	assert_int_equal(c.len, 11); /* what came before is answered */
	assert_true(c.ended);
	modbus_server_stats(x.server, &stats);
	assert_int_equal(stats.malformed, 1);
	assert_int_equal(stats.connections, 0);
	stream_close(c.s);
	world_close(&x);
}

static void a_client_that_does_not_read_is_not_read_from_until_it_does(void **state)
{
	const struct sim_net_faults faults = {.max_delay_us = 100, .buffer = 4096};
	static const uint8_t pdu[] = {3, 0, 0, 0, 125};
	static struct client c;
	struct modbus_server_stats stats;
	uint8_t out[12];
	struct world x;
	unsigned sent = 0;
	size_t left = 0;

	(void)state;
	world_open(&x, 1, NULL, NULL);
	sim_net_set_faults(x.net, &faults);
	connect_client(&x, &c);
	c.paused = true;
	/* Whole requests until nothing moves any more. */
	for (unsigned idle = 0; idle < 3;) {
		if (left == 0) {
			frame(out, (uint16_t)sent++, 1, pdu, sizeof(pdu));
			left = sizeof(out);
		}
		left -= client_send(&c, out + sizeof(out) - left, left);
		if (left) {
			world_run(&x, SECOND / 100);
			idle++;
		}
	}
	modbus_server_stats(x.server, &stats);
	assert_in_range(stats.requests, 1, sent - 1);
	c.paused = false;
	for (unsigned i = 0; i < 100 && left; i++) {
		client_read(&c);
		world_run(&x, SECOND / 100);
		left -= client_send(&c, out + sizeof(out) - left, left);
	}
	assert_int_equal(left, 0);
	client_read(&c);
	world_run(&x, SECOND);
	client_read(&c);
	assert_true(sent * 259u < sizeof(c.bytes));
	assert_int_equal(c.len, sent * 259);
	modbus_server_stats(x.server, &stats);
	assert_int_equal(stats.requests, sent);
	stream_close(c.s);
	world_close(&x);
}

static void a_new_client_takes_the_place_of_the_longest_silent(void **state)
{
	static const uint8_t pdu[] = {3, 0, 0, 0, 1};
	static struct client c[5];
	struct modbus_server_stats stats;
	uint8_t out[MODBUS_ADU_MAX];
	struct world x;
	size_t len = frame(out, 1, 1, pdu, sizeof(pdu));

	(void)state;
	world_open(&x, 1, NULL, NULL);
	for (unsigned i = 0; i < 4; i++)
		connect_client(&x, &c[i]);
	assert_int_equal(client_send(&c[0], out, len), len);
	world_run(&x, SECOND);
	connect_client(&x, &c[4]);
	world_run(&x, SECOND);
	assert_false(c[0].ended);
	assert_true(c[1].ended);
	modbus_server_stats(x.server, &stats);
	assert_int_equal(stats.displaced, 1);
	assert_int_equal(stats.connections, 4);
	for (unsigned i = 0; i < 5; i++)
		stream_close(c[i].s);
	world_close(&x);
}

static void failed_allocations_cost_a_connection_at_most(void **state)
{
	static const uint8_t pdu[] = {3, 0, 0, 0, 1};
	uint8_t out[MODBUS_ADU_MAX];
	size_t len = frame(out, 1, 1, pdu, sizeof(pdu));

	(void)state;
	for (long n = 1;; n++) {
		static struct client c;
		struct modbus_server *s = NULL;
		struct world x;
		size_t put = 0;
		bool hit;
		int rc;

		world_open(&x, 1, NULL, NULL);
		connect_client(&x, &c);
		alloc_fail_at(n);
		rc = modbus_server_create(x.far, &model_ops, &x.model, 1, &s);
		/* Half a request, which the connection has to keep. */
		(void)!stream_write(c.s, &(struct iovec){.iov_base = out, .iov_len = 5}, 1, &put);
		(void)!sim_run(x.w, SECOND, NULL, NULL);
		hit = alloc_fail_end();
		assert_true(rc == OK || (hit && rc == ERR_NOMEM));
		if (!hit) {
			assert_int_equal(client_send(&c, out + 5, len - 5), len - 5);
			world_run(&x, SECOND);
			assert_int_equal(c.len, 11);
		}
		modbus_server_destroy(s);
		stream_close(c.s);
		world_close(&x);
		if (!hit)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_sent_together_are_answered_in_order),
		cmocka_unit_test(half_a_request_waits_for_the_other_half),
		cmocka_unit_test(requests_that_are_wrong_get_exceptions),
		cmocka_unit_test(bytes_that_are_no_modbus_close_the_connection),
		cmocka_unit_test(a_client_that_does_not_read_is_not_read_from_until_it_does),
		cmocka_unit_test(a_new_client_takes_the_place_of_the_longest_silent),
		cmocka_unit_test(failed_allocations_cost_a_connection_at_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

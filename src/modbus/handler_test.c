#include "modbus/client_test.h"

/* Keeps requests until the test says what to do with them. Unit 1 is answered at once. */
struct desk {
	struct modbus_server_request *held[64];
	unsigned nheld, asked, cancelled, let_in, closed;
	bool is_closed_to_all;
};

static bool desk_accept(void *handler, struct modbus_peer *peer)
{
	struct desk *d = handler;

	assert_true(peer->address[0]);
	if (d->is_closed_to_all)
		return false;
	d->let_in++;
	peer->data = d;
	return true;
}

static void desk_closed(void *handler, struct modbus_peer *peer)
{
	struct desk *d = handler;

	assert_ptr_equal(peer->data, d);
	assert_int_equal(d->nheld, 0);
	d->closed++;
}

static void desk_request(void *handler, struct modbus_server_request *r)
{
	static const uint8_t pdu[] = {3, 2, 0xAB, 0xCD};
	struct desk *d = handler;

	d->asked++;
	assert_ptr_equal(r->peer->data, d);
	if (r->unit == 1)
		modbus_server_answer(r, span_of(pdu, sizeof(pdu)));
	else
		d->held[d->nheld++] = r;
}

static void desk_cancel(void *handler, struct modbus_server_request *r)
{
	struct desk *d = handler;

	for (unsigned i = 0; i < d->nheld; i++) {
		if (d->held[i] != r)
			continue;
		d->held[i] = d->held[--d->nheld];
		d->cancelled++;
		return;
	}
	fail_msg("a request is cancelled that nobody has");
}

static const struct modbus_handler_ops desk_ops = {
	.accept = desk_accept,
	.closed = desk_closed,
	.request = desk_request,
	.cancel = desk_cancel,
};

static void desk_open(struct world *x, struct desk *d)
{
	*d = (struct desk){0};
	world_open(x, 1, NULL, NULL);
	world_unlisten(x);
	modbus_server_destroy(x->server);
	assert_int_equal(modbus_server_create_handled(x->far, &desk_ops, d, 2, &x->server), OK);
	assert_int_equal(
		sim_net_listen(x->net, x->far, "device", modbus_server_acceptor(x->server), &x->listener),
		OK);
}

/* Answer what was held i-th, and take it out. */
static void desk_answer(struct desk *d, unsigned i)
{
	static const uint8_t pdu[] = {3, 2, 0, 7};

	assert_true(i < d->nheld);
	modbus_server_answer(d->held[i], span_of(pdu, sizeof(pdu)));
	memmove(d->held + i, d->held + i + 1, (--d->nheld - i) * sizeof(d->held[0]));
}

static void ask(struct client *c, uint16_t transaction, uint8_t unit)
{
	static const uint8_t pdu[] = {3, 0, 0, 0, 1};
	uint8_t out[MODBUS_ADU_MAX];
	size_t len = frame(out, transaction, unit, pdu, sizeof(pdu));

	assert_int_equal(client_send(c, out, len), len);
}

/* The transactions that were answered so far, in order. */
static unsigned answers(const struct client *c, uint16_t *transactions, unsigned room)
{
	struct modbus_adu adu;
	unsigned n = 0;

	for (size_t at = 0; at < c->len; at += adu.size) {
		assert_int_equal(modbus_adu_split(c->bytes + at, c->len - at, &adu), OK);
		assert_true(n < room);
		transactions[n++] = adu.transaction;
	}
	return n;
}

static void a_unit_that_is_slow_does_not_hold_up_the_others(void **state)
{
	static struct client c;
	uint16_t t[4];
	struct desk d;
	struct world x;

	(void)state;
	desk_open(&x, &d);
	connect_client(&x, &c);
	ask(&c, 10, 2);
	ask(&c, 11, 1);
	ask(&c, 12, 3);
	world_run(&x, SECOND);
	assert_int_equal(answers(&c, t, 4), 1);
	assert_int_equal(t[0], 11);
	desk_answer(&d, 1);
	world_run(&x, SECOND);
	desk_answer(&d, 0);
	world_run(&x, SECOND);
	assert_int_equal(answers(&c, t, 4), 3);
	assert_int_equal(t[1], 12);
	assert_int_equal(t[2], 10);
	stream_close(c.s);
	world_close(&x);
}

static void requests_to_one_unit_are_handled_one_after_the_other(void **state)
{
	static struct client c;
	uint16_t t[4];
	struct desk d;
	struct world x;

	(void)state;
	desk_open(&x, &d);
	connect_client(&x, &c);
	for (uint16_t i = 0; i < 3; i++)
		ask(&c, i, 2);
	for (uint16_t i = 0; i < 3; i++) {
		world_run(&x, SECOND);
		assert_int_equal(d.asked, i + 1u);
		assert_int_equal(d.nheld, 1);
		desk_answer(&d, 0);
	}
	world_run(&x, SECOND);
	assert_int_equal(answers(&c, t, 4), 3);
	for (uint16_t i = 0; i < 3; i++)
		assert_int_equal(t[i], i);
	stream_close(c.s);
	world_close(&x);
}

static void a_connection_has_so_many_requests_unanswered_and_no_more(void **state)
{
	static struct client c;
	uint16_t t[64];
	struct desk d;
	struct world x;

	(void)state;
	desk_open(&x, &d);
	connect_client(&x, &c);
	for (uint16_t i = 0; i < 40; i++)
		ask(&c, i, (uint8_t)(100 + i));
	world_run(&x, SECOND);
	assert_int_equal(d.nheld, MODBUS_SERVER_REQUESTS_MAX);
	for (unsigned i = 0; i < 40; i++) {
		desk_answer(&d, 0);
		world_run(&x, SECOND);
	}
	assert_int_equal(d.asked, 40);
	assert_int_equal(answers(&c, t, 64), 40);
	for (uint16_t i = 0; i < 40; i++)
		assert_int_equal(t[i], i);
	stream_close(c.s);
	world_close(&x);
}

static void a_connection_that_ends_takes_its_requests_back(void **state)
{
	static struct client c, other;
	uint16_t t[4];
	struct desk d;
	struct world x;

	(void)state;
	desk_open(&x, &d);
	connect_client(&x, &c);
	connect_client(&x, &other);
	ask(&c, 1, 2);
	ask(&c, 2, 2); /* waits in the server */
	ask(&c, 3, 3);
	world_run(&x, SECOND);
	assert_int_equal(d.nheld, 2);
	stream_close(c.s);
	world_run(&x, SECOND);
	assert_int_equal(d.cancelled, 2);
	assert_int_equal(d.asked, 2);
	assert_int_equal(d.closed, 1);
	ask(&other, 4, 2);
	world_run(&x, SECOND);
	desk_answer(&d, 0);
	world_run(&x, SECOND);
	assert_int_equal(answers(&other, t, 4), 1);
	/* And the server's end does the same. */
	ask(&other, 5, 2);
	world_run(&x, SECOND);
	world_unlisten(&x);
	modbus_server_destroy(x.server);
	x.server = NULL;
	assert_int_equal(d.cancelled, 3);
	assert_int_equal(d.closed, 2);
	stream_close(other.s);
	world_close(&x);
}

static void who_is_not_let_in_displaces_nobody(void **state)
{
	static struct client c[3];
	struct modbus_server_stats stats;
	struct desk d;
	struct world x;

	(void)state;
	desk_open(&x, &d);
	connect_client(&x, &c[0]);
	connect_client(&x, &c[1]);
	d.is_closed_to_all = true;
	connect_client(&x, &c[2]);
	world_run(&x, SECOND);
	modbus_server_stats(x.server, &stats);
	assert_int_equal(stats.refused, 1);
	assert_int_equal(stats.displaced, 0);
	assert_int_equal(stats.connections, 2);
	assert_true(c[2].ended);
	assert_false(c[0].ended || c[1].ended);
	assert_int_equal(d.closed, 0);
	for (unsigned i = 0; i < 3; i++)
		stream_close(c[i].s);
	world_close(&x);
}

static void a_request_for_which_there_is_no_memory_is_answered_busy(void **state)
{
	static struct client c;
	struct desk d;
	struct world x;

	(void)state;
	desk_open(&x, &d);
	connect_client(&x, &c);
	ask(&c, 1, 1);
	alloc_fail_at(1);
	(void)!sim_run(x.w, SECOND, NULL, NULL);
	assert_true(alloc_fail_end());
	assert_int_equal(d.asked, 0);
	assert_int_equal(c.len, 9);
	assert_int_equal(c.bytes[8], MODBUS_EXCEPTION_SERVER_DEVICE_BUSY);
	stream_close(c.s);
	world_close(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_unit_that_is_slow_does_not_hold_up_the_others),
		cmocka_unit_test(requests_to_one_unit_are_handled_one_after_the_other),
		cmocka_unit_test(a_connection_has_so_many_requests_unanswered_and_no_more),
		cmocka_unit_test(a_connection_that_ends_takes_its_requests_back),
		cmocka_unit_test(who_is_not_let_in_displaces_nobody),
		cmocka_unit_test(a_request_for_which_there_is_no_memory_is_answered_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

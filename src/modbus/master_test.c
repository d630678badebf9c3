#include "modbus/sim_test.h"

#define TIMEOUT_MS 1000u

struct ask {
	struct modbus_request r;
	unsigned done;
	struct modbus_request *again; /* submitted in done() */
	bool destroys;
	struct world *x;
};

static void on_done(struct modbus_request *r)
{
	struct ask *a = r->owner;

	a->done++;
	if (a->again)
		modbus_master_submit(a->x->master, a->again);
	if (a->destroys) {
		modbus_master_destroy(a->x->master);
		a->x->master = NULL;
	}
}

static struct ask reading(struct world *x, uint16_t address, uint16_t count)
{
	return (struct ask){
		.r = {.unit = 1,
		      .req = {.fc = 3, .address = address, .count = count},
		      .timeout_ms = TIMEOUT_MS,
		      .done = on_done},
		.x = x,
	};
}

static void submit(struct ask *a)
{
	a->r.owner = a;
	modbus_master_submit(a->x->master, &a->r);
	assert_int_equal(a->done, 0);
}

static void assert_done(const struct ask *a, int rc)
{
	assert_int_equal(a->done, 1);
	assert_int_equal(a->r.rc, rc);
	assert_int_equal(a->r.state, MODBUS_REQUEST_IDLE);
	assert_true((a->r.answered_ms != 0) == (rc == OK || rc == ERR_REMOTE));
}

static void answer_one(struct peer *p, const struct modbus_adu *adu)
{
	static const uint8_t pdu[] = {3, 2, 0x12, 0x34};

	peer_answer(p, adu->transaction, adu->unit, span_of(pdu, sizeof(pdu)));
}

static void say_nothing(struct peer *p, const struct modbus_adu *adu)
{
	(void)p;
	(void)adu;
}

static void hang_up(struct peer *p, const struct modbus_adu *adu)
{
	(void)adu;
	peer_close(p);
}

static void every_function_reaches_the_model(void **state)
{
	struct world x;
	struct ask read, write, bits, coil;

	(void)state;
	world_open(&x, 1, NULL, NULL);
	x.model.regs[5] = 0xBEEF;
	x.model.bits[3] = true;
	read = reading(&x, 5, 2);
	write = reading(&x, 7, 2);
	write.r.req = (struct modbus_req){.fc = 16, .address = 7, .count = 2, .data.regs = {1, 2}};
	bits = reading(&x, 2, 3);
	bits.r.req.fc = 1;
	coil = reading(&x, 2, 1);
	coil.r.req.fc = 5;
	submit(&read);
	submit(&write);
	submit(&bits);
	submit(&coil);
	world_run(&x, SECOND);
	assert_done(&read, OK);
	assert_int_equal(read.r.data.regs[0], 0xBEEF);
	assert_done(&write, OK);
	assert_int_equal(x.model.regs[8], 2);
	assert_done(&bits, OK);
	assert_int_equal(bits.r.data.bits[0], 2);
	assert_done(&coil, ERR_REMOTE);
	assert_int_equal(coil.r.exception, MODBUS_EXCEPTION_ILLEGAL_FUNCTION);
	world_close(&x);
}

static void exceptions_come_back_with_their_code(void **state)
{
	struct world x;
	struct ask beyond, failing;

	(void)state;
	world_open(&x, 1, NULL, NULL);
	beyond = reading(&x, NREGS - 1, 2);
	failing = reading(&x, 0, 1);
	failing.r.unit = 99;
	submit(&beyond);
	submit(&failing);
	world_run(&x, SECOND);
	assert_done(&beyond, ERR_REMOTE);
	assert_int_equal(beyond.r.exception, MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS);
	assert_done(&failing, ERR_REMOTE);
	assert_int_equal(failing.r.exception, MODBUS_EXCEPTION_SERVER_DEVICE_FAILURE);
	world_close(&x);
}

static void a_request_that_cannot_be_encoded_fails_and_the_next_goes_on(void **state)
{
	struct world x;
	struct ask bad, good;

	(void)state;
	world_open(&x, 1, NULL, NULL);
	bad = reading(&x, 0, 126);
	good = reading(&x, 0, 125);
	submit(&bad);
	submit(&good);
	world_run(&x, SECOND);
	assert_done(&bad, ERR_RANGE);
	assert_done(&good, OK);
	world_close(&x);
}

static void other_function(struct peer *p, const struct modbus_adu *adu)
{
	static const uint8_t pdu[] = {4, 2, 0, 1};

	peer_answer(p, adu->transaction, adu->unit, span_of(pdu, sizeof(pdu)));
}

static void raw_requests_bring_whatever_the_device_says(void **state)
{
	struct world x;
	struct ask a;

	(void)state;
	world_open(&x, 1, NULL, NULL);
	x.model.regs[5] = 0xBEEF;
	a = reading(&x, 0, 0);
	a.r.is_raw = true;
	memcpy(a.r.pdu, (const uint8_t[]){3, 0, 5, 0, 1}, a.r.pdu_len = 5);
	submit(&a);
	world_run(&x, SECOND);
	assert_done(&a, OK);
	assert_int_equal(a.r.pdu_len, 4);
	assert_int_equal(get_u16be(a.r.pdu + 2), 0xBEEF);
	assert_true(a.r.busy_us > 0 && a.r.response_us > 0);
	a.done = 0;
	memcpy(a.r.pdu, (const uint8_t[]){0x41, 7}, a.r.pdu_len = 2);
	submit(&a);
	world_run(&x, SECOND);
	assert_done(&a, OK);
	assert_int_equal(a.r.pdu_len, 2);
	assert_int_equal(a.r.pdu[0], 0xC1);
	world_close(&x);
	world_open(&x, 1, NULL, other_function);
	a.done = 0;
	memcpy(a.r.pdu, (const uint8_t[]){3, 0, 5, 0, 1}, a.r.pdu_len = 5);
	submit(&a);
	world_run(&x, SECOND);
	assert_done(&a, ERR_UNEXPECTED);
	world_close(&x);
}

struct seen {
	struct modbus_trace trace;
	unsigned sent, received;
};

static void on_frame(struct modbus_trace *t, bool is_sent, uint64_t at_us, struct span bytes,
		     const char *note)
{
	struct seen *s = container_of(t, struct seen, trace);

	assert_true(at_us > 0 && !note);
	assert_int_equal(bytes.len, is_sent ? 12 : 11);
	s->sent += is_sent;
	s->received += !is_sent;
}

static void a_trace_shows_every_frame(void **state)
{
	struct seen seen = {.trace.frame = on_frame};
	struct world x;
	struct ask a;

	(void)state;
	world_open(&x, 1, NULL, NULL);
	x.master->trace = &seen.trace;
	a = reading(&x, 0, 1);
	submit(&a);
	world_run(&x, SECOND);
	assert_done(&a, OK);
	assert_int_equal(seen.sent, 1);
	assert_int_equal(seen.received, 1);
	world_close(&x);
}

static void refused_connections_fail_everything_queued_once(void **state)
{
	struct world x;
	struct ask a, b;

	(void)state;
	world_open(&x, 1, NULL, NULL);
	world_unlisten(&x);
	a = reading(&x, 0, 1);
	b = reading(&x, 0, 1);
	submit(&a);
	submit(&b);
	world_run(&x, 10 * SECOND);
	assert_done(&a, ERR_IO);
	assert_done(&b, ERR_IO);
	world_close(&x);
}

static void a_silent_device_times_out_and_keeps_its_connection(void **state)
{
	struct world x;
	struct ask a, b;
	struct modbus_master_stats stats;

	(void)state;
	world_open(&x, 1, NULL, say_nothing);
	a = reading(&x, 0, 1);
	b = reading(&x, 0, 1);
	submit(&a);
	submit(&b);
	world_run(&x, TIMEOUT_MS * 1500);
	assert_done(&a, ERR_TIMEOUT);
	assert_int_equal(b.done, 0);
	world_run(&x, TIMEOUT_MS * 1000);
	assert_done(&b, ERR_TIMEOUT);
	assert_int_equal(x.peer.connections, 1);
	assert_true(modbus_master_connected(x.master));
	modbus_master_stats(x.master, &stats);
	assert_int_equal(stats.timeouts, 2);
	world_close(&x);
}

static void a_peer_that_says_nothing_at_all_is_dialled_anew(void **state)
{
	const struct modbus_master_tcp_options options = {.quiet_timeouts = 2};
	struct world x;
	struct ask a[3];

	(void)state;
	world_open(&x, 1, &options, say_nothing);
	for (unsigned i = 0; i < 3; i++) {
		a[i] = reading(&x, 0, 1);
		submit(&a[i]);
	}
	world_run(&x, 10 * SECOND);
	for (unsigned i = 0; i < 3; i++)
		assert_done(&a[i], ERR_TIMEOUT);
	assert_int_equal(x.peer.connections, 2);
	world_close(&x);
}

/* Sent a while apart, none of them heard of. */
static void one_time_out_ends_all_that_is_in_flight_on_a_dead_connection(void **state)
{
	const struct modbus_master_tcp_options options = {.max_in_flight = 4};
	struct world x;
	struct ask a[5];

	(void)state;
	world_open(&x, 1, &options, say_nothing);
	for (unsigned i = 0; i < 4; i++) {
		a[i] = reading(&x, 0, 1);
		a[i].r.unit = (uint8_t)(1 + i);
		submit(&a[i]);
		world_run(&x, TIMEOUT_MS * 150);
	}
	a[4] = reading(&x, 0, 1); /* waits for its place */
	submit(&a[4]);
	world_run(&x, TIMEOUT_MS * 500);
	assert_done(&a[0], ERR_TIMEOUT);
	for (unsigned i = 1; i < 4; i++)
		assert_done(&a[i], ERR_CLOSED);
	assert_int_equal(x.peer.connections, 2);
	assert_int_equal(a[4].done, 0);
	world_run(&x, TIMEOUT_MS * 1000);
	assert_done(&a[4], ERR_TIMEOUT);
	world_close(&x);
}

static void answer_unit_1_only(struct peer *p, const struct modbus_adu *adu)
{
	if (adu->unit == 1)
		answer_one(p, adu);
}

/* Somebody was heard meanwhile, or the others have not waited for long: they have their time. */
static void a_time_out_alone_ends_nothing_else(void **state)
{
	const struct modbus_master_tcp_options options = {.max_in_flight = 4};
	struct world x;
	struct ask live, dead[3];

	(void)state;
	for (unsigned is_late = 0; is_late < 2; is_late++) {
		world_open(&x, 1, &options, answer_unit_1_only);
		for (unsigned i = 0; i < 3; i++) {
			dead[i] = reading(&x, 0, 1);
			dead[i].r.unit = (uint8_t)(2 + i);
			submit(&dead[i]);
			if (i == 0)
				world_run(&x, TIMEOUT_MS * (is_late ? 700 : 100));
		}
		live = reading(&x, 0, 1);
		if (!is_late)
			submit(&live);
		world_run(&x, TIMEOUT_MS * (is_late ? 400 : 950));
		assert_true(is_late || live.done);
		assert_done(&dead[0], ERR_TIMEOUT);
		assert_int_equal(dead[1].done + dead[2].done, 0);
		world_run(&x, TIMEOUT_MS * 1000);
		assert_done(&dead[1], ERR_TIMEOUT);
		assert_int_equal(dead[2].done, 1);
		world_close(&x);
	}
}

static void complaint_1_a_silent_unit_does_not_cost_its_neighbours_their_connection(void **state)
{
	const struct modbus_master_tcp_options options = {.quiet_timeouts = 2};
	struct world x;
	struct ask live, dead[6];

	(void)state;
	world_open(&x, 1, &options, answer_unit_1_only);
	live = reading(&x, 0, 1);
	submit(&live);
	world_run(&x, SECOND);
	assert_done(&live, OK);
	for (unsigned i = 0; i < 6; i++) {
		dead[i] = reading(&x, 0, 1);
		dead[i].r.unit = 2;
		submit(&dead[i]);
	}
	world_run(&x, 10 * SECOND);
	for (unsigned i = 0; i < 6; i++)
		assert_done(&dead[i], ERR_TIMEOUT);
	assert_int_equal(x.peer.connections, 1);
	world_close(&x);
}

static void a_late_answer_is_not_taken_for_the_next(void **state)
{
	static const uint8_t late[] = {3, 2, 0xDE, 0xAD};
	static const uint8_t right[] = {3, 2, 0x00, 0x2A};
	struct world x;
	struct ask a, b;
	struct modbus_master_stats stats;

	(void)state;
	world_open(&x, 1, NULL, say_nothing);
	a = reading(&x, 0, 1);
	b = reading(&x, 0, 1);
	submit(&a);
	world_run(&x, TIMEOUT_MS * 1100);
	assert_done(&a, ERR_TIMEOUT);
	submit(&b);
	world_run(&x, SECOND / 10);
	assert_int_equal(x.peer.nframes, 2);
	peer_answer(&x.peer, x.peer.frames[0].transaction, 1, span_of(late, sizeof(late)));
	world_run(&x, SECOND / 10);
	assert_int_equal(b.done, 0);
	peer_answer(&x.peer, x.peer.frames[1].transaction, 2, span_of(late, sizeof(late)));
	world_run(&x, SECOND / 10);
	assert_int_equal(b.done, 0); /* another unit */
	peer_answer(&x.peer, x.peer.frames[1].transaction, 1, span_of(right, sizeof(right)));
	world_run(&x, SECOND / 10);
	assert_done(&b, OK);
	assert_int_equal(b.r.data.regs[0], 42);
	modbus_master_stats(x.master, &stats);
	assert_int_equal(stats.stray, 2);
	world_close(&x);
}

static void an_answer_to_something_else_fails_its_request_only(void **state)
{
	static const uint8_t wrong[] = {4, 2, 0, 0};
	struct world x;
	struct ask a;

	(void)state;
	world_open(&x, 1, NULL, say_nothing);
	a = reading(&x, 0, 1);
	submit(&a);
	world_run(&x, SECOND / 10);
	peer_answer(&x.peer, x.peer.frames[0].transaction, 1, span_of(wrong, sizeof(wrong)));
	world_run(&x, SECOND / 10);
	assert_done(&a, ERR_UNEXPECTED);
	assert_true(modbus_master_connected(x.master));
	world_close(&x);
}

static void bytes_that_are_no_modbus_end_the_connection(void **state)
{
	struct world x;
	struct ask a;

	(void)state;
	world_open(&x, 1, NULL, say_nothing);
	a = reading(&x, 0, 1);
	submit(&a);
	world_run(&x, SECOND / 10);
	peer_send(&x.peer, "HTTP/1.1 400", 12);
	world_run(&x, SECOND / 10);
	assert_done(&a, ERR_MALFORMED);
	assert_false(modbus_master_connected(x.master));
	world_close(&x);
}

static void a_broken_connection_fails_what_is_in_flight_and_the_rest_gets_a_new_one(void **state)
{
	struct world x;
	struct ask a, b;

	(void)state;
	world_open(&x, 1, NULL, hang_up);
	a = reading(&x, 0, 1);
	b = reading(&x, 0, 1);
	submit(&a);
	submit(&b);
	world_run(&x, SECOND / 2);
	assert_done(&a, ERR_CLOSED);
	assert_done(&b, ERR_CLOSED);
	assert_int_equal(x.peer.connections, 2);
	world_close(&x);
}

static void as_many_as_allowed_are_in_flight(void **state)
{
	const struct modbus_master_tcp_options options = {.max_in_flight = 4};
	const struct modbus_master_tcp_options too_many = {.max_in_flight = MODBUS_IN_FLIGHT_MAX + 1};
	static const uint8_t answer[] = {3, 2, 0, 1};
	struct modbus_master *none = NULL;
	struct world x;
	struct ask a[6];

	(void)state;
	world_open(&x, 1, &options, say_nothing);
	for (unsigned i = 0; i < 6; i++) {
		a[i] = reading(&x, 0, 1);
		submit(&a[i]);
	}
	world_run(&x, SECOND / 10);
	assert_int_equal(x.peer.nframes, 4);
	/* In another order than asked. */
	peer_answer(&x.peer, x.peer.frames[2].transaction, 1, span_of(answer, sizeof(answer)));
	world_run(&x, SECOND / 10);
	assert_done(&a[2], OK);
	assert_int_equal(a[0].done, 0);
	assert_int_equal(x.peer.nframes, 5);
	assert_int_equal(modbus_master_tcp_create(x.near, NULL, &too_many, &none), ERR_RANGE);
	world_close(&x);
}

static void a_cancelled_request_is_never_called_back(void **state)
{
	struct world x;
	struct ask in_flight, queued, other;

	(void)state;
	world_open(&x, 1, NULL, answer_one);
	in_flight = reading(&x, 0, 1);
	queued = reading(&x, 0, 1);
	other = reading(&x, 0, 1);
	modbus_master_cancel(x.master, &in_flight.r); /* idle: nothing happens */
	submit(&in_flight);
	submit(&queued);
	submit(&other);
	modbus_master_cancel(x.master, &queued.r);
	world_run(&x, 1); /* connecting, or just sent */
	modbus_master_cancel(x.master, &in_flight.r);
	world_run(&x, SECOND);
	assert_int_equal(in_flight.done, 0);
	assert_int_equal(queued.done, 0);
	assert_done(&other, OK);
	world_close(&x);
}

/* Take `half_sent` back when 5 bytes of it are out; then let the wire take `buffer` bytes. One request is in flight meanwhile. */
static void take_back_half_sent(struct world *x, struct ask *other, struct ask *half_sent, size_t buffer)
{
	const struct modbus_master_tcp_options options = {.max_in_flight = 4};

	world_open(x, 1, &options, say_nothing);
	*other = reading(x, 0, 1);
	other->r.timeout_ms = 10 * TIMEOUT_MS;
	submit(other);
	world_run(x, SECOND / 10);
	sim_net_set_faults(x->net, &(struct sim_net_faults){.buffer = 5});
	submit(half_sent);
	modbus_master_cancel(x->master, &half_sent->r);
	sim_net_set_faults(x->net, &(struct sim_net_faults){.buffer = buffer});
}

static void a_read_that_is_taken_back_half_sent_leaves_the_others_alone(void **state)
{
	struct world x;
	struct ask other, half_sent = reading(&x, 0, 1), next = reading(&x, 0, 1);

	(void)state;
	take_back_half_sent(&x, &other, &half_sent, 4096);
	submit(&next);
	world_run(&x, SECOND / 10);
	assert_int_equal(x.peer.connections, 1);
	assert_int_equal(x.peer.nframes, 3);
	assert_int_equal(half_sent.done, 0);
	assert_int_equal(other.done, 0);
	world_close(&x);
}

static void a_write_that_is_taken_back_half_sent_never_gets_there(void **state)
{
	struct world x;
	struct ask other, half_sent = reading(&x, 0, 1), next = reading(&x, 0, 1);

	(void)state;
	half_sent.r.req.fc = 6;
	take_back_half_sent(&x, &other, &half_sent, 4096);
	submit(&next);
	world_run(&x, SECOND / 10);
	assert_int_equal(x.peer.connections, 2);
	assert_int_equal(x.peer.nframes, 2); /* that of the first, and next */
	assert_int_equal(half_sent.done, 0);
	assert_done(&other, ERR_CLOSED);
	world_close(&x);
}

static void a_read_that_is_taken_back_and_cannot_be_sent_to_its_end_ends_the_connection(void **state)
{
	struct world x;
	struct ask other, half_sent = reading(&x, 0, 1), next = reading(&x, 0, 1);

	(void)state;
	take_back_half_sent(&x, &other, &half_sent, 1);
	x.peer.stream->ready = NULL; /* it reads no more */
	submit(&next);
	world_run(&x, TIMEOUT_MS * UINT64_C(1000) + SECOND / 10);
	assert_int_equal(half_sent.done, 0);
	assert_done(&other, ERR_CLOSED);
	assert_int_equal(x.peer.connections, 2);
	world_close(&x);
}

static void a_device_that_takes_no_bytes_is_dialled_anew(void **state)
{
	const struct sim_net_faults closed = {.buffer = 5};
	struct world x;
	struct ask first, stuck, next;

	(void)state;
	world_open(&x, 1, NULL, answer_one);
	first = reading(&x, 0, 1);
	stuck = reading(&x, 0, 1);
	next = reading(&x, 0, 1);
	submit(&first);
	world_run(&x, SECOND);
	assert_done(&first, OK);
	stream_detach(x.peer.stream); /* it reads no more */
	sim_net_set_faults(x.net, &closed);
	submit(&stuck);
	submit(&next);
	world_run(&x, SECOND / 2);
	sim_net_set_faults(x.net, &(struct sim_net_faults){.buffer = 4096});
	world_run(&x, 3 * SECOND);
	assert_done(&stuck, ERR_TIMEOUT);
	assert_done(&next, OK);
	assert_int_equal(x.peer.connections, 2);
	world_close(&x);
}

static void done_may_submit_again(void **state)
{
	struct world x;
	struct ask a, b;

	(void)state;
	world_open(&x, 1, NULL, answer_one);
	a = reading(&x, 0, 1);
	b = reading(&x, 0, 1);
	b.r.owner = &b;
	a.again = &b.r;
	submit(&a);
	world_run(&x, SECOND);
	assert_done(&a, OK);
	assert_done(&b, OK);
	world_close(&x);
}

static void done_may_destroy_the_master(void **state)
{
	const struct modbus_master_tcp_options options = {.max_in_flight = 4};
	struct world x;
	struct ask a, b, c;

	(void)state;
	world_open(&x, 1, &options, hang_up);
	a = reading(&x, 0, 1);
	b = reading(&x, 0, 1);
	c = reading(&x, 0, 1);
	a.destroys = true;
	submit(&a);
	submit(&b);
	world_run(&x, 1);
	submit(&c);
	world_run(&x, SECOND);
	assert_done(&a, ERR_CLOSED);
	assert_int_equal(b.done + c.done, 0);
	assert_null(x.master);
	world_close(&x);
}

static void creating_survives_every_failed_allocation(void **state)
{
	struct world x;

	(void)state;
	world_open(&x, 1, NULL, answer_one);
	for (long n = 1;; n++) {
		struct modbus_master *m = NULL;
		struct dialer *dialer = NULL;
		int rc;
		bool hit;

		alloc_fail_at(n);
		rc = sim_net_dialer(x.net, "device", &dialer);
		if (rc == OK && (rc = modbus_master_tcp_create(x.near, dialer, NULL, &m)) < 0)
			dialer->destroy(dialer);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		modbus_master_destroy(m);
		if (!hit)
			break;
	}
	world_close(&x);
}

static void a_request_completes_whichever_allocation_fails(void **state)
{
	(void)state;
	for (long n = 1;; n++) {
		struct world x;
		struct ask a;
		bool hit;

		world_open(&x, 1, NULL, NULL);
		a = reading(&x, 0, 1);
		alloc_fail_at(n);
		submit(&a);
		(void)!sim_run(x.w, 3 * SECOND, NULL, NULL);
		hit = alloc_fail_end();
		assert_int_equal(a.done, 1);
		if (!hit)
			assert_int_equal(a.r.rc, OK);
		world_close(&x);
		if (!hit)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_function_reaches_the_model),
		cmocka_unit_test(exceptions_come_back_with_their_code),
		cmocka_unit_test(a_request_that_cannot_be_encoded_fails_and_the_next_goes_on),
		cmocka_unit_test(raw_requests_bring_whatever_the_device_says),
		cmocka_unit_test(a_trace_shows_every_frame),
		cmocka_unit_test(refused_connections_fail_everything_queued_once),
		cmocka_unit_test(a_silent_device_times_out_and_keeps_its_connection),
		cmocka_unit_test(a_peer_that_says_nothing_at_all_is_dialled_anew),
		cmocka_unit_test(one_time_out_ends_all_that_is_in_flight_on_a_dead_connection),
		cmocka_unit_test(a_time_out_alone_ends_nothing_else),
		cmocka_unit_test(complaint_1_a_silent_unit_does_not_cost_its_neighbours_their_connection),
		cmocka_unit_test(a_late_answer_is_not_taken_for_the_next),
		cmocka_unit_test(an_answer_to_something_else_fails_its_request_only),
		cmocka_unit_test(bytes_that_are_no_modbus_end_the_connection),
		cmocka_unit_test(a_broken_connection_fails_what_is_in_flight_and_the_rest_gets_a_new_one),
		cmocka_unit_test(as_many_as_allowed_are_in_flight),
		cmocka_unit_test(a_cancelled_request_is_never_called_back),
		cmocka_unit_test(a_read_that_is_taken_back_half_sent_leaves_the_others_alone),
		cmocka_unit_test(a_write_that_is_taken_back_half_sent_never_gets_there),
		cmocka_unit_test(a_read_that_is_taken_back_and_cannot_be_sent_to_its_end_ends_the_connection),
		cmocka_unit_test(a_device_that_takes_no_bytes_is_dialled_anew),
		cmocka_unit_test(done_may_submit_again),
		cmocka_unit_test(done_may_destroy_the_master),
		cmocka_unit_test(creating_survives_every_failed_allocation),
		cmocka_unit_test(a_request_completes_whichever_allocation_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

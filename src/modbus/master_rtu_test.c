#include "modbus/rtu_test.h"

#define TIMEOUT_MS 500u

struct ask {
	struct modbus_request r;
	unsigned done;
	uint64_t done_us;
	struct wire *x;
	bool again, destroys;
};

static void on_done(struct modbus_request *r)
{
	struct ask *a = r->owner;

	a->done++;
	a->done_us = sim_now_us(a->x->w);
	if (a->again)
		modbus_master_submit(a->x->master, r);
	if (a->destroys) {
		modbus_master_destroy(a->x->master);
		a->x->master = NULL;
	}
}

static struct ask reading(struct wire *x, unsigned unit, unsigned address, unsigned count)
{
	return (struct ask){
		.r = {.unit = (uint8_t)unit,
		      .req = {.fc = 3, .address = (uint16_t)address, .count = (uint16_t)count},
		      .timeout_ms = TIMEOUT_MS,
		      .done = on_done},
		.x = x,
	};
}

static struct ask writing(struct wire *x, unsigned unit, unsigned address, unsigned value)
{
	struct ask a = reading(x, unit, address, 1);

	a.r.req.fc = 6;
	a.r.req.data.regs[0] = (uint16_t)value;
	return a;
}

static void submit(struct ask *a)
{
	a->r.owner = a;
	modbus_master_submit(a->x->master, &a->r);
}

static int ask(struct ask *a)
{
	unsigned before = a->done;

	submit(a);
	assert_int_equal(a->done, before);
	wire_run(a->x, 10 * SECOND);
	assert_int_equal(a->done, before + 1);
	return a->r.rc;
}

static struct modbus_master_stats stats_of(const struct wire *x)
{
	struct modbus_master_stats s;

	modbus_master_stats(x->master, &s);
	return s;
}

static const struct modbus_master_rtu_options at_9600 = {
	.baud = 9600, .turnaround_us = 100000, .is_port = true};

static void units_answer_in_both_modes(void **state)
{
	(void)state;
	for (unsigned mode = 0; mode < 2; mode++) {
		const struct modbus_master_rtu_options o = {.baud = 19200, .is_ascii = mode == 1};
		struct wire x;
		struct ask a, w, beyond;

		wire_open(&x, 1, &o, 3);
		a = reading(&x, 2, 5, 100);
		assert_int_equal(ask(&a), OK);
		assert_int_equal(a.r.data.regs[99], 2104);
		assert_true(a.r.answered_ms > 0);
		w = writing(&x, 3, 7, 42);
		assert_int_equal(ask(&w), OK);
		assert_int_equal(x.units[2].model.regs[7], 42);
		beyond = reading(&x, 1, NREGS, 1);
		assert_int_equal(ask(&beyond), ERR_REMOTE);
		assert_int_equal(beyond.r.exception, MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS);
		assert_int_equal(stats_of(&x).answered, 3);
		wire_close(&x);
	}
}

static void the_silence_is_kept_and_nothing_beyond_it(void **state)
{
	static const struct {
		uint32_t baud;
		unsigned bits;
		uint64_t silence_ns;
	} cases[] = {
		{1200, 11, 32083334}, {9600, 11, 4010417},  {9600, 10, 3645834},   {19200, 11, 2005209},
		{38400, 11, 1750000}, {57600, 11, 1750000}, {115200, 11, 1750000}, {921600, 10, 1750000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct modbus_master_rtu_options o = {
			.baud = cases[i].baud, .char_bits = cases[i].bits, .is_port = true};
		struct ask a[UNITS_MAX];
		uint64_t start_us;
		struct wire x;

		wire_open(&x, i, &o, UNITS_MAX);
		x.need_ns = cases[i].silence_ns - 1;
		for (unsigned u = 0; u < UNITS_MAX; u++) {
			a[u] = reading(&x, u + 1, 0, 10);
			a[u].again = true;
			submit(&a[u]);
		}
		start_us = sim_now_us(x.w);
		wire_run(&x, 10 * SECOND);
		assert_true(x.nframes > 2);
		assert_true(x.least_gap_ns >= x.need_ns);
		/* A turn of the loop is up to 20 us away. */
		assert_true(x.idle_ns / x.nframes < 50000);
		assert_int_equal(stats_of(&x).timeouts, 0);
		assert_true(sim_now_us(x.w) > start_us);
		for (unsigned u = 0; u < UNITS_MAX; u++) {
			assert_true(a[u].done == a[0].done || a[u].done + 1 == a[0].done);
			a[u].again = false;
		}
		wire_close(&x);
	}
}

static void more_silence_is_kept_where_it_is_asked(void **state)
{
	const struct modbus_master_rtu_options o = {.baud = 9600, .silence_us = 3000};
	struct wire x;
	struct ask a, b;

	(void)state;
	wire_open(&x, 1, &o, 2);
	a = reading(&x, 1, 0, 1);
	b = reading(&x, 2, 0, 1);
	b.r.silence_us = 50000;
	submit(&a);
	submit(&b);
	wire_run(&x, SECOND);
	assert_int_equal(b.done, 1);
	assert_in_range(x.least_gap_ns, 57010417, 57100000);
	wire_close(&x);
}

static void times_are_told_to_the_microsecond(void **state)
{
	struct wire x;
	struct ask a;

	(void)state;
	wire_open(&x, 1, &at_9600, 1);
	a = reading(&x, 1, 0, 10);
	assert_int_equal(ask(&a), OK);
	/* 8 characters out; 3.5 of silence, which is how the unit knows that it was all; 2 ms; 25 characters back */
	assert_in_range(a.r.response_us, 4010 + 2000 + 28646, 4010 + 2000 + 28646 + 60);
	assert_in_range(a.r.busy_us, 9167 + 34656, 9167 + 34656 + 60);
	wire_close(&x);
}

static void the_time_out_begins_when_all_was_sent(void **state)
{
	const struct modbus_master_rtu_options o = {.baud = 1200};
	struct wire x;
	struct ask a;

	(void)state;
	wire_open(&x, 1, &o, 1);
	a = reading(&x, 1, 0, 1);
	a.r.timeout_ms = 150; /* 73 ms go out, 32 ms silence, 64 ms answer */
	assert_int_equal(ask(&a), OK);
	x.units[0].is_silent = true;
	a.r.timeout_ms = 20;
	assert_int_equal(ask(&a), ERR_TIMEOUT);
	assert_in_range(a.r.busy_us, 93333, 93400);
	assert_int_equal(stats_of(&x).timeouts, 1);
	wire_close(&x);
}

static void a_broken_answer_is_known_before_the_time_out(void **state)
{
	(void)state;
	for (unsigned mode = 0; mode < 2; mode++) {
		const struct modbus_master_rtu_options o = {.baud = 9600, .is_ascii = mode == 1};
		struct wire x;
		struct ask a;

		wire_open(&x, 1, &o, 1);
		x.units[0].breaks_crc = true;
		a = reading(&x, 1, 0, 2);
		assert_int_equal(ask(&a), ERR_MALFORMED);
		assert_true(a.r.busy_us < 100000);
		assert_int_equal(stats_of(&x).crc_errors, 1);
		x.units[0].breaks_crc = false;
		assert_int_equal(ask(&a), OK);
		wire_close(&x);
	}
}

/* One that speaks without end would hold up all others for ever, and nobody would know why. */
static void a_line_that_is_never_silent_ends_requests_in_time(void **state)
{
	static const uint8_t noise[] = {0x55, 0xAA};
	struct wire x;
	struct ask a, b;

	(void)state;
	wire_open(&x, 1, &at_9600, 2);
	a = reading(&x, 1, 0, 20);
	b = reading(&x, 2, 0, 20);
	assert_int_equal(sim_bus_say(&x.units[0].d, noise, sizeof(noise), 0), OK);
	wire_run(&x, 2000);
	submit(&a);
	submit(&b);
	for (unsigned i = 0; i < 3 * TIMEOUT_MS / 2; i++) {
		assert_int_equal(sim_bus_say(&x.units[0].d, noise, sizeof(noise), 0), OK);
		wire_run(&x, 2000);
	}
	assert_int_equal(a.done, 1);
	assert_int_equal(b.done, 1);
	assert_int_equal(a.r.rc, ERR_TIMEOUT);
	assert_int_equal(b.r.rc, ERR_TIMEOUT);
	assert_int_equal(stats_of(&x).sent, 0);
	wire_run(&x, 10 * SECOND);
	assert_int_equal(ask(&a), OK);
	wire_close(&x);
}

/* The rest of an answer that is kept back somewhere may be on the wire all the same. */
static void an_answer_that_stops_has_the_time_of_its_rest(void **state)
{
	uint8_t begin[] = {1, 3, 40, 0};
	struct wire x;
	struct ask a;

	(void)state;
	wire_open(&x, 1, &at_9600, 1);
	x.units[0].is_silent = true;
	a = reading(&x, 1, 0, 20);
	submit(&a);
	wire_run(&x, 30000);
	assert_int_equal(sim_bus_say(&x.units[0].d, begin, sizeof(begin), 0), OK);
	/* 4 characters, 41 that are missing, and 20 ms; as much later as the port is left alone */
	wire_run(&x, 4583 + 46979 + 20000 - 1000);
	assert_int_equal(a.done, 0);
	wire_run(&x, 21000);
	assert_int_equal(a.done, 1);
	assert_int_equal(a.r.rc, ERR_MALFORMED);
	assert_int_equal(stats_of(&x).crc_errors, 1);
	wire_close(&x);
}

static void what_is_heard_before_the_answer_does_not_matter(void **state)
{
	static const uint8_t spike[] = {0xFF}, half[] = {1, 3, 4, 0}, foreign[] = {9, 3, 2, 0, 1, 0x98, 0x45};
	static const struct {
		const uint8_t *p;
		size_t len;
	} before[] = {{spike, 1}, {half, 4}, {foreign, 7}};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct wire x;
		struct ask a;

		wire_open(&x, 1, &at_9600, 1);
		x.units[0].before = before[i].p;
		x.units[0].before_len = before[i].len;
		a = reading(&x, 1, 3, 2);
		assert_int_equal(ask(&a), OK);
		assert_int_equal(a.r.data.regs[1], 1004);
		wire_close(&x);
	}
}

static void another_units_frame_is_never_the_answer(void **state)
{
	static const uint8_t pdu[] = {3, 2, 0x77, 0x77};
	struct wire x;
	struct ask a;

	(void)state;
	wire_open(&x, 1, &at_9600, 2);
	x.units[0].is_silent = true;
	a = reading(&x, 1, 0, 1);
	submit(&a);
	wire_run(&x, 30000);
	unit_say(&x.units[1], 2, span_of(pdu, 4), 0);
	wire_run(&x, SECOND);
	assert_int_equal(a.done, 1);
	assert_int_equal(a.r.rc, ERR_TIMEOUT);
	assert_int_equal(stats_of(&x).stray, 1);
	/* The same while nobody is asked. */
	unit_say(&x.units[1], 2, span_of(pdu, 4), 0);
	wire_run(&x, SECOND);
	assert_int_equal(stats_of(&x).stray, 2);
	wire_close(&x);
}

/* The unit is slower than the time-out: whatever it says is said too late. */
static void a_late_answer_is_not_taken_for_the_present_one(void **state)
{
	struct wire x;
	struct ask first, second;

	(void)state;
	wire_open(&x, 1, &at_9600, 1);
	x.units[0].delay_us = 600000;
	first = reading(&x, 1, 10, 1);
	second = reading(&x, 1, 20, 1);
	submit(&first);
	submit(&second);
	wire_run(&x, 550000);
	assert_int_equal(first.r.rc, ERR_TIMEOUT);
	x.units[0].delay_us = 2000;
	wire_run(&x, SECOND);
	assert_int_equal(second.done, 1);
	assert_int_equal(second.r.rc, OK);
	assert_int_equal(second.r.data.regs[0], 1020);
	assert_int_equal(stats_of(&x).stray, 1);
	wire_close(&x);
}

/* The same request again takes the late answer, as it is right; the next one must not get the second. */
static void a_repeated_request_does_not_shift_the_answers(void **state)
{
	struct wire x;
	struct ask a, b;

	(void)state;
	wire_open(&x, 1, &at_9600, 1);
	x.units[0].delay_us = 530000;
	a = reading(&x, 1, 10, 1);
	b = reading(&x, 1, 20, 1);
	submit(&a);
	wire_run(&x, 520000);
	assert_int_equal(a.done, 1);
	submit(&a);
	submit(&b);
	wire_run(&x, 10 * SECOND);
	if (a.r.rc == OK)
		assert_int_equal(a.r.data.regs[0], 1010);
	if (b.r.rc == OK)
		assert_int_equal(b.r.data.regs[0], 1020);
	assert_int_equal(a.done, 2);
	assert_int_equal(b.done, 1);
	wire_close(&x);
}

/* Another unit, or another function, need not wait. */
static void a_silent_unit_does_not_hold_up_the_others(void **state)
{
	struct wire x;
	struct ask a, b, c;

	(void)state;
	wire_open(&x, 1, &at_9600, 2);
	x.units[0].is_silent = true;
	a = reading(&x, 1, 0, 1);
	b = reading(&x, 2, 0, 1);
	c = reading(&x, 1, 0, 1);
	submit(&a);
	submit(&b);
	submit(&c);
	wire_run(&x, 600000);
	assert_int_equal(a.r.rc, ERR_TIMEOUT);
	assert_int_equal(b.done, 1);
	assert_int_equal(x.units[0].asked, 2);
	wire_run(&x, SECOND);
	wire_close(&x);
}

static void a_broadcast_reaches_all_and_waits_for_none(void **state)
{
	struct wire x;
	struct ask w, bad;

	(void)state;
	wire_open(&x, 1, &at_9600, 3);
	w = writing(&x, 0, 5, 99);
	assert_int_equal(ask(&w), OK);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(x.units[i].model.regs[5], 99);
	assert_in_range(w.r.busy_us, 109166, 109300);
	bad = reading(&x, 0, 0, 1);
	assert_int_equal(ask(&bad), ERR_UNSUPPORTED);
	wire_close(&x);
}

static void an_adapter_that_hears_itself_confirms_no_write(void **state)
{
	const struct sim_bus_faults f = {.echo = true};
	struct wire x;
	struct ask a, w;

	(void)state;
	wire_open(&x, 1, &at_9600, 2);
	sim_bus_set_faults(x.bus, &f);
	a = reading(&x, 1, 0, 4);
	assert_int_equal(ask(&a), OK);
	assert_int_equal(a.r.data.regs[3], 1003);
	w = writing(&x, 2, 0, 1);
	x.units[1].is_silent = true;
	assert_int_equal(ask(&w), ERR_TIMEOUT);
	x.units[1].is_silent = false;
	assert_int_equal(ask(&w), OK);
	assert_int_equal(stats_of(&x).crc_errors, 0);
	wire_close(&x);
}

static void raw_requests_bring_whatever_the_device_says(void **state)
{
	struct wire x;
	struct ask a;

	(void)state;
	wire_open(&x, 1, &at_9600, 2);
	a = reading(&x, 1, 0, 0);
	a.r.is_raw = true;
	memcpy(a.r.pdu, (const uint8_t[]){3, 0, 5, 0, 1}, a.r.pdu_len = 5);
	assert_int_equal(ask(&a), OK);
	assert_int_equal(a.r.pdu_len, 4);
	assert_int_equal(get_u16be(a.r.pdu + 2), 1005);
	/* An exception; the function is not known here, so silence ends it. */
	memcpy(a.r.pdu, (const uint8_t[]){0x41, 7}, a.r.pdu_len = 2);
	assert_int_equal(ask(&a), OK);
	assert_int_equal(a.r.pdu_len, 2);
	assert_int_equal(a.r.pdu[0], 0xC1);
	assert_int_equal(a.r.pdu[1], MODBUS_EXCEPTION_ILLEGAL_FUNCTION);
	a.r.pdu_len = 0;
	assert_int_equal(ask(&a), ERR_RANGE);
	memcpy(a.r.pdu, (const uint8_t[]){6, 0, 5, 0, 9}, a.r.pdu_len = 5);
	a.r.unit = 0;
	assert_int_equal(ask(&a), OK);
	assert_int_equal(a.r.pdu_len, 0);
	assert_int_equal(x.units[1].model.regs[5], 9);
	wire_close(&x);
}

/* A function that has no length of its own ends with silence. */
static void an_answer_of_unknown_length_ends_with_silence(void **state)
{
	static const uint8_t pdu[] = {0x41, 1, 2, 3, 4, 5};
	struct wire x;
	struct ask a;

	(void)state;
	wire_open(&x, 1, &at_9600, 1);
	x.units[0].is_silent = true;
	a = reading(&x, 1, 0, 0);
	a.r.is_raw = true;
	memcpy(a.r.pdu, (const uint8_t[]){0x41, 7}, a.r.pdu_len = 2);
	submit(&a);
	wire_run(&x, 30000);
	unit_say(&x.units[0], 1, span_of(pdu, 6), 0);
	wire_run(&x, 50000);
	assert_int_equal(a.done, 1);
	assert_int_equal(a.r.rc, OK);
	assert_int_equal(a.r.pdu_len, 6);
	assert_memory_equal(a.r.pdu, pdu, 6);
	wire_close(&x);
}

static void a_port_that_is_pulled_out_is_opened_again(void **state)
{
	struct wire x;
	struct ask a;

	(void)state;
	wire_open(&x, 1, &at_9600, 1);
	a = reading(&x, 1, 0, 1);
	assert_int_equal(ask(&a), OK);
	submit(&a);
	wire_run(&x, 5000);
	sim_bus_unplug(x.bus);
	wire_run(&x, SECOND);
	assert_int_equal(a.r.rc, ERR_CLOSED);
	assert_false(modbus_master_connected(x.master));
	assert_int_equal(ask(&a), ERR_IO);
	sim_bus_plug(x.bus);
	assert_int_equal(ask(&a), OK);
	assert_int_equal(stats_of(&x).connections, 2);
	wire_close(&x);
}

static void what_is_taken_back_holds_the_wire_until_its_answer(void **state)
{
	struct wire x;
	struct ask a, b, c;

	(void)state;
	wire_open(&x, 1, &at_9600, 2);
	a = reading(&x, 1, 0, 10);
	b = reading(&x, 2, 0, 1);
	c = reading(&x, 2, 1, 1);
	submit(&a);
	submit(&b);
	submit(&c);
	wire_run(&x, 20000);
	modbus_master_cancel(x.master, &a.r);
	modbus_master_cancel(x.master, &b.r);
	modbus_master_cancel(x.master, &b.r);
	wire_run(&x, SECOND);
	assert_int_equal(a.done + b.done, 0);
	assert_int_equal(c.done, 1);
	assert_int_equal(c.r.rc, OK);
	assert_true(x.least_gap_ns >= 4010417);
	wire_close(&x);
}

static void a_callback_may_destroy_the_master(void **state)
{
	struct wire x;
	struct ask a, b;

	(void)state;
	wire_open(&x, 1, &at_9600, 1);
	a = reading(&x, 1, 0, 1);
	b = reading(&x, 1, 1, 1);
	a.destroys = true;
	submit(&a);
	submit(&b);
	wire_run(&x, SECOND);
	assert_int_equal(a.done, 1);
	assert_int_equal(b.done, 0);
	wire_close(&x);
}

struct seen {
	struct modbus_trace trace;
	unsigned sent, received, noted;
	uint64_t last_us;
};

static void on_frame(struct modbus_trace *t, bool is_sent, uint64_t at_us, struct span bytes,
		     const char *note)
{
	struct seen *s = container_of(t, struct seen, trace);

	assert_true(bytes.len > 0 && at_us >= s->last_us);
	s->last_us = at_us;
	s->sent += is_sent;
	s->received += !is_sent;
	s->noted += note && strcmp(note, "crc") == 0;
}

static void a_trace_shows_every_frame(void **state)
{
	struct seen seen = {.trace.frame = on_frame};
	struct wire x;
	struct ask a;

	(void)state;
	wire_open(&x, 1, &at_9600, 1);
	x.master->trace = &seen.trace;
	a = reading(&x, 1, 0, 1);
	assert_int_equal(ask(&a), OK);
	x.units[0].breaks_crc = true;
	assert_int_equal(ask(&a), ERR_MALFORMED);
	assert_int_equal(seen.sent, 2);
	assert_int_equal(seen.received, 2);
	assert_int_equal(seen.noted, 1);
	wire_close(&x);
}

static void a_failing_allocation_makes_no_master(void **state)
{
	struct wire x;

	(void)state;
	wire_open(&x, 1, &at_9600, 0);
	for (long n = 1;; n++) {
		struct modbus_master *m = NULL;
		struct dialer *d = NULL;
		bool hit;
		int rc;

		alloc_fail_at(n);
		rc = sim_bus_dialer(x.bus, &d);
		if (rc == OK && (rc = modbus_master_rtu_create(x.loop, d, &at_9600, &m)) < 0)
			d->destroy(d);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		modbus_master_destroy(m);
		if (!hit)
			break;
	}
	wire_close(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(units_answer_in_both_modes),
		cmocka_unit_test(the_silence_is_kept_and_nothing_beyond_it),
		cmocka_unit_test(more_silence_is_kept_where_it_is_asked),
		cmocka_unit_test(times_are_told_to_the_microsecond),
		cmocka_unit_test(the_time_out_begins_when_all_was_sent),
		cmocka_unit_test(a_broken_answer_is_known_before_the_time_out),
		cmocka_unit_test(an_answer_that_stops_has_the_time_of_its_rest),
		cmocka_unit_test(a_line_that_is_never_silent_ends_requests_in_time),
		cmocka_unit_test(what_is_heard_before_the_answer_does_not_matter),
		cmocka_unit_test(another_units_frame_is_never_the_answer),
		cmocka_unit_test(a_late_answer_is_not_taken_for_the_present_one),
		cmocka_unit_test(a_repeated_request_does_not_shift_the_answers),
		cmocka_unit_test(a_silent_unit_does_not_hold_up_the_others),
		cmocka_unit_test(a_broadcast_reaches_all_and_waits_for_none),
		cmocka_unit_test(an_adapter_that_hears_itself_confirms_no_write),
		cmocka_unit_test(raw_requests_bring_whatever_the_device_says),
		cmocka_unit_test(an_answer_of_unknown_length_ends_with_silence),
		cmocka_unit_test(a_port_that_is_pulled_out_is_opened_again),
		cmocka_unit_test(what_is_taken_back_holds_the_wire_until_its_answer),
		cmocka_unit_test(a_callback_may_destroy_the_master),
		cmocka_unit_test(a_trace_shows_every_frame),
		cmocka_unit_test(a_failing_allocation_makes_no_master),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/alloc_fail.h"
#include "loop/loop_sim.h"
#include "net/serial_sim.h"
#include "net/stream_sim.h"
#include "south/table.h"
#include "wire/modbus_rtu.h"

struct fixture {
	struct sim_world *sim;
	struct loop *loop;
	struct sim_net *net;
	unsigned ndone;
};

static struct fixture fx;

static void done(struct source_request *r)
{
	(void)r;
	fx.ndone++;
}

static int setup(void **state)
{
	(void)state;
	fx = (struct fixture){0};
	assert_int_equal(sim_world_create(1, &fx.sim), OK);
	assert_int_equal(sim_loop_create(fx.sim, &fx.loop), OK);
	assert_int_equal(sim_net_create(fx.sim, &fx.net), OK);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sim_net_destroy(fx.net);
	loop_destroy(fx.loop);
	sim_world_destroy(fx.sim);
	return 0;
}

static struct source_request request(enum config_area area, unsigned start, unsigned count)
{
	return (struct source_request){.area = area,
				       .start = (uint16_t)start,
				       .count = (uint16_t)count,
				       .timeout_ms = 1000,
				       .done = done};
}

static int ask(struct source *s, struct source_request *r)
{
	unsigned before = fx.ndone;

	s->ops->submit(s, r);
	assert_int_equal(fx.ndone, before); /* never from inside */
	(void)!sim_run(fx.sim, 100000, NULL, NULL);
	assert_int_equal(fx.ndone, before + 1);
	return r->rc;
}

static int create_tcp(struct source **out)
{
	const struct config_line line = {.name = "l", .max_in_flight = 1};
	struct dialer *dialer;
	int rc = sim_net_dialer(fx.net, "nowhere", &dialer);

	if (rc < 0)
		return rc;
	rc = modbus_tcp_source_create(fx.loop, &line, dialer, out);
	if (rc < 0)
		dialer->destroy(dialer);
	return rc;
}

static int create_rtu(struct source **out)
{
	const struct config_line line = {
		.name = "l", .type = CONFIG_LINE_RTU_OVER_TCP, .host = "nowhere", .port = 1};

	return south_factory.create(&south_factory, fx.loop, &line, out);
}

static int create_port(struct source **out)
{
	const struct config_line line = {.name = "l",
					 .type = CONFIG_LINE_MODBUS_RTU,
					 .path = "/dev/nowhere",
					 .baud = 9600,
					 .data_bits = 8,
					 .stop_bits = 1};

	return south_factory.create(&south_factory, fx.loop, &line, out);
}

static int create_rack(struct source **out)
{
	const struct config_line line = {.name = "l", .type = CONFIG_LINE_SIM};

	return south_factory.create(&south_factory, fx.loop, &line, out);
}

static void a_failing_allocation_makes_no_source(void **state)
{
	static int (*const makers[])(struct source **) = {create_tcp, create_rtu, create_port, create_rack};

	(void)state;
	for (size_t i = 0; i < sizeof(makers) / sizeof(*makers); i++)
		for (long n = 1;; n++) {
			struct source *s = NULL;
			bool hit;
			int rc;

			alloc_fail_at(n);
			rc = makers[i](&s);
			hit = alloc_fail_end();
			assert_int_equal(rc, hit ? ERR_NOMEM : OK);
			if (hit)
				continue;
			s->ops->destroy(s);
			break;
		}
}

/* ---- a serial line ---- */

struct rig {
	struct sim_bus *bus;
	struct source *source;
	struct sim_bus_device unit;
	struct source_trace trace;
	uint8_t got[64]; /* by the unit */
	size_t ngot, nframes;
};

static struct rig rig;

/* Answers a mask write as asked, exception 1 to the rest. */
static void unit_frame(struct sim_bus_device *d, const uint8_t *bytes, size_t len)
{
	static const uint8_t exception[] = {0x83, 1};
	struct span pdu = span_of(bytes + 1, len - 3);
	uint8_t out[64];

	assert_true(len < sizeof(rig.got));
	memcpy(rig.got, bytes, rig.ngot = len);
	if (bytes[1] != 0x16)
		pdu = span_of(exception, 2);
	assert_int_equal(modbus_rtu_encode(bytes[0], pdu, out, sizeof(out), &len), OK);
	assert_int_equal(sim_bus_say(d, out, len, 1000), OK);
}

static void on_frame(struct source_trace *t, bool is_sent, uint64_t at_us, struct span bytes,
		     const char *note)
{
	(void)t;
	(void)is_sent;
	assert_true(at_us > 0 && bytes.len > 4 && !note);
	rig.nframes++;
}

static void rig_open(void)
{
	const struct config_line line = {.name = "l",
					 .type = CONFIG_LINE_MODBUS_RTU,
					 .baud = 9600,
					 .data_bits = 8,
					 .parity = CONFIG_PARITY_EVEN,
					 .stop_bits = 1};
	struct dialer *dialer;

	rig = (struct rig){.unit.frame = unit_frame, .trace.frame = on_frame};
	assert_int_equal(sim_bus_create(fx.sim, 9600, 11, &rig.bus), OK);
	sim_bus_add(rig.bus, &rig.unit);
	assert_int_equal(sim_bus_dialer(rig.bus, &dialer), OK);
	assert_int_equal(modbus_rtu_source_create(fx.loop, &line, dialer, &rig.source), OK);
	rig.source->trace = &rig.trace;
}

static void rig_close(void)
{
	rig.source->ops->destroy(rig.source);
	sim_bus_remove(&rig.unit);
	sim_bus_destroy(rig.bus);
}

static void masks_and_raw_requests_go_out_as_they_are(void **state)
{
	struct source_request r = request(CONFIG_AREA_HOLDING, 4, 1);

	(void)state;
	rig_open();
	r.unit = 7;
	r.op = SOURCE_MASK;
	r.and_mask = 0xF2;
	r.or_mask = 0x25;
	assert_int_equal(ask(rig.source, &r), OK);
	assert_memory_equal(rig.got, ((const uint8_t[]){7, 0x16, 0, 4, 0, 0xF2, 0, 0x25}), 8);
	assert_true(r.busy_us > 20 * 1145 && r.response_us > 11000 && r.response_us < r.busy_us);
	r.op = SOURCE_READ;
	assert_int_equal(ask(rig.source, &r), ERR_REMOTE);
	assert_int_equal(r.exception, 1);
	r.op = SOURCE_RAW;
	memcpy(r.pdu, (const uint8_t[]){3, 0, 0, 0, 1}, r.pdu_len = 5);
	assert_int_equal(ask(rig.source, &r), OK);
	assert_int_equal(r.pdu_len, 2);
	assert_int_equal(r.pdu[0], 0x83);
	assert_int_equal(rig.nframes, 6);
	rig_close();
}

static void nobody_there_is_an_input_output_error(void **state)
{
	struct source_request r = request(CONFIG_AREA_HOLDING, 0, 1);
	struct source *s;

	(void)state;
	assert_int_equal(create_tcp(&s), OK);
	assert_int_equal(ask(s, &r), ERR_IO);
	s->ops->destroy(s);
}

static void every_type_of_line_has_a_driver(void **state)
{
	const struct config_line lines[] = {
		{.name = "a",
		 .type = CONFIG_LINE_MODBUS_TCP,
		 .host = "127.0.0.1",
		 .port = 502,
		 .max_in_flight = 1},
		{.name = "b", .type = CONFIG_LINE_SIM},
		{.name = "c",
		 .type = CONFIG_LINE_MODBUS_RTU,
		 .path = "/dev/ttyS0",
		 .baud = 9600,
		 .data_bits = 8,
		 .stop_bits = 1},
		{.name = "d", .type = CONFIG_LINE_RTU_OVER_TCP, .host = "127.0.0.1", .port = 502},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		struct source *s;

		assert_int_equal(south_factory.create(&south_factory, fx.loop, &lines[i], &s), OK);
		s->ops->destroy(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_failing_allocation_makes_no_source, setup, teardown),
		cmocka_unit_test_setup_teardown(masks_and_raw_requests_go_out_as_they_are, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_there_is_an_input_output_error, setup, teardown),
		cmocka_unit_test_setup_teardown(every_type_of_line_has_a_driver, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

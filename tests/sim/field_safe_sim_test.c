/*
 * The safe state of a line, and that a write is answered once whatever happens.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "field/access.h"
#include "field/pass.h"
#include "field_world.h"

#define HEAD "gateway: {name: plant1}\n"
#define SAFE_LINE(watchdog)                                                                                  \
	"lines: [{name: press, type: modbus-tcp, host: press, timeout: 500ms, retries: 1, backoff: {first: " \
	"1s}, "                                                                                              \
	"watchdog: {" watchdog "}}]\n"
#define OUTPUTS                                                                                     \
	"devices: [{name: m, line: press, tags: [\n"                                                \
	"  {name: valve, address: 'coil:3', access: rw, safe: false},\n"                            \
	"  {name: speed, address: 'holding:0', type: int16, scale: 0.1, access: rw, safe: 12.5},\n" \
	"  {name: bit, address: 'holding:7.2', type: bool, access: rw, safe: true},\n"              \
	"  {name: other, address: 'holding:9', type: int16, access: rw}]}]\n"

static const char mqtt_auto[] = HEAD SAFE_LINE("watch: mqtt, timeout: 10s") OUTPUTS;
static const char mqtt_manual[] = HEAD SAFE_LINE("watch: mqtt, timeout: 10s, clear: manual") OUTPUTS;
static const char modbus_manual[] = HEAD SAFE_LINE("watch: modbus, timeout: 10s, clear: manual") OUTPUTS;
static const char by_uplink[] = HEAD SAFE_LINE(
	"watch: uplink, uplink: cloud, timeout: 10s") "uplinks: [{name: cloud, url: 'mqtt://127.0.0.1:1', "
						      "publish: ['x']}]\n" OUTPUTS;

static struct sim_device *running(struct world *w, const char *yaml)
{
	struct sim_device *d = world_device(w, "press");

	d->coils[3] = true;
	d->regs[0] = 900;
	world_apply(w, yaml);
	world_await(w, "plant1/m/other", "\"quality\":\"good\"", 500);
	return d;
}

static void assert_safe(struct world *w, const struct sim_device *d)
{
	assert_false(d->coils[3]);
	assert_int_equal(d->regs[0], 125);
	assert_int_equal(d->regs[7], 4);
	assert_true(world_has(w, "plant1/m/_status", "\"safe_mode\":true}"));
	assert_true(world_has(w, "plant1/_gateway/line/press", "\"safe_mode\":true}"));
}

/* open-modbusgateway #1: what to do with outputs when MQTT is gone. */
static void complaint_15_outputs_are_safe_when_commands_stay_away(void **state)
{
	struct world *w = world_create(40);
	struct sim_device *d = running(w, mqtt_auto);

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		world_run(w, 9000);
		world_set(w, "plant1/m/other/set", "1"); /* a sign of life */
	}
	assert_null(world_seen(w, "plant1/_gateway/event"));
	assert_true(d->coils[3]);
	world_run(w, 10500);
	assert_safe(w, d);
	assert_true(world_has(w, "plant1/_gateway/event",
			      "{\"event\":\"safe_mode\",\"line\":\"press\",\"state\":\"entered\",\"cause\":"
			      "\"mqtt\",\"ts\":"));
	assert_false(world_seen(w, "plant1/_gateway/event")->retain);
	assert_true(world_has(w, "plant1/m/speed", "{\"value\":12.5,"));
	/* the first command is the master, back again */
	world_set(w, "plant1/m/speed/set", "20");
	world_await(w, "plant1/m/speed/set/result", "\"ok\":true", 500);
	assert_int_equal(d->regs[0], 200);
	assert_true(world_has(w, "plant1/_gateway/event", "\"state\":\"cleared\""));
	assert_false(world_has(w, "plant1/m/_status", "safe_mode"));
	assert_int_equal(world_seen(w, "plant1/_gateway/event")->count, 2);
	world_destroy(w);
}

static void complaint_15_writes_are_refused_until_the_safe_state_is_cleared(void **state)
{
	struct world *w = world_create(41);
	struct sim_device *d = running(w, mqtt_manual);

	(void)state;
	world_run(w, 10500);
	assert_safe(w, d);
	world_set(w, "plant1/m/other/set", "{\"value\":5,\"id\":\"a\"}");
	assert_true(world_has(w, "plant1/m/other/set/result",
			      "{\"id\":\"a\",\"ok\":false,\"error\":\"safe_mode\","));
	world_set(w, "plant1/m/_safe/set", "7");
	assert_true(world_has(w, "plant1/m/_safe/set/result", "\"error\":\"type\""));
	world_set(w, "plant1/m/_safe/set", "{\"value\":false,\"id\":\"c\"}");
	assert_true(world_has(w, "plant1/m/_safe/set/result", "{\"id\":\"c\",\"ok\":true,\"value\":false,"));
	world_set(w, "plant1/m/other/set", "5");
	world_await(w, "plant1/m/other/set/result", "\"ok\":true", 500);
	/* by hand */
	world_set(w, "plant1/m/_safe/set", "true");
	d->coils[3] = true;
	world_await(w, "plant1/m/valve", "\"value\":false", 1500);
	assert_true(world_has(w, "plant1/_gateway/event", "\"state\":\"entered\",\"cause\":\"command\""));
	/* of a line without a watchdog, and of no device */
	world_set(w, "plant1/none/_safe/set", "true");
	assert_true(world_has(w, "plant1/none/_safe/set/result", "\"error\":\"unknown_tag\""));
	world_destroy(w);
}

/* What still waits is refused, what is safe goes first, and is sent until the device has it. */
static void complaint_15_safe_values_are_sent_until_they_are_confirmed(void **state)
{
	struct world *w = world_create(42);
	struct sim_device *d = running(w, mqtt_manual);

	(void)state;
	d->write_exception = MODBUS_EXCEPTION_SERVER_DEVICE_FAILURE;
	world_run(w, 15000);
	assert_true(world_has(w, "plant1/m/_status", "\"safe_mode\":true}"));
	assert_true(d->coils[3]);
	d->write_exception = MODBUS_EXCEPTION_NONE;
	world_run(w, 33000);
	assert_safe(w, d);
	d->writes = 0;
	world_run(w, 60000);
	assert_int_equal(d->writes, 0);
	world_destroy(w);

	w = world_create(43);
	d = running(w, mqtt_manual);
	device_die(d);
	world_run(w, 15000);
	assert_true(d->coils[3]);
	device_return(d);
	world_run(w, 35000);
	assert_safe(w, d);
	world_destroy(w);

	w = world_create(44);
	d = running(w, mqtt_manual);
	world_run(w, 9000);
	device_hang(d);
	world_run(w, 600);
	world_set(w, "plant1/m/other/set", "5");
	world_run(w, 20000);
	assert_int_equal(world_seen(w, "plant1/m/other/set/result")->count, 1);
	device_return(d);
	world_run(w, 40000);
	assert_safe(w, d);
	world_destroy(w);
}

static void nobody_asks_done(struct field_pass *p)
{
	*(unsigned *)p->owner += 1;
}

static void complaint_15_a_modbus_master_keeps_its_line_alive(void **state)
{
	struct world *w = world_create(45);
	struct sim_device *d = running(w, modbus_manual);
	unsigned answers = 0;
	struct field_pass p = {
		.unit = 1, .pdu = {3, 0, 9, 0, 1}, .pdu_len = 5, .done = nobody_asks_done, .owner = &answers};

	(void)state;
	world_run(w, 9000);
	field_master_seen(field_find_tag(w->field, "m", "speed")); /* through a view */
	world_run(w, 9000);
	assert_int_equal(field_pass(w->field, "press", &p), OK);
	world_run(w, 9000);
	assert_int_equal(answers, 1);
	assert_null(world_seen(w, "plant1/_gateway/event"));
	world_set(w, "plant1/m/other/set", "1"); /* is none */
	world_run(w, 2000);
	assert_safe(w, d);
	p.pdu_len = 5, memcpy(p.pdu, (uint8_t[]){6, 0, 9, 0, 1}, 5);
	assert_int_equal(field_pass(w->field, "press", &p), ERR_FULL);
	world_set(w, "plant1/m/_safe/set", "false");
	assert_int_equal(field_pass(w->field, "press", &p), OK);
	world_run(w, 500);
	assert_int_equal(d->regs[9], 1);
	world_destroy(w);
}

static void complaint_15_an_uplink_keeps_its_line_alive(void **state)
{
	struct world *w = world_create(46);
	struct sim_device *d = running(w, by_uplink);

	(void)state;
	assert_int_equal(field_uplink_state(w->field, "cloud", true), OK);
	assert_int_equal(field_uplink_state(w->field, "another", false), OK);
	world_run(w, 60000);
	assert_null(world_seen(w, "plant1/_gateway/event"));
	assert_int_equal(field_uplink_state(w->field, "cloud", false), OK);
	world_run(w, 9000);
	assert_int_equal(field_uplink_state(w->field, "cloud", true), OK);
	world_run(w, 60000);
	assert_int_equal(field_uplink_state(w->field, "cloud", false), OK);
	world_run(w, 10500);
	assert_safe(w, d);
	assert_int_equal(field_uplink_state(w->field, "cloud", true), OK);
	assert_true(world_has(w, "plant1/_gateway/event", "\"state\":\"cleared\",\"cause\":\"uplink\""));
	world_set(w, "plant1/m/other/set", "1");
	world_await(w, "plant1/m/other/set/result", "\"ok\":true", 500);
	world_destroy(w);
}

/* ---- each write with an id has one answer ---- */

static const char plain[] =
	HEAD "lines: [{name: press, type: modbus-tcp, host: press, timeout: 500ms, retries: 1, "
	     "watchdog: {watch: mqtt, timeout: 1h, clear: manual}}]\n"
	     "devices: [{name: m, line: press, tags: [\n"
	     "  {name: x, address: 'holding:0', type: int16, access: rw, min: 0, max: 500, verify: true},\n"
	     "  {name: y, address: 'holding:1', type: int16, access: rw},\n"
	     "  {name: locked, address: 'holding:2', type: int16}]}]\n";
static const char without[] =
	HEAD "lines: [{name: press, type: modbus-tcp, host: press}]\n"
	     "devices: [{name: n, line: press, tags: [{name: x, address: 'holding:0', type: int16}]}]\n";

static void hang(struct world *w)
{
	device_hang(&w->devices[0]);
}

static void die(struct world *w)
{
	device_die(&w->devices[0]);
	world_run(w, 3000);
}

static void refuse(struct world *w)
{
	w->devices[0].write_exception = MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE;
}

static void clip(struct world *w)
{
	w->devices[0].is_clipping = true;
}

static void go_safe(struct world *w)
{
	world_set(w, "plant1/m/_safe/set", "true");
}

static void reload(struct world *w)
{
	world_apply(w, without);
}

static void stop_all(struct world *w)
{
	field_destroy(w->field);
	w->field = NULL;
}

static void newer(struct world *w)
{
	world_set(w, "plant1/m/x/set", "{\"value\":6,\"id\":\"later\"}");
}

static void every_write_with_an_id_has_one_answer(void **state)
{
	static const struct {
		void (*before)(struct world *w);
		const char *tag, *value;
		bool has_expiry;
		void (*after)(struct world *w);
		const char *answer;
	} cases[] = {
		{NULL, "x", "5", false, NULL, "\"ok\":true,\"value\":5,"},
		{NULL, "x", "501", false, NULL, "\"error\":\"range\""},
		{NULL, "x", "true", false, NULL, "\"error\":\"type\""},
		{NULL, "x", "5x", false, NULL, "\"error\":\"malformed\""},
		{NULL, "locked", "5", false, NULL, "\"error\":\"read_only\""},
		{NULL, "nothing", "5", false, NULL, "\"error\":\"unknown_tag\""},
		{go_safe, "x", "5", false, NULL, "\"error\":\"safe_mode\""},
		{refuse, "x", "5", false, NULL, "\"error\":\"exception\",\"exception\":3"},
		{clip, "x", "400", false, NULL, "\"error\":\"verify\""},
		{hang, "x", "5", false, NULL, "\"error\":\"timeout\""},
		{die, "x", "5", false, NULL, "\"error\":\"offline\""},
		{NULL, "x", "5", true, NULL, "\"error\":\"expired\""},
		{NULL, "x", "5", false, newer, "\"error\":\"superseded\""},
		{NULL, "x", "5", false, go_safe, "\"error\":\"safe_mode\""},
		{NULL, "x", "5", false, reload, "\"error\":\"cancelled\""},
		{hang, "x", "5", false, reload, "\"error\":\"cancelled\""},
		{NULL, "x", "5", false, stop_all, "\"error\":\"cancelled\""},
		{hang, "x", "5", false, stop_all, "\"error\":\"cancelled\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct world *w = world_create(50 + i);
		char topic[64], payload[64], id[16];
		struct field_set set = {
			.topic = topic, .response_topic = "me/answers", .has_expiry = cases[i].has_expiry};

		world_device(w, "press");
		world_apply(w, plain);
		world_await(w, "plant1/m/x", "\"quality\":\"good\"", 500);
		if (cases[i].before)
			cases[i].before(w);
		snprintf(topic, sizeof(topic), "plant1/m/%s/set", cases[i].tag);
		snprintf(id, sizeof(id), "\"id\":\"n%zu\"", i);
		snprintf(payload, sizeof(payload), "{%s,\"value\":%s}", id, cases[i].value);
		set.payload = span_str(payload);
		assert_int_equal(field_set(w->field, &set), OK);
		if (cases[i].after)
			cases[i].after(w);
		world_run(w, 8000);
		if (!world_has(w, "me/answers", cases[i].answer) || !world_has(w, "me/answers", id))
			fail_msg("case %zu: %s", i,
				 world_seen(w, "me/answers") ? world_seen(w, "me/answers")->payload
							     : "no answer");
		assert_int_equal(world_seen(w, "me/answers")->count, 1);
		world_destroy(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(complaint_15_outputs_are_safe_when_commands_stay_away),
		cmocka_unit_test(complaint_15_writes_are_refused_until_the_safe_state_is_cleared),
		cmocka_unit_test(complaint_15_safe_values_are_sent_until_they_are_confirmed),
		cmocka_unit_test(complaint_15_a_modbus_master_keeps_its_line_alive),
		cmocka_unit_test(complaint_15_an_uplink_keeps_its_line_alive),
		cmocka_unit_test(every_write_with_an_id_has_one_answer),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

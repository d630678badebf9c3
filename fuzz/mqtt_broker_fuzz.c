/*
 * A broker with one or two workers and up to three connections that send what the input says, cut where it says.
 *
 *   byte 0       bit 0: two workers; bit 1: a policy that refuses and commands; bits 2 to 4: small limits
 *   then steps   low 2 bits of a byte: a connection, or 3: time passes; the upper 6 bits are n
 *                  time      n * n * 20 ms
 *                  n = 0     the peer is gone (a connection is opened again when it is used next)
 *                  n < 24    n bytes follow, which are sent as they are
 *                  n < 32    the peer reads slowly or fast: room for n - 24 KiB, 0: no limit
 *                  else      packet n - 32 of the table is sent
 *
 * A new connection sends nothing by itself. One that begins with a CONNECT of the table has to get packets that
 * decode. The sanitizers watch the rest; nothing may be left when the broker is gone.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "mqtt/broker.h"
#include "mqtt/fake_stream.h"
#include "wire/mqtt_testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CONNS 3

struct packet {
	uint8_t first;
	const char *body;
	uint8_t version; /* of a CONNECT */
};

static const struct packet packets[32] = {
	{0x10, "<MQTT> 05 02 00 3C [] <a>", 5},
	{0x10, "<MQTT> 05 00 00 02 [11 00 00 00 08 21 00 01 22 00 02 27 00 00 00 80] <a>", 5},
	{0x10, "<MQTT> 05 0C 00 00 [11 FF FF FF FF] <b> [18 00 00 00 01 02 00 00 00 03] <t/w> <will>", 5},
	{0x10, "<MQTT> 04 00 00 3C <a>", 4},
	{0x10, "<MQTT> 04 2E 00 01 <> <w> <will>", 4},
	{0x10, "<MQIsdp> 03 02 00 00 <c>", 3},
	{0x82, "00 01 [] <t/x> 01", 0},
	{0x82, "00 01 <t/x> 02", 0},
	{0x82, "00 02 [0B 05] <t/+> 0E <#> 28 <+/x> 01", 0},
	{0x82, "00 02 <#> 02 <t/x/#> 00", 0},
	{0x82, "00 03 [] <$share/g/t/+> 01 <$share/h/t/x> 02", 0},
	{0x82, "00 03 <$share/g/t/+> 02", 0},
	{0xA2, "00 04 [] <t/x> <#> <$share/g/t/+>", 0},
	{0xA2, "00 04 <t/+> <$share/g/t/+>", 0},
	{0x30, "<t/x> [] 'five'", 0},
	{0x30, "<t/x> 'three'", 0},
	{0x31, "<t/x> [02 00 00 00 02 26 <k> <v>] 'kept'", 0},
	{0x31, "<t/w> 'kept'", 0},
	{0x31, "<t/x> []", 0},
	{0x32, "<t/x> 00 05 [23 00 01 03 <text>] 'one'", 0},
	{0x32, "<t/x> 00 05 'one'", 0},
	{0x33, "<> 00 06 [23 00 01] 'alias'", 0},
	{0x34, "<t/x> 00 07 [] 'two'", 0},
	{0x34, "<x> 00 07 'two'", 0},
	{0x62, "00 07", 0},
	{0x40, "00 01", 0},
	{0x50, "00 01", 0},
	{0x50, "00 02", 0},
	{0x70, "00 01", 0},
	{0xC0, "", 0},
	{0xE0, "", 0},
	{0xE0, "04 [11 00 00 00 01]", 0},
};

struct conn {
	struct fake_stream *stream; /* NULL: not open */
	uint8_t version;            /* what it speaks for sure; 0: nobody knows */
	bool began;
};

struct field {
	struct sim_world *world;
	struct loop *loops[2];
	struct broker *broker;
	struct conn conns[CONNS];
};

static uint8_t policy_publish(struct mqtt_policy *p, const struct mqtt_publish_request *r, bool *command)
{
	(void)p;
	*command = r->topic.len % 5 == 4;
	return r->topic.len % 7 == 6 ? MQTT_RC_NOT_AUTHORIZED : MQTT_RC_SUCCESS;
}

static struct mqtt_policy policy = {.publish = policy_publish};

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void field_up(struct field *f, uint8_t options)
{
	struct broker_config c;
	uint32_t n = 1 + (options & 1);

	*f = (struct field){0};
	must(sim_world_create(options, &f->world) == OK);
	for (uint32_t i = 0; i < n; i++)
		must(sim_loop_create(f->world, &f->loops[i]) == OK);
	broker_config_default(&c);
	c.policy = options & 2 ? &policy : NULL;
	if (options & 4)
		c.max_inflight = 1;
	if (options & 8) {
		c.max_queued_messages = 2;
		c.max_queued_bytes = 2000;
		c.max_packet_size = 300;
	}
	if (options & 16) {
		c.backlog_bytes = 1;
		c.max_topic_levels = 2;
		c.max_subscriptions = 2;
	}
	if (!(options & 32)) /* $SYS takes the time of three inputs without it */
		c.sys_interval_ms = 0;
	must(broker_create(&c, f->loops, n, &f->broker) == OK);
}

/* All that came must be packets of the version; part of one may stand at the end. */
static void conn_read_all(struct conn *c)
{
	struct fake_stream *s = c->stream;

	while (c->version) {
		struct mqtt_frame frame;
		union mqtt_any any;
		int rc = mqtt_frame_read(s->out + s->out_off, s->out_len - s->out_off, UINT32_MAX, &frame);

		if (rc == ERR_AGAIN)
			break;
		must(rc == OK && mqtt_any_decode(&frame, c->version, &any) == OK);
		fake_taken(s, frame.size);
	}
	if (!c->version)
		fake_taken(s, s->out_len - s->out_off);
}

static void conn_forget(struct conn *c)
{
	conn_read_all(c);
	fake_destroy(c->stream);
	*c = (struct conn){0};
}

static void run_for(struct field *f, uint64_t us)
{
	(void)!sim_run(f->world, us, NULL, NULL);
	for (unsigned i = 0; i < CONNS; i++) {
		struct conn *c = &f->conns[i];

		if (!c->stream)
			continue;
		conn_read_all(c);
		if (c->stream->is_closed)
			conn_forget(c);
	}
}

static void conn_send(struct field *f, struct conn *c, const uint8_t *bytes, size_t n, uint8_t version)
{
	if (!c->stream) {
		c->stream = fake_create(1024);
		must(c->stream != NULL);
		broker_accept(f->broker, &c->stream->stream);
	}
	if (!c->began)
		c->version = version;
	c->began = true;
	fake_put(c->stream, bytes, n);
}

static void conn_send_packet(struct field *f, struct conn *c, const struct packet *p)
{
	size_t len;
	uint8_t *bytes = mqtt_packet_of(p->first, p->body, &len);

	conn_send(f, c, bytes, len, p->version);
	free(bytes);
}

/* One step; returns the bytes used. */
static size_t step(struct field *f, const uint8_t *data, size_t size)
{
	unsigned who = data[0] & 3, n = data[0] >> 2;
	struct conn *c = &f->conns[who % CONNS];

	if (who == 3) {
		run_for(f, 20000u * n * n + 1);
		return 1;
	}
	if (n >= 32) {
		conn_send_packet(f, c, &packets[n - 32]);
	} else if (n >= 24) {
		if (c->stream)
			c->stream->room = n > 24 ? (n - 24) * 1024 : SIZE_MAX;
	} else if (n == 0) {
		if (c->stream)
			fake_end(c->stream, size % 2 ? ERR_IO : ERR_CLOSED);
	} else {
		n = n < size - 1 ? n : (unsigned)size - 1;
		conn_send(f, c, data + 1, n, 0);
		run_for(f, 1500);
		return 1 + n;
	}
	run_for(f, 1500);
	return 1;
}

static void field_down(struct field *f)
{
	run_for(f, 3000000);
	broker_destroy(f->broker);
	for (unsigned i = 0; i < CONNS; i++)
		if (f->conns[i].stream)
			conn_forget(&f->conns[i]);
	sim_world_destroy(f->world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct field f;

	if (size == 0)
		return 0;
	log_set_level(LOG_ERROR);
	field_up(&f, data[0]);
	for (size_t at = 1; at < size && at < 2000;)
		at += step(&f, data + at, size - at);
	field_down(&f);
	return 0;
}

#include "mqtt/broker_rig.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/mqtt_testing.h"

#define BUFFER      16384u
#define PATIENCE_US UINT64_C(60000000)
#define QUIET_US    UINT64_C(100000)

#define LINE 1024

struct text {
	char *at;
	size_t left;
};

static void add(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add(struct text *t, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(t->at, t->left, fmt, args);
	va_end(args);
	assert_true(n >= 0 && (size_t)n < t->left);
	t->at += n;
	t->left -= (size_t)n;
}

/* All of it or the test fails. */
static void print(char *line, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void print(char *line, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(line, LINE, fmt, args);
	va_end(args);
	assert_true(n >= 0 && n < LINE);
}

/* ---- life ---- */

void rig_init(struct rig *r, uint32_t nworkers)
{
	*r = (struct rig){.nloops = nworkers};
	assert_int_equal(sim_world_create(1, &r->world), OK);
	for (uint32_t i = 0; i < nworkers; i++)
		assert_int_equal(sim_loop_create(r->world, &r->loops[i]), OK);
	broker_config_default(&r->config);
	r->config.spread_after = 0; /* the first few clients on all workers */
}

void rig_store_open(struct rig *r)
{
	const struct store_options options = {.durability = r->disk.durability};
	struct store_backend *backend;

	assert_int_equal(store_mem_open(r->disk.disk, &backend), OK);
	assert_int_equal(store_create(r->disk.loop, backend, &options, &r->disk.store), OK);
	r->config.store = r->disk.store;
}

void rig_disk(struct rig *r)
{
	assert_int_equal(sim_world_create(1, &r->disk.world), OK);
	assert_int_equal(sim_loop_create(r->disk.world, &r->disk.loop), OK);
	assert_int_equal(store_mem_disk_create(&r->disk.disk), OK);
	rig_store_open(r);
}

static void nothing(void *arg)
{
	(void)arg;
}

/* The disk's world is as late as the broker's. */
static void disk_turn(struct rig *r)
{
	uint64_t behind_us;

	if (!r->disk.world || r->disk.stands)
		return;
	behind_us = sim_now_us(r->world) - sim_now_us(r->disk.world);
	(void)!sim_at(r->disk.world, behind_us, nothing, NULL); /* so that its clock goes on */
	(void)!sim_run(r->disk.world, behind_us, NULL, NULL);
}

/* Both worlds, by turns; as sim_run(). */
static int run_until(struct rig *r, uint64_t for_us, bool (*until)(void *arg), void *arg)
{
	if (!r->disk.world || r->disk.stands)
		return sim_run(r->world, for_us, until, arg);
	for (uint64_t us = 0; us < for_us; us += 1000) {
		if (sim_run(r->world, 1000, until, arg) == OK)
			return OK;
		disk_turn(r);
	}
	return ERR_TIMEOUT;
}

void rig_disk_stands(struct rig *r, bool stands)
{
	r->disk.stands = stands;
	rig_run(r, 3);
}

void rig_restart(struct rig *r, bool crash, int64_t down_ms)
{
	broker_destroy(r->broker);
	if (crash)
		store_mem_fail(r->disk.disk, UINT_MAX, ERR_IO);
	store_destroy(r->disk.store);
	store_mem_fail(r->disk.disk, 0, OK);
	sim_step_wall(r->world, down_ms);
	sim_step_wall(r->disk.world, down_ms);
	r->disk.stands = false;
	rig_store_open(r);
	rig_start(r);
}

void rig_start(struct rig *r)
{
	assert_int_equal(broker_create(&r->config, r->loops, r->nloops, &r->broker), OK);
	assert_int_equal(broker_restore(r->broker), OK);
}

void rig_up(struct rig *r, uint32_t nworkers)
{
	rig_init(r, nworkers);
	rig_start(r);
}

void rig_up_disk(struct rig *r, uint32_t nworkers)
{
	rig_init(r, nworkers);
	rig_disk(r);
	r->config.sys_interval_ms = 0;
	rig_start(r);
}

void rig_run(struct rig *r, uint64_t ms)
{
	(void)!run_until(r, ms * 1000, NULL, NULL);
}

void rig_fini(struct rig *r)
{
	broker_destroy(r->broker);
	store_destroy(r->disk.store);
	store_mem_disk_destroy(r->disk.disk);
	sim_world_destroy(r->disk.world);
	for (unsigned i = 0; i < r->npeers; i++)
		fake_destroy(r->peers[i].stream);
	sim_world_destroy(r->world);
}

/* ---- sending ---- */

static struct peer *peer_make(struct rig *r, enum mqtt_version v)
{
	struct peer *p = &r->peers[r->npeers];

	assert_true(r->npeers < RIG_PEERS);
	*p = (struct peer){.rig = r, .stream = fake_create(BUFFER), .v = v};
	assert_non_null(p->stream);
	r->npeers++;
	return p;
}

struct peer *peer_open(struct rig *r, enum mqtt_version v)
{
	struct peer *p = peer_make(r, v);

	broker_accept(r->broker, &p->stream->stream);
	return p;
}

struct peer *peer_open_own(struct rig *r)
{
	struct peer *p = peer_make(r, MQTT_V5);

	broker_accept_own(r->broker, &p->stream->stream);
	return p;
}

void peer_send_bytes(struct peer *p, const void *bytes, size_t n)
{
	fake_put(p->stream, bytes, n);
}

/* Allocates nothing, so that it can be used while allocations fail. */
void peer_send(struct peer *p, uint8_t first, const char *body)
{
	uint8_t bytes[LINE], head[] = {first, 0, 0};
	struct wr w = wr_of(bytes, sizeof(bytes));
	size_t n;

	mqtt_notation(&w, body);
	n = sizeof(bytes) - w.left;
	head[1] = (uint8_t)(n > 127 ? n | 0x80 : n);
	head[2] = (uint8_t)(n >> 7);
	fake_put(p->stream, head, n > 127 ? 3 : 2);
	fake_put(p->stream, bytes, n);
}

static const char *props_of(const struct peer *p, const char *props)
{
	static char room[LINE];

	print(room, "[%s]", props);
	return p->v == MQTT_V5 ? room : "";
}

void peer_connect(struct peer *p, uint8_t flags, const char *props, const char *payload)
{
	char body[LINE];

	print(body, "%s %02X %02X 00 3C %s %s", p->v == MQTT_V31 ? "<MQIsdp>" : "<MQTT>", p->v, flags,
	      props_of(p, props), payload);
	peer_send(p, 0x10, body);
}

struct peer *peer_up(struct rig *r, enum mqtt_version v, const char *id)
{
	struct peer *p = peer_open(r, v);
	char payload[LINE];

	print(payload, "<%s>", id);
	peer_connect(p, 0x02, "", payload);
	peer_expect(p, "CONNACK s0 00");
	return p;
}

struct peer *peer_up_kept(struct rig *r, enum mqtt_version v, const char *id, bool present)
{
	struct peer *p = peer_open(r, v);
	char payload[LINE];

	print(payload, "<%s>", id);
	peer_connect(p, 0x00, "11 00 00 0E 10", payload);
	peer_expect(p, present ? "CONNACK s1 00" : "CONNACK s0 00");
	return p;
}

struct peer *peer_come(struct rig *r, const char *id, bool clean)
{
	struct peer *p = peer_open(r, MQTT_V5);
	char payload[LINE];

	print(payload, "<%s>", id);
	peer_connect(p, clean ? 0x02 : 0x00, "11 00 00 00 64", payload);
	return p;
}

void peer_publish(struct peer *p, uint8_t flags, uint16_t id, const char *topic, const char *props,
		  const char *payload)
{
	char body[LINE], number[8] = "";

	if (flags & 0x06)
		snprintf(number, sizeof(number), "%02X %02X", id >> 8, id & 0xFF);
	print(body, "<%s> %s %s '%s'", topic, number, props_of(p, props), payload);
	peer_send(p, (uint8_t)(0x30 | flags), body);
}

void peer_subscribe(struct peer *p, const char *filter, uint8_t options, const char *props, uint8_t code)
{
	char body[LINE];

	print(body, "00 0A %s <%s> %02X", props_of(p, props), filter, options);
	peer_send(p, 0x82, body);
	print(body, "SUBACK m10 %02X", code);
	peer_expect(p, body);
}

void peer_unsubscribe(struct peer *p, const char *filter, uint8_t code)
{
	char body[LINE];

	print(body, "00 0B %s <%s>", props_of(p, ""), filter);
	peer_send(p, 0xA2, body);
	if (p->v == MQTT_V5)
		print(body, "UNSUBACK m11 %02X", code);
	else
		print(body, "UNSUBACK m11");
	peer_expect(p, body);
}

void peer_ack(struct peer *p, enum mqtt_type type, uint16_t id)
{
	uint8_t bytes[] = {(uint8_t)(type << 4 | (type == MQTT_PUBREL ? 2 : 0)), 2, (uint8_t)(id >> 8),
			   (uint8_t)id};

	fake_put(p->stream, bytes, sizeof(bytes));
}

void peer_disconnect(struct peer *p, uint8_t reason)
{
	char body[LINE] = "";

	if (reason)
		print(body, "%02X", reason);
	peer_send(p, 0xE0, body);
	peer_expect(p, "closed");
}

void peer_cut(struct peer *p)
{
	fake_end(p->stream, ERR_IO);
	rig_run(p->rig, 5);
	assert_true(p->stream->is_closed);
}

/* ---- receiving ---- */

static void add_span(struct text *t, struct span s)
{
	if (s.len > 64)
		add(t, "(%zu bytes of %c)", s.len, s.p[0]);
	else
		add(t, "%.*s", (int)s.len, (const char *)s.p);
}

/* Those that a broker sends with a PUBLISH; subscription identifiers in one list. */
static void describe_props(struct text *t, const struct mqtt_props *props)
{
	struct rd raw = rd_of(props->raw.p, props->raw.len);
	struct mqtt_prop_item item;
	bool had_id = false;

	while (mqtt_props_next(&raw, &item)) {
		if (item.id == MQTT_P_SUBSCRIPTION_ID) {
			add(t, "%s%u", had_id ? "," : " ids=", item.num);
			had_id = true;
		} else if (item.id == MQTT_P_USER_PROPERTY) {
			add(t, " user=%.*s:%.*s", (int)item.str.len, (const char *)item.str.p,
			    (int)item.value.len, (const char *)item.value.p);
		} else if (mqtt_prop_kind(item.id) == MQTT_PROP_STRING ||
			   mqtt_prop_kind(item.id) == MQTT_PROP_BINARY) {
			add(t, " %s=", mqtt_prop_name(item.id));
			add_span(t, item.str);
		} else {
			add(t, " %s=%u", mqtt_prop_name(item.id), item.num);
		}
	}
}

static void describe_publish(struct text *t, enum mqtt_version v, const struct mqtt_frame *f)
{
	struct mqtt_publish p;

	assert_int_equal(mqtt_publish_decode(f, v, &p), OK);
	add(t, "PUBLISH d%d q%d r%d m%d ", p.dup, p.qos, p.retain, p.packet_id);
	add_span(t, p.topic);
	add(t, "=");
	add_span(t, p.payload);
	if (v == MQTT_V5)
		describe_props(t, &p.props);
}

static void describe_suback(struct text *t, enum mqtt_version v, const struct mqtt_frame *f)
{
	struct mqtt_suback a;

	assert_int_equal(mqtt_suback_decode(f, v, &a), OK);
	add(t, "%s m%d", f->type == MQTT_SUBACK ? "SUBACK" : "UNSUBACK", a.packet_id);
	for (size_t i = 0; i < a.codes.len; i++)
		add(t, " %02X", a.codes.p[i]);
}

static void describe_ack(struct text *t, enum mqtt_version v, const struct mqtt_frame *f)
{
	struct mqtt_ack a;

	assert_int_equal(mqtt_ack_decode(f, v, &a), OK);
	add(t, "%s m%d", mqtt_type_text(f->type), a.packet_id);
	if (v == MQTT_V5)
		add(t, " %02X", a.reason);
}

static void describe(struct text *t, enum mqtt_version v, const struct mqtt_frame *f)
{
	struct mqtt_connack c;
	struct mqtt_disconnect d;

	switch (f->type) {
	case MQTT_CONNACK:
		assert_int_equal(mqtt_connack_decode(f, v, &c), OK);
		add(t, "CONNACK s%d %02X", c.session_present, c.reason);
		break;
	case MQTT_PUBLISH:
		describe_publish(t, v, f);
		break;
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP:
		describe_ack(t, v, f);
		break;
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
		describe_suback(t, v, f);
		break;
	case MQTT_PINGRESP:
		assert_int_equal(mqtt_empty_decode(f), OK);
		add(t, "PINGRESP");
		break;
	case MQTT_DISCONNECT:
		assert_int_equal(mqtt_disconnect_decode(f, v, &d), OK);
		add(t, "DISCONNECT %02X", d.reason);
		break;
	default:
		fail_msg("the broker sent a packet of type %d", f->type);
	}
}

/* A packet is there, or none will come. */
static bool has_line(void *arg)
{
	const struct peer *p = arg;
	const struct fake_stream *s = p->stream;
	struct mqtt_frame f;

	return s->is_closed ||
	       mqtt_frame_read(s->out + s->out_off, s->out_len - s->out_off, UINT32_MAX, &f) == OK;
}

const char *peer_line(struct peer *p)
{
	static char line[LINE];
	struct fake_stream *s = p->stream;
	struct text t = {.at = line, .left = sizeof(line)};
	struct mqtt_frame f;

	if (!has_line(p) && run_until(p->rig, PATIENCE_US, has_line, p) < 0) {
		snprintf(line, sizeof(line), "(nothing)");
		return line;
	}
	if (s->out_len == s->out_off)
		return "closed";
	assert_int_equal(mqtt_frame_read(s->out + s->out_off, s->out_len - s->out_off, UINT32_MAX, &f), OK);
	describe(&t, p->v, &f);
	fake_taken(s, f.size);
	return line;
}

void peer_expect(struct peer *p, const char *line)
{
	assert_string_equal(peer_line(p), line);
}

void peer_quiet(struct peer *p)
{
	if (has_line(p) || run_until(p->rig, QUIET_US, has_line, p) == OK)
		fail_msg("unexpected: %s", peer_line(p));
}

void peer_ping(struct peer *p)
{
	peer_send(p, 0xC0, "");
	peer_expect(p, "PINGRESP");
}

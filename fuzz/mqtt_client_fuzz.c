/*
 * Bytes as from a server into a client that has publishes and subscriptions under way.  The last four bytes
 * of the input choose the version, the session, how the bytes are cut into reads and what else happens
 * between them.
 */
#include <stdlib.h>

#include "loop/loop_sim.h"
#include "mqtt/client.h"

struct fake {
	struct stream stream;
	struct dialer dialer;
	const uint8_t *p;
	size_t left;
	bool is_open, is_up, is_ended;
	uint32_t random;
	struct mqtt_client *client;
	unsigned pending; /* publishes without their end */
};

static uint32_t draw(struct fake *f, uint32_t bound)
{
	f->random = f->random * 1664525u + 1013904223u;
	return (f->random >> 8) % bound;
}

/* ---- a stream that gives the input ---- */

static int fake_read(struct stream *s, uint8_t *buf, size_t room, size_t *got, bool *more)
{
	struct fake *f = container_of(s, struct fake, stream);

	if (!f->is_up)
		return ERR_IO;
	if (f->left == 0)
		return f->is_ended ? ERR_CLOSED : ERR_AGAIN;
	*got = room < f->left ? room : f->left;
	memcpy(buf, f->p, *got);
	f->p += *got;
	f->left -= *got;
	*more = f->left > 0;
	return OK;
}

static int fake_write(struct stream *s, const struct iovec *iov, int niov, size_t *put)
{
	struct fake *f = container_of(s, struct fake, stream);
	size_t all = 0;

	for (int i = 0; i < niov; i++)
		all += iov[i].iov_len;
	*put = draw(f, 4) ? all : draw(f, (uint32_t)all + 1);
	return draw(f, 64) ? OK : ERR_IO;
}

static int fake_attach(struct stream *s, struct loop *loop)
{
	(void)s;
	(void)loop;
	return OK;
}

static void fake_detach(struct stream *s)
{
	(void)s;
}

static void fake_close(struct stream *s)
{
	struct fake *f = container_of(s, struct fake, stream);

	f->is_open = f->is_up = false;
}

static void fake_peer(const struct stream *s, char *buf, size_t size)
{
	(void)s;
	if (size)
		buf[0] = '\0';
}

static const struct stream_ops fake_ops = {.read = fake_read,
					   .write = fake_write,
					   .attach = fake_attach,
					   .detach = fake_detach,
					   .close = fake_close,
					   .peer = fake_peer};

static int fake_dial(struct dialer *d, struct loop *loop, struct stream **out)
{
	struct fake *f = container_of(d, struct fake, dialer);

	(void)loop;
	if (f->is_open)
		abort(); /* the client never closed the last one */
	f->stream = (struct stream){.ops = &fake_ops};
	f->is_open = true;
	f->is_up = f->is_ended = false;
	*out = &f->stream;
	return OK;
}

/* ---- what the client's owner does ---- */

static void publish(struct fake *f)
{
	struct mqtt_publish m = {.topic = span_str("t"), .qos = (uint8_t)draw(f, 3), .retain = draw(f, 2)};
	char payload[300] = {0};

	m.payload = span_of(payload, draw(f, sizeof(payload)));
	if (mqtt_client_publish(f->client, &m, NULL) == OK)
		f->pending++;
}

static void subscribe(struct fake *f)
{
	static const char *const filters[] = {"a", "b/#", "$share/g/+", "c"};
	struct mqtt_sub_item item = {.filter = span_str(filters[draw(f, 4)]), .qos = (uint8_t)draw(f, 3)};
	int rc = draw(f, 3) ? mqtt_client_subscribe(f->client, &item, 1, NULL, NULL)
			    : mqtt_client_unsubscribe(f->client, &item.filter, 1, NULL, NULL);

	(void)rc; /* the queue may be full */
}

static void act(struct fake *f)
{
	switch (draw(f, 6)) {
	case 0:
	case 1:
		publish(f);
		break;
	case 2:
		subscribe(f);
		break;
	case 3:
		if (!draw(f, 20) && mqtt_client_disconnect(f->client, draw(f, 2), 0, NULL) < 0)
			abort();
		break;
	case 4:
		if (!draw(f, 20))
			f->is_ended = true;
		break;
	default:
		break;
	}
}

static void on_message(void *arg, const struct mqtt_publish *m)
{
	struct fake *f = arg;

	if (!mqtt_utf8_valid(m->topic) || !mqtt_topic_valid(m->topic))
		abort();
	for (size_t i = 0; i < m->payload.len; i++) /* what is claimed to be there is there */
		f->random ^= m->payload.p[i];
	act(f);
}

static void on_published(void *arg, void *token, int err, uint8_t reason, const struct mqtt_props *props)
{
	struct fake *f = arg;

	(void)token;
	(void)err;
	(void)reason;
	(void)props;
	if (f->pending-- == 0)
		abort(); /* one end per publish */
}

static void on_disconnected(void *arg, const struct mqtt_client_disconnected *e)
{
	struct fake *f = arg;

	if (e->retry_ms < 0 && draw(f, 2) && mqtt_client_start(f->client) < 0)
		abort();
}

/* ---- one run ---- */

static void feed(struct fake *f, struct sim_world *w, const uint8_t *data, size_t size, size_t chunk)
{
	static const uint8_t connack3[] = {0x20, 2, 0, 0}, connack5[] = {0x20, 3, 0, 0, 0};
	bool greet = draw(f, 8), is_v5 = draw(f, 2);
	unsigned idle = 0;

	while (size > 0 && idle < 20) {
		if (sim_run(w, 1000 + draw(f, 2) * 5000000, NULL, NULL) == OK)
			abort(); /* there was no end to reach */
		idle++;
		if (!f->is_open)
			continue;
		if (!f->is_up) {
			f->is_up = true;
			f->p = is_v5 ? connack5 : connack3;
			f->left = greet ? (is_v5 ? sizeof(connack5) : sizeof(connack3)) : 0;
			f->stream.ready(&f->stream, LOOP_WRITABLE);
			if (f->is_up && f->left)
				f->stream.ready(&f->stream, LOOP_READABLE);
			continue;
		}
		idle = 0;
		f->p = data;
		f->left = chunk < size ? chunk : size;
		data += f->left;
		size -= f->left;
		f->stream.ready(&f->stream, LOOP_READABLE | (draw(f, 2) ? LOOP_WRITABLE : 0u));
		act(f);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct mqtt_client_events events = {
		.message = on_message, .published = on_published, .disconnected = on_disconnected};
	struct fake f = {.dialer = {.dial = fake_dial}};
	struct mqtt_client_options o;
	struct sim_world *w = NULL;
	struct loop *loop = NULL;

	if (size < 4)
		return 0;
	f.random = get_u32be(data + size - 4);
	mqtt_client_options_init(&o);
	o.connect.version = (enum mqtt_version)(MQTT_V31 + draw(&f, 3));
	o.connect.client_id = span_str("f");
	o.connect.clean_start = draw(&f, 2);
	if (o.connect.version == MQTT_V5) {
		mqtt_props_set_num(&o.connect.props, MQTT_P_SESSION_EXPIRY, draw(&f, 2) * 100);
		mqtt_props_set_num(&o.connect.props, MQTT_P_TOPIC_ALIAS_MAXIMUM, 3);
		mqtt_props_set_num(&o.connect.props, MQTT_P_RECEIVE_MAXIMUM, 1 + draw(&f, 20));
	}
	o.max_packet_size = 100000;
	o.queue_messages = 50;
	if (sim_world_create(1, &w) < 0 || sim_loop_create(w, &loop) < 0 ||
	    mqtt_client_create(loop, &f.dialer, &o, &events, &f, &f.client) < 0 ||
	    mqtt_client_start(f.client) < 0)
		abort();
	for (int i = 0; i < 6; i++)
		act(&f);
	feed(&f, w, data, size - 4, 1 + draw(&f, 4) * draw(&f, 200) + draw(&f, 16));
	mqtt_client_destroy(f.client);
	if (f.is_open || f.pending)
		abort();
	loop_destroy(loop);
	sim_world_destroy(w);
	return 0;
}

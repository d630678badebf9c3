#include "sim_peer.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static void ready(struct stream *s, unsigned events);

/* ---- bytes out ---- */

static void flush(struct sim_peer *p)
{
	while (p->stream && p->output_len > 0) {
		struct iovec iov = {.iov_base = p->output, .iov_len = p->output_len};
		size_t put;

		if (stream_write(p->stream, &iov, 1, &put) < 0 || put == 0)
			return;
		memmove(p->output, p->output + put, p->output_len - put);
		p->output_len -= put;
	}
}

static struct wr room(struct sim_peer *p)
{
	return wr_of(p->output + p->output_len, sizeof(p->output) - p->output_len);
}

static void written(struct sim_peer *p, const struct wr *w, int rc)
{
	assert(rc == OK);
	p->output_len = sizeof(p->output) - w->left;
	flush(p);
}

static void send_ack(struct sim_peer *p, enum mqtt_type type, uint16_t packet_id)
{
	struct mqtt_ack ack = {.packet_id = packet_id};
	struct wr w = room(p);

	mqtt_props_clear(&ack.props);
	written(p, &w, mqtt_ack_encode(&w, p->version, type, &ack));
}

static void send_connect(struct sim_peer *p)
{
	struct mqtt_connect c = {.version = p->version, .clean_start = true, .client_id = span_str(p->id)};
	struct wr w = room(p);

	p->is_greeted = true;
	mqtt_props_clear(&c.props);
	written(p, &w, mqtt_connect_encode(&w, &c));
}

static uint16_t next_id(struct sim_peer *p)
{
	return ++p->last_id ? p->last_id : ++p->last_id;
}

static void subscribe_all(struct sim_peer *p)
{
	for (unsigned i = 0; i < PEER_FILTERS && p->filters[i]; i++) {
		struct mqtt_sub_item item = {.filter = span_str(p->filters[i]), .qos = 1};
		struct wr w = room(p);

		written(p, &w, mqtt_subscribe_encode(&w, p->version, next_id(p), NULL, &item, 1));
	}
}

/* ---- connecting ---- */

static void connect_now(struct sim_peer *p)
{
	p->life++;
	p->is_greeted = p->is_connected = p->is_ready = false;
	p->nacked = 0;
	p->goodbye = 0;
	p->input_len = p->output_len = 0;
	if (p->dialer->dial(p->dialer, p->loop, &p->stream) < 0) {
		p->stream = NULL;
		return;
	}
	p->stream->ready = ready;
	p->stream->owner = p;
}

static void retry(void *arg)
{
	struct sim_peer *p = arg;

	if (!p->stream && !p->is_stopped)
		connect_now(p);
}

static void lost(struct sim_peer *p)
{
	stream_close(p->stream);
	p->stream = NULL;
	p->is_connected = p->is_ready = false;
	p->life++; /* whatever belonged to it is over */
	assert(sim_at(p->world, 1000 + sim_random(p->world, 20000), retry, p) == OK);
}

static void close_left_over(void *arg)
{
	stream_close(arg);
}

static void ignore(struct stream *s, unsigned events)
{
	(void)s;
	(void)events;
}

void sim_peer_reconnect(struct sim_peer *p, bool crash)
{
	struct stream *old = p->stream;

	if (!old)
		return;
	if (crash) {
		sim_stream_cut(old);
		lost(p);
		return;
	}
	p->stream = NULL;
	old->ready = ignore; /* it stays, half open, for a while */
	assert(sim_at(p->world, 1 + sim_random(p->world, 50000), close_left_over, old) == OK);
	connect_now(p);
}

void sim_peer_start(struct sim_peer *p)
{
	assert(sim_at(p->world, sim_random(p->world, 5000), retry, p) == OK);
}

void sim_peer_stop(struct sim_peer *p)
{
	p->is_stopped = true;
	p->is_connected = p->is_ready = false;
	stream_close(p->stream);
	p->stream = NULL;
}

/* ---- what comes ---- */

static void on_publish(struct sim_peer *p, const struct mqtt_frame *f)
{
	struct mqtt_publish m;

	assert(mqtt_publish_decode(f, p->version, &m) == OK);
	if (m.qos == 1)
		send_ack(p, MQTT_PUBACK, m.packet_id);
	else if (m.qos == 2)
		p->told(p, "a message of more than the QoS asked for");
	p->message(p, &m);
}

static void packet(struct sim_peer *p, const struct mqtt_frame *f)
{
	struct mqtt_disconnect bye;
	struct mqtt_connack connack;
	struct mqtt_ack ack;

	switch (f->type) {
	case MQTT_CONNACK:
		assert(mqtt_connack_decode(f, p->version, &connack) == OK);
		if (connack.reason != 0 || connack.session_present)
			p->told(p, "a new session was refused");
		p->is_connected = true;
		subscribe_all(p);
		break;
	case MQTT_SUBACK:
		p->nacked++;
		p->is_ready = p->nacked == PEER_FILTERS || !p->filters[p->nacked];
		break;
	case MQTT_PUBLISH:
		on_publish(p, f);
		break;
	case MQTT_PUBREC:
		assert(mqtt_ack_decode(f, p->version, &ack) == OK);
		if (ack.reason < 0x80)
			send_ack(p, MQTT_PUBREL, ack.packet_id);
		break;
	case MQTT_DISCONNECT: /* the stream's end follows */
		assert(mqtt_disconnect_decode(f, p->version, &bye) == OK);
		p->goodbye = bye.reason;
		if (bye.reason != MQTT_RC_RETAIN_NOT_SUPPORTED && bye.reason != MQTT_RC_SESSION_TAKEN_OVER)
			p->told(p, mqtt_reason_text(bye.reason));
		break;
	default:
		break;
	}
}

/* false: nothing more, or the connection is gone. */
static bool read_some(struct sim_peer *p)
{
	size_t got, at = 0;
	bool more = false;
	struct mqtt_frame f;
	int rc =
		stream_read(p->stream, p->input + p->input_len, sizeof(p->input) - p->input_len, &got, &more);

	if (rc == ERR_AGAIN)
		return false;
	if (rc < 0) {
		lost(p);
		return false;
	}
	p->input_len += got;
	while (p->stream && mqtt_frame_read(p->input + at, p->input_len - at, PEER_BYTES, &f) == OK) {
		packet(p, &f);
		at += f.size;
	}
	memmove(p->input, p->input + at, p->input_len - at);
	p->input_len -= at;
	return more && p->stream;
}

static void ready(struct stream *s, unsigned events)
{
	struct sim_peer *p = s->owner;

	if ((events & LOOP_WRITABLE) && !p->is_greeted)
		send_connect(p);
	flush(p);
	if (events & (LOOP_READABLE | LOOP_HANGUP))
		while (read_some(p))
			;
}

bool sim_peer_publish(struct sim_peer *p, const struct mqtt_publish *m)
{
	struct mqtt_publish out = *m;
	struct wr w = room(p);

	if (!p->is_ready || p->output_len > sizeof(p->output) / 2)
		return false;
	out.packet_id = m->qos ? next_id(p) : 0;
	written(p, &w, mqtt_publish_encode(&w, p->version, &out));
	return true;
}

#include "sim_client.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static void ready(struct stream *s, unsigned events);

/* ---- bytes out ---- */

static void flush(struct sim_client *c)
{
	while (c->stream && c->output_len > 0) {
		struct iovec iov = {.iov_base = c->output, .iov_len = c->output_len};
		size_t put;

		if (stream_write(c->stream, &iov, 1, &put) < 0 || put == 0)
			return;
		memmove(c->output, c->output + put, c->output_len - put);
		c->output_len -= put;
	}
}

static struct wr room(struct sim_client *c)
{
	return wr_of(c->output + c->output_len, sizeof(c->output) - c->output_len);
}

static void written(struct sim_client *c, const struct wr *w, int rc)
{
	assert(rc == OK);
	c->output_len = sizeof(c->output) - w->left;
	flush(c);
}

static void send_ack(struct sim_client *c, enum mqtt_type type, uint16_t packet_id)
{
	struct mqtt_ack ack = {.packet_id = packet_id};
	struct wr w = room(c);

	mqtt_props_clear(&ack.props);
	written(c, &w, mqtt_ack_encode(&w, c->version, type, &ack));
}

static void send_message(struct sim_client *c, uint32_t id, uint16_t packet_id, bool dup)
{
	const struct ledger_message *m = &c->ledger->messages[id];
	uint8_t payload[4];
	struct mqtt_publish p = {
		.dup = dup,
		.qos = m->qos,
		.retain = m->retain,
		.packet_id = packet_id,
		.topic = span_str(m->topic),
		.payload = span_of(payload, sizeof(payload)),
	};
	struct wr w = room(c);

	c->ledger->messages[id].resent |= dup;
	put_u32be(payload, id);
	mqtt_props_clear(&p.props);
	written(c, &w, mqtt_publish_encode(&w, c->version, &p));
}

static bool packet_id_in_use(const struct sim_client *c, uint16_t id)
{
	for (unsigned i = 0; i < c->nsent; i++)
		if (c->sent[i].packet_id == id)
			return true;
	for (unsigned i = 0; i < SIM_FILTERS; i++)
		if (c->filters[i].waits == id)
			return true;
	return id == 0 || id > c->last_packet_id;
}

static uint16_t new_packet_id(struct sim_client *c)
{
	do
		c->last_id++;
	while (packet_id_in_use(c, c->last_id));
	return c->last_id;
}

static void send_subscribe(struct sim_client *c, struct sim_filter *f)
{
	struct mqtt_sub_item item = {.filter = span_str(f->filter), .qos = f->qos};
	struct wr w = room(c);

	f->waits = new_packet_id(c);
	written(c, &w, mqtt_subscribe_encode(&w, c->version, f->waits, NULL, &item, 1));
}

static void send_unsubscribe(struct sim_client *c, struct sim_filter *f)
{
	struct span filter = span_str(f->filter);
	struct wr w = room(c);

	f->waits = new_packet_id(c);
	written(c, &w, mqtt_unsubscribe_encode(&w, c->version, f->waits, NULL, &filter, 1));
}

static void send_connect(struct sim_client *c)
{
	char id[16] = "";
	struct mqtt_connect p = {
		.version = c->version, .clean_start = c->want_clean, .client_id = span_of(id, 0)};
	struct wr w = room(c);

	c->greeted = true;
	p.client_id.len = (size_t)snprintf(id, sizeof(id), "c%u", c->index);
	mqtt_props_clear(&p.props);
	if (c->version == MQTT_V5) {
		mqtt_props_set_num(&p.props, MQTT_P_SESSION_EXPIRY, c->transient ? 0 : UINT32_MAX);
		mqtt_props_set_num(&p.props, MQTT_P_RECEIVE_MAXIMUM, c->receive_maximum);
	} else if (c->want_clean) {
		p.clean_start = false; /* v3 has no clean start that lasts: see on_connack() */
	}
	if (c->transient)
		p.clean_start = true;
	if (p.clean_start || c->session == SIM_SESSION_NONE)
		c->session = SIM_SESSION_MAY; /* until CONNACK tells */
	written(c, &w, mqtt_connect_encode(&w, &p));
}

/* ---- connecting ---- */

static void connect_now(struct sim_client *c)
{
	c->greeted = c->connected = c->leaving = false;
	c->input_len = c->output_len = 0;
	for (unsigned i = 0; i < SIM_FILTERS; i++)
		c->filters[i].waits = 0;
	if (c->dialer->dial(c->dialer, c->loop, &c->stream) < 0) {
		c->stream = NULL;
		return;
	}
	c->stream->ready = ready;
	c->stream->owner = c;
}

static void retry(void *arg)
{
	struct sim_client *c = arg;

	if (!c->stream && c->away_until_us <= sim_now_us(c->world))
		connect_now(c);
}

static void lost(struct sim_client *c)
{
	stream_close(c->stream);
	c->stream = NULL;
	c->connected = c->leaving = false;
	if (c->away_until_us > sim_now_us(c->world))
		assert(sim_at(c->world, c->away_until_us - sim_now_us(c->world), retry, c) == OK);
	else
		assert(sim_at(c->world, 1000 + sim_random(c->world, 20000), retry, c) == OK);
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

void sim_client_reconnect(struct sim_client *c, bool crash)
{
	struct stream *old = c->stream;

	if (!old)
		return;
	c->stream = NULL;
	if (crash) {
		sim_stream_cut(old);
		stream_close(old);
		lost(c);
		return;
	}
	/* it stays, half open, for a while */
	old->ready = ignore;
	assert(sim_at(c->world, 1 + sim_random(c->world, 50000), close_left_over, old) == OK);
	connect_now(c);
}

void sim_client_init(struct sim_client *c, struct sim_world *w, struct loop *loop, struct dialer *dialer,
		     struct ledger *ledger, unsigned index)
{
	memset(c, 0, sizeof(*c));
	c->world = w;
	c->loop = loop;
	c->dialer = dialer;
	c->ledger = ledger;
	c->index = index;
	c->version = sim_one_in(w, 2) ? MQTT_V5 : MQTT_V311;
	c->receive_maximum = (uint16_t)(1 + sim_random(w, 20));
	c->broker_window = SIM_INFLIGHT;
	c->last_packet_id = UINT16_MAX;
	assert(sim_at(w, sim_random(w, 5000), retry, c) == OK);
}

void sim_client_fini(struct sim_client *c)
{
	stream_close(c->stream);
	c->stream = NULL;
}

/* ---- what comes ---- */

static void session_begins(struct sim_client *c)
{
	ledger_session_ends(c->ledger, c->index);
	memset(c->received, 0, sizeof(c->received));
	for (unsigned i = 0; i < SIM_FILTERS; i++) {
		c->filters[i].acked = false;
		if (c->filters[i].going)
			c->filters[i].wanted = c->filters[i].going = false;
	}
	c->nsent = 0; /* with the session went the state of what was on its way */
}

/* The disk of its broker is full or fails: these are the ways to say so. */
static bool is_refusal(uint8_t reason)
{
	return reason == 0x97 || reason == 0x83 || reason == 0x88 || reason == 0x80;
}

/* true: as it may be, when there is trouble. */
static bool refused(struct sim_client *c, const char *what, uint8_t reason)
{
	c->refused++;
	if (c->may_be_refused && (is_refusal(reason) || (c->version != MQTT_V5 && reason == 3)))
		return true;
	ledger_broken(c->ledger, "client %u: %s refused with 0x%02x", c->index, what, reason);
	return false;
}

static void check_session(struct sim_client *c, bool present)
{
	if (present && c->session == SIM_SESSION_NONE)
		ledger_broken(c->ledger, "client %u: a session is present that there is not", c->index);
	if (!present && c->session == SIM_SESSION_MUST && !c->transient)
		ledger_broken(c->ledger, "client %u: its session was forgotten", c->index);
	c->session = c->transient ? SIM_SESSION_MAY : SIM_SESSION_MUST;
}

static void on_connack(struct sim_client *c, const struct mqtt_frame *f)
{
	struct mqtt_connack ack;

	assert(mqtt_connack_decode(f, c->version, &ack) == OK);
	if (ack.reason != 0) {
		(void)refused(c, "CONNECT", ack.reason);
		lost(c);
		return;
	}
	if (c->durable)
		check_session(c, ack.session_present);
	c->connected = true;
	c->broker_window = SIM_INFLIGHT;
	if (c->version == MQTT_V5) {
		uint32_t window = mqtt_props_num(&ack.props, MQTT_P_RECEIVE_MAXIMUM, UINT16_MAX);

		c->broker_window = (uint16_t)(window < SIM_INFLIGHT ? window : SIM_INFLIGHT);
	}
	if (ack.session_present && c->version == MQTT_V5 && c->want_clean)
		ledger_broken(c->ledger, "client %u: asked for a clean start and got an old session",
			      c->index);
	if (!ack.session_present)
		session_begins(c);
	c->want_clean = false;
	for (unsigned i = 0; i < c->nsent; i++) {
		if (c->sent[i].released)
			send_ack(c, MQTT_PUBREL, c->sent[i].packet_id);
		else
			send_message(c, c->sent[i].id, c->sent[i].packet_id, true);
	}
	for (unsigned i = 0; i < SIM_FILTERS; i++) {
		if (c->filters[i].going)
			send_unsubscribe(c, &c->filters[i]);
		else if (c->filters[i].wanted && !c->filters[i].acked)
			send_subscribe(c, &c->filters[i]);
	}
}

/* Is there a filter that it subscribes, or tried to, or has not got rid of? */
static bool asked_for(const struct sim_client *c, const char *topic)
{
	for (unsigned i = 0; i < SIM_FILTERS; i++) {
		struct span filter = span_str(c->filters[i].filter), name, rest = filter;

		if (c->filters[i].wanted && (mqtt_filter_shared(filter, &name, &rest) || true) &&
		    mqtt_filter_matches(rest, span_str(topic)))
			return true;
	}
	return false;
}

static void check_asked_for(struct sim_client *c, uint32_t id)
{
	const struct ledger_message *m = &c->ledger->messages[id];

	if (id < c->ledger->nmessages && !asked_for(c, m->topic) &&
	    !ledger_was_subscribed(c->ledger, c->index, m))
		ledger_broken(c->ledger, "client %u: %s of client %u: %u came, long after UNSUBACK", c->index,
			      m->topic, m->publisher, m->seq);
}

static void on_publish(struct sim_client *c, const struct mqtt_frame *f)
{
	struct mqtt_publish p;
	uint64_t bit;

	assert(mqtt_publish_decode(f, c->version, &p) == OK && p.payload.len == 4);
	if (p.qos == 2) {
		bit = UINT64_C(1) << p.packet_id % 64;
		send_ack(c, MQTT_PUBREC, p.packet_id);
		if (c->received[p.packet_id / 64] & bit)
			return;
		c->received[p.packet_id / 64] |= bit;
	} else if (p.qos == 1) {
		send_ack(c, MQTT_PUBACK, p.packet_id);
	}
	if (c->durable)
		check_asked_for(c, get_u32be(p.payload.p));
	ledger_delivered(c->ledger, c->index, get_u32be(p.payload.p), p.qos, p.retain);
}

static void sent_remove(struct sim_client *c, unsigned i)
{
	memmove(&c->sent[i], &c->sent[i + 1], (c->nsent - i - 1) * sizeof(c->sent[0]));
	c->nsent--;
}

static void on_ack(struct sim_client *c, const struct mqtt_frame *f)
{
	struct mqtt_ack ack;
	unsigned i = 0;

	assert(mqtt_ack_decode(f, c->version, &ack) == OK);
	if (f->type == MQTT_PUBREL) {
		c->received[ack.packet_id / 64] &= ~(UINT64_C(1) << ack.packet_id % 64);
		send_ack(c, MQTT_PUBCOMP, ack.packet_id);
		return;
	}
	while (i < c->nsent && c->sent[i].packet_id != ack.packet_id)
		i++;
	if (i == c->nsent) {
		if (f->type == MQTT_PUBREC)
			send_ack(c, MQTT_PUBREL, ack.packet_id);
		return;
	}
	if (ack.reason >= 0x80 && !(f->type == MQTT_PUBCOMP && ack.reason == MQTT_RC_PACKET_ID_NOT_FOUND)) {
		(void)refused(c, "message", ack.reason);
		sent_remove(c, i);
		return;
	}
	if (f->type == MQTT_PUBREC) {
		c->sent[i].released = true;
		send_ack(c, MQTT_PUBREL, ack.packet_id);
		return;
	}
	ledger_acked(c->ledger, c->sent[i].id);
	sent_remove(c, i);
}

/* What was refused is asked for again. */
static void subscribe_again(void *arg)
{
	struct sim_client *c = arg;

	for (unsigned i = 0; i < SIM_FILTERS && c->connected; i++)
		if (c->filters[i].wanted && !c->filters[i].acked && !c->filters[i].waits &&
		    !c->filters[i].going)
			send_subscribe(c, &c->filters[i]);
}

static void on_unsuback(struct sim_client *c, const struct mqtt_frame *f)
{
	struct mqtt_suback ack;

	assert(mqtt_suback_decode(f, c->version, &ack) == OK);
	for (unsigned i = 0; i < SIM_FILTERS; i++) {
		struct sim_filter *filter = &c->filters[i];

		if (filter->waits != ack.packet_id)
			continue;
		filter->waits = 0;
		if (ack.codes.len > 0 && ack.codes.p[0] >= 0x80 &&
		    refused(c, "UNSUBSCRIBE", ack.codes.p[0])) {
			filter->going = true; /* with the next connection */
			continue;
		}
		*filter = (struct sim_filter){0};
		ledger_unsubscribed(c->ledger, c->index);
	}
}

static void on_suback(struct sim_client *c, const struct mqtt_frame *f)
{
	struct mqtt_suback ack;

	assert(mqtt_suback_decode(f, c->version, &ack) == OK);
	for (unsigned i = 0; i < SIM_FILTERS; i++) {
		struct sim_filter *filter = &c->filters[i];

		if (filter->waits != ack.packet_id)
			continue;
		filter->waits = 0;
		if (ack.codes.p[0] >= 0x80 && refused(c, filter->filter, ack.codes.p[0])) {
			assert(sim_at(c->world, 100000, subscribe_again, c) == OK);
			continue;
		}
		if (ack.codes.p[0] != filter->qos)
			ledger_broken(c->ledger, "client %u: %s granted 0x%02x", c->index, filter->filter,
				      ack.codes.p[0]);
		if (!filter->acked)
			ledger_subscribed(c->ledger, c->index, filter->filter, filter->qos);
		filter->acked = true;
	}
}

static void packet(struct sim_client *c, const struct mqtt_frame *f)
{
	switch (f->type) {
	case MQTT_CONNACK:
		on_connack(c, f);
		break;
	case MQTT_PUBLISH:
		on_publish(c, f);
		break;
	case MQTT_SUBACK:
		on_suback(c, f);
		break;
	case MQTT_UNSUBACK:
		on_unsuback(c, f);
		break;
	case MQTT_DISCONNECT: /* the stream's end follows */
		break;
	default:
		on_ack(c, f);
		break;
	}
}

/* false: the connection is gone. */
static bool read_some(struct sim_client *c)
{
	size_t got, at = 0;
	bool more = false;
	struct mqtt_frame f;
	int rc =
		stream_read(c->stream, c->input + c->input_len, sizeof(c->input) - c->input_len, &got, &more);

	if (rc == ERR_AGAIN)
		return false;
	if (rc < 0) {
		if (c->leaving && rc == ERR_CLOSED)
			c->session = SIM_SESSION_NONE;
		lost(c);
		return false;
	}
	c->input_len += got;
	while (c->stream && mqtt_frame_read(c->input + at, c->input_len - at, SIM_INPUT, &f) == OK) {
		packet(c, &f);
		at += f.size;
	}
	memmove(c->input, c->input + at, c->input_len - at);
	c->input_len -= at;
	return more && c->stream;
}

static void ready(struct stream *s, unsigned events)
{
	struct sim_client *c = s->owner;

	if ((events & LOOP_WRITABLE) && !c->greeted)
		send_connect(c);
	flush(c);
	if (events & (LOOP_READABLE | LOOP_HANGUP))
		while (!c->deaf && read_some(c))
			;
}

/* ---- what it does ---- */

bool sim_client_publish(struct sim_client *c, const char *topic, uint8_t qos, bool retain)
{
	int id;
	uint16_t packet_id = 0;

	if (!c->connected || c->leaving || c->nsent >= c->broker_window ||
	    c->output_len > sizeof(c->output) / 2)
		return false;
	id = ledger_publish(c->ledger, c->index, topic, qos, retain);
	if (id < 0)
		return false;
	if (qos > 0) {
		packet_id = new_packet_id(c);
		c->sent[c->nsent++] = (struct sim_sent){.id = (uint32_t)id, .packet_id = packet_id};
	}
	send_message(c, (uint32_t)id, packet_id, false);
	return true;
}

bool sim_client_subscribe(struct sim_client *c, const char *filter, uint8_t qos)
{
	unsigned i = 0;

	while (i < SIM_FILTERS && !(c->filters[i].wanted && strcmp(c->filters[i].filter, filter) == 0))
		i++;
	if (i == SIM_FILTERS) /* a new one */
		for (i = 0; i < SIM_FILTERS && c->filters[i].wanted;)
			i++;
	if (!c->connected || c->leaving || i == SIM_FILTERS || c->filters[i].waits || c->filters[i].going ||
	    c->output_len > sizeof(c->output) / 2)
		return false;
	if (!c->filters[i].wanted) {
		c->filters[i] = (struct sim_filter){.qos = qos, .wanted = true};
		snprintf(c->filters[i].filter, sizeof(c->filters[i].filter), "%s", filter);
	}
	send_subscribe(c, &c->filters[i]);
	return true;
}

bool sim_client_unsubscribe(struct sim_client *c, const char *filter)
{
	for (unsigned i = 0; i < SIM_FILTERS; i++) {
		struct sim_filter *f = &c->filters[i];

		if (!f->wanted || !f->acked || f->waits || f->going || strcmp(f->filter, filter) != 0)
			continue;
		if (!c->connected || c->leaving || c->output_len > sizeof(c->output) / 2)
			return false;
		ledger_unsubscribe(c->ledger, c->index, filter);
		f->going = true;
		send_unsubscribe(c, f);
		return true;
	}
	return false;
}

void sim_client_leave(struct sim_client *c, uint64_t for_us, bool crash, uint32_t expiry_s)
{
	struct mqtt_disconnect d = {.reason = 0};
	struct wr w = room(c);

	if (!c->connected || c->leaving)
		return;
	c->away_until_us = sim_now_us(c->world) + for_us;
	if (crash) {
		sim_client_reconnect(c, true);
		return;
	}
	mqtt_props_clear(&d.props);
	if (c->version == MQTT_V5 && expiry_s != UINT32_MAX) {
		mqtt_props_set_num(&d.props, MQTT_P_SESSION_EXPIRY, expiry_s);
		c->session = SIM_SESSION_MAY;
		c->leaving = expiry_s == 0; /* the end says that it has ended */
		if (expiry_s <= 1)          /* and so has its own state */
			c->want_clean = true;
	}
	written(c, &w, mqtt_disconnect_encode(&w, c->version, MQTT_DISCONNECT, &d));
	c->connected = false;
}

void sim_client_return(struct sim_client *c)
{
	c->away_until_us = 0;
	retry(c);
}

void sim_client_broker_crashed(struct sim_client *c)
{
	c->leaving = false;
}

void sim_client_deafen(struct sim_client *c)
{
	c->deaf = true;
}

void sim_client_listen(struct sim_client *c)
{
	c->deaf = false;
	while (c->stream && read_some(c))
		;
}

bool sim_client_is_quiet(const struct sim_client *c)
{
	for (unsigned i = 0; i < SIM_FILTERS; i++)
		if (c->filters[i].wanted && (!c->filters[i].acked || c->filters[i].going))
			return false;
	return c->connected && c->nsent == 0 && c->output_len == 0;
}

void sim_draw_filter(struct sim_world *w, unsigned nclients, char *filter, size_t size)
{
	unsigned client = (unsigned)sim_random(w, nclients), k = (unsigned)sim_random(w, 3);

	switch (sim_random(w, 5)) {
	case 0:
		snprintf(filter, size, "t/#");
		break;
	case 1:
		snprintf(filter, size, "t/+/%u", k);
		break;
	case 2:
		snprintf(filter, size, "t/%u/+", client);
		break;
	case 3:
		snprintf(filter, size, "#");
		break;
	default:
		snprintf(filter, size, "t/%u/%u", client, k);
	}
}

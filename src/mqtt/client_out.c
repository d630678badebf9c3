/* Output: packets are gathered in one buffer and leave with one write at the end of the loop's turn. */
#include <assert.h>
#include <stdlib.h>

#include "mqtt/client_impl.h"

void client_out_reset(struct mqtt_client *c)
{
	free(c->out.buf);
	c->out = (struct client_out){0};
}

/* Room for n more bytes at *at, to be committed. Grows by doubling; ERR_NOMEM leaves what is there. */
int client_out_reserve(struct mqtt_client *c, size_t n, uint8_t **at)
{
	struct client_out *o = &c->out;
	size_t used = client_out_len(c);

	if (o->cap - o->end >= n) {
		*at = o->buf + o->end;
		return OK;
	}
	if (used && o->start) {
		memmove(o->buf, o->buf + o->start, used);
		o->start = 0;
		o->end = used;
	}
	if (o->cap - o->end < n) {
		size_t cap = o->cap * 2 > used + n ? o->cap * 2 : used + n;
		uint8_t *buf = realloc(o->buf, cap);

		if (!buf)
			return ERR_NOMEM;
		o->buf = buf;
		o->cap = cap;
	}
	*at = o->buf + o->end;
	return OK;
}

/* `n` bytes at the end of the buffer are a packet. */
void client_out_commit(struct mqtt_client *c, size_t n)
{
	struct mqtt_frame f;

	if (c->on.packet && mqtt_frame_read(c->out.buf + c->out.end, n, UINT32_MAX, &f) == OK)
		c->on.packet(c->arg, true, &f);
	c->out.end += n;
	c->out.added += n;
}

int client_out_ack(struct mqtt_client *c, enum mqtt_type type, uint16_t id, uint8_t reason)
{
	struct mqtt_ack ack = {.packet_id = id, .reason = reason};
	const size_t room = 16;
	uint8_t *at;
	int rc;

	if ((rc = client_out_reserve(c, room, &at)) < 0)
		return rc;
	struct wr w = wr_of(at, room);

	if ((rc = mqtt_ack_encode(&w, c->opt.connect.version, type, &ack)) < 0)
		return rc;
	c->out.acks += (size_t)(w.p - at);
	client_out_commit(c, (size_t)(w.p - at));
	return OK;
}

int client_out_ping(struct mqtt_client *c)
{
	uint8_t *at;
	int rc;

	if ((rc = client_out_reserve(c, 2, &at)) < 0)
		return rc;
	struct wr w = wr_of(at, 2);

	if ((rc = mqtt_empty_encode(&w, MQTT_PINGREQ)) < 0)
		return rc;
	client_out_commit(c, 2);
	return OK;
}

int client_out_disconnect(struct mqtt_client *c, uint8_t reason)
{
	struct mqtt_disconnect d = {.reason = reason};
	const size_t room = 16;
	uint8_t *at;
	int rc;

	if ((rc = client_out_reserve(c, room, &at)) < 0)
		return rc;
	struct wr w = wr_of(at, room);

	if ((rc = mqtt_disconnect_encode(&w, c->opt.connect.version, MQTT_DISCONNECT, &d)) < 0)
		return rc;
	client_out_commit(c, (size_t)(w.p - at));
	return OK;
}

void client_kick(struct mqtt_client *c)
{
	/* The turn-end hook flushes; from outside of a turn the loop would sleep before it. */
	if (c->stream)
		loop_again(c->loop);
}

static void written(struct mqtt_client *c, size_t put)
{
	struct client_out *o = &c->out;

	if (put == 0)
		return;
	o->start += put;
	o->written += put;
	c->counters.sent_bytes += put;
	c->last_out_ms = loop_now_ms(c->loop);
	c->unacked = 0; /* which of them left is not worth counting: too small only makes us lenient */
	if (o->start < o->end)
		return;
	o->start = o->end = 0;
	o->acks = 0;
	if (o->cap > CLIENT_KEEP_BUFFER) {
		free(o->buf);
		o->buf = NULL;
		o->cap = 0;
	}
}

static int fill(struct mqtt_client *c)
{
	int rc;

	if (c->state != CLIENT_UP)
		return OK;
	if ((rc = client_sub_fill(c)) < 0)
		return rc;
	return client_pub_fill(c);
}

static bool all_done(const struct mqtt_client *c)
{
	return c->npending == 0 && client_out_len(c) == 0;
}

/* One round of filling and writing. Returns whether another one could do more. */
static bool flush_round(struct mqtt_client *c)
{
	size_t put = 0;
	int rc;

	if ((rc = fill(c)) < 0) {
		client_lost(c, rc);
		return false;
	}
	size_t len = client_out_len(c);

	if (len == 0 || !c->stream)
		return false;
	struct iovec iov = {.iov_base = c->out.buf + c->out.start, .iov_len = len};

	if ((rc = stream_write(c->stream, &iov, 1, &put)) < 0) {
		/* What the server said before it closed is still to be read; reading ends the connection. */
		client_read(c);
		if (c->stream)
			client_lost(c, rc);
		return false;
	}
	written(c, put);
	c->out.is_blocked = put < len;
	client_pub_written(c);
	return !c->out.is_blocked;
}

void client_flush(struct mqtt_client *c)
{
	if (c->out.is_blocked)
		return;
	for (int round = 0; c->stream && flush_round(c); round++) {
		if (round == 8) {
			loop_timer_set(c->loop, &c->again, 0);
			break;
		}
	}
	if (!c->stream)
		return;
	if (c->in.is_paused && c->out.acks < CLIENT_ACKS_MAX) {
		c->in.is_paused = false;
		loop_timer_set(c->loop, &c->again, 0);
	}
	if (c->finish && c->state == CLIENT_UP && all_done(c))
		client_leave_server(c);
}

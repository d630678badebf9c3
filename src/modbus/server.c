/*
 * The Modbus/TCP server. Input and output of whichever connection is being served lie in two buffers of the
 * server; what is left of them (half a frame, answers that the peer does not take) moves to the connection until
 * it goes on.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "modbus/server.h"

#define BATCH        16u /* requests answered with one write; TCP 4.3.2.2 */
#define IN_BYTES     (BATCH * MODBUS_ADU_MAX)
#define OUT_BYTES    (BATCH * MODBUS_ADU_MAX)
#define READS_A_TURN 4u /* then others have their turn */

struct kept {
	uint8_t *bytes; /* NULL: nothing */
	size_t len;
};

struct conn {
	struct list node; /* in server->conns, the one that was silent longest first */
	struct modbus_server *server;
	struct stream *stream;
	struct loop_timer resume;
	struct kept in, out;
};

struct modbus_server {
	struct acceptor acceptor;
	struct loop *loop;
	const struct modbus_model_ops *ops;
	void *model;
	unsigned max_connections;
	struct list conns;
	struct modbus_server_stats stats;
	size_t in_len, out_len;
	uint8_t in[IN_BYTES];
	uint8_t out[OUT_BYTES];
};

/* ---- what is left over ---- */

static MUST_USE int keep(struct kept *k, const uint8_t *bytes, size_t len)
{
	assert(!k->bytes);
	if (len == 0)
		return OK;
	k->bytes = malloc(len);
	if (!k->bytes)
		return ERR_NOMEM;
	memcpy(k->bytes, bytes, len);
	k->len = len;
	return OK;
}

static void kept_drop(struct kept *k)
{
	free(k->bytes);
	*k = (struct kept){0};
}

/* Back into a buffer of the server, which is large enough: it came from there. */
static size_t kept_back(struct kept *k, uint8_t *to)
{
	size_t len = k->len;

	if (len)
		memcpy(to, k->bytes, len);
	kept_drop(k);
	return len;
}

static void conn_close(struct conn *c)
{
	list_remove(&c->node);
	loop_timer_cancel(c->server->loop, &c->resume);
	stream_close(c->stream);
	kept_drop(&c->in);
	kept_drop(&c->out);
	c->server->stats.connections--;
	free(c);
}

/* ---- answering ---- */

/* Answer frames of s->in while s->out has room. OK: no whole frame is left; ERR_FULL; ERR_MALFORMED. */
static MUST_USE int answer(struct modbus_server *s)
{
	struct modbus_adu adu;
	size_t at = 0;
	int rc = ERR_FULL;

	while (OUT_BYTES - s->out_len >= MODBUS_ADU_MAX &&
	       (rc = modbus_adu_split(s->in + at, s->in_len - at, &adu)) == OK) {
		uint8_t *pdu = s->out + s->out_len + MODBUS_MBAP_SIZE;
		size_t len = modbus_model_answer(s->ops, s->model, adu.unit, adu.pdu, pdu);

		at += adu.size;
		s->stats.requests++;
		if (pdu[0] & 0x80)
			s->stats.exceptions++;
		rc = modbus_adu_encode(adu.transaction, adu.unit, span_of(pdu, len), s->out + s->out_len,
				       OUT_BYTES - s->out_len, &len);
		assert(rc == OK);
		s->out_len += len;
		rc = ERR_FULL;
	}
	s->in_len -= at;
	memmove(s->in, s->in + at, s->in_len);
	return rc == ERR_AGAIN ? OK : rc;
}

/* Write s->out; what the peer does not take is kept. OK, ERR_BUSY (kept: wait for WRITABLE) or the stream's error. */
static MUST_USE int send_out(struct conn *c)
{
	struct modbus_server *s = c->server;
	struct iovec iov = {.iov_base = s->out, .iov_len = s->out_len};
	size_t put = 0;
	int rc;

	if (s->out_len == 0)
		return OK;
	if ((rc = stream_write(c->stream, &iov, 1, &put)) < 0)
		return rc;
	if (put == s->out_len) {
		s->out_len = 0;
		return OK;
	}
	if ((rc = keep(&c->out, s->out + put, s->out_len - put)) < 0)
		return rc;
	s->out_len = 0;
	return ERR_BUSY;
}

/* Answer all of s->in, write by write. As send_out(), or ERR_MALFORMED. */
static MUST_USE int answer_all(struct conn *c)
{
	int answered, sent;

	do {
		answered = answer(c->server);
		sent = send_out(c);
	} while (answered == ERR_FULL && sent == OK);
	return answered == ERR_MALFORMED ? answered : sent;
}

/* Read and answer until there is nothing more (OK), it must wait (ERR_BUSY), or it is over (another error). */
static MUST_USE int serve(struct conn *c)
{
	struct modbus_server *s = c->server;
	bool more = true;
	int rc;

	if ((rc = send_out(c)) < 0)
		return rc;
	if ((rc = answer_all(c)) < 0)
		return rc;
	for (unsigned reads = 0; more; reads++) {
		size_t got = 0;

		if (reads == READS_A_TURN) {
			loop_timer_set(s->loop, &c->resume, 0);
			return OK;
		}
		rc = stream_read(c->stream, s->in + s->in_len, IN_BYTES - s->in_len, &got, &more);
		if (rc == ERR_AGAIN)
			return OK;
		if (rc < 0)
			return rc;
		s->in_len += got;
		if ((rc = answer_all(c)) < 0)
			return rc;
	}
	return OK;
}

static void conn_run(struct conn *c)
{
	struct modbus_server *s = c->server;
	char peer[STREAM_PEER_MAX];
	int rc;

	list_remove(&c->node);
	list_append(&s->conns, &c->node);
	s->in_len = kept_back(&c->in, s->in);
	s->out_len = kept_back(&c->out, s->out);
	rc = serve(c);
	if (rc == ERR_BUSY)
		rc = OK;
	if (rc == OK)
		rc = keep(&c->in, s->in, s->in_len);
	if (rc == OK)
		return;
	stream_peer(c->stream, peer, sizeof(peer));
	if (rc == ERR_MALFORMED) {
		s->stats.malformed++;
		log_warning("modbus", "%s: sends what is not Modbus/TCP; disconnected", peer);
	} else {
		log_info("modbus", "%s: disconnected: %s", peer, err_text(rc));
	}
	conn_close(c);
}

static void on_ready(struct stream *stream, unsigned events)
{
	(void)events; /* each may let it go on */
	conn_run(stream->owner);
}

static void on_resume(struct loop_timer *t)
{
	conn_run(container_of(t, struct conn, resume));
}

/* ---- connections ---- */

static void on_accepted(struct acceptor *a, struct stream *stream)
{
	struct modbus_server *s = container_of(a, struct modbus_server, acceptor);
	struct conn *c = calloc(1, sizeof(*c));
	struct list *oldest = list_first(&s->conns);

	if (!c) {
		log_warning("modbus", "out of memory: a connection is refused");
		stream_close(stream);
		return;
	}
	if (oldest && s->stats.connections == s->max_connections) {
		s->stats.displaced++;
		conn_close(container_of(oldest, struct conn, node));
	}
	c->server = s;
	c->stream = stream;
	loop_timer_init(&c->resume, on_resume);
	list_init(&c->node);
	list_append(&s->conns, &c->node);
	s->stats.connections++;
	stream->owner = c;
	stream->ready = on_ready;
	if (stream_attach(stream, s->loop) < 0) {
		log_warning("modbus", "a connection cannot be watched and is refused");
		conn_close(c);
	}
}

int modbus_server_create(struct loop *loop, const struct modbus_model_ops *ops, void *model,
			 unsigned max_connections, struct modbus_server **out)
{
	struct modbus_server *s;

	assert(max_connections > 0);
	s = calloc(1, sizeof(*s));
	if (!s)
		return ERR_NOMEM;
	s->acceptor.accepted = on_accepted;
	s->loop = loop;
	s->ops = ops;
	s->model = model;
	s->max_connections = max_connections;
	list_init(&s->conns);
	*out = s;
	return OK;
}

struct acceptor *modbus_server_acceptor(struct modbus_server *s)
{
	return &s->acceptor;
}

void modbus_server_stats(const struct modbus_server *s, struct modbus_server_stats *out)
{
	*out = s->stats;
}

void modbus_server_destroy(struct modbus_server *s)
{
	struct list *node;

	if (!s)
		return;
	while ((node = list_first(&s->conns)))
		conn_close(container_of(node, struct conn, node));
	free(s);
}

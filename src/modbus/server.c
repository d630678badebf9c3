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

/*
 *   a frame -> waiting (another of its unit is asked) -> asked (the handler has it) -> answered -> bytes
 */
struct modbus_connection {
	struct list node; /* in server->connections, the one that was silent longest first */
	struct modbus_server *server;
	struct stream *stream;
	struct loop_timer resume;
	struct kept in, out;
	struct list waiting, asked, answered;
	unsigned nrequests; /* in all three */
	bool is_running;    /* conn_run() sends what is answered */
	struct modbus_peer peer;
};

struct modbus_server {
	struct acceptor acceptor;
	struct loop *loop;
	const struct modbus_handler_ops *ops;
	void *handler;
	/* Of a server that was made with a model: it is its own handler. */
	const struct modbus_model_ops *model_ops;
	void *model;
	unsigned max_connections;
	struct list connections;
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

/* ---- requests ---- */

static struct modbus_server_request *request_of(struct list *node)
{
	return container_of(node, struct modbus_server_request, node);
}

static void request_free(struct modbus_server_request *r)
{
	list_remove(&r->node);
	r->connection->nrequests--;
	free(r);
}

static void requests_drop(struct list *requests)
{
	list_for_each (node, requests)
		request_free(request_of(node));
}

static void conn_close(struct modbus_connection *c)
{
	struct modbus_server *s = c->server;

	list_remove(&c->node);
	loop_timer_cancel(s->loop, &c->resume);
	stream_close(c->stream);
	kept_drop(&c->in);
	kept_drop(&c->out);
	list_for_each (node, &c->asked)
		s->ops->cancel(s->handler, request_of(node));
	requests_drop(&c->asked);
	requests_drop(&c->waiting);
	requests_drop(&c->answered);
	if (s->ops->closed)
		s->ops->closed(s->handler, &c->peer);
	s->stats.connections--;
	free(c);
}

static bool unit_is_busy(struct modbus_connection *c, uint8_t unit)
{
	list_for_each (node, &c->asked)
		if (request_of(node)->unit == unit)
			return true;
	return false;
}

static void ask(struct modbus_connection *c, struct modbus_server_request *r)
{
	list_remove(&r->node);
	list_append(&c->asked, &r->node);
	c->server->ops->request(c->server->handler, r);
}

/* Ask for what waited, each unit's in order: the one in front is asked first, and makes its unit busy for those behind. */
static void ask_waiting(struct modbus_connection *c)
{
	list_for_each (node, &c->waiting)
		if (!unit_is_busy(c, request_of(node)->unit))
			ask(c, request_of(node));
}

/* Out of memory is said with an exception, which needs none. */
static void refuse_frame(struct modbus_server *s, const struct modbus_adu *adu)
{
	uint8_t pdu[2];
	size_t len = 0;
	int rc = modbus_exception_encode(adu->pdu.p[0], MODBUS_EXCEPTION_SERVER_DEVICE_BUSY, pdu, sizeof(pdu),
					 &len);

	assert(rc == OK);
	rc = modbus_adu_encode(adu->transaction, adu->unit, span_of(pdu, len), s->out + s->out_len,
			       OUT_BYTES - s->out_len, &len);
	assert(rc == OK);
	s->out_len += len;
	s->stats.exceptions++;
}

static void take_frame(struct modbus_connection *c, const struct modbus_adu *adu)
{
	struct modbus_server_request *r = calloc(1, sizeof(*r));

	c->server->stats.requests++;
	if (!r) {
		refuse_frame(c->server, adu);
		return;
	}
	r->unit = adu->unit;
	r->transaction = adu->transaction;
	r->pdu_len = (uint8_t)adu->pdu.len;
	memcpy(r->pdu, adu->pdu.p, adu->pdu.len);
	r->connection = c;
	r->peer = &c->peer;
	list_init(&r->node);
	list_append(&c->waiting, &r->node);
	c->nrequests++;
	ask_waiting(c);
}

void modbus_server_answer(struct modbus_server_request *r, struct span pdu)
{
	struct modbus_connection *c = r->connection;

	assert(pdu.len >= 1 && pdu.len <= MODBUS_PDU_MAX);
	if (pdu.p != r->pdu)
		memcpy(r->pdu, pdu.p, pdu.len);
	r->pdu_len = (uint8_t)pdu.len;
	list_remove(&r->node);
	list_append(&c->answered, &r->node);
	if (!c->is_running && !loop_timer_pending(&c->resume))
		loop_timer_set(c->server->loop, &c->resume, 0);
}

void modbus_server_refuse(struct modbus_server_request *r, enum modbus_exception exception)
{
	uint8_t pdu[2];
	size_t len = 0;
	int rc = modbus_exception_encode(r->pdu[0], (uint8_t)exception, pdu, sizeof(pdu), &len);

	assert(rc == OK);
	modbus_server_answer(r, span_of(pdu, len));
}

/* ---- answering ---- */

static bool has_room(const struct modbus_server *s)
{
	return OUT_BYTES - s->out_len >= MODBUS_ADU_MAX;
}

/* Turn answers into bytes while s->out has room. */
static void encode_answers(struct modbus_connection *c)
{
	struct modbus_server *s = c->server;
	struct list *node;

	while (has_room(s) && (node = list_first(&c->answered))) {
		struct modbus_server_request *r = request_of(node);
		size_t len = 0;
		int rc = modbus_adu_encode(r->transaction, r->unit, span_of(r->pdu, r->pdu_len),
					   s->out + s->out_len, OUT_BYTES - s->out_len, &len);

		assert(rc == OK);
		s->out_len += len;
		if (r->pdu[0] & 0x80)
			s->stats.exceptions++;
		request_free(r);
	}
}

/*
 * Take frames of s->in and answers while s->out has room. OK: no whole frame is left; ERR_FULL: s->out is;
 * ERR_BUSY: as many requests as may be are unanswered; ERR_MALFORMED.
 */
static MUST_USE int answer(struct modbus_connection *c)
{
	struct modbus_server *s = c->server;
	struct modbus_adu adu;
	size_t at = 0;
	int rc;

	ask_waiting(c);
	for (;;) {
		encode_answers(c);
		rc = !has_room(s) ? ERR_FULL : c->nrequests == MODBUS_SERVER_REQUESTS_MAX ? ERR_BUSY : OK;
		if (rc < 0 || (rc = modbus_adu_split(s->in + at, s->in_len - at, &adu)) < 0)
			break;
		take_frame(c, &adu);
		at += adu.size;
	}
	s->in_len -= at;
	memmove(s->in, s->in + at, s->in_len);
	return rc == ERR_AGAIN ? OK : rc;
}

/* Write s->out; what the peer does not take is kept. OK, ERR_BUSY (kept: wait for WRITABLE) or the stream's error. */
static MUST_USE int send_out(struct modbus_connection *c)
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

/* Answer all of s->in, write by write. As send_out(), ERR_BUSY for answers that are to come as well, or ERR_MALFORMED. */
static MUST_USE int answer_all(struct modbus_connection *c)
{
	int answered, sent;

	do {
		answered = answer(c);
		sent = send_out(c);
	} while (answered == ERR_FULL && sent == OK);
	return sent < 0 && answered != ERR_MALFORMED ? sent : answered;
}

/* Read and answer until there is nothing more (OK), it must wait (ERR_BUSY), or it is over (another error). */
static MUST_USE int serve(struct modbus_connection *c)
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

static void conn_run(struct modbus_connection *c)
{
	struct modbus_server *s = c->server;
	int rc;

	list_remove(&c->node);
	list_append(&s->connections, &c->node);
	s->in_len = kept_back(&c->in, s->in);
	s->out_len = kept_back(&c->out, s->out);
	c->is_running = true;
	rc = serve(c);
	c->is_running = false;
	if (rc == ERR_BUSY)
		rc = OK;
	if (rc == OK)
		rc = keep(&c->in, s->in, s->in_len);
	if (rc == OK)
		return;
	if (rc == ERR_MALFORMED) {
		s->stats.malformed++;
		log_warning("modbus", "%s: sends what is not Modbus/TCP; disconnected", c->peer.address);
	} else {
		log_info("modbus", "%s: disconnected: %s", c->peer.address, err_text(rc));
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
	conn_run(container_of(t, struct modbus_connection, resume));
}

/* ---- connections ---- */

static bool is_let_in(struct modbus_server *s, struct modbus_peer *peer)
{
	if (!s->ops->accept || s->ops->accept(s->handler, peer))
		return true;
	s->stats.refused++;
	log_warning("modbus", "%s: is not allowed to connect; refused", peer->address);
	return false;
}

static void conn_init(struct modbus_connection *c, struct modbus_server *s, struct stream *stream)
{
	c->server = s;
	c->stream = stream;
	loop_timer_init(&c->resume, on_resume);
	list_init(&c->waiting);
	list_init(&c->asked);
	list_init(&c->answered);
	list_init(&c->node);
	stream_peer(stream, c->peer.address, sizeof(c->peer.address));
}

/* Close those that have been silent longest until no more than `n` are open. */
static void make_room(struct modbus_server *s, unsigned n)
{
	while (s->stats.connections > n) {
		s->stats.displaced++;
		conn_close(container_of(list_first(&s->connections), struct modbus_connection, node));
	}
}

static void conn_open(struct modbus_connection *c)
{
	struct modbus_server *s = c->server;

	make_room(s, s->max_connections - 1);
	list_append(&s->connections, &c->node);
	s->stats.connections++;
	c->stream->owner = c;
	c->stream->ready = on_ready;
	if (stream_attach(c->stream, s->loop) < 0) {
		log_warning("modbus", "a connection cannot be watched and is refused");
		conn_close(c);
	}
}

static void on_accepted(struct acceptor *a, struct stream *stream)
{
	struct modbus_server *s = container_of(a, struct modbus_server, acceptor);
	struct modbus_connection *c = calloc(1, sizeof(*c));

	if (!c) {
		log_warning("modbus", "out of memory: a connection is refused");
		stream_close(stream);
		return;
	}
	conn_init(c, s, stream);
	if (is_let_in(s, &c->peer)) {
		conn_open(c);
		return;
	}
	stream_close(stream);
	free(c);
}

/* ---- a model behind it ---- */

static void model_request(void *handler, struct modbus_server_request *r)
{
	const struct modbus_server *s = handler;
	uint8_t pdu[MODBUS_PDU_MAX];
	size_t len = modbus_model_answer(s->model_ops, s->model, r->unit, span_of(r->pdu, r->pdu_len), pdu);

	modbus_server_answer(r, span_of(pdu, len));
}

static const struct modbus_handler_ops model_handler = {.request = model_request};

int modbus_server_create(struct loop *loop, const struct modbus_model_ops *ops, void *model,
			 unsigned max_connections, struct modbus_server **out)
{
	int rc = modbus_server_create_handled(loop, &model_handler, NULL, max_connections, out);

	if (rc < 0)
		return rc;
	(*out)->handler = *out;
	(*out)->model_ops = ops;
	(*out)->model = model;
	return OK;
}

int modbus_server_create_handled(struct loop *loop, const struct modbus_handler_ops *ops, void *handler,
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
	s->handler = handler;
	s->max_connections = max_connections;
	list_init(&s->connections);
	*out = s;
	return OK;
}

void modbus_server_limit(struct modbus_server *s, unsigned max_connections)
{
	assert(max_connections > 0);
	s->max_connections = max_connections;
	make_room(s, max_connections);
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
	while ((node = list_first(&s->connections)))
		conn_close(container_of(node, struct modbus_connection, node));
	free(s);
}

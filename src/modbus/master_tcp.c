/*
 * The Modbus/TCP master.
 *
 *            a request is queued                WRITABLE
 *   DOWN ---------------------------> DIALING -----------> UP
 *    ^                                   |                  |
 *    +---- refused, or no connection ----+                  |
 *    |     within the first request's time-out:             |
 *    |     everything queued fails                          |
 *    +---- closed, not Modbus, silent too long: ------------+
 *          what is in flight fails, what is queued stays
 *
 * Requests end in `finished` and are handed back by deliver(), which every event handler calls last: the
 * callbacks may do anything, destroying the master included.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "modbus/request.h"

#define IN_FLIGHT_DEFAULT 1u
#define QUIET_DEFAULT     3u
#define NAME_MAX_BYTES    128u

enum link_state { LINK_DOWN, LINK_DIALING, LINK_UP };

struct master_tcp {
	struct modbus_master master;
	struct loop *loop;
	struct dialer *dialer;
	unsigned max_in_flight, quiet_timeouts;
	char name[NAME_MAX_BYTES]; /* of the other side, for the log */

	enum link_state state;
	struct stream *stream;
	struct loop_timer dial_timer; /* also while the frame of a request that was taken back is ended */
	struct loop_timer kick;       /* something to do that no event announces */

	struct list queued, in_flight, finished;
	struct list delivered; /* of `finished`, those that this round hands back */
	unsigned nin_flight;
	uint16_t next_transaction;
	struct modbus_quiet quiet;
	uint64_t heard_us; /* the last byte */

	struct modbus_request *sending; /* the one in `out`; NULL when that is empty or its request is over */
	size_t out_at, out_len;
	size_t in_len;
	uint8_t out[MODBUS_ADU_MAX];
	uint8_t in[2 * MODBUS_ADU_MAX];

	bool is_delivering, is_doomed;
	struct modbus_master_stats stats;
};

static struct master_tcp *tcp_of(struct modbus_master *m)
{
	return container_of(m, struct master_tcp, master);
}

static void pump(struct master_tcp *m);

/* ---- handing back ---- */

static void kick(struct master_tcp *m)
{
	if (!loop_timer_pending(&m->kick))
		loop_timer_set(m->loop, &m->kick, 0);
}

/* Take it out of whatever it is in. */
static void detach(struct master_tcp *m, struct modbus_request *r)
{
	if (r->state == MODBUS_REQUEST_IN_FLIGHT)
		m->nin_flight--;
	list_remove(&r->node);
	loop_timer_cancel(m->loop, &r->timer);
	r->state = MODBUS_REQUEST_IDLE;
}

static void finish(struct master_tcp *m, struct modbus_request *r, int rc)
{
	if (r->state == MODBUS_REQUEST_IN_FLIGHT)
		r->busy_us = (uint32_t)(loop_now_us(m->loop) - r->sent_us);
	detach(m, r);
	r->rc = rc;
	r->state = MODBUS_REQUEST_FINISHED;
	list_append(&m->finished, &r->node);
}

/* Call back what is finished. The last act of every handler: the master may be gone after it. */
static void deliver(struct master_tcp *m)
{
	struct list *node;

	/* One round: what the callbacks finish in their turn waits for the next, so a round ends. */
	list_splice(&m->delivered, &m->finished);
	m->is_delivering = true;
	while ((node = list_take_first(&m->delivered))) {
		struct modbus_request *r = container_of(node, struct modbus_request, node);

		r->state = MODBUS_REQUEST_IDLE;
		r->done(r);
	}
	m->is_delivering = false;
	if (m->is_doomed)
		free(m);
	else if (!list_empty(&m->finished))
		kick(m);
}

/* ---- the connection ---- */

static void link_drop(struct master_tcp *m)
{
	stream_close(m->stream);
	m->stream = NULL;
	m->state = LINK_DOWN;
	m->sending = NULL;
	m->in_len = m->out_at = m->out_len = 0;
	m->quiet = (struct modbus_quiet){0};
	loop_timer_cancel(m->loop, &m->dial_timer);
}

static void fail_all(struct master_tcp *m, struct list *requests, int rc)
{
	list_for_each (node, requests)
		finish(m, container_of(node, struct modbus_request, node), rc);
}

/* An established connection is over: what is in flight fails with rc, what is queued gets a new one. */
static void link_lost(struct master_tcp *m, int rc, const char *why)
{
	log_info("modbus", "%s: connection ended: %s", m->name, why);
	link_drop(m);
	fail_all(m, &m->in_flight, rc);
	kick(m);
}

static void dial_failed(struct master_tcp *m, int rc)
{
	log_info("modbus", "%s: cannot connect: %s", m->name, err_text(rc));
	link_drop(m);
	fail_all(m, &m->queued, rc);
	kick(m);
}

/* ---- sending ---- */

/* Write what is in `out`. False: it has to wait for WRITABLE, or the connection is lost. */
static bool flush(struct master_tcp *m)
{
	while (m->out_at < m->out_len) {
		struct iovec iov = {.iov_base = m->out + m->out_at, .iov_len = m->out_len - m->out_at};
		size_t put = 0;
		int rc = stream_write(m->stream, &iov, 1, &put);

		if (rc < 0) {
			link_lost(m, ERR_CLOSED, err_text(rc));
			return false;
		}
		m->out_at += put;
		if (put < iov.iov_len)
			return false;
	}
	m->sending = NULL;
	m->out_at = m->out_len = 0;
	loop_timer_cancel(m->loop, &m->dial_timer);
	return true;
}

static bool transaction_in_use(const struct master_tcp *m, uint16_t transaction)
{
	for (const struct list *n = m->in_flight.next; n != &m->in_flight; n = n->next) {
		const struct modbus_request *r =
			(const void *)((const char *)n - offsetof(struct modbus_request, node));

		if (r->transaction == transaction)
			return true;
	}
	return false;
}

static MUST_USE int encode(struct master_tcp *m, struct modbus_request *r)
{
	uint8_t *pdu = m->out + MODBUS_MBAP_SIZE;
	size_t len = 0;
	int rc;

	if ((rc = modbus_request_encode(r, pdu, &len)) < 0)
		return rc;
	/* With long time-outs one may still be open when the numbers have come round. */
	do
		r->transaction = m->next_transaction++;
	while (transaction_in_use(m, r->transaction));
	return modbus_adu_encode(r->transaction, r->unit, span_of(pdu, len), m->out, sizeof(m->out),
				 &m->out_len);
}

static void send_request(struct master_tcp *m, struct modbus_request *r)
{
	int rc = encode(m, r);

	if (rc < 0) {
		finish(m, r, rc);
		kick(m);
		return;
	}
	list_remove(&r->node);
	list_append(&m->in_flight, &r->node);
	r->state = MODBUS_REQUEST_IN_FLIGHT;
	m->nin_flight++;
	m->stats.sent++;
	m->sending = r;
	r->sent_us = loop_now_us(m->loop);
	modbus_master_trace(&m->master, true, r->sent_us, span_of(m->out, m->out_len), NULL);
	loop_timer_set(m->loop, &r->timer, r->timeout_ms);
}

/* Send as much as may be in flight. */
static void pump(struct master_tcp *m)
{
	while (m->state == LINK_UP && flush(m) && m->nin_flight < m->max_in_flight && !list_empty(&m->queued))
		send_request(m, container_of(list_first(&m->queued), struct modbus_request, node));
}

/* ---- receiving ---- */

static void trace_answer(struct master_tcp *m, const struct modbus_adu *adu, const char *note)
{
	modbus_master_trace(&m->master, false, loop_now_us(m->loop),
			    span_of(adu->pdu.p - MODBUS_MBAP_SIZE, adu->size), note);
}

static void answered(struct master_tcp *m, const struct modbus_adu *adu)
{
	list_for_each (node, &m->in_flight) {
		struct modbus_request *r = container_of(node, struct modbus_request, node);

		/* What is half sent cannot have been answered. */
		if (r->transaction != adu->transaction || r->unit != adu->unit || r == m->sending)
			continue;
		trace_answer(m, adu, NULL);
		m->stats.answered++;
		modbus_quiet_answered(&m->quiet, r->unit);
		finish(m, r, modbus_request_decode(r, adu->pdu, m->loop, r->sent_us));
		return;
	}
	trace_answer(m, adu, "foreign");
	m->stats.stray++;
}

/* All whole frames of `in`. */
static MUST_USE int parse(struct master_tcp *m)
{
	struct modbus_adu adu;
	size_t at = 0;
	int rc;

	while ((rc = modbus_adu_split(m->in + at, m->in_len - at, &adu)) == OK) {
		answered(m, &adu);
		at += adu.size;
	}
	m->in_len -= at;
	memmove(m->in, m->in + at, m->in_len);
	return rc == ERR_AGAIN ? OK : rc;
}

static void receive(struct master_tcp *m)
{
	bool more = true;

	while (more) {
		size_t got = 0;
		/* There is room: parse() leaves less than one frame. */
		int rc = stream_read(m->stream, m->in + m->in_len, sizeof(m->in) - m->in_len, &got, &more);

		if (rc == ERR_AGAIN)
			return;
		if (rc < 0) {
			link_lost(m, ERR_CLOSED, err_text(rc));
			return;
		}
		modbus_quiet_heard(&m->quiet);
		m->heard_us = loop_now_us(m->loop);
		m->in_len += got;
		if ((rc = parse(m)) < 0) {
			log_warning("modbus", "%s: sends what is not Modbus/TCP; disconnected", m->name);
			link_lost(m, rc, err_text(rc));
			return;
		}
	}
}

/* ---- events ---- */

static void on_ready(struct stream *s, unsigned events)
{
	struct master_tcp *m = s->owner;

	if (m->state == LINK_DIALING && events & LOOP_WRITABLE) {
		loop_timer_cancel(m->loop, &m->dial_timer);
		m->state = LINK_UP;
		m->stats.connections++;
		log_info("modbus", "%s: connected", m->name);
	} else if (m->state == LINK_DIALING && events & LOOP_HANGUP) {
		dial_failed(m, ERR_IO);
	}
	if (m->state == LINK_UP && events & (LOOP_READABLE | LOOP_HANGUP))
		receive(m);
	pump(m);
	deliver(m);
}

static void dial(struct master_tcp *m)
{
	const struct modbus_request *first =
		container_of(list_first(&m->queued), struct modbus_request, node);
	int rc = m->dialer->dial(m->dialer, m->loop, &m->stream);

	if (rc < 0) {
		m->stream = NULL;
		dial_failed(m, rc == ERR_NOMEM ? ERR_NOMEM : ERR_IO);
		return;
	}
	m->stream->ready = on_ready;
	m->stream->owner = m;
	m->state = LINK_DIALING;
	loop_timer_set(m->loop, &m->dial_timer, first->timeout_ms);
}

static void on_dial_timer(struct loop_timer *t)
{
	struct master_tcp *m = container_of(t, struct master_tcp, dial_timer);

	if (m->state == LINK_UP)
		link_lost(m, ERR_CLOSED, "it takes no more bytes");
	else
		dial_failed(m, ERR_TIMEOUT);
	deliver(m);
}

static void on_kick(struct loop_timer *t)
{
	struct master_tcp *m = container_of(t, struct master_tcp, kick);

	if (m->state == LINK_DOWN && !list_empty(&m->queued))
		dial(m);
	pump(m);
	deliver(m);
}

/*
 * A request got no answer in time. What is in flight with it and has waited for half of its own time, with nothing heard since, is taken for
 * lost too: on a connection that is dead they would end one after the other.
 */
static bool is_dead(struct master_tcp *m, uint8_t unit)
{
	uint64_t now_us = loop_now_us(m->loop);
	bool is_dead = modbus_quiet_timeout(&m->quiet, unit, m->quiet_timeouts);
	struct modbus_quiet all = m->quiet; /* those that go on are counted when their time is over */

	list_for_each (node, &m->in_flight) {
		const struct modbus_request *r = container_of(node, struct modbus_request, node);

		if (r->sent_us > m->heard_us && (now_us - r->sent_us) * 2 >= (uint64_t)r->timeout_ms * 1000)
			is_dead |= modbus_quiet_timeout(&all, r->unit, m->quiet_timeouts);
	}
	return is_dead;
}

static void on_request_timer(struct loop_timer *t)
{
	struct modbus_request *r = container_of(t, struct modbus_request, timer);
	struct master_tcp *m = tcp_of(r->master);
	bool stuck = m->sending == r;

	m->stats.timeouts++;
	finish(m, r, ERR_TIMEOUT);
	if (stuck)
		link_lost(m, ERR_CLOSED, "it takes no more bytes");
	else if (is_dead(m, r->unit))
		link_lost(m, ERR_CLOSED, "too many requests without an answer");
	pump(m);
	deliver(m);
}

/* ---- what users call ---- */

static void tcp_submit(struct modbus_master *master, struct modbus_request *r)
{
	struct master_tcp *m = tcp_of(master);

	modbus_request_queued(r, master);
	loop_timer_init(&r->timer, on_request_timer);
	list_append(&m->queued, &r->node);
	if (m->state == LINK_DOWN)
		kick(m);
	else
		pump(m);
}

/*
 * What is half sent when it is taken back: a read is sent to its end, for the sake of the others on this connection,
 * and its answer finds nobody.  A write must not act any more, and only the end of the connection stops it.
 */
static void tcp_cancel(struct modbus_master *master, struct modbus_request *r)
{
	struct master_tcp *m = tcp_of(master);

	if (r->state == MODBUS_REQUEST_IDLE)
		return;
	assert(r->master == master);
	detach(m, r);
	if (m->sending != r)
		return;
	m->sending = NULL;
	if (m->out_at == 0)
		m->out_len = 0;
	else if (modbus_request_is_write(r))
		link_lost(m, ERR_CLOSED, "a write was taken back half sent");
	else
		loop_timer_set(m->loop, &m->dial_timer, r->timeout_ms);
	kick(m);
}

static bool tcp_connected(const struct modbus_master *master)
{
	return ((const struct master_tcp *)master)->state == LINK_UP;
}

static void tcp_stats(const struct modbus_master *master, struct modbus_master_stats *out)
{
	*out = ((const struct master_tcp *)master)->stats;
}

static void tcp_destroy(struct modbus_master *master)
{
	struct master_tcp *m = tcp_of(master);
	struct list *const lists[] = {&m->queued, &m->in_flight, &m->finished, &m->delivered};

	link_drop(m);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		list_for_each (node, lists[i])
			detach(m, container_of(node, struct modbus_request, node));
	loop_timer_cancel(m->loop, &m->kick);
	m->dialer->destroy(m->dialer);
	if (m->is_delivering)
		m->is_doomed = true; /* deliver() frees it */
	else
		free(m);
}

static const struct modbus_master_ops tcp_ops = {
	.submit = tcp_submit,
	.cancel = tcp_cancel,
	.connected = tcp_connected,
	.stats = tcp_stats,
	.destroy = tcp_destroy,
};

int modbus_master_tcp_create(struct loop *loop, struct dialer *dialer,
			     const struct modbus_master_tcp_options *options, struct modbus_master **out)
{
	static const struct modbus_master_tcp_options defaults = {0};
	struct master_tcp *m;

	if (!options)
		options = &defaults;
	if (options->max_in_flight > MODBUS_IN_FLIGHT_MAX)
		return ERR_RANGE;
	m = calloc(1, sizeof(*m));
	if (!m)
		return ERR_NOMEM;
	m->master.ops = &tcp_ops;
	m->loop = loop;
	m->dialer = dialer;
	m->max_in_flight = options->max_in_flight ? options->max_in_flight : IN_FLIGHT_DEFAULT;
	m->quiet_timeouts = options->quiet_timeouts ? options->quiet_timeouts : QUIET_DEFAULT;
	dialer->describe(dialer, m->name, sizeof(m->name));
	list_init(&m->queued);
	list_init(&m->in_flight);
	list_init(&m->finished);
	list_init(&m->delivered);
	loop_timer_init(&m->dial_timer, on_dial_timer);
	loop_timer_init(&m->kick, on_kick);
	*out = &m->master;
	return OK;
}

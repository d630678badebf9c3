/*
 * The master of a serial line, RTU or ASCII, on a port or behind a TCP connection.
 *
 * The link is as in master_tcp.c: dialled when there is a request, dropped when it breaks. On it the wire is
 *
 *          gap is over                  last byte taken, no broadcast
 *   FREE --------------> SENDING ----------------------------------> WAITING --answer, or time-out--> FREE
 *    ^                      |                                           |
 *    |                      +-- broadcast --> TURNAROUND --> FREE       +-- broken answer, then silence --> FREE
 *    +-- each byte heard begins the gap anew
 *
 * An answer is taken as soon as its last byte is there: function and first bytes tell its length. What is heard and is no answer to the present
 * request, a foreign frame, noise before the answer, a late answer, is skipped; the search goes on behind each byte of it, as unit, function,
 * length and CRC together are not met by chance.
 *
 * A late answer of the same unit and function looks like the answer to the present request, as RTU has no transaction numbers. So after a
 * time-out the same request may go out again at once, but another one with that function to that unit waits until the late answer has been heard, or
 * as long as the time-out once more.
 */
#include <stdlib.h>

#include "base/log.h"
#include "modbus/rtu_impl.h"

#define CHAR_BITS_DEFAULT 11u
#define GAP_US_DEFAULT    20000u
#define FAST_BAUD         19200u /* SL 2.5.1.1: above it the silence is fixed */
#define FAST_SILENCE_US   1750u
#define DOZE_LEAST_US     1500u

static struct master_rtu *rtu_of(struct modbus_master *m)
{
	return container_of(m, struct master_rtu, master);
}

static void pump(struct master_rtu *m);

/* ---- handing back ---- */

static void kick(struct master_rtu *m)
{
	if (!loop_timer_pending(&m->kick))
		loop_timer_set(m->loop, &m->kick, 0);
}

static void detach(struct master_rtu *m, struct modbus_request *r)
{
	if (m->current == r)
		m->current = NULL;
	if (m->waiting == r)
		m->waiting = NULL;
	list_remove(&r->node);
	r->state = MODBUS_REQUEST_IDLE;
}

static void finish(struct master_rtu *m, struct modbus_request *r, int rc)
{
	if (r->state == MODBUS_REQUEST_IN_FLIGHT)
		r->busy_us = (uint32_t)(loop_precise_us(m->loop) - m->start_us);
	detach(m, r);
	r->rc = rc;
	r->state = MODBUS_REQUEST_FINISHED;
	list_append(&m->finished, &r->node);
}

/* Call back what is finished. The last act of every handler: the master may be gone after it. */
static void deliver(struct master_rtu *m)
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

/* ---- the link ---- */

static void wire_clear(struct master_rtu *m)
{
	m->wire = WIRE_FREE;
	m->in_len = m->out_at = m->out_len = 0;
	m->missing = 0;
	loop_alarm_cancel(&m->alarm);
}

static void link_drop(struct master_rtu *m)
{
	stream_close(m->stream);
	m->stream = NULL;
	m->link = LINK_DOWN;
	m->quiet = (struct modbus_quiet){0};
	m->has_echo = m->is_dozing = false;
	m->waiting = NULL;
	wire_clear(m);
	loop_timer_cancel(m->loop, &m->dial_timer);
}

/* The present request gets no answer, or not in time. */
static void owe(struct master_rtu *m)
{
	uint64_t timeout_us = m->deadline_us - m->sent_us;

	m->owed[m->unit] = (struct owed){
		.until_us = m->deadline_us + timeout_us,
		.hash = m->hash,
		.fc = m->asked[0] & 0x7F,
	};
}

/* It was open and is not any more: what is on the wire fails with rc, what is queued waits for the next link. */
static void link_lost(struct master_rtu *m, int rc, const char *why)
{
	log_info("modbus", "%s: closed: %s", m->name, why);
	if (m->wire == WIRE_WAITING)
		owe(m); /* the unit answers all the same, perhaps when the port is open again */
	link_drop(m);
	if (m->current)
		finish(m, m->current, rc);
	kick(m);
}

static void dial_failed(struct master_rtu *m, int rc)
{
	log_info("modbus", "%s: cannot open: %s", m->name, err_text(rc));
	link_drop(m);
	list_for_each (node, &m->queued)
		finish(m, container_of(node, struct modbus_request, node), rc);
	kick(m);
}

/* ---- the end of a request ---- */

void rtu_end_request(struct master_rtu *m, int rc)
{
	wire_clear(m);
	if (m->current)
		finish(m, m->current, rc);
}

/* ---- receiving ---- */

/* An adapter may hear what we are still sending. */
static void note_heard(struct master_rtu *m)
{
	uint64_t now_us = loop_precise_us(m->loop);

	if (m->in_len == 0)
		m->in_us = now_us;
	if (m->heard_us < now_us)
		m->heard_us = now_us;
	modbus_quiet_heard(&m->quiet);
}

static void receive(struct master_rtu *m)
{
	bool more = true;

	while (more) {
		size_t got = 0;
		int rc;

		if (m->in_len == sizeof(m->in))
			rtu_forget(m); /* somebody talks without end */
		rc = stream_read(m->stream, m->in + m->in_len, sizeof(m->in) - m->in_len, &got, &more);
		if (rc == ERR_AGAIN)
			return;
		if (rc < 0) {
			link_lost(m, ERR_CLOSED, err_text(rc));
			return;
		}
		note_heard(m);
		m->in_len += got;
		rtu_heard(m);
	}
}

/* ---- sending ---- */

static uint32_t hash_of(const uint8_t *p, size_t len)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * 16777619u;
	return hash;
}

/* Take what the stream takes. False: the rest waits for WRITABLE, or the link is lost. */
static bool flush(struct master_rtu *m)
{
	struct iovec iov = {.iov_base = m->out + m->out_at, .iov_len = m->out_len - m->out_at};
	uint64_t now_us = loop_precise_us(m->loop);
	size_t put = 0;
	int rc = stream_write(m->stream, &iov, 1, &put);

	if (rc < 0) {
		link_lost(m, ERR_CLOSED, err_text(rc));
		return false;
	}
	if (m->sent_us < now_us)
		m->sent_us = now_us;
	m->sent_us += (put * m->char_ns + 999) / 1000;
	m->out_at += put;
	return m->out_at == m->out_len;
}

/* All is on its way. */
static void sent(struct master_rtu *m)
{
	loop_timer_cancel(m->loop, &m->dial_timer);
	m->heard_us = m->sent_us;
	m->deadline_us += m->sent_us;
	m->wire = m->unit == MODBUS_BROADCAST ? WIRE_TURNAROUND : WIRE_WAITING;
	loop_alarm_set(m->loop, &m->alarm,
		       m->wire == WIRE_WAITING ? m->deadline_us : m->sent_us + m->options.turnaround_us);
}

static MUST_USE int encode(struct master_rtu *m, const struct modbus_request *r)
{
	struct span pdu;
	int rc;

	if (r->unit == MODBUS_BROADCAST && !modbus_request_is_write(r))
		return ERR_UNSUPPORTED; /* nobody would answer */
	if ((rc = modbus_request_encode(r, m->asked, &m->asked_len)) < 0)
		return rc;
	pdu = span_of(m->asked, m->asked_len);
	if (m->options.is_ascii)
		return modbus_ascii_encode(r->unit, pdu, m->out, sizeof(m->out), &m->out_len);
	return modbus_rtu_encode(r->unit, pdu, m->out, sizeof(m->out), &m->out_len);
}

/* `out` holds it. */
static void send_request(struct master_rtu *m, struct modbus_request *r)
{
	rtu_forget(m);
	m->waiting = NULL;
	list_remove(&r->node);
	r->state = MODBUS_REQUEST_IN_FLIGHT;
	m->current = r;
	m->wire = WIRE_SENDING;
	m->echo_done = false;
	m->garbage = OK;
	m->stats.sent++;
	m->start_us = loop_precise_us(m->loop);
	m->sent_us = 0;
	m->deadline_us = (uint64_t)r->timeout_ms * 1000; /* from the end of sending, see sent() */
	modbus_master_trace(&m->master, true, m->start_us, span_of(m->out, m->out_len), NULL);
	if (flush(m))
		sent(m);
	else if (m->link == LINK_UP)
		loop_timer_set(m->loop, &m->dial_timer, r->timeout_ms);
}

/* Until when an answer to another request may come that would be taken for the one to `r`; 0: none. */
static uint64_t owed_until_us(const struct master_rtu *m, const struct modbus_request *r)
{
	const struct owed *owed = &m->owed[r->unit];

	return owed->fc == (m->asked[0] & 0x7F) && owed->hash != m->hash ? owed->until_us : 0;
}

/* From when on the request in `out` may be on the wire. */
static uint64_t free_at_us(const struct master_rtu *m, const struct modbus_request *r)
{
	uint64_t at_us = m->heard_us + m->between_us + r->silence_us, owed_us = owed_until_us(m, r);

	return owed_us > at_us ? owed_us : at_us;
}

/* Has the wire not been silent for as long as the request may wait for its answer? Who always speaks would hold up all of a line for ever. */
static bool is_never_silent(struct master_rtu *m, const struct modbus_request *r)
{
	uint64_t now_us = loop_precise_us(m->loop), since_us, owed_us = owed_until_us(m, r);

	if (m->waiting != r) {
		m->waiting = r;
		m->waiting_us = now_us;
	}
	since_us = owed_us > m->waiting_us ? owed_us : m->waiting_us;
	return now_us > since_us + (uint64_t)r->timeout_ms * 1000 + m->between_us + r->silence_us;
}

/* Who was not run for a while may have been told of a silence that is over. */
static bool was_heard(struct master_rtu *m)
{
	uint64_t before_us = m->heard_us;

	receive(m);
	return m->link != LINK_UP || m->heard_us != before_us;
}

static void pump(struct master_rtu *m)
{
	while (m->link == LINK_UP && m->wire == WIRE_FREE && !list_empty(&m->queued)) {
		struct modbus_request *r = container_of(list_first(&m->queued), struct modbus_request, node);
		int rc = encode(m, r);
		uint64_t at_us;

		if (rc < 0) {
			finish(m, r, rc);
			kick(m);
			continue;
		}
		m->unit = r->unit;
		m->hash = hash_of(m->asked, m->asked_len);
		at_us = free_at_us(m, r);
		if (at_us > loop_precise_us(m->loop)) {
			if (is_never_silent(m, r)) {
				m->stats.timeouts++;
				finish(m, r, ERR_TIMEOUT);
				kick(m);
				continue;
			}
			loop_alarm_set(m->loop, &m->alarm, at_us);
			return;
		}
		if (was_heard(m))
			continue;
		send_request(m, r);
	}
}

/* ---- time ---- */

/* An answer began: when it stops for a while it has ended. */
static void watch_gap(struct master_rtu *m)
{
	/* What is missing may be on the wire, only kept back: to speak now would be to speak at the same time. */
	uint64_t at_us = m->heard_us + m->options.gap_us + m->missing * m->char_ns / 1000;

	if (m->wire != WIRE_WAITING)
		return;
	if (m->in_len == 0 || m->options.is_ascii || at_us > m->deadline_us)
		at_us = m->deadline_us;
	loop_alarm_set(m->loop, &m->alarm, at_us);
}

/* A wake-up for each byte costs more than all else: at 115200 baud they come every 95 us. */
static bool doze(struct master_rtu *m)
{
	/* Not until the last byte: part of it may be over, and it has its own event. */
	uint64_t rest_us = m->missing ? (m->missing - 1) * m->char_ns / 1000 : 0;
	uint64_t at_us;

	if (rest_us > m->options.gap_us)
		rest_us = m->options.gap_us; /* the length may be a broken byte */
	at_us = m->heard_us + rest_us;
	if (!m->options.is_port || m->wire != WIRE_WAITING || rest_us < DOZE_LEAST_US)
		return false;
	stream_detach(m->stream);
	m->is_dozing = true;
	loop_alarm_set(m->loop, &m->alarm, at_us < m->deadline_us ? at_us : m->deadline_us);
	return true;
}

/* What came meanwhile is reported now, and also if the port has gone. */
static void wake(struct master_rtu *m)
{
	m->is_dozing = false;
	if (stream_attach(m->stream, m->loop) < 0)
		link_lost(m, ERR_CLOSED, "the loop does not take it back");
}

static void no_answer(struct master_rtu *m)
{
	uint8_t unit = m->current ? m->current->unit : 0;
	int rc;

	if (m->in_len > 0 && !m->options.is_ascii)
		rtu_silence(m);
	if (m->wire == WIRE_FREE)
		return; /* it was there, whole or broken */
	rc = m->garbage ? m->garbage : ERR_TIMEOUT;
	if (rc == ERR_TIMEOUT)
		m->stats.timeouts++;
	owe(m);
	rtu_end_request(m, rc);
	if (m->options.quiet_timeouts && modbus_quiet_timeout(&m->quiet, unit, m->options.quiet_timeouts))
		link_lost(m, ERR_CLOSED, "too many requests without an answer");
}

/* All have had their time to do what the broadcast said. */
static void turned_around(struct master_rtu *m)
{
	if (m->current && m->current->is_raw)
		m->current->pdu_len = 0;
	rtu_end_request(m, OK);
}

static void on_alarm(struct loop_alarm *a)
{
	struct master_rtu *m = container_of(a, struct master_rtu, alarm);
	uint64_t now_us = loop_precise_us(m->loop);

	if (m->is_dozing)
		wake(m);
	else if (m->wire == WIRE_TURNAROUND)
		turned_around(m);
	else if (m->wire == WIRE_WAITING && now_us >= m->deadline_us)
		no_answer(m);
	else if (m->wire == WIRE_WAITING && m->in_len > 0 && !m->options.is_ascii)
		rtu_silence(m);
	watch_gap(m);
	pump(m);
	deliver(m);
}

/* ---- events ---- */

static void on_ready(struct stream *s, unsigned events)
{
	struct master_rtu *m = s->owner;

	if (m->link == LINK_DIALING && events & LOOP_WRITABLE) {
		loop_timer_cancel(m->loop, &m->dial_timer);
		m->link = LINK_UP;
		m->heard_us = loop_precise_us(m->loop); /* we do not know what was before */
		m->stats.connections++;
		log_info("modbus", "%s: open", m->name);
	} else if (m->link == LINK_DIALING && events & LOOP_HANGUP) {
		dial_failed(m, ERR_IO);
	}
	if (m->link == LINK_UP && events & (LOOP_READABLE | LOOP_HANGUP)) {
		receive(m);
		if (!doze(m))
			watch_gap(m);
	}
	if (m->link == LINK_UP && m->wire == WIRE_SENDING && flush(m))
		sent(m);
	pump(m);
	deliver(m);
}

static void dial(struct master_rtu *m)
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
	m->link = LINK_DIALING;
	loop_timer_set(m->loop, &m->dial_timer, first->timeout_ms);
}

static void on_dial_timer(struct loop_timer *t)
{
	struct master_rtu *m = container_of(t, struct master_rtu, dial_timer);

	if (m->link == LINK_UP)
		link_lost(m, ERR_CLOSED, "it takes no more bytes");
	else
		dial_failed(m, ERR_TIMEOUT);
	deliver(m);
}

static void on_kick(struct loop_timer *t)
{
	struct master_rtu *m = container_of(t, struct master_rtu, kick);

	if (m->link == LINK_DOWN && !list_empty(&m->queued))
		dial(m);
	pump(m);
	deliver(m);
}

/* ---- what users call ---- */

static void rtu_submit(struct modbus_master *master, struct modbus_request *r)
{
	struct master_rtu *m = rtu_of(master);

	modbus_request_queued(r, master);
	list_init(&r->node);
	list_append(&m->queued, &r->node);
	if (m->link == LINK_DOWN)
		kick(m);
	else
		pump(m);
}

/*
 * What is on the wire when it is taken back still has its answer coming, and nobody may talk until then. A write that is half sent must
 * not act: only the end of the link stops it.
 */
static void rtu_cancel(struct modbus_master *master, struct modbus_request *r)
{
	struct master_rtu *m = rtu_of(master);
	bool is_half_sent = m->current == r && m->wire == WIRE_SENDING;

	if (r->state == MODBUS_REQUEST_IDLE)
		return;
	detach(m, r);
	if (is_half_sent && modbus_request_is_write(r))
		link_lost(m, ERR_CLOSED, "a write was taken back half sent");
	kick(m);
}

static bool rtu_connected(const struct modbus_master *master)
{
	return ((const struct master_rtu *)(const void *)master)->link == LINK_UP;
}

static void rtu_stats(const struct modbus_master *master, struct modbus_master_stats *out)
{
	*out = ((const struct master_rtu *)(const void *)master)->stats;
}

static uint32_t rtu_late_ms(const struct modbus_master *master, uint8_t unit)
{
	const struct master_rtu *m = (const struct master_rtu *)(const void *)master;
	uint64_t until_us = m->owed[unit].until_us, now_us = loop_precise_us(m->loop);

	return until_us > now_us ? (uint32_t)((until_us - now_us) / 1000) + 1 : 0;
}

static void rtu_destroy(struct modbus_master *master)
{
	struct master_rtu *m = rtu_of(master);
	struct list *const lists[] = {&m->queued, &m->finished, &m->delivered};

	link_drop(m);
	if (m->current)
		detach(m, m->current);
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

static const struct modbus_master_ops rtu_ops = {
	.submit = rtu_submit,
	.cancel = rtu_cancel,
	.connected = rtu_connected,
	.stats = rtu_stats,
	.late_ms = rtu_late_ms,
	.destroy = rtu_destroy,
};

/* ---- life ---- */

static void set_times(struct master_rtu *m)
{
	struct modbus_master_rtu_options *o = &m->options;
	uint64_t t35_us = 0;

	if (!o->char_bits)
		o->char_bits = CHAR_BITS_DEFAULT;
	if (!o->gap_us)
		o->gap_us = GAP_US_DEFAULT;
	if (o->baud) {
		m->char_ns = UINT64_C(1000000000) * o->char_bits / o->baud;
		t35_us = o->baud > FAST_BAUD ? FAST_SILENCE_US : (m->char_ns * 7 / 2 + 999) / 1000;
	}
	if (o->gap_us < t35_us)
		o->gap_us = (uint32_t)t35_us;
	m->between_us = (uint32_t)t35_us + o->silence_us;
}

int modbus_master_rtu_create(struct loop *loop, struct dialer *dialer,
			     const struct modbus_master_rtu_options *options, struct modbus_master **out)
{
	struct master_rtu *m = calloc(1, sizeof(*m));

	if (!m)
		return ERR_NOMEM;
	m->master.ops = &rtu_ops;
	m->loop = loop;
	m->dialer = dialer;
	m->options = *options;
	set_times(m);
	dialer->describe(dialer, m->name, sizeof(m->name));
	list_init(&m->queued);
	list_init(&m->finished);
	list_init(&m->delivered);
	loop_timer_init(&m->dial_timer, on_dial_timer);
	loop_timer_init(&m->kick, on_kick);
	loop_alarm_init(&m->alarm, on_alarm);
	*out = &m->master;
	return OK;
}

/*
 * Finding the answer to the present request in what a serial line brings: foreign frames, noise, an echo, late answers are told from it.
 */
#include "base/log.h"
#include "modbus/rtu_impl.h"

#define FRAME_LIKE 4u /* fewer bytes than any frame has are a spike on the wire */

static void trace_in(struct master_rtu *m, size_t at, size_t len, const char *note)
{
	modbus_master_trace(&m->master, false, m->in_us, span_of(m->in + at, len), note);
}

static void drop_in(struct master_rtu *m, size_t len)
{
	m->in_len -= len;
	memmove(m->in, m->in + len, m->in_len);
}

/* A frame that answers nothing: if an answer was owed, this was it. */
static void stray(struct master_rtu *m, const struct modbus_frame *f)
{
	struct owed *owed = &m->owed[f->unit];

	m->stats.stray++;
	if (f->pdu.len && (f->pdu.p[0] & 0x7F) == owed->fc)
		owed->until_us = 0;
}

static bool is_from_asked(const struct master_rtu *m, uint8_t unit, uint8_t function)
{
	return unit == m->unit && (function & 0x7F) == (m->asked[0] & 0x7F);
}

/* Is this frame the answer? */
static bool is_answer(struct master_rtu *m, const struct modbus_frame *f)
{
	int rc = OK;

	if (!f->pdu.len || !is_from_asked(m, f->unit, f->pdu.p[0]))
		return false;
	if (m->current)
		rc = modbus_request_decode(m->current, f->pdu, m->loop, m->sent_us);
	if (rc != OK && rc != ERR_REMOTE) {
		m->garbage = rc;
		return false;
	}
	m->stats.answered++;
	if (m->current)
		modbus_quiet_answered(&m->quiet, m->current->unit);
	rtu_end_request(m, rc);
	return true;
}

static void broken(struct master_rtu *m, size_t at, size_t len)
{
	m->stats.crc_errors++;
	trace_in(m, at, len, "crc");
	rtu_end_request(m, ERR_MALFORMED);
}

/* ---- receiving: RTU ---- */

/*
 * What begins at in[at]: OK, a frame of *size bytes that asked unit and function may have sent; ERR_AGAIN, the beginning of one;
 * ERR_MALFORMED, none.
 */
static MUST_USE int frame_at(struct master_rtu *m, size_t at, bool is_ended, struct modbus_frame *f,
			     size_t *size)
{
	size_t left = m->in_len - at;
	int rc;

	if (left < 2)
		return is_ended || m->in[at] != m->unit ? ERR_MALFORMED : ERR_AGAIN;
	if (!is_from_asked(m, m->in[at], m->in[at + 1]))
		return ERR_MALFORMED;
	rc = modbus_rtu_answer_size(m->in + at, left, span_of(m->asked, m->asked_len), size);
	if (rc == ERR_UNSUPPORTED) {
		*size = left; /* only silence ends it */
		rc = is_ended ? OK : ERR_AGAIN;
	}
	if (rc == OK && *size > left) {
		m->missing = at == 0 ? *size - left : 0;
		rc = ERR_AGAIN;
	}
	if (rc == ERR_AGAIN && is_ended)
		return ERR_MALFORMED;
	return rc == OK ? modbus_rtu_decode(m->in + at, *size, f) : rc;
}

/* Look for the answer in what was heard. False: it is not there, or not yet. */
static bool find_rtu(struct master_rtu *m, bool is_ended)
{
	struct modbus_frame f;
	size_t size = 0;

	for (size_t at = 0; at < m->in_len; at++) {
		int rc = frame_at(m, at, is_ended, &f, &size);

		if (rc == ERR_AGAIN)
			return false;
		if (rc != OK)
			continue;
		if (is_answer(m, &f)) {
			trace_in(m, at, size, NULL);
			return true;
		}
		trace_in(m, at, size, "foreign");
		stray(m, &f);
		at += size - 1;
	}
	return false;
}

/* Nothing more has come for a while: what was heard has ended. */
void rtu_silence(struct master_rtu *m)
{
	struct modbus_frame f;

	if (find_rtu(m, true))
		return;
	if (modbus_rtu_decode(m->in, m->in_len, &f) == OK) {
		trace_in(m, 0, m->in_len, "foreign");
		stray(m, &f);
	} else if (m->in_len >= 2 && is_from_asked(m, m->in[0], m->in[1])) {
		broken(m, 0, m->in_len); /* no need to wait: this was the answer */
		return;
	} else {
		trace_in(m, 0, m->in_len, "noise");
		if (m->in_len >= FRAME_LIKE)
			m->garbage = ERR_MALFORMED;
	}
	m->in_len = 0;
}

/* ---- receiving: ASCII ---- */

static bool find_ascii(struct master_rtu *m)
{
	uint8_t bytes[MODBUS_RTU_MAX];

	while (m->in_len > 0) {
		struct modbus_frame f;
		size_t used = 0;
		int rc = modbus_ascii_split(m->in, m->in_len, bytes, &f, &used);

		if (rc == ERR_AGAIN) {
			drop_in(m, used);
			return false;
		}
		if (rc == ERR_MALFORMED && f.pdu.len && is_from_asked(m, f.unit, f.pdu.p[0])) {
			broken(m, 0, used);
			return true;
		}
		if (rc == OK && is_answer(m, &f)) {
			trace_in(m, 0, used, NULL);
			return true;
		}
		trace_in(m, 0, used, rc == OK ? "foreign" : "noise");
		if (rc == OK)
			stray(m, &f);
		else
			m->garbage = rc;
		drop_in(m, used);
	}
	return false;
}

/* ---- receiving ---- */

/* The answers to these look like the question. */
static bool answer_is_echo(uint8_t fc)
{
	return fc == 0x05 || fc == 0x06 || fc == 0x08 || fc == 0x16;
}

/*
 * An adapter that hears what it sends: seen at the first request whose answer cannot look so, then taken off what is heard after each request.
 * False: wait for the rest of it.
 */
static bool take_echo(struct master_rtu *m)
{
	size_t n = m->in_len < m->out_len ? m->in_len : m->out_len;

	if (m->echo_done)
		return true;
	if (memcmp(m->in, m->out, n) != 0 || (!m->has_echo && answer_is_echo(m->asked[0]))) {
		m->echo_done = true;
		return true;
	}
	if (n < m->out_len)
		return false;
	if (!m->has_echo)
		log_notice("modbus", "%s: the adapter hears what it sends; its echo is left out", m->name);
	m->has_echo = true;
	m->echo_done = true;
	trace_in(m, 0, n, "echo");
	drop_in(m, n);
	return true;
}

/* Nobody was asked: another master, a late answer, noise. */
static void heard_unasked(struct master_rtu *m)
{
	uint8_t bytes[MODBUS_RTU_MAX];
	struct modbus_frame f;
	size_t used = m->in_len;
	int rc = m->options.is_ascii ? modbus_ascii_split(m->in, m->in_len, bytes, &f, &used)
				     : modbus_rtu_decode(m->in, m->in_len, &f);

	if (rc != OK)
		return;
	trace_in(m, 0, used, "foreign");
	stray(m, &f);
	m->in_len = 0;
}

void rtu_heard(struct master_rtu *m)
{
	m->missing = 0;
	if (m->wire == WIRE_FREE || m->wire == WIRE_TURNAROUND)
		heard_unasked(m);
	else if (!take_echo(m))
		return;
	else if (m->options.is_ascii)
		(void)find_ascii(m);
	else
		(void)find_rtu(m, false);
}

void rtu_forget(struct master_rtu *m)
{
	if (m->in_len >= FRAME_LIKE) {
		trace_in(m, 0, m->in_len, "noise");
		m->stats.stray++;
	}
	m->in_len = 0;
}

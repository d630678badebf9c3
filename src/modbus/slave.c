/*
 * A slave on a serial line.
 *
 *            bytes that are no frame
 *   LISTEN ---------------------------> SKIP (until there is silence)
 *     |  ^
 *     |  +---- the answer is sent, after 3.5 characters
 *     v  |
 *   ANSWER
 */
#include <stdlib.h>

#include "modbus/slave.h"
#include "wire/modbus_rtu.h"

#define IN_BYTES      (2u * MODBUS_ASCII_MAX)
#define CHAR_BITS     11u   /* SL 2.5.1 */
#define FAST_T35_US   1750u /* above 19200 baud; SL 2.5.1.1 */
#define FAST_BAUD     19200u
#define GAP_US        20000u /* adapters and networks hold bytes back for so long */
#define UNKNOWN_SKIP  5000u  /* silence that ends what is no frame, when the speed is not known */
#define USECS_PER_SEC UINT64_C(1000000)

enum slave_state { SLAVE_LISTEN, SLAVE_ANSWER, SLAVE_SKIP };

struct modbus_slave {
	struct loop *loop;
	struct stream *stream;
	struct modbus_slave_options options;
	const struct modbus_model_ops *ops;
	void *model;
	void (*ended)(struct modbus_slave *s, void *arg);
	void *arg;

	enum slave_state state;
	uint32_t t35_us;         /* 0: not known */
	struct loop_alarm alarm; /* LISTEN, SKIP: silence; ANSWER: now it may be sent */
	struct modbus_counters counters;
	/* The last request to somebody else, whose answer may come. */
	uint8_t foreign[MODBUS_PDU_MAX];
	size_t foreign_len; /* 0: none */
	uint8_t foreign_unit;

	size_t in_len, out_at, out_len;
	uint8_t in[IN_BYTES];
	uint8_t out[MODBUS_ASCII_MAX];
};

static void set_alarm(struct modbus_slave *s, uint64_t after_us)
{
	loop_alarm_set(s->loop, &s->alarm, loop_now_us(s->loop) + after_us);
}

static void consume(struct modbus_slave *s, size_t n)
{
	s->in_len -= n;
	memmove(s->in, s->in + n, s->in_len);
}

static void skip(struct modbus_slave *s)
{
	s->in_len = 0;
	s->foreign_len = 0;
	s->state = SLAVE_SKIP;
	set_alarm(s, s->t35_us ? s->t35_us : UNKNOWN_SKIP);
}

/* ---- requests ---- */

static MUST_USE int encode(struct modbus_slave *s, uint8_t unit, struct span pdu)
{
	if (s->options.is_ascii)
		return modbus_ascii_encode(unit, pdu, s->out, sizeof(s->out), &s->out_len);
	return modbus_rtu_encode(unit, pdu, s->out, sizeof(s->out), &s->out_len);
}

static bool is_write(struct span pdu)
{
	const struct modbus_fc_info *f = modbus_fc_info(pdu.p[0]);

	return f && modbus_shape_writes(f->shape);
}

static void broadcast(struct modbus_slave *s, struct span pdu)
{
	uint8_t unheard[MODBUS_PDU_MAX];

	s->counters.served++;
	s->counters.silent++;
	for (unsigned unit = 1; unit < 256 && is_write(pdu); unit++)
		if (modbus_units_has(&s->options.units, unit))
			modbus_model_answer(s->ops, s->model, (uint8_t)unit, pdu, unheard);
}

static void serve(struct modbus_slave *s, const struct modbus_frame *frame)
{
	uint8_t pdu[MODBUS_PDU_MAX];
	size_t len;

	s->counters.messages++;
	s->foreign_len = 0;
	if (frame->unit == MODBUS_BROADCAST) {
		broadcast(s, frame->pdu);
		return;
	}
	if (!modbus_units_has(&s->options.units, frame->unit)) {
		memcpy(s->foreign, frame->pdu.p, frame->pdu.len);
		s->foreign_len = frame->pdu.len;
		s->foreign_unit = frame->unit;
		return;
	}
	s->counters.served++;
	len = modbus_model_answer(s->ops, s->model, frame->unit, frame->pdu, pdu);
	if (pdu[0] & 0x80)
		s->counters.exceptions++;
	if (encode(s, frame->unit, span_of(pdu, len)) < 0)
		return; /* never: there is room for all */
	s->out_at = 0;
	s->state = SLAVE_ANSWER;
	set_alarm(s, s->options.is_ascii ? 0 : s->t35_us);
}

/* ---- frames ---- */

/* The answer of somebody else in front of `in`; 0: there is none, or it has not all come. */
static size_t foreign_answer(const struct modbus_slave *s)
{
	struct modbus_frame frame;
	size_t size = 0;

	if (!s->foreign_len || s->in[0] != s->foreign_unit ||
	    modbus_rtu_answer_size(s->in, s->in_len, span_of(s->foreign, s->foreign_len), &size) < 0 ||
	    size > s->in_len || modbus_rtu_decode(s->in, size, &frame) < 0)
		return 0;
	return size;
}

/* One frame of `in`. False: more bytes or silence are wanted, or it is over with listening. */
static bool take_rtu(struct modbus_slave *s)
{
	struct modbus_frame frame;
	size_t size = s->in_len ? foreign_answer(s) : 0;
	int rc;

	if (size) {
		s->counters.messages++;
		s->foreign_len = 0;
		consume(s, size);
		return true;
	}
	rc = modbus_rtu_request_size(s->in, s->in_len, &size);
	if (rc == ERR_AGAIN || rc == ERR_UNSUPPORTED || (rc == OK && s->in_len < size))
		return false;
	if (rc == OK)
		rc = modbus_rtu_decode(s->in, size, &frame);
	if (rc == OK) {
		serve(s, &frame);
		consume(s, size);
		return s->state == SLAVE_LISTEN;
	}
	/* The answer of somebody else may begin like a request and be longer. */
	if (s->foreign_len && s->in[0] == s->foreign_unit)
		return false;
	s->counters.line_errors++;
	skip(s);
	return false;
}

static bool take_ascii(struct modbus_slave *s)
{
	uint8_t bytes[MODBUS_RTU_MAX];
	struct modbus_frame frame;
	size_t used = 0;
	int rc = modbus_ascii_split(s->in, s->in_len, bytes, &frame, &used);

	if (rc == OK)
		serve(s, &frame);
	else if (rc == ERR_MALFORMED)
		s->counters.line_errors++;
	consume(s, used);
	return s->state == SLAVE_LISTEN && s->in_len && rc != ERR_AGAIN;
}

static void take_frames(struct modbus_slave *s)
{
	if (s->state != SLAVE_LISTEN)
		return;
	if (s->options.is_ascii) {
		while (take_ascii(s))
			;
		return;
	}
	while (s->in_len && take_rtu(s))
		;
	if (s->state == SLAVE_LISTEN && s->in_len)
		set_alarm(s, s->t35_us > GAP_US ? s->t35_us : GAP_US);
}

/* What has no end that is known: silence is it. */
static void silence_ends(struct modbus_slave *s)
{
	struct modbus_frame frame;

	if (!s->in_len)
		return;
	if (modbus_rtu_decode(s->in, s->in_len, &frame) == OK)
		serve(s, &frame);
	else
		s->counters.line_errors++;
	s->in_len = 0;
}

/* ---- events ---- */

static void over(struct modbus_slave *s)
{
	loop_alarm_cancel(&s->alarm);
	s->ended(s, s->arg); /* the slave may be gone */
}

/* False: it is over. */
static bool read_all(struct modbus_slave *s)
{
	bool more = true;

	while (more) {
		size_t got = 0;
		int rc;

		if (s->in_len == sizeof(s->in))
			skip(s); /* a master that does not wait for answers */
		rc = stream_read(s->stream, s->in + s->in_len, sizeof(s->in) - s->in_len, &got, &more);
		if (rc == ERR_AGAIN)
			return true;
		if (rc < 0) {
			over(s);
			return false;
		}
		s->in_len += got;
		if (s->state == SLAVE_SKIP)
			skip(s);
		take_frames(s);
	}
	return true;
}

/* False: it is over. */
static bool send_out(struct modbus_slave *s)
{
	struct iovec iov = {.iov_base = s->out + s->out_at, .iov_len = s->out_len - s->out_at};
	size_t put = 0;

	if (s->state != SLAVE_ANSWER || loop_alarm_pending(&s->alarm))
		return true;
	if (stream_write(s->stream, &iov, 1, &put) < 0) {
		over(s);
		return false;
	}
	s->out_at += put;
	if (s->out_at < s->out_len)
		return true;
	s->state = SLAVE_LISTEN;
	take_frames(s);
	return true;
}

static void on_ready(struct stream *stream, unsigned events)
{
	struct modbus_slave *s = stream->owner;

	(void)events;
	if (send_out(s))
		(void)read_all(s);
}

static void on_alarm(struct loop_alarm *a)
{
	struct modbus_slave *s = container_of(a, struct modbus_slave, alarm);

	switch (s->state) {
	case SLAVE_LISTEN:
		silence_ends(s);
		return;
	case SLAVE_SKIP:
		s->in_len = 0;
		s->state = SLAVE_LISTEN;
		return;
	case SLAVE_ANSWER:
		(void)send_out(s);
		return;
	}
}

/* SL 2.5.1.1: 3.5 characters; fixed above 19200 baud. */
static uint32_t t35_of(const struct modbus_slave_options *o)
{
	uint64_t bits = o->char_bits ? o->char_bits : CHAR_BITS;

	if (o->baud == 0)
		return 0;
	return o->baud > FAST_BAUD
		       ? FAST_T35_US
		       : (uint32_t)((bits * 7 * USECS_PER_SEC + 2u * o->baud - 1) / (2u * o->baud));
}

int modbus_slave_create(struct loop *loop, struct stream *stream, const struct modbus_slave_options *options,
			const struct modbus_model_ops *ops, void *model,
			void (*ended)(struct modbus_slave *s, void *arg), void *arg,
			struct modbus_slave **out)
{
	struct modbus_slave *s = calloc(1, sizeof(*s));

	if (!s)
		return ERR_NOMEM;
	*s = (struct modbus_slave){.loop = loop,
				   .stream = stream,
				   .options = *options,
				   .ops = ops,
				   .model = model,
				   .ended = ended,
				   .arg = arg,
				   .t35_us = t35_of(options)};
	loop_alarm_init(&s->alarm, on_alarm);
	stream->owner = s;
	stream->ready = on_ready;
	*out = s;
	return OK;
}

void modbus_slave_counters(const struct modbus_slave *s, struct modbus_counters *out)
{
	*out = s->counters;
}

void modbus_slave_destroy(struct modbus_slave *s)
{
	if (!s)
		return;
	loop_alarm_cancel(&s->alarm);
	stream_close(s->stream);
	free(s);
}

/*
 * What the Modbus drivers have in common: a source over any modbus/master.h.
 */
#include "south/modbus.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(SOURCE_IN_FLIGHT_MAX <= MODBUS_IN_FLIGHT_MAX,
	       "a line may have as many requests as its master");
_Static_assert(sizeof(union source_data) <= sizeof(union modbus_data), "items of one answer, packed alike");
_Static_assert(SOURCE_PDU_MAX == MODBUS_PDU_MAX, "both hold any PDU");

struct modbus_source {
	struct source source;
	struct modbus_master *master;
	struct modbus_trace trace; /* of the master, for whoever looks at the source */
	struct modbus_request requests[SOURCE_IN_FLIGHT_MAX];
};

#define SEVERAL 2u /* any number of items that one function alone can write */

static struct modbus_source *modbus_of(struct source *s)
{
	return container_of(s, struct modbus_source, source);
}

static enum modbus_area area_of(enum config_area area)
{
	switch (area) {
	case CONFIG_AREA_COIL:
		return MODBUS_AREA_COIL;
	case CONFIG_AREA_DISCRETE:
		return MODBUS_AREA_DISCRETE;
	case CONFIG_AREA_INPUT:
		return MODBUS_AREA_INPUT;
	default:
		assert(area ==
		       CONFIG_AREA_HOLDING); /* the configuration gives a rack's areas to racks only */
		return MODBUS_AREA_HOLDING;
	}
}

static void done(struct modbus_request *m)
{
	struct source_request *r = m->owner;

	r->driver = NULL;
	m->owner = NULL;
	r->rc = m->rc;
	r->exception = m->exception;
	r->answered_ms = m->answered_ms;
	r->busy_us = m->busy_us;
	r->response_us = m->response_us;
	if (m->rc == OK && r->op == SOURCE_READ)
		memcpy(&r->data, &m->data, sizeof(r->data));
	if (m->rc == OK && r->op == SOURCE_RAW)
		memcpy(r->pdu, m->pdu, r->pdu_len = m->pdu_len);
	r->done(r);
}

static void fill_request(struct modbus_request *m, const struct source_request *r)
{
	struct modbus_req *req = &m->req;

	m->is_raw = r->op == SOURCE_RAW;
	switch (r->op) {
	case SOURCE_READ:
		req->fc = (uint8_t)modbus_fc_reading(area_of(r->area));
		break;
	case SOURCE_WRITE:
		req->fc = (uint8_t)modbus_fc_writing(area_of(r->area), r->is_multiple ? SEVERAL : r->count);
		memcpy(&req->data, &r->data, sizeof(r->data));
		break;
	case SOURCE_MASK:
		req->fc = MODBUS_FC_MASK_WRITE_REGISTER;
		req->and_mask = r->and_mask;
		req->or_mask = r->or_mask;
		break;
	case SOURCE_RAW:
		assert(r->pdu_len <= sizeof(r->pdu));
		memcpy(m->pdu, r->pdu, m->pdu_len = r->pdu_len);
		return;
	}
	req->address = r->start;
	req->count = r->op == SOURCE_MASK ? 1 : r->count;
}

static void submit(struct source *s, struct source_request *r)
{
	struct modbus_source *src = modbus_of(s);
	struct modbus_request *m = src->requests;

	while (m->owner)
		m++;
	assert(m < src->requests + SOURCE_IN_FLIGHT_MAX);
	m->owner = r;
	r->driver = m;
	m->unit = r->unit;
	m->timeout_ms = r->timeout_ms;
	m->silence_us = r->silence_us;
	m->done = done;
	fill_request(m, r);
	modbus_master_submit(src->master, m);
}

static void cancel(struct source *s, struct source_request *r)
{
	struct modbus_request *m = r->driver;

	if (!m)
		return;
	modbus_master_cancel(modbus_of(s)->master, m);
	m->owner = NULL;
	r->driver = NULL;
}

static void destroy(struct source *s)
{
	struct modbus_source *src = modbus_of(s);

	modbus_master_destroy(src->master);
	free(src);
}

static uint32_t late_ms(const struct source *s, uint8_t unit)
{
	return modbus_master_late_ms(((const struct modbus_source *)(const void *)s)->master, unit);
}

static const struct source_ops ops = {
	.submit = submit, .cancel = cancel, .destroy = destroy, .late_ms = late_ms};

static void pass_frame(struct modbus_trace *t, bool is_sent, uint64_t at_us, struct span bytes,
		       const char *note)
{
	struct source_trace *to = container_of(t, struct modbus_source, trace)->source.trace;

	if (to)
		to->frame(to, is_sent, at_us, bytes, note);
}

int modbus_source_create(struct loop *loop, struct dialer *dialer, modbus_source_maker *make,
			 const struct config_line *line, struct source **out)
{
	struct modbus_source *src = calloc(1, sizeof(*src));
	int rc;

	if (!src)
		return ERR_NOMEM;
	if ((rc = make(loop, dialer, line, &src->master)) < 0) {
		free(src);
		return rc;
	}
	src->source.ops = &ops;
	src->trace.frame = pass_frame;
	src->master->trace = &src->trace;
	*out = &src->source;
	return OK;
}

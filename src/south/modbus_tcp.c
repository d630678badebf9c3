/*
 * Modbus/TCP: a source over modbus/master.h.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "modbus/master.h"
#include "south/table.h"

_Static_assert(SOURCE_IN_FLIGHT_MAX <= MODBUS_IN_FLIGHT_MAX,
	       "a line may have as many requests as its master");
_Static_assert(sizeof(union source_data) <= sizeof(union modbus_data), "items of one answer, packed alike");

struct modbus_tcp {
	struct source source;
	struct modbus_master *master;
	struct modbus_request requests[SOURCE_IN_FLIGHT_MAX];
};

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
	if (m->rc == OK && r->op == SOURCE_READ)
		memcpy(&r->data, &m->data, sizeof(r->data));
	r->done(r);
}

static void submit(struct source *s, struct source_request *r)
{
	struct modbus_tcp *tcp = container_of(s, struct modbus_tcp, source);
	struct modbus_request *m = tcp->requests;
	enum modbus_area area = area_of(r->area);

	while (m->owner)
		m++;
	assert(m < tcp->requests + SOURCE_IN_FLIGHT_MAX);
	m->owner = r;
	r->driver = m;
	m->unit = r->unit;
	m->timeout_ms = r->timeout_ms;
	m->done = done;
	m->req.fc = (uint8_t)(r->op == SOURCE_WRITE ? modbus_fc_writing(area, r->count)
						    : modbus_fc_reading(area));
	m->req.address = r->start;
	m->req.count = r->count;
	if (r->op == SOURCE_WRITE)
		memcpy(&m->req.data, &r->data, sizeof(r->data));
	modbus_master_submit(tcp->master, m);
}

static void cancel(struct source *s, struct source_request *r)
{
	struct modbus_tcp *tcp = container_of(s, struct modbus_tcp, source);
	struct modbus_request *m = r->driver;

	if (!m)
		return;
	modbus_master_cancel(tcp->master, m);
	m->owner = NULL;
	r->driver = NULL;
}

static void destroy(struct source *s)
{
	struct modbus_tcp *tcp = container_of(s, struct modbus_tcp, source);

	modbus_master_destroy(tcp->master);
	free(tcp);
}

static const struct source_ops ops = {.submit = submit, .cancel = cancel, .destroy = destroy};

int modbus_tcp_source_create(struct loop *loop, const struct config_line *line, struct dialer *dialer,
			     struct source **out)
{
	const struct modbus_master_tcp_options options = {
		.max_in_flight = line->max_in_flight,
		/* A unit that used up its attempts while nobody else spoke: the connection may be the dead part. */
		.quiet_timeouts = line->retries + 1,
	};
	struct modbus_tcp *tcp = calloc(1, sizeof(*tcp));
	int rc;

	if (!tcp)
		return ERR_NOMEM;
	tcp->source.ops = &ops;
	if ((rc = modbus_master_tcp_create(loop, dialer, &options, &tcp->master)) < 0) {
		free(tcp);
		return rc;
	}
	*out = &tcp->source;
	return OK;
}

/*
 * Requests of foreign masters for units of a line: through the line's queue, as they are. Each route lets through `rate` of them a
 * second, and as many at once after a pause.
 */
#include <stdlib.h>
#include <string.h>

#include "views/modbus_impl.h"

#define A_REQUEST 1000u /* tokens */

struct passing {
	struct modbus_task task;
	struct modbus_server_request *request;
	struct field_pass pass;
};

int modbus_routes_create(const struct config_modbus_view *view, struct modbus_routes **out)
{
	struct modbus_routes *r = calloc(1, sizeof(*r));

	if (!r)
		return ERR_NOMEM;
	r->view = view;
	r->buckets = calloc(view->npass + 1, sizeof(*r->buckets));
	if (!r->buckets) {
		free(r);
		return ERR_NOMEM;
	}
	for (size_t i = 0; i < view->npass; i++)
		r->buckets[i].tokens = (uint64_t)view->pass[i].rate * A_REQUEST;
	*out = r;
	return OK;
}

void modbus_routes_destroy(struct modbus_routes *r)
{
	if (!r)
		return;
	free(r->buckets);
	free(r);
}

static bool has_token(struct bucket *b, uint32_t rate, uint64_t now)
{
	uint64_t full = (uint64_t)rate * A_REQUEST, passed = now - b->at_ms;

	if (rate == 0)
		return true;
	b->at_ms = now;
	b->tokens = passed > 1000 ? full : b->tokens + passed * rate;
	if (b->tokens > full)
		b->tokens = full;
	if (b->tokens < A_REQUEST)
		return false;
	b->tokens -= A_REQUEST;
	return true;
}

/* Messaging on TCP/IP 1.0b: a gateway that has no way to the target says 0x0A, one whose target is silent 0x0B. */
static enum modbus_exception exception_of(int rc)
{
	switch (rc) {
	case ERR_IO:
	case ERR_NOT_FOUND:
	case ERR_UNSUPPORTED:
		return MODBUS_EXCEPTION_GATEWAY_PATH_UNAVAILABLE;
	case ERR_FULL:
	case ERR_NOMEM:
		return MODBUS_EXCEPTION_SERVER_DEVICE_BUSY;
	default:
		return MODBUS_EXCEPTION_GATEWAY_TARGET_FAILED;
	}
}

static void passed(struct field_pass *f)
{
	struct passing *p = container_of(f, struct passing, pass);
	struct modbus_server_request *r = p->request;

	r->owner = NULL;
	if (f->rc == OK && f->pdu_len > 0)
		modbus_server_answer(r, span_of(f->pdu, f->pdu_len));
	else
		modbus_server_refuse(r, exception_of(f->rc));
	free(p);
}

void modbus_pass_cancel(struct modbus_server_request *r)
{
	struct passing *p = r->owner;

	field_pass_cancel(&p->pass);
	free(p);
}

static void queue(struct modbus_view *v, struct modbus_server_request *r, const char *line)
{
	struct passing *p = calloc(1, sizeof(*p));
	int rc;

	if (!p) {
		modbus_server_refuse(r, MODBUS_EXCEPTION_SERVER_DEVICE_BUSY);
		return;
	}
	p->task.cancel = modbus_pass_cancel;
	p->request = r;
	p->pass.unit = r->unit;
	p->pass.pdu_len = r->pdu_len;
	memcpy(p->pass.pdu, r->pdu, r->pdu_len);
	p->pass.done = passed;
	p->pass.owner = r->peer;
	r->owner = p;
	if ((rc = field_pass(v->field, line, &p->pass)) == OK) {
		v->stats.passed++;
		return;
	}
	v->stats.limited += rc == ERR_FULL;
	r->owner = NULL;
	modbus_server_refuse(r, exception_of(rc));
	free(p);
}

static bool has_unit(const struct config_pass *p, uint8_t unit)
{
	return p->units.bits[unit / 8] >> unit % 8 & 1;
}

bool modbus_pass_begin(struct modbus_view *v, struct modbus_server_request *r)
{
	const struct config_modbus_view *view = v->routes->view;
	size_t i = 0;

	while (i < view->npass && !has_unit(&view->pass[i], r->unit))
		i++;
	if (i == view->npass)
		return false;
	if (has_token(&v->routes->buckets[i], view->pass[i].rate, loop_now_ms(v->loop))) {
		queue(v, r, view->pass[i].line_name);
		return true;
	}
	v->stats.limited++;
	modbus_server_refuse(r, MODBUS_EXCEPTION_SERVER_DEVICE_BUSY);
	return true;
}

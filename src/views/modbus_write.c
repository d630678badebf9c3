/*
 * Writes: all values are checked first, then they go to their devices one after the other in order of address, and the answer comes
 * when the last is confirmed. After a failure nothing more is written.
 */
#include <stdlib.h>
#include <string.h>

#include "views/modbus_impl.h"

struct write {
	struct modbus_task task;
	struct modbus_view *view;
	struct modbus_server_request *request;
	struct modbus_req req;
	unsigned generation;
	bool is_bits;
	uint16_t address; /* what is written: */
	uint32_t end;
	uint32_t next;
	uint16_t regs[MODBUS_READ_REGS_MAX]; /* of registers */
	struct field_write field;
	bool is_inside, is_answered_inside; /* field_write() may answer before it returns */
	enum modbus_exception outcome;
};

/* docs/modbus-view.md has the same table. */
static const struct {
	const char *error;
	enum modbus_exception exception;
} exceptions[] = {
	{"range", MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
	{"type", MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
	{"read_only", MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS},
	{"unknown_tag", MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS},
	{"not_allowed", MODBUS_EXCEPTION_ILLEGAL_FUNCTION},
	{"superseded", MODBUS_EXCEPTION_SERVER_DEVICE_BUSY}, /* by a newer value, of somebody else */
	{"busy", MODBUS_EXCEPTION_SERVER_DEVICE_BUSY},
	{"offline", MODBUS_EXCEPTION_GATEWAY_TARGET_FAILED},
	{"timeout", MODBUS_EXCEPTION_GATEWAY_TARGET_FAILED},
	{"expired", MODBUS_EXCEPTION_GATEWAY_TARGET_FAILED},
	{"cancelled", MODBUS_EXCEPTION_GATEWAY_TARGET_FAILED},
	{"line_down", MODBUS_EXCEPTION_GATEWAY_TARGET_FAILED},
};

/* What is not in the table (safe_mode, verify, failed) is a failure of the device. */
static enum modbus_exception exception_of(const struct set_outcome *o)
{
	if (o->ok)
		return MODBUS_EXCEPTION_NONE;
	if (o->exception)
		return (enum modbus_exception)o->exception;
	for (size_t i = 0; i < sizeof(exceptions) / sizeof(exceptions[0]); i++)
		if (strcmp(exceptions[i].error, o->error) == 0)
			return exceptions[i].exception;
	return MODBUS_EXCEPTION_SERVER_DEVICE_FAILURE;
}

/* ---- the values ---- */

struct value {
	struct tag_value value;
	struct modbus_value scratch;
	char hex[2 * VALUE_BYTES_MAX]; /* as field_write() takes bytes */
};

static void bytes_as_text(struct value *v)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < v->scratch.len; i++) {
		v->hex[2 * i] = digits[v->scratch.bytes[i] >> 4];
		v->hex[2 * i + 1] = digits[v->scratch.bytes[i] & 15];
	}
	v->value = tag_string(span_of(v->hex, 2 * v->scratch.len));
}

/* Of the place at w->req's registers or bits, which cover it. */
static int value_at(const struct write *w, const struct config_place *p, struct value *out)
{
	uint16_t bit = 0;
	const uint16_t *regs = &bit;
	int rc;

	if (w->is_bits)
		bit = modbus_bit_get(w->req.data.bits, (unsigned)(p->address - w->address));
	else
		regs = &w->regs[p->address - w->address];
	rc = modbus_map_value(p, regs, &out->scratch, &out->value);
	if (rc == ERR_UNSUPPORTED && out->scratch.kind == VALUE_KIND_BYTES) {
		bytes_as_text(out);
		return OK;
	}
	return rc;
}

/* The place at `address` that the request covers whole, and may write. */
static enum modbus_exception place_at(const struct write *w, uint32_t address, size_t *place)
{
	const struct modbus_map *m = w->view->map;
	const struct config_place *p;

	*place = modbus_map_find(m, w->is_bits, address);
	if (*place == SIZE_MAX)
		return MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS;
	p = &m->view->places[*place];
	if ((p->area != CONFIG_AREA_COIL && p->area != CONFIG_AREA_HOLDING) || !m->tags[*place])
		return MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS;
	if (p->address < w->address || p->address + (uint32_t)p->count > w->end)
		return MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE; /* a part of a value */
	return MODBUS_EXCEPTION_NONE;
}

static enum modbus_exception check_all(const struct write *w)
{
	const struct modbus_map *m = w->view->map;

	for (uint32_t at = w->address; at < w->end;) {
		struct set_outcome o = {.ok = false};
		struct value v;
		size_t place;
		enum modbus_exception e = place_at(w, at, &place);

		if (e != MODBUS_EXCEPTION_NONE)
			return e;
		if (value_at(w, &m->view->places[place], &v) < 0)
			return MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE;
		field_master_seen(m->tags[place]);
		o.error = field_write_check(m->tags[place], &v.value);
		if (o.error)
			return exception_of(&o);
		at = m->view->places[place].address + (uint32_t)m->view->places[place].count;
	}
	return MODBUS_EXCEPTION_NONE;
}

/* ---- one after the other ---- */

/* What was written a moment ago is what stands there, though no scan has seen it yet. */
static void lay_over(const struct write *w, union modbus_data *data)
{
	for (uint32_t at = w->address; at < w->end; at++)
		if (at >= w->req.address && at < w->req.address + (uint32_t)w->req.count)
			data->regs[at - w->req.address] = w->regs[at - w->address];
}

static void finish(struct write *w, enum modbus_exception e)
{
	struct modbus_server_request *r = w->request;
	union modbus_data data = {0};

	if (e == MODBUS_EXCEPTION_NONE && w->req.fc == MODBUS_FC_READ_WRITE_REGISTERS) {
		e = modbus_map_read(w->view->map, false, w->req.address, w->req.count, &data);
		lay_over(w, &data);
	}
	r->owner = NULL;
	modbus_view_answer(r, &w->req, e, &data);
	free(w);
}

static void go_on(struct write *w);

static void written(struct field_write *f, const struct set_outcome *o)
{
	struct write *w = f->owner;

	w->outcome = exception_of(o);
	w->is_answered_inside = w->is_inside;
	if (!w->is_inside)
		go_on(w);
}

/* True when the answer to it is there already. */
static bool write_next(struct write *w, size_t place)
{
	const struct modbus_map *m = w->view->map;
	const struct config_place *p = &m->view->places[place];
	struct value v;

	w->next = p->address + (uint32_t)p->count;
	if (value_at(w, p, &v) < 0) {
		w->outcome = MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE;
		return true;
	}
	w->field = (struct field_write){.value = v.value, .done = written, .owner = w};
	w->is_inside = true;
	w->is_answered_inside = false;
	field_write(w->view->field, m->tags[place], &w->field);
	w->is_inside = false;
	return w->is_answered_inside;
}

/* The last write has its outcome. */
static void go_on(struct write *w)
{
	size_t place;

	do {
		enum modbus_exception e = w->outcome;

		if (e == MODBUS_EXCEPTION_NONE && w->next >= w->end) {
			finish(w, e);
			return;
		}
		if (e == MODBUS_EXCEPTION_NONE && w->generation != w->view->generation)
			e = MODBUS_EXCEPTION_SERVER_DEVICE_BUSY; /* another map: what is left may lie elsewhere */
		if (e == MODBUS_EXCEPTION_NONE)
			e = place_at(w, w->next, &place);
		if (e != MODBUS_EXCEPTION_NONE) {
			finish(w, e);
			return;
		}
	} while (write_next(w, place));
}

void modbus_write_cancel(struct modbus_server_request *r)
{
	struct write *w = r->owner;

	field_write_forget(&w->field);
	free(w);
}

/* ---- beginning ---- */

static enum modbus_exception take_mask(struct write *w)
{
	union modbus_data now = {0};
	enum modbus_exception e = modbus_map_read(w->view->map, false, w->address, 1, &now);

	w->regs[0] = (uint16_t)((now.regs[0] & w->req.and_mask) | (w->req.or_mask & ~w->req.and_mask));
	return e;
}

/* An exception promises that nothing was changed: what cannot be read is found before the write. */
static enum modbus_exception take_request(struct write *w)
{
	const struct modbus_fc_info *info = modbus_fc_info(w->req.fc);
	union modbus_data data = {0};

	w->is_bits = info->area == MODBUS_AREA_COIL;
	w->address = w->req.address;
	w->end = w->req.address + (uint32_t)w->req.count;
	if (info->shape == MODBUS_SHAPE_MASK)
		return take_mask(w);
	if (!w->is_bits)
		memcpy(w->regs, w->req.data.regs, sizeof(w->regs));
	if (info->shape != MODBUS_SHAPE_READ_WRITE)
		return MODBUS_EXCEPTION_NONE;
	w->address = w->req.write_address;
	w->end = w->req.write_address + (uint32_t)w->req.write_count;
	return modbus_map_read(w->view->map, false, w->req.address, w->req.count, &data);
}

void modbus_write_begin(struct modbus_view *v, struct modbus_server_request *r, const struct modbus_req *req)
{
	struct write *w = calloc(1, sizeof(*w));
	enum modbus_exception e;

	if (!w) {
		modbus_server_refuse(r, MODBUS_EXCEPTION_SERVER_DEVICE_BUSY);
		return;
	}
	w->task.cancel = modbus_write_cancel;
	w->view = v;
	w->request = r;
	w->req = *req;
	w->generation = v->generation;
	r->owner = w;
	e = take_request(w);
	if (e == MODBUS_EXCEPTION_NONE)
		e = check_all(w);
	if (e != MODBUS_EXCEPTION_NONE) {
		finish(w, e);
		return;
	}
	w->next = w->address;
	go_on(w);
}

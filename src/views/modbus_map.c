#include "views/modbus_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "config/schema.h"

static bool is_bit_place(const struct config_place *p)
{
	return p->area == CONFIG_AREA_COIL || p->area == CONFIG_AREA_DISCRETE;
}

static struct modbus_format format_of(const struct config_place *p)
{
	return (struct modbus_format){.type = p->type, .order = p->order, .length = p->length};
}

static uint64_t hash_tag(const struct tag *t)
{
	return hash_bytes(0, &t, sizeof(t));
}

/* ---- life ---- */

static int make_held(struct modbus_map *m)
{
	m->held = calloc(m->view->nplaces + 1, sizeof(*m->held));
	m->regs = calloc(VIEW_ADDRESSES, sizeof(*m->regs));
	m->bits = calloc(VIEW_ADDRESSES / 8, 1);
	return m->held && m->regs && m->bits ? OK : ERR_NOMEM;
}

int modbus_map_create(const struct gateway_config *cfg, struct modbus_map **out)
{
	struct modbus_map *m = calloc(1, sizeof(*m));
	int rc = ERR_NOMEM;

	if (!m)
		return ERR_NOMEM;
	m->cfg = cfg;
	m->view = &cfg->views.modbus;
	m->tags = calloc(m->view->nplaces + 1, sizeof(struct tag *));
	if (m->tags)
		rc = m->view->bad == CONFIG_BAD_HOLD ? make_held(m) : OK;
	if (rc < 0) {
		modbus_map_destroy(m);
		return rc;
	}
	while (m->nbits < m->view->nplaces && is_bit_place(&m->view->places[m->nbits]))
		m->nbits++;
	*out = m;
	return OK;
}

void modbus_map_destroy(struct modbus_map *m)
{
	if (!m)
		return;
	hmap_fini(&m->by_tag);
	free(m->tags);
	free(m->held);
	free(m->regs);
	free(m->bits);
	free(m);
}

void modbus_map_bind(struct modbus_map *m, struct field *f)
{
	for (size_t i = 0; i < m->view->nplaces; i++) {
		const struct config_place *p = &m->view->places[i];
		const struct config_device *d = &m->cfg->devices[p->device];
		struct tag_sample now;

		m->tags[i] = field_find_tag(f, d->name, d->tags[p->tag].name);
		if (!m->held || !m->tags[i])
			continue;
		m->held[i].tag = m->tags[i];
		hmap_insert(&m->by_tag, &m->held[i].by_tag, hash_tag(m->tags[i]));
		now = field_tag_now(m->tags[i]);
		modbus_map_sample(m, m->tags[i], &now);
	}
}

/* ---- values to registers ---- */

static bool raw_of(const struct tag_value *v, enum value_kind kind, struct modbus_value *raw)
{
	bool is_integer = kind == VALUE_KIND_INT || kind == VALUE_KIND_UINT;

	switch (v->kind) {
	case TAG_BOOL:
		raw->kind = VALUE_KIND_BOOL;
		raw->b = v->b;
		return true;
	case TAG_INT:
		raw->kind = VALUE_KIND_INT;
		raw->i = v->i;
		return true;
	case TAG_UINT:
		raw->kind = VALUE_KIND_UINT;
		raw->u = v->u;
		return true;
	case TAG_FLOAT:
	case TAG_DOUBLE:
		raw->kind = VALUE_KIND_FLOAT;
		raw->f = tag_value_to_double(v);
		if (is_integer)
			raw->f = round(raw->f);
		return true;
	case TAG_STRING:
	case TAG_BYTES:
		raw->kind = v->kind == TAG_STRING ? VALUE_KIND_STRING : VALUE_KIND_BYTES;
		if (v->s.len > VALUE_BYTES_MAX)
			return false;
		raw->len = v->s.len;
		memcpy(raw->bytes, v->s.p, v->s.len);
		return true;
	default:
		return false;
	}
}

/* The number whose text is published; false: it is none of them. */
static bool number_of(const struct config_tag *cfg, const struct tag_value *v, struct modbus_value *raw)
{
	for (size_t i = 0; i < cfg->nlabels; i++)
		if (span_equal(v->s, span_str(cfg->labels[i].text))) {
			raw->kind = VALUE_KIND_INT;
			raw->i = cfg->labels[i].number;
			return true;
		}
	return false;
}

/* p->count registers, or one with a bit in it. False: there is nothing good to show. */
static bool show(const struct modbus_map *m, const struct config_place *p, const struct tag_sample *s,
		 uint16_t *regs)
{
	const struct config_tag *cfg = &m->cfg->devices[p->device].tags[p->tag];
	struct modbus_format f = format_of(p);
	struct modbus_value raw = {0};
	bool is_there;

	if (s->value.kind == TAG_STRING && cfg->nlabels)
		is_there = number_of(cfg, &s->value, &raw);
	else
		is_there = raw_of(&s->value, value_type_info(p->type)->kind, &raw);
	if (s->quality == QUALITY_BAD || !is_there)
		return false;
	memset(regs, 0, p->count * sizeof(*regs));
	return modbus_value_encode(&f, &raw, regs) == OK;
}

static void hold(struct modbus_map *m, size_t place, const struct tag_sample *s)
{
	const struct config_place *p = &m->view->places[place];
	uint16_t regs[VALUE_BYTES_MAX / 2];

	if (!show(m, p, s, regs))
		return;
	m->held[place].is_known = true;
	if (is_bit_place(p))
		modbus_bit_set(m->bits, p->address, regs[0] & 1);
	else
		memcpy(&m->regs[p->address], regs, p->count * sizeof(*regs));
}

void modbus_map_sample(struct modbus_map *m, struct tag *t, const struct tag_sample *s)
{
	if (!m->held)
		return;
	for (struct hmap_node *n = hmap_find(&m->by_tag, hash_tag(t)); n; n = hmap_next(n)) {
		struct held *held = container_of(n, struct held, by_tag);

		if (held->tag == t)
			hold(m, (size_t)(held - m->held), s);
	}
}

static bool is_same_place(const struct modbus_map *a, const struct config_place *p,
			  const struct modbus_map *b, const struct config_place *q)
{
	const struct config_device *d = &a->cfg->devices[p->device], *e = &b->cfg->devices[q->device];

	return p->address == q->address && p->count == q->count && p->type == q->type &&
	       p->order == q->order && strcmp(d->name, e->name) == 0 &&
	       strcmp(d->tags[p->tag].name, e->tags[q->tag].name) == 0;
}

void modbus_map_inherit(struct modbus_map *m, const struct modbus_map *old)
{
	for (size_t i = 0; old && old->held && m->held && i < m->view->nplaces; i++) {
		const struct config_place *p = &m->view->places[i];
		size_t was = modbus_map_find(old, is_bit_place(p), p->address);

		if (was == SIZE_MAX || !old->held[was].is_known ||
		    !is_same_place(m, p, old, &old->view->places[was]))
			continue;
		m->held[i].is_known = true;
		if (is_bit_place(p))
			modbus_bit_set(m->bits, p->address, modbus_bit_get(old->bits, p->address));
		else
			memcpy(&m->regs[p->address], &old->regs[p->address], p->count * sizeof(*m->regs));
	}
}

static bool place_registers(const struct modbus_map *m, size_t place, uint16_t *regs)
{
	const struct config_place *p = &m->view->places[place];
	struct tag_sample now;

	if (m->tags[place])
		field_master_seen(m->tags[place]);
	if (m->held) {
		if (is_bit_place(p))
			regs[0] = modbus_bit_get(m->bits, p->address);
		else
			memcpy(regs, &m->regs[p->address], p->count * sizeof(*regs));
		return m->held[place].is_known;
	}
	if (!m->tags[place])
		return false;
	now = field_tag_now(m->tags[place]);
	return show(m, p, &now, regs);
}

/* ---- reading ---- */

size_t modbus_map_find(const struct modbus_map *m, bool is_bits, uint32_t address)
{
	const struct config_place *places = m->view->places;
	size_t low = is_bits ? 0 : m->nbits, high = is_bits ? m->nbits : m->view->nplaces, first = low;

	while (low < high) { /* the first that begins behind the address */
		size_t middle = low + (high - low) / 2;

		if (places[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == first || address >= places[low - 1].address + (uint32_t)places[low - 1].count)
		return SIZE_MAX;
	return low - 1;
}

/* That all of them are there comes first: an address that is wrong stays wrong, a value may become good. */
static bool covers(const struct modbus_map *m, bool is_bits, uint32_t address, uint32_t end)
{
	while (address < end) {
		size_t i = modbus_map_find(m, is_bits, address);

		if (i == SIZE_MAX)
			return false;
		address = m->view->places[i].address + (uint32_t)m->view->places[i].count;
	}
	return true;
}

enum modbus_exception modbus_map_read(const struct modbus_map *m, bool is_bits, uint16_t address,
				      uint16_t count, union modbus_data *data)
{
	uint32_t end = address + (uint32_t)count;
	uint16_t regs[VALUE_BYTES_MAX / 2];

	if (!covers(m, is_bits, address, end))
		return MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS;
	for (uint32_t at = address; at < end;) {
		size_t i = modbus_map_find(m, is_bits, at);
		const struct config_place *p = &m->view->places[i];

		if (!place_registers(m, i, regs))
			return MODBUS_EXCEPTION_GATEWAY_TARGET_FAILED;
		if (is_bits)
			modbus_bit_set(data->bits, at - address, regs[0] & 1);
		for (uint32_t k = at - p->address; k < p->count && at < end; k++, at++)
			if (!is_bits)
				data->regs[at - address] = regs[k];
	}
	return MODBUS_EXCEPTION_NONE;
}

/* ---- registers to values ---- */

int modbus_map_value(const struct config_place *p, const uint16_t *regs, struct modbus_value *scratch,
		     struct tag_value *out)
{
	struct modbus_format f = format_of(p);
	int rc = modbus_value_decode(&f, regs, scratch);

	if (rc < 0)
		return rc;
	switch (scratch->kind) {
	case VALUE_KIND_BOOL:
		*out = tag_bool(scratch->b);
		return OK;
	case VALUE_KIND_INT:
		*out = tag_int(scratch->i);
		return OK;
	case VALUE_KIND_UINT:
		*out = tag_uint(scratch->u);
		return OK;
	case VALUE_KIND_FLOAT:
		if (!isfinite(scratch->f))
			return ERR_RANGE;
		*out = p->type == VALUE_TYPE_FLOAT32 ? tag_float((float)scratch->f) : tag_double(scratch->f);
		return OK;
	case VALUE_KIND_STRING:
		*out = tag_string(span_of(scratch->bytes, scratch->len));
		return OK;
	default:
		return ERR_UNSUPPORTED;
	}
}

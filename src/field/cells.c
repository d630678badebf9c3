#include "field/cells.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/expr.h"
#include "field/internal.h"
#include "field/window.h"

struct cell;

/* A tag that a cell is made from, as it was seen last. */
struct operand {
	struct dependant dependant;
	struct cell *cell;
	double value;
	enum reason reason; /* REASON_NONE: it is good */
	int64_t ts_ms;
};

/* One tag: a value that is kept, a counter, or an expression. */
struct cell {
	struct list node; /* in the queue of its rank */
	struct cells *owner;
	struct tag *tag;
	struct expr *expr;        /* NULL: not computed */
	struct operand *operands; /* expr->ntags of them; one of a counter */
	unsigned noperands;
	struct window *windows; /* expr->nwindows of them */
	uint64_t count;
	bool knows_level, level;  /* of what is counted */
	struct tag_sample sample; /* as last made */
	union source_data data;   /* as last written */
};

struct cells_group {
	struct cells *owner;
	size_t index;
	struct loop_timer timer;
};

struct cells {
	struct device *device;
	struct cell *items;
	size_t n;
	struct cells_group *groups;
	size_t ngroups;
};

void dependants_tell(struct dependant *first, const struct tag_sample *s)
{
	for (struct dependant *dep = first; dep; dep = dep->next)
		dep->changed(dep, s);
}

/* ---- values ---- */

static struct loop *loop_of(const struct cells *c)
{
	return c->device->line->field->loop;
}

/* A number in the tag's type; false: it does not fit. */
static bool value_in_type(enum value_type type, double x, struct tag_value *v)
{
	const struct value_type_info *info = value_type_info(type);
	bool is_signed = info->kind == VALUE_KIND_INT;
	double limit = ldexp(1, (int)info->bits - is_signed);

	switch (info->kind) {
	case VALUE_KIND_BOOL:
		*v = tag_bool(x != 0);
		return true;
	case VALUE_KIND_INT:
	case VALUE_KIND_UINT:
		x = round(x);
		if (x >= limit || x < (is_signed ? -limit : 0))
			return false;
		*v = is_signed ? tag_int((int64_t)x) : tag_uint((uint64_t)x);
		return true;
	default:
		*v = type == VALUE_TYPE_FLOAT32 ? tag_float((float)x) : tag_double(x);
		return isfinite(tag_value_to_double(v));
	}
}

/* A count goes round where its type ends. */
static struct tag_value count_in_type(enum value_type type, uint64_t count)
{
	const struct value_type_info *info = value_type_info(type);
	unsigned bits = info->bits - (info->kind == VALUE_KIND_INT);

	if (info->kind == VALUE_KIND_FLOAT)
		return type == VALUE_TYPE_FLOAT32 ? tag_float((float)count) : tag_double((double)count);
	return tag_uint(bits < 64 ? count & ((UINT64_C(1) << bits) - 1) : count);
}

static uint64_t count_of(const struct tag_value *v)
{
	double x = tag_value_to_double(v);

	if (v->kind == TAG_UINT)
		return v->u;
	if (v->kind == TAG_INT)
		return v->i > 0 ? (uint64_t)v->i : 0;
	return x > 0 && x < 0x1p64 ? (uint64_t)x : 0;
}

/* ---- evaluation ---- */

static void enqueue(struct cell *c)
{
	struct cells_queue *q = &c->owner->device->line->field->cells;

	list_remove(&c->node);
	list_append(&q->ranks[c->tag->cfg->rank], &c->node);
	if (!loop_timer_pending(&q->timer))
		loop_timer_set(q->loop, &q->timer, 0);
}

/* The first operand that is bad, or NULL. The time is that of the newest. */
static const struct operand *bad_operand(const struct cell *c, int64_t *ts_ms)
{
	const struct operand *bad = NULL;

	for (unsigned i = 0; i < c->noperands; i++) {
		const struct operand *o = &c->operands[i];

		*ts_ms = o->ts_ms > *ts_ms ? o->ts_ms : *ts_ms;
		if (!bad && o->reason != REASON_NONE)
			bad = o;
	}
	return bad;
}

static bool window_values(const struct cell *c, double *values)
{
	uint64_t now = loop_now_ms(loop_of(c->owner));

	for (unsigned i = 0; i < c->expr->nwindows; i++)
		if (window_value(&c->windows[i], now, &values[i]) < 0)
			return false;
	return true;
}

static enum reason compute(struct cell *c, struct tag_value *v)
{
	double tags[EXPR_TAGS_MAX], windows[EXPR_WINDOWS_MAX], x;

	for (unsigned i = 0; i < c->noperands; i++)
		tags[i] = c->operands[i].value;
	if (!window_values(c, windows))
		return REASON_OFFLINE; /* too few samples yet */
	if (expr_evaluate(c->expr, tags, windows, &x) < 0 || !value_in_type(c->tag->cfg->type, x, v))
		return REASON_RANGE;
	return REASON_NONE;
}

static void evaluate(struct cell *c)
{
	struct device *d = c->owner->device;
	const struct operand *bad;
	enum reason reason;

	if (c->noperands || c->expr) {
		int64_t ts_ms = 0;

		bad = bad_operand(c, &ts_ms);
		reason = bad ? bad->reason : c->expr ? compute(c, &c->sample.value) : REASON_NONE;
		if (reason == REASON_NONE && !c->expr)
			c->sample.value = count_in_type(c->tag->cfg->type, c->count);
		c->sample.quality = reason == REASON_NONE ? QUALITY_GOOD : QUALITY_BAD;
		c->sample.reason = reason;
		c->sample.ts_ms = ts_ms ? ts_ms : loop_wall_ms(loop_of(c->owner));
	}
	if (c->sample.quality == QUALITY_GOOD)
		publish_sample(d, c->tag, &c->sample);
	else
		publish_bad(d, c->tag, c->sample.reason);
}

/* Lower ranks first: what they change waits in the higher ones. */
static void queue_due(struct loop_timer *t)
{
	struct cells_queue *q = container_of(t, struct cells_queue, timer);
	struct list *node;

	for (unsigned rank = 0; rank <= CONFIG_RANKS_MAX; rank++)
		while ((node = list_take_first(&q->ranks[rank])))
			evaluate(container_of(node, struct cell, node));
}

void cells_queue_init(struct cells_queue *q, struct loop *loop)
{
	q->loop = loop;
	for (unsigned rank = 0; rank <= CONFIG_RANKS_MAX; rank++)
		list_init(&q->ranks[rank]);
	loop_timer_init(&q->timer, queue_due);
}

void cells_queue_fini(struct cells_queue *q)
{
	loop_timer_cancel(q->loop, &q->timer);
}

/* ---- operands ---- */

static void count_edge(struct cell *c, const struct operand *o)
{
	bool level = o->value != 0;
	int edge = c->tag->cfg->counter.edge;

	if (o->reason != REASON_NONE) {
		c->knows_level = false; /* what happened meanwhile was not seen, and is not guessed */
		return;
	}
	if (c->knows_level && level != c->level &&
	    (edge == CONFIG_COUNTED_BOTH || level == (edge == CONFIG_COUNTED_RISING)))
		c->count++;
	c->knows_level = true;
	c->level = level;
}

static void operand_changed(struct dependant *dep, const struct tag_sample *s)
{
	struct operand *o = container_of(dep, struct operand, dependant);
	struct cell *c = o->cell;
	uint64_t now = loop_now_ms(loop_of(c->owner));

	o->reason = s->quality == QUALITY_BAD ? s->reason : REASON_NONE;
	o->ts_ms = s->ts_ms;
	if (o->reason == REASON_NONE) {
		o->value = tag_value_to_double(&s->value);
		if (!isfinite(o->value))
			o->reason = REASON_CONFIG; /* text is no number */
	}
	for (unsigned i = 0; c->expr && o->reason == REASON_NONE && i < c->expr->nwindows; i++)
		if (&c->operands[c->expr->windows[i].tag] == o)
			window_add(&c->windows[i], o->value, now);
	if (!c->expr)
		count_edge(c, o);
	enqueue(c);
}

/* ---- making ---- */

static MUST_USE int parse(struct cell *c)
{
	char fault[EXPR_FAULT_MAX];
	int rc = expr_parse(span_str(c->tag->cfg->expression), c->expr, fault);

	assert(rc == OK); /* the configuration was checked */
	return rc;
}

static MUST_USE int make_expression(struct cell *c)
{
	c->expr = malloc(sizeof(*c->expr));
	if (!c->expr || parse(c) < 0)
		return ERR_NOMEM;
	c->noperands = c->expr->ntags;
	c->windows = calloc(c->expr->nwindows + 1, sizeof(*c->windows));
	for (unsigned i = 0; c->windows && i < c->expr->nwindows; i++)
		window_init(&c->windows[i], (enum expr_window_kind)c->expr->windows[i].kind,
			    c->expr->windows[i].ms);
	return c->windows ? OK : ERR_NOMEM;
}

static MUST_USE int make_cell(struct cells *owner, size_t index)
{
	struct cell *c = &owner->items[index];
	const struct config_tag *cfg;
	int rc;

	c->owner = owner;
	c->tag = &owner->device->tags[index];
	cfg = c->tag->cfg;
	if (cfg->expression && (rc = make_expression(c)) < 0)
		return rc;
	if (cfg->counter.of)
		c->noperands = 1;
	c->operands = calloc(c->noperands + 1, sizeof(*c->operands));
	if (!c->operands)
		return ERR_NOMEM;
	for (unsigned i = 0; i < c->noperands; i++)
		c->operands[i] = (struct operand){
			.dependant.changed = operand_changed, .cell = c, .reason = REASON_OFFLINE};
	if (isnan(cfg->value))
		return OK;
	c->sample.ts_ms = loop_wall_ms(loop_of(owner));
	if (!value_in_type(cfg->type, cfg->value, &c->sample.value)) {
		c->sample.quality = QUALITY_BAD;
		c->sample.reason = REASON_RANGE;
	}
	return OK;
}

static void scan_due(struct loop_timer *t)
{
	struct cells_group *g = container_of(t, struct cells_group, timer);
	struct cells *c = g->owner;

	for (size_t i = 0; i < c->n; i++)
		if (c->items[i].tag->cfg->group == g->index)
			enqueue(&c->items[i]);
	loop_timer_set(loop_of(c), t, c->device->groups[g->index].cfg->scan_ms);
}

int cells_create(struct device *d, struct cells **out)
{
	struct cells *c = calloc(1, sizeof(*c));
	int rc = ERR_NOMEM;

	if (!c)
		return ERR_NOMEM;
	c->device = d;
	c->n = d->ntags;
	c->ngroups = d->cfg->ngroups;
	c->items = calloc(c->n + 1, sizeof(*c->items));
	c->groups = calloc(c->ngroups + 1, sizeof(*c->groups));
	for (size_t i = 0; c->items && i < c->n; i++)
		list_init(&c->items[i].node);
	if (c->items && c->groups)
		rc = OK;
	for (size_t i = 0; rc == OK && i < c->ngroups; i++) {
		c->groups[i] = (struct cells_group){.owner = c, .index = i};
		loop_timer_init(&c->groups[i].timer, scan_due);
	}
	for (size_t i = 0; rc == OK && i < c->n; i++)
		rc = make_cell(c, i);
	if (rc < 0) {
		cells_destroy(c);
		return rc;
	}
	*out = c;
	return OK;
}

void cells_destroy(struct cells *c)
{
	if (!c)
		return;
	for (size_t i = 0; c->items && i < c->n; i++) {
		list_remove(&c->items[i].node);
		free(c->items[i].expr);
		free(c->items[i].operands);
		free(c->items[i].windows);
	}
	free(c->items);
	free(c->groups);
	free(c);
}

void cells_start(struct cells *c)
{
	device_online(c->device);
	for (size_t i = 0; i < c->n; i++)
		enqueue(&c->items[i]);
	for (size_t i = 0; i < c->ngroups; i++)
		loop_timer_set(loop_of(c), &c->groups[i].timer, c->device->groups[i].cfg->scan_ms);
}

void cells_stop(struct cells *c)
{
	for (size_t i = 0; i < c->ngroups; i++)
		loop_timer_cancel(loop_of(c), &c->groups[i].timer);
	for (size_t i = 0; i < c->n; i++)
		list_remove(&c->items[i].node);
}

/* The program is the same, but the names in it lie in the text of the configuration. */
void cells_repoint(struct cells *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->items[i].expr)
			(void)!parse(&c->items[i]);
}

/* ---- hanging on tags ---- */

static struct span operand_device(const struct cell *c, unsigned i, struct span *name)
{
	const char *of = c->tag->cfg->counter.of, *slash = of ? strchr(of, '/') : NULL;

	if (c->expr) {
		*name = c->expr->tags[i].name;
		return c->expr->tags[i].device;
	}
	assert(slash); /* the configuration was checked */
	*name = span_str(slash + 1);
	return span_of(of, (size_t)(slash - of));
}

static void hang(struct field *f, struct cell *c, unsigned i)
{
	struct operand *o = &c->operands[i];
	struct span name, device = operand_device(c, i, &name);
	struct tag *t = access_find(f, device, name);

	o->dependant.next = NULL;
	if (!t) {
		o->reason = REASON_CONFIG; /* an attribute that the channel does not have */
		enqueue(c);
		return;
	}
	o->dependant.next = t->dependants;
	t->dependants = &o->dependant;
	if (t->device->is_kept && c->owner->device->is_kept)
		return;
	o->reason = REASON_OFFLINE;
	if (t->device->is_kept && t->now.ts_ms)
		operand_changed(&o->dependant, &t->now);
	enqueue(c);
}

void cells_link(struct field *f)
{
	list_for_each (line_node, &f->lines) {
		struct line *l = container_of(line_node, struct line, node);

		list_for_each (node, &l->devices) {
			struct cells *c = container_of(node, struct device, node)->cells;

			for (size_t i = 0; c && i < c->n; i++)
				for (unsigned k = 0; k < c->items[i].noperands; k++)
					hang(f, &c->items[i], k);
		}
	}
}

/* ---- the source ---- */

struct cells_source {
	struct source source;
	struct loop *loop;
	struct loop_timer timer;
	struct source_request *request; /* one at a time */
};

static void written(struct cell *c, const union source_data *data)
{
	struct modbus_value scratch;
	struct tag_sample s = tag_decode(c->tag, data, 0, loop_wall_ms(loop_of(c->owner)), &scratch);

	c->data = *data;
	if (c->tag->cfg->counter.of)
		c->count = count_of(&s.value);
	else
		c->sample = s;
	enqueue(c);
}

/* The cell whose place it is: the tags of a device stand in the order of their places. */
static struct cell *cell_at(const struct device *d, const struct source_request *r)
{
	for (size_t i = 0; d->cells && i < d->cells->n; i++)
		if (d->cells->items[i].tag->start == r->start)
			return &d->cells->items[i];
	return NULL;
}

static void source_due(struct loop_timer *t)
{
	struct cells_source *s = container_of(t, struct cells_source, timer);
	struct source_request *r = s->request;
	struct cell *c = cell_at(container_of(r, struct slot, req)->device, r);

	s->request = NULL;
	r->rc = c && (r->op == SOURCE_WRITE || r->op == SOURCE_READ) ? OK : ERR_UNSUPPORTED;
	r->answered_ms = loop_wall_ms(s->loop);
	r->busy_us = r->response_us = 0; /* there is no wire */
	if (r->rc == OK && r->op == SOURCE_WRITE)
		written(c, &r->data);
	else if (r->rc == OK)
		r->data = c->data; /* to verify a write */
	r->done(r);
}

static void source_submit(struct source *source, struct source_request *r)
{
	struct cells_source *s = container_of(source, struct cells_source, source);

	assert(!s->request);
	s->request = r;
	loop_timer_set(s->loop, &s->timer, 0);
}

static void source_cancel(struct source *source, struct source_request *r)
{
	struct cells_source *s = container_of(source, struct cells_source, source);

	if (s->request != r)
		return;
	s->request = NULL;
	loop_timer_cancel(s->loop, &s->timer);
}

static void source_destroy(struct source *source)
{
	free(container_of(source, struct cells_source, source));
}

static const struct source_ops cells_source_ops = {
	.submit = source_submit, .cancel = source_cancel, .destroy = source_destroy};

int cells_source_create(struct loop *loop, struct source **out)
{
	struct cells_source *s = calloc(1, sizeof(*s));

	if (!s)
		return ERR_NOMEM;
	s->source.ops = &cells_source_ops;
	s->loop = loop;
	loop_timer_init(&s->timer, source_due);
	*out = &s->source;
	return OK;
}

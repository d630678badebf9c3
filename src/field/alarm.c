#include "field/alarm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/log.h"
#include "field/internal.h"

struct alarm {
	struct dependant dependant;
	struct hmap_node by_name; /* in alarms->names */
	struct alarms *owner;
	const struct config_alarm *cfg;
	bool is_raised;
	struct tag_sample sample; /* the last; without text */
	struct loop_timer delay;  /* while it is beyond and not raised yet */
};

struct alarms {
	struct field *field;
	struct alarm *items;
	size_t n;
	struct hmap names;
};

static void tell(struct alarm *a, bool is_raised)
{
	struct field *f = a->owner->field;
	struct wr w = wr_of(f->payload, f->payload_size);
	const struct alarm_event e = {
		.name = a->cfg->name,
		.is_raised = is_raised,
		.tag = a->cfg->tag,
		.value = a->sample.value,
		.quality = a->sample.quality,
		.reason = a->sample.reason,
		.ts_ms = loop_wall_ms(f->loop),
		.text = a->cfg->text,
		.severity = config_severity_text(a->cfg->severity),
	};
	int n;

	a->is_raised = is_raised;
	log_notice("field", "alarm \"%s\" of %s: %s", a->cfg->name, a->cfg->tag,
		   is_raised ? "raised" : "cleared");
	json_of(f)->encode_event(&w, &e);
	n = snprintf(f->topic, sizeof(f->topic), "%s/_gateway/event", f->cfg->gateway.root);
	if (!w.bad && n > 0 && (size_t)n < sizeof(f->topic))
		publish(f, f->topic, false, span_of(f->payload, f->payload_size - w.left));
}

/* Is the value beyond a limit that is moved by `margin` towards the inside? */
static bool is_beyond(const struct config_alarm *cfg, double value, double margin)
{
	return value > cfg->above - margin || value < cfg->below + margin;
}

static void alarm_changed(struct dependant *dep, const struct tag_sample *s)
{
	struct alarm *a = container_of(dep, struct alarm, dependant);
	struct loop *loop = a->owner->field->loop;
	double value = tag_value_to_double(&s->value);
	bool is_bad = s->quality == QUALITY_BAD || isnan(value), beyond;

	if (is_bad && !a->cfg->quality) {
		loop_timer_cancel(loop, &a->delay); /* it was not beyond all the time, as far as we know */
		return;
	}
	beyond = is_bad || is_beyond(a->cfg, value, a->is_raised ? a->cfg->hysteresis : 0);
	a->sample = *s;
	if (s->value.kind == TAG_STRING || s->value.kind == TAG_BYTES)
		a->sample.value = tag_none(); /* borrowed */
	if (beyond == a->is_raised) {
		loop_timer_cancel(loop, &a->delay);
		return;
	}
	if (!beyond)
		tell(a, false);
	else if (a->cfg->delay_ms == 0)
		tell(a, true);
	else if (!loop_timer_pending(&a->delay))
		loop_timer_set(loop, &a->delay, a->cfg->delay_ms);
}

static void delay_over(struct loop_timer *t)
{
	tell(container_of(t, struct alarm, delay), true);
}

/* ---- making ---- */

int alarms_create(struct field *f, const struct gateway_config *cfg, struct alarms **out)
{
	struct alarms *a = calloc(1, sizeof(*a));

	if (!a)
		return ERR_NOMEM;
	a->field = f;
	a->n = cfg->nalarms;
	a->items = calloc(a->n + 1, sizeof(*a->items));
	if (!a->items) {
		free(a);
		return ERR_NOMEM;
	}
	for (size_t i = 0; i < a->n; i++) {
		a->items[i] = (struct alarm){
			.dependant.changed = alarm_changed, .owner = a, .cfg = &cfg->alarms[i]};
		loop_timer_init(&a->items[i].delay, delay_over);
		hmap_insert(&a->names, &a->items[i].by_name, hash_span(0, span_str(cfg->alarms[i].name)));
	}
	*out = a;
	return OK;
}

static struct alarm *find_same(struct alarms *a, const struct config_alarm *cfg)
{
	struct hmap_node *n = hmap_find(&a->names, hash_span(0, span_str(cfg->name)));

	while (n && !config_alarm_equal(container_of(n, struct alarm, by_name)->cfg, cfg))
		n = hmap_next(n);
	return n ? container_of(n, struct alarm, by_name) : NULL;
}

/* One that waits out its delay begins to wait anew. */
void alarms_replace(struct alarms *old, struct alarms *next)
{
	for (size_t i = 0; old && i < old->n; i++) {
		struct alarm *a = &old->items[i], *same = find_same(next, a->cfg);

		if (same) {
			same->is_raised = a->is_raised;
			same->sample = a->sample;
		} else if (a->is_raised) {
			tell(a, false);
		}
	}
	alarms_destroy(old);
}

void alarms_link(struct alarms *a)
{
	for (size_t i = 0; i < a->n; i++) {
		struct alarm *item = &a->items[i];
		const char *slash = strchr(item->cfg->tag, '/');
		struct tag *t =
			access_find(a->field, span_of(item->cfg->tag, (size_t)(slash - item->cfg->tag)),
				    span_str(slash + 1));

		if (!t)
			continue; /* an attribute that the channel does not have */
		item->dependant.next = t->dependants;
		t->dependants = &item->dependant;
		if (t->device->is_kept && t->now.ts_ms && !item->is_raised)
			alarm_changed(&item->dependant, &t->now);
	}
}

void alarms_destroy(struct alarms *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->n; i++)
		loop_timer_cancel(a->field->loop, &a->items[i].delay);
	hmap_fini(&a->names);
	free(a->items);
	free(a);
}

/*
 * What goes to the sink and when: the policies of docs/publishing.md.
 */
#include <math.h>

#include "base/log.h"
#include "field/internal.h"

#define TAG_QOS 1 /* a subscriber gets the lower of this and its own */

static void send(struct field *f, const struct payload_format *format, const char *topic, bool retain,
		 struct span payload)
{
	struct tag_message m = {.topic = topic, .payload = payload, .qos = TAG_QOS, .retain = retain};

	if (payload.len)
		m.content_type = format->content_type;
	f->sink->publish(f->sink, &m);
}

void publish(struct field *f, const char *topic, bool retain, struct span payload)
{
	send(f, json_of(f), topic, retain, payload);
}

/* ---- samples that are kept ---- */

/* A copy whose text and bytes lie in `room`. */
static void copy_sample(struct tag_sample *to, const struct tag_sample *s, uint8_t *room)
{
	*to = *s;
	if (s->value.kind != TAG_STRING && s->value.kind != TAG_BYTES)
		return;
	memcpy(room, s->value.s.p, s->value.s.len);
	to->value.s.p = room;
}

static void publish_tag(struct tag *t)
{
	const struct device *d = t->device;
	struct field *f = d->line->field;
	const struct config_policy *policy = t->cfg->policy;
	const struct payload_format *format = (*f->formats)[policy->payload];
	struct wr w = wr_of(f->payload, f->payload_size);
	const struct payload_names names = {.gateway = f->cfg->gateway.name,
					    .device = d->cfg->name,
					    .group = d->groups[t->cfg->group].cfg->name,
					    .tag = t->cfg->name,
					    .unit = t->unit,
					    .template = policy->template};

	format->encode_tag(&w, &t->now, &names);
	if (w.bad)
		log_error("field", "device \"%s\" tag \"%s\": the payload is too long", d->cfg->name,
			  t->cfg->name);
	else if (t->is_found)
		send(f, format, t->topic, true, span_of(f->payload, f->payload_size - w.left));
}

void publish_now(struct tag *t)
{
	struct group *g = &t->device->groups[t->cfg->group];

	copy_sample(&t->last, &t->now, t->text);
	t->is_published = true;
	t->is_held = false;
	t->published_at = loop_now_ms(t->device->line->field->loop);
	if (g->cfg->message != CONFIG_MESSAGE_GROUP)
		publish_tag(t);
	if (g->cfg->message != CONFIG_MESSAGE_TAGS)
		group_add(g, t);
	pace_published(t);
}

/* ---- policies ---- */

/* From min to max, or else what its map gives; INFINITY: nobody says. */
static double range_of(const struct config_tag *tag)
{
	double range = tag->max - tag->min;

	return isfinite(range) || !tag->map ? range : fabs(tag->map->value[1] - tag->map->value[0]);
}

/* Percent are of the tag's range, as in OPC UA part 8, 7.2; without one, of the value published last. */
static double deadband_of(const struct tag *t)
{
	const struct config_deadband *d = &t->cfg->policy->deadband;
	double range = range_of(t->cfg);

	if (!d->is_percent || !tag_value_is_number(&t->last.value))
		return d->amount;
	return d->amount / 100 * (isfinite(range) ? range : fabs(tag_value_to_double(&t->last.value)));
}

static bool is_changed(const struct tag *t)
{
	return tag_sample_changed(&t->last, &t->now, deadband_of(t));
}

/*
 *           value > above                        value < below
 *   INSIDE ---------------> ABOVE        INSIDE ---------------> BELOW
 *          <---------------                     <---------------
 *     value <= above - hysteresis          value >= below + hysteresis
 */
static enum zone zone_of(const struct tag *t)
{
	const struct config_policy *p = t->cfg->policy;
	const struct tag_value *v = &t->now.value;
	double up = t->zone == ZONE_ABOVE ? p->above - p->hysteresis : p->above;
	double down = t->zone == ZONE_BELOW ? p->below + p->hysteresis : p->below;

	if (!tag_value_is_number(v))
		return (enum zone)t->zone;
	if (tag_value_compare_limit(v, up) > 0)
		return ZONE_ABOVE;
	return tag_value_compare_limit(v, down) < 0 ? ZONE_BELOW : ZONE_INSIDE;
}

/* Outside, changes are told as with on_change; inside, only that it is inside again. What is no number has no outside. */
static bool is_told_by_threshold(struct tag *t)
{
	enum zone before = (enum zone)t->zone;

	t->zone = (uint8_t)zone_of(t);
	if (t->zone != before)
		return true;
	return (t->zone != ZONE_INSIDE || !tag_value_is_number(&t->now.value)) && is_changed(t);
}

/* The scan nearest to the end of the period. */
static bool is_due_by_period(const struct tag *t, const struct config_group *g, uint64_t now)
{
	return now - t->published_at + g->scan_ms / 2 >= t->cfg->policy->period_ms;
}

static bool is_due(struct tag *t, const struct config_group *g, uint64_t now)
{
	const struct config_policy *p = t->cfg->policy;

	switch (p->publish) {
	case CONFIG_PUBLISH_EVERY_SCAN:
		return true;
	case CONFIG_PUBLISH_PERIOD:
		return is_due_by_period(t, g, now);
	case CONFIG_PUBLISH_THRESHOLD:
		return is_told_by_threshold(t);
	default:
		return is_changed(t);
	}
}

void publish_sample(struct device *d, struct tag *t, const struct tag_sample *s)
{
	uint64_t now = loop_now_ms(d->line->field->loop);
	bool is_news, is_wanted;

	copy_sample(&t->now, s, t->text ? t->text + t->text_max + 1 : NULL);
	access_sample(t);
	if (t->dependants)
		dependants_tell(t->dependants, &t->now);
	is_news = !t->is_published || t->last.quality != s->quality || t->last.reason != s->reason;
	is_wanted = is_due(t, d->groups[t->cfg->group].cfg, now);
	if (is_news || (is_wanted && !pace_is_cooling(t, now)))
		publish_now(t);
	else if (is_wanted)
		t->is_held = true;
}

bool publish_is_bad_again(const struct tag *t, const struct config_group *g, uint64_t now)
{
	const struct config_policy *p = t->cfg->policy;

	if (!t->is_published || t->now.quality != QUALITY_BAD || pace_is_cooling(t, now))
		return false;
	return p->publish == CONFIG_PUBLISH_EVERY_SCAN ||
	       (p->publish == CONFIG_PUBLISH_PERIOD && is_due_by_period(t, g, now));
}

void publish_bad(struct device *d, struct tag *t, enum reason reason)
{
	struct tag_sample s = {
		.quality = QUALITY_BAD, .reason = reason, .ts_ms = loop_wall_ms(d->line->field->loop)};

	if (!t->is_published || t->now.quality != QUALITY_BAD || t->now.reason != reason)
		publish_sample(d, t, &s);
}

/* ---- states of devices and lines ---- */

static struct refused_text refused_text_of(const struct refused_range *r)
{
	struct refused_text t;
	const char *area = config_area_text((enum config_area)r->area);

	if (r->end - r->start == 1)
		snprintf(t.text, sizeof(t.text), "%s:%u", area, r->start);
	else
		snprintf(t.text, sizeof(t.text), "%s:%u%c%u", area, r->start,
			 r->kind == REFUSED_PAIR ? '|' : '-', r->end - 1);
	return t;
}

static size_t groups_of(const struct device *d, struct group_status *to)
{
	size_t n = 0;

	for (size_t i = 0; i < d->cfg->ngroups && n < GROUPS_SHOWN_MAX; i++)
		to[n++] = (struct group_status){.name = d->groups[i].cfg->name,
						.scan_ms = d->groups[i].cfg->scan_ms,
						.times = &d->groups[i].times};
	return n;
}

struct device_status device_status_of(const struct device *d)
{
	static const char *const states[] = {"connecting", "online", "offline"};
	struct group_status *groups = d->line->field->groups;
	size_t n = groups_of(d, groups);
	struct device_status s = {
		.state = states[d->state],
		.since_ms = d->since_ms,
		.last_ok_ms = d->last_ok_ms,
		.last_error = d->last_error[0] ? d->last_error : NULL,
		.counters = &d->counters,
		.response = &d->response,
		.groups = groups,
		.ngroups = n,
		.more_groups = d->cfg->ngroups - n,
		.nrefused = d->refused.n,
		.is_safe = d->line->safe.is_on,
	};

	for (size_t i = 0; i < d->refused.n && i < DEVICE_REFUSED_MAX; i++)
		s.refused[i] = refused_text_of(&d->refused.ranges[i]);
	return s;
}

void publish_status(struct device *d)
{
	struct field *f = d->line->field;
	struct device_status s = device_status_of(d);
	struct wr w = wr_of(f->payload, f->payload_size);

	d->shown = d->counters;
	json_of(f)->encode_status(&w, &s);
	if (!w.bad)
		publish(f, d->status_topic, true, span_of(f->payload, f->payload_size - w.left));
}

struct line_status line_status_of(const struct line *l)
{
	struct line_status s = {.name = l->cfg->name,
				.is_safe = l->safe.is_on,
				.waiting = l->njobs,
				.passes = l->npasses,
				.utilisation = l->utilisation,
				.counters = &l->counters};
	size_t connecting = 0;

	for (const struct list *n = l->devices.next; n != &l->devices; n = n->next) {
		const struct device *d = (const void *)((const char *)n - offsetof(struct device, node));

		s.devices++;
		s.online += d->state == DEVICE_ONLINE;
		connecting += d->state == DEVICE_CONNECTING;
	}
	s.state = s.online ? "online" : connecting ? "connecting" : s.devices > 0 ? "offline" : "idle";
	return s;
}

bool line_topic(struct field *f, const struct line *l)
{
	int n = snprintf(f->topic, sizeof(f->topic), "%s/_gateway/line/%s", f->cfg->gateway.root,
			 l->cfg->name);

	return n > 0 && (size_t)n < sizeof(f->topic);
}

void publish_line(struct line *l)
{
	struct field *f = l->field;
	struct line_status s = line_status_of(l);
	struct wr w = wr_of(f->payload, f->payload_size);

	json_of(f)->encode_line(&w, &s);
	if (!w.bad && line_topic(f, l))
		publish(f, f->topic, true, span_of(f->payload, f->payload_size - w.left));
}

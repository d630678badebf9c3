/*
 * What goes to the sink and when.
 */
#include <stdio.h>

#include "base/log.h"
#include "field/internal.h"

#define TAG_QOS 1 /* a subscriber gets the lower of this and its own */

bool topic_compose(struct field *f, const char *device, const char *last)
{
	int n = snprintf(f->topic, sizeof(f->topic), "%s/%s/%s", f->cfg->gateway.root, device, last);

	return n > 0 && (size_t)n < sizeof(f->topic);
}

void publish(struct field *f, const char *topic, bool retain, struct span payload)
{
	struct tag_message m = {.topic = topic, .payload = payload, .qos = TAG_QOS, .retain = retain};

	if (payload.len)
		m.content_type = f->format->content_type;
	f->sink->publish(f->sink, &m);
}

/* What was published last, with text and bytes copied into the tag's own room. */
static void remember(struct tag *t, const struct tag_sample *s, uint64_t now)
{
	t->last = *s;
	t->is_published = true;
	t->published_at = now;
	if (s->value.kind != TAG_STRING && s->value.kind != TAG_BYTES)
		return;
	memcpy(t->text, s->value.s.p, s->value.s.len);
	t->last.value.s.p = t->text;
}

static void publish_tag(struct device *d, struct tag *t, const struct tag_sample *s)
{
	struct field *f = d->line->field;
	struct wr w = wr_of(f->payload, sizeof(f->payload));

	f->format->encode_tag(&w, s, t->unit);
	if (w.bad || !topic_compose(f, d->cfg->name, t->cfg->name)) {
		log_error("field", "device \"%s\" tag \"%s\": topic or payload is too long", d->cfg->name,
			  t->cfg->name);
		return;
	}
	remember(t, s, loop_now_ms(f->loop));
	publish(f, f->topic, true, span_of(f->payload, sizeof(f->payload) - w.left));
}

static bool is_due(const struct tag *t, const struct config_group *g, const struct tag_sample *s,
		   uint64_t now)
{
	if (!t->is_published || t->last.quality != s->quality || t->last.reason != s->reason)
		return true;
	switch (g->publish) {
	case CONFIG_PUBLISH_EVERY_SCAN:
		return true;
	case CONFIG_PUBLISH_PERIOD: /* the scan nearest to the end of the period */
		return now - t->published_at + g->scan_ms / 2 >= g->period_ms;
	default:
		return tag_sample_changed(&t->last, s, t->cfg->deadband);
	}
}

void publish_sample(struct device *d, struct tag *t, const struct tag_sample *s)
{
	const struct config_group *g = d->groups[t->cfg->group].cfg;

	access_sample(t, s);
	if (is_due(t, g, s, loop_now_ms(d->line->field->loop)))
		publish_tag(d, t, s);
}

void publish_bad(struct device *d, struct tag *t, enum reason reason)
{
	struct tag_sample s = {
		.quality = QUALITY_BAD, .reason = reason, .ts_ms = loop_wall_ms(d->line->field->loop)};

	access_sample(t, &s);
	if (!t->is_published || t->last.quality != QUALITY_BAD || t->last.reason != reason)
		publish_tag(d, t, &s);
}

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
	struct wr w = wr_of(f->payload, sizeof(f->payload));

	d->shown = d->counters;
	f->format->encode_status(&w, &s);
	if (!w.bad && topic_compose(f, d->cfg->name, "_status"))
		publish(f, f->topic, true, span_of(f->payload, sizeof(f->payload) - w.left));
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
	struct wr w = wr_of(f->payload, sizeof(f->payload));

	f->format->encode_line(&w, &s);
	if (!w.bad && line_topic(f, l))
		publish(f, f->topic, true, span_of(f->payload, sizeof(f->payload) - w.left));
}

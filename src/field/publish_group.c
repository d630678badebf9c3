/*
 * Messages of groups: what was to be published of a group in one scan goes out as one message when the scan is done. What
 * comes outside of a scan (a device that went silent, the end of an interval) goes out in the loop's next turn.
 */
#include "base/log.h"
#include "field/internal.h"

#define GROUP_QOS 1

/* A part of a group's tags: those of [first, end) that are to be sent. */
struct part {
	struct payload_group group;
	const struct group *of;
	size_t first, end;
};

static bool is_member(const struct group *g, const struct tag *t)
{
	return t->is_in_message && &t->device->groups[t->cfg->group] == g;
}

static bool next_member(const struct payload_group *pg, size_t *at, struct payload_member *m)
{
	const struct part *p = container_of((struct payload_group *)(uintptr_t)pg, struct part, group);
	const struct tag *tags = p->of->device->tags;

	for (size_t i = p->first + *at; i < p->end; i++) {
		if (!is_member(p->of, &tags[i]))
			continue;
		*m = (struct payload_member){tags[i].cfg->name, &tags[i].now};
		*at = i + 1 - p->first;
		return true;
	}
	return false;
}

static struct part part_of(const struct group *g, size_t first, size_t end)
{
	struct part p = {.group = {.gateway = g->device->line->field->cfg->gateway.name,
				   .device = g->device->cfg->name,
				   .group = g->cfg->name,
				   .ts_ms = INT64_MIN,
				   .next = next_member},
			 .of = g,
			 .first = first,
			 .end = end};
	struct payload_member m;

	for (size_t at = 0; next_member(&p.group, &at, &m);)
		if (m.sample->ts_ms > p.group.ts_ms)
			p.group.ts_ms = m.sample->ts_ms;
	return p;
}

static const struct payload_format *format_of(const struct group *g)
{
	const struct field *f = g->device->line->field;
	const struct payload_format *format = (*f->formats)[g->cfg->policy->payload];

	return format->encode_group ? format : json_of(f);
}

/* False: it does not fit. Nothing to send fits. */
static bool send_part(const struct group *g, size_t first, size_t end)
{
	struct field *f = g->device->line->field;
	const struct payload_format *format = format_of(g);
	struct part p = part_of(g, first, end);
	struct wr w = wr_of(f->payload, f->payload_room);
	struct tag_message m = {.topic = g->topic,
				.qos = GROUP_QOS,
				.retain = g->cfg->retain,
				.content_type = format->content_type};

	if (p.group.ts_ms == INT64_MIN)
		return true;
	format->encode_group(&w, &p.group);
	if (w.bad)
		return false;
	m.payload = span_of(f->payload, f->payload_room - w.left);
	f->sink->publish(f->sink, &m);
	return true;
}

/* As many messages as it takes. */
static void send_split(const struct group *g, size_t first, size_t end)
{
	size_t middle = first + (end - first) / 2;

	if (send_part(g, first, end))
		return;
	if (end - first == 1) {
		log_error("field", "device \"%s\" tag \"%s\": too long for a message", g->device->cfg->name,
			  g->device->tags[first].cfg->name);
		return;
	}
	send_split(g, first, middle);
	send_split(g, middle, end);
}

/* A bad value is told once, but a message that is to have all values has it as long as it is bad. */
static void add_bad_again(struct group *g, uint64_t now)
{
	for (size_t i = g->first_tag; i < g->end_tags; i++) {
		struct tag *t = &g->device->tags[i];

		if (&g->device->groups[t->cfg->group] == g && publish_is_bad_again(t, g->cfg, now))
			t->is_in_message = true;
	}
}

void group_scanned(struct group *g)
{
	if (!list_empty(&g->unsent))
		add_bad_again(g, loop_now_ms(g->device->line->field->loop));
	group_flush(g);
}

void group_flush(struct group *g)
{
	uint64_t now = loop_now_ms(g->device->line->field->loop);

	if (list_empty(&g->unsent))
		return;
	list_remove(&g->unsent);
	send_split(g, g->first_tag, g->end_tags);
	for (size_t i = g->first_tag; i < g->end_tags; i++) {
		struct tag *t = &g->device->tags[i];

		if (!is_member(g, t))
			continue;
		t->is_in_message = false;
		t->published_at = now; /* for all the same, so that they stay together */
		pace_published(t);
	}
}

void group_flush_soon(struct group *g)
{
	struct field *f = g->device->line->field;

	if (!list_empty(&g->unsent) && !loop_timer_pending(&f->unsent_timer))
		loop_timer_set(f->loop, &f->unsent_timer, 0);
}

void group_add(struct group *g, struct tag *t)
{
	t->is_in_message = true;
	if (list_empty(&g->unsent))
		list_append(&g->device->line->field->unsent, &g->unsent);
	if (!g->is_open)
		group_flush_soon(g);
}

void groups_flush(struct loop_timer *timer)
{
	struct field *f = container_of(timer, struct field, unsent_timer);

	list_for_each (node, &f->unsent) {
		struct group *g = container_of(node, struct group, unsent);

		if (!g->plan.nitems)
			group_scanned(g); /* computed: its scans have no end of their own */
		else if (!g->is_open)
			group_flush(g);
	}
}

/*
 * Time in policies, without a timer for each tag. Tags with the same min_interval and period share a pace: two lists in the
 * order in which tags were published, so that the first of each is the next one whose time comes.
 *
 *     published ---> cooling ---min_interval---> waiting ---period---> published again
 *                       '------- news were held back -----------------^
 *
 * Without min_interval a tag waits at once; without period it leaves the lists after cooling.
 */
#include <stdlib.h>

#include "field/internal.h"

struct pace {
	struct list node; /* field->paces */
	struct field *field;
	uint32_t min_interval_ms, period_ms; /* 0: none */
	size_t ntags;
	struct list cooling, waiting; /* tag.paced */
	struct loop_timer timer;
};

static struct tag *first_of(struct list *l)
{
	return list_empty(l) ? NULL : container_of(l->next, struct tag, paced);
}

/* For the next one whose time comes. */
static void arm(struct pace *p)
{
	const struct tag *cooling = first_of(&p->cooling), *waiting = first_of(&p->waiting);
	uint64_t now = loop_now_ms(p->field->loop), due = UINT64_MAX;

	if (cooling)
		due = cooling->published_at + p->min_interval_ms;
	if (waiting && waiting->published_at + p->period_ms < due)
		due = waiting->published_at + p->period_ms;
	if (due != UINT64_MAX)
		loop_timer_set(p->field->loop, &p->timer, due > now ? due - now : 0);
}

static void pace_due(struct loop_timer *timer)
{
	struct pace *p = container_of(timer, struct pace, timer);
	uint64_t now = loop_now_ms(p->field->loop);
	struct tag *t;

	while ((t = first_of(&p->cooling)) && now - t->published_at >= p->min_interval_ms) {
		list_remove(&t->paced);
		if (t->is_held)
			publish_now(t);
		else if (p->period_ms)
			list_append(&p->waiting, &t->paced);
	}
	while ((t = first_of(&p->waiting)) && now - t->published_at >= p->period_ms)
		publish_now(t);
	arm(p);
}

static struct pace *find(struct field *f, uint32_t min_interval_ms, uint32_t period_ms)
{
	list_for_each (node, &f->paces) {
		struct pace *p = container_of(node, struct pace, node);

		if (p->min_interval_ms != min_interval_ms || p->period_ms != period_ms)
			continue;
		/* The next tag probably has the same. */
		list_remove(node);
		list_insert_before(f->paces.next, node);
		return p;
	}
	return NULL;
}

static struct pace *create(struct field *f, uint32_t min_interval_ms, uint32_t period_ms)
{
	struct pace *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->field = f;
	p->min_interval_ms = min_interval_ms;
	p->period_ms = period_ms;
	list_init(&p->node);
	list_init(&p->cooling);
	list_init(&p->waiting);
	loop_timer_init(&p->timer, pace_due);
	list_append(&f->paces, &p->node);
	return p;
}

int pace_join(struct field *f, struct tag *t)
{
	const struct config_policy *policy = t->cfg->policy;
	uint32_t period_ms = policy->publish == CONFIG_PUBLISH_ON_CHANGE_OR_PERIOD ? policy->period_ms : 0;
	uint32_t min_interval_ms = policy->publish == CONFIG_PUBLISH_PERIOD ? 0 : policy->min_interval_ms;

	list_init(&t->paced);
	if (!period_ms && !min_interval_ms)
		return OK;
	t->pace = find(f, min_interval_ms, period_ms);
	if (!t->pace)
		t->pace = create(f, min_interval_ms, period_ms);
	if (!t->pace)
		return ERR_NOMEM;
	t->pace->ntags++;
	return OK;
}

void pace_leave(struct tag *t)
{
	if (!t->pace)
		return;
	list_remove(&t->paced);
	t->pace->ntags--;
	t->pace = NULL;
}

void pace_published(struct tag *t)
{
	struct pace *p = t->pace;

	if (!p)
		return;
	list_remove(&t->paced);
	list_append(p->min_interval_ms ? &p->cooling : &p->waiting, &t->paced);
	if (!loop_timer_pending(&p->timer))
		arm(p);
}

bool pace_is_cooling(const struct tag *t, uint64_t now)
{
	return t->pace && now - t->published_at < t->pace->min_interval_ms;
}

void pace_drop_unused(struct field *f)
{
	list_for_each (node, &f->paces) {
		struct pace *p = container_of(node, struct pace, node);

		if (p->ntags)
			continue;
		loop_timer_cancel(f->loop, &p->timer);
		list_remove(node);
		free(p);
	}
}

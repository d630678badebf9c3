/*
 * The tags as others see them.
 */
#include "field/access.h"

#include <string.h>

#include "base/hash.h"
#include "field/internal.h"

static uint64_t name_hash(struct span device, struct span tag)
{
	return hash_span(hash_span(0, device), tag);
}

static struct tag *tag_of(struct hmap_node *n)
{
	return n ? container_of(n, struct tag, by_name) : NULL;
}

void access_enter(struct device *d)
{
	struct hmap *names = &d->line->field->names;

	for (size_t i = 0; i < d->ntags; i++)
		hmap_insert(names, &d->tags[i].by_name,
			    name_hash(span_str(d->cfg->name), span_str(d->tags[i].cfg->name)));
	d->is_entered = true;
}

void access_leave(struct device *d)
{
	struct hmap *names = &d->line->field->names;

	for (size_t i = 0; d->is_entered && i < d->ntags; i++)
		hmap_remove(names, &d->tags[i].by_name);
	d->is_entered = false;
}

struct tag *access_find(struct field *f, struct span device, struct span tag)
{
	struct tag *t = tag_of(hmap_find(&f->names, name_hash(device, tag)));

	while (t && !(span_equal(span_str(t->cfg->name), tag) &&
		      span_equal(span_str(t->device->cfg->name), device)))
		t = tag_of(hmap_next(&t->by_name));
	return t;
}

struct tag *field_find_tag(struct field *f, const char *device, const char *tag)
{
	return access_find(f, span_str(device), span_str(tag));
}

struct tag_sample field_tag_now(const struct tag *t)
{
	return t->now;
}

/* ---- watchers ---- */

void field_watch(struct field *f, struct field_watcher *w)
{
	w->field = f;
	list_append(&f->watchers, &w->node);
}

/* Whoever goes through the list is about to call the next one: it may be this. */
void field_unwatch(struct field_watcher *w)
{
	for (struct watch_round *r = w->field ? w->field->rounds : NULL; r; r = r->outer)
		if (r->next == &w->node)
			r->next = w->node.next;
	list_remove(&w->node);
	w->field = NULL;
}

static void round_begin(struct field *f, struct watch_round *r)
{
	*r = (struct watch_round){.outer = f->rounds, .next = f->watchers.next};
	f->rounds = r;
}

/* NULL: all were called. */
static struct field_watcher *round_next(struct field *f, struct watch_round *r)
{
	struct list *node = r->next;

	if (node == &f->watchers) {
		f->rounds = r->outer;
		return NULL;
	}
	r->next = node->next;
	return container_of(node, struct field_watcher, node);
}

void access_sample(struct tag *t)
{
	struct field *f = t->device->line->field;
	struct field_watcher *w;
	struct watch_round r;

	round_begin(f, &r);
	while ((w = round_next(f, &r)))
		if (w->sample)
			w->sample(w, t, &t->now);
}

void access_applied(struct field *f)
{
	struct field_watcher *w;
	struct watch_round r;

	round_begin(f, &r);
	while ((w = round_next(f, &r)))
		if (w->applied)
			w->applied(w);
}

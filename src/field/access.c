/*
 * The tags as others see them.
 */
#include "field/access.h"

#include <string.h>

#include "base/hash.h"
#include "field/internal.h"

static uint64_t name_hash(const char *device, const char *tag)
{
	return hash_bytes(hash_bytes(0, device, strlen(device)), tag, strlen(tag));
}

static struct tag *tag_of(struct hmap_node *n)
{
	return n ? container_of(n, struct tag, by_name) : NULL;
}

void access_enter(struct device *d)
{
	struct hmap *names = &d->line->field->names;

	for (size_t i = 0; i < d->ntags; i++)
		hmap_insert(names, &d->tags[i].by_name, name_hash(d->cfg->name, d->tags[i].cfg->name));
	d->is_entered = true;
}

void access_leave(struct device *d)
{
	struct hmap *names = &d->line->field->names;

	for (size_t i = 0; d->is_entered && i < d->ntags; i++)
		hmap_remove(names, &d->tags[i].by_name);
	d->is_entered = false;
}

struct tag *field_find_tag(struct field *f, const char *device, const char *tag)
{
	struct tag *t = tag_of(hmap_find(&f->names, name_hash(device, tag)));

	while (t && (strcmp(t->cfg->name, tag) != 0 || strcmp(t->device->cfg->name, device) != 0))
		t = tag_of(hmap_next(&t->by_name));
	return t;
}

struct tag_sample field_tag_now(const struct tag *t)
{
	return t->now;
}

/* ---- watchers ---- */

void field_watch(struct field *f, struct field_watcher *w)
{
	list_append(&f->watchers, &w->node);
}

void field_unwatch(struct field_watcher *w)
{
	list_remove(&w->node);
}

void access_sample(struct tag *t)
{
	struct field *f = t->device->line->field;

	list_for_each (node, &f->watchers) {
		struct field_watcher *w = container_of(node, struct field_watcher, node);

		if (w->sample)
			w->sample(w, t, &t->now);
	}
}

void access_applied(struct field *f)
{
	list_for_each (node, &f->watchers) {
		struct field_watcher *w = container_of(node, struct field_watcher, node);

		if (w->applied)
			w->applied(w);
	}
}

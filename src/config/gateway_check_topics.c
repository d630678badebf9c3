/*
 * Topics that users lay out themselves: two tags on one topic would be each other's value.
 */
#include <stdlib.h>
#include <string.h>

#include "config/gateway_check.h"
#include "config/text_template.h"

#define WRITABLE_LEVELS_MAX (TOPIC_LEVELS_MAX - 2) /* {topic}/set/result */

/* Where a topic comes from, for the message about the second one. */
struct place {
	size_t device, item;
	bool is_group;
};

struct topics {
	struct checker *c;
	const struct doc_node *devices;
	struct arena arena; /* until the check ends */
	struct name_set names;
	struct place *places;
	size_t nplaces;
};

static const struct doc_node *item_at(const struct doc_node *list, size_t index)
{
	const struct doc_node *n = list ? list->first : NULL;

	while (n && n->index != index)
		n = n->next;
	return n;
}

/* The tag, group or device that a topic is of; a device that names none has no other place. */
static const struct doc_node *node_of(const struct topics *t, const struct place *p)
{
	const struct doc_node *device = item_at(t->devices, p->device);
	const struct doc_node *item = item_at(doc_get(device, p->is_group ? "groups" : "tags"), p->item);

	return item ? item : device;
}

static void fault_depth(struct topics *t, const struct place *p, const char *topic, size_t levels,
			bool is_writable)
{
	schema_fault_key(t->c->r, node_of(t, p), p->is_group ? "group_topic" : "topic",
			 "found \"%s\" with %zu levels, allowed: %d%s", topic, levels,
			 is_writable ? WRITABLE_LEVELS_MAX : TOPIC_LEVELS_MAX,
			 is_writable ? ", for /set/result follows" : "");
}

static int add_topic(struct topics *t, const char *template, const char *const *names, const struct place *p,
		     bool is_writable)
{
	char buf[TOPIC_TEMPLATE_BYTES], path[FAULT_PATH_BYTES];
	size_t len = topic_template_expand(template, names, buf, sizeof(buf)), there;
	const struct doc_node *other;
	const char *copy;

	if (!len) {
		schema_fault_key(t->c->r, node_of(t, p), p->is_group ? "group_topic" : "topic",
				 "makes a topic of more than %u bytes, allowed: no more",
				 TOPIC_TEMPLATE_BYTES - 1);
		return OK;
	}
	if (topic_levels(buf) > (is_writable ? WRITABLE_LEVELS_MAX : TOPIC_LEVELS_MAX))
		fault_depth(t, p, buf, topic_levels(buf), is_writable);
	if (!(copy = arena_text(&t->arena, buf, len)))
		return ERR_NOMEM;
	t->places[t->nplaces] = *p;
	if (name_set_add(&t->names, copy, t->nplaces++, &there) == OK)
		return OK;
	other = node_of(t, &t->places[there]);
	schema_fault_key(t->c->r, node_of(t, p), p->is_group ? "group_topic" : "topic",
			 "makes the topic \"%s\", as %s at line %u does, allowed: a topic for each, such as "
			 "with %s in it",
			 buf, doc_path(other, NULL, path, sizeof(path)), other->line,
			 p->is_group ? "${device} and ${group}" : "${device} and ${tag}");
	return OK;
}

static int add_device(struct topics *t, size_t index)
{
	const struct config_device *dev = &t->c->cfg->devices[index];
	const char *names[TOPIC_NAMES] = {
		[TOPIC_ROOT] = t->c->cfg->gateway.root,
		[TOPIC_GATEWAY] = t->c->cfg->gateway.name,
		[TOPIC_LINE] = dev->line_name,
		[TOPIC_DEVICE] = dev->name,
	};
	int rc = OK;

	for (size_t i = 0; i < dev->ngroups && rc == OK; i++) {
		const struct config_group *g = &dev->groups[i];

		names[TOPIC_GROUP] = g->name;
		if (g->message != CONFIG_MESSAGE_TAGS)
			rc = add_topic(t, g->group_topic ? g->group_topic : TOPIC_TEMPLATE_GROUP_DEFAULT,
				       names, &(struct place){index, i, true}, false);
	}
	for (size_t i = 0; i < dev->ntags && rc == OK; i++) {
		const struct config_tag *tag = &dev->tags[i];

		names[TOPIC_GROUP] = dev->groups[tag->group].name;
		names[TOPIC_TAG] = tag->name;
		rc = add_topic(t, tag->policy->topic ? tag->policy->topic : TOPIC_TEMPLATE_DEFAULT, names,
			       &(struct place){index, i, false}, tag->writable);
	}
	return rc;
}

/* Is there a template at all? Topics of the usual layout differ as names do. */
static bool has_templates(const struct gateway_config *cfg, size_t *ntopics)
{
	bool has = false;

	*ntopics = 0;
	for (size_t i = 0; i < cfg->ndevices; i++) {
		const struct config_device *d = &cfg->devices[i];

		*ntopics += d->ntags + d->ngroups;
		for (size_t k = 0; k < d->ngroups; k++)
			has = has || d->groups[k].group_topic;
		for (size_t k = 0; k < d->ntags && !has; k++)
			has = d->tags[k].policy && d->tags[k].policy->topic;
	}
	return has;
}

int gateway_check_topics(struct checker *c, const struct doc_node *devices)
{
	struct topics t = {.c = c, .devices = devices};
	size_t n;
	int rc;

	/* Names that are wrong, or there twice, have faults of their own. */
	if (faults_any(c->r->faults) || !has_templates(c->cfg, &n))
		return OK;
	t.places = arena_array(&t.arena, n, sizeof(*t.places));
	rc = t.places ? name_set_init(&t.names, &t.arena, n) : ERR_NOMEM;
	for (size_t i = 0; i < c->cfg->ndevices && rc == OK; i++)
		rc = add_device(&t, i);
	arena_free(&t.arena);
	return rc;
}

/*
 * Topics of a device, made once, and whose a topic is.
 */
#include <stdlib.h>

#include "base/hash.h"
#include "base/log.h"
#include "config/text_template.h"
#include "field/internal.h"

#define STATUS_TEMPLATE "${root}/${device}/_status"

struct maker {
	const char *names[TOPIC_NAMES];
	char *at;     /* where the next one goes; NULL: only count */
	size_t bytes; /* of all */
	bool is_too_long;
};

static const char *make(struct maker *m, const char *template)
{
	char buf[TOPIC_TEMPLATE_BYTES];
	size_t len = topic_template_expand(template, m->names, buf, sizeof(buf));
	char *topic = m->at;

	m->is_too_long = m->is_too_long || len == 0;
	m->bytes += len + 1;
	if (m->at) {
		memcpy(m->at, buf, len + 1);
		m->at += len + 1;
	}
	return topic;
}

static void make_all(struct maker *m, struct device *d)
{
	d->status_topic = make(m, STATUS_TEMPLATE);
	for (size_t i = 0; i < d->cfg->ngroups; i++) {
		const struct config_group *g = d->groups[i].cfg;

		m->names[TOPIC_GROUP] = g->name;
		if (g->message != CONFIG_MESSAGE_TAGS)
			d->groups[i].topic =
				make(m, g->group_topic ? g->group_topic : TOPIC_TEMPLATE_GROUP_DEFAULT);
	}
	for (size_t i = 0; i < d->ntags; i++) {
		const struct config_tag *t = d->tags[i].cfg;

		m->names[TOPIC_GROUP] = d->cfg->groups[t->group].name;
		m->names[TOPIC_TAG] = t->name;
		d->tags[i].topic = make(m, t->policy->topic ? t->policy->topic : TOPIC_TEMPLATE_DEFAULT);
	}
}

int topics_create(struct device *d, const struct gateway_config *cfg)
{
	struct maker m = {.names = {[TOPIC_ROOT] = cfg->gateway.root,
				    [TOPIC_GATEWAY] = cfg->gateway.name,
				    [TOPIC_LINE] = d->cfg->line_name,
				    [TOPIC_DEVICE] = d->cfg->name}};

	make_all(&m, d);
	if (m.is_too_long)
		return ERR_TOO_LARGE;
	d->topics = malloc(m.bytes);
	if (!d->topics)
		return ERR_NOMEM;
	m.at = d->topics;
	make_all(&m, d);
	return OK;
}

struct tag *topics_find(struct field *f, struct span topic)
{
	uint64_t hash = hash_span(0, topic);

	for (struct hmap_node *n = hmap_find(&f->tags, hash); n; n = hmap_next(n)) {
		struct tag *t = container_of(n, struct tag, by_topic);

		if (span_equal(span_str(t->topic), topic))
			return t;
	}
	return NULL;
}

/* The configuration was checked for two on one topic, but attributes of channels are not in it: the first has it. */
void topics_enter(struct device *d)
{
	struct field *f = d->line->field;

	for (size_t i = 0; i < d->ntags; i++) {
		struct tag *t = &d->tags[i];
		struct span topic = span_str(t->topic);

		if (topics_find(f, topic)) {
			log_error("field",
				  "device \"%s\" tag \"%s\": its topic %s is another's, it is not published",
				  d->cfg->name, t->cfg->name, t->topic);
			continue;
		}
		hmap_insert(&f->tags, &t->by_topic, hash_span(0, topic));
		t->is_found = true;
	}
}

void topics_leave(struct device *d)
{
	for (size_t i = 0; i < d->ntags; i++) {
		if (d->tags[i].is_found)
			hmap_remove(&d->line->field->tags, &d->tags[i].by_topic);
		d->tags[i].is_found = false;
	}
}

static bool take_end(struct span *topic, const char *end)
{
	size_t n = strlen(end);

	if (topic->len < n || memcmp(topic->p + topic->len - n, end, n) != 0)
		return false;
	topic->len -= n;
	return true;
}

bool topics_are_own(struct field *f, const char *topic)
{
	const char *root = f->cfg->gateway.root;
	struct span rest = span_str(topic);
	size_t n = strlen(root);

	if (strncmp(topic, root, n) == 0 && (topic[n] == '/' || topic[n] == '\0'))
		return true;
	(void)take_end(&rest, "/result");
	(void)take_end(&rest, "/set");
	return topics_find(f, rest) || topics_find(f, span_str(topic));
}

/* ---- what is no more ---- */

static bool any_device(const struct field *f, bool (*has)(const struct device *d, const char *topic),
		       const char *topic)
{
	for (struct list *l = f->lines.next; l != &f->lines; l = l->next) {
		const struct line *line = container_of(l, struct line, node);

		for (struct list *n = line->devices.next; n != &line->devices; n = n->next)
			if (has(container_of(n, struct device, node), topic))
				return true;
	}
	return false;
}

static bool has_status(const struct device *d, const char *topic)
{
	return strcmp(d->status_topic, topic) == 0;
}

static bool has_retained_group(const struct device *d, const char *topic)
{
	for (size_t i = 0; i < d->cfg->ngroups; i++)
		if (d->groups[i].topic && d->groups[i].cfg->retain && strcmp(d->groups[i].topic, topic) == 0)
			return true;
	return false;
}

static bool publishes_itself(const struct tag *t)
{
	return t->device->groups[t->cfg->group].cfg->message != CONFIG_MESSAGE_GROUP;
}

static void clear(struct field *f, const char *topic)
{
	publish(f, topic, true, span_of(NULL, 0));
}

void topics_clear(struct field *f, const struct device *d)
{
	for (size_t i = 0; i < d->ntags; i++) {
		const struct tag *t = &d->tags[i], *heir = topics_find(f, span_str(t->topic));

		if (publishes_itself(t) && !(heir && publishes_itself(heir)))
			clear(f, t->topic);
	}
	for (size_t i = 0; i < d->cfg->ngroups; i++)
		if (d->groups[i].topic && d->groups[i].cfg->retain &&
		    !any_device(f, has_retained_group, d->groups[i].topic))
			clear(f, d->groups[i].topic);
	if (!any_device(f, has_status, d->status_topic))
		clear(f, d->status_topic);
}

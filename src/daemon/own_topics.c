#include "daemon/own_topics.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "config/io_config.h"
#include "config/names.h"
#include "config/text_template.h"
#include "wire/mqtt.h"

#define NAME_BYTES (4 * CONFIG_NAME_MAX)

struct own_table {
	struct arena arena;
	struct span root;
	struct name_set devices;
	struct name_set topics; /* of tags and groups whose topic the user laid out */
	size_t ntopics;
	bool has_channels; /* attributes of channels are named after them: site/rack/ai0.mode */
};

struct own_topics {
	struct mqtt_policy policy;
	_Atomic(struct own_table *) table;
	struct uplink_terms *terms;
};

static int add_device(struct own_table *t, const char *name)
{
	const char *copy = arena_text(&t->arena, name, strlen(name));

	return copy ? name_set_add(&t->devices, copy, 0, NULL) : ERR_NOMEM;
}

static int add_topic(struct own_table *t, const char *template, const char *const *names)
{
	char buf[TOPIC_TEMPLATE_BYTES];
	size_t len = topic_template_expand(template, names, buf, sizeof(buf));
	const char *copy = arena_text(&t->arena, buf, len);
	int rc = copy ? name_set_add(&t->topics, copy, 0, NULL) : ERR_NOMEM;

	t->ntopics += rc == OK;
	return rc == ERR_EXISTS ? OK : rc;
}

static int add_topics_of(struct own_table *t, const struct gateway_config *cfg,
			 const struct config_device *dev)
{
	const char *names[TOPIC_NAMES] = {[TOPIC_ROOT] = cfg->gateway.root,
					  [TOPIC_GATEWAY] = cfg->gateway.name,
					  [TOPIC_LINE] = dev->line_name,
					  [TOPIC_DEVICE] = dev->name};
	bool is_rack = config_line_is_rack(&cfg->lines[dev->line]);
	int rc = OK;

	for (size_t i = 0; i < dev->ngroups && rc == OK; i++) {
		names[TOPIC_GROUP] = dev->groups[i].name;
		if (dev->groups[i].group_topic)
			rc = add_topic(t, dev->groups[i].group_topic, names);
	}
	for (size_t i = 0; i < dev->ntags && rc == OK; i++) {
		const struct config_tag *tag = &dev->tags[i];
		const struct config_group *g = &dev->groups[tag->group];

		names[TOPIC_GROUP] = g->name;
		names[TOPIC_TAG] = tag->name;
		if (tag->policy->topic)
			rc = add_topic(t, tag->policy->topic, names);
		if (rc == OK && is_rack && g->policy->topic)
			rc = add_topic(t, g->policy->topic, names);
		t->has_channels = t->has_channels || (is_rack && g->policy->topic);
	}
	return rc;
}

/* As many as there can be. */
static size_t count_topics(const struct gateway_config *cfg)
{
	size_t n = 0;

	for (size_t i = 0; i < cfg->ndevices; i++) {
		const struct config_device *dev = &cfg->devices[i];

		for (size_t k = 0; k < dev->ngroups; k++)
			n += dev->groups[k].group_topic != NULL;
		for (size_t k = 0; k < dev->ntags; k++)
			n += (dev->tags[k].policy->topic != NULL) +
			     (dev->groups[dev->tags[k].group].policy->topic != NULL);
	}
	return n;
}

static int add_topics(struct own_table *t, const struct gateway_config *cfg)
{
	int rc = name_set_init(&t->topics, &t->arena, count_topics(cfg));

	for (size_t i = 0; i < cfg->ndevices && rc == OK; i++)
		rc = add_topics_of(t, cfg, &cfg->devices[i]);
	return rc;
}

int own_table_create(const struct gateway_config *cfg, struct own_table **out)
{
	struct own_table *t = calloc(1, sizeof(*t));
	const char *root;
	int rc;

	if (!t)
		return ERR_NOMEM;
	root = arena_text(&t->arena, cfg->gateway.root, strlen(cfg->gateway.root));
	rc = root ? name_set_init(&t->devices, &t->arena, cfg->ndevices) : ERR_NOMEM;
	for (size_t i = 0; i < cfg->ndevices && rc == OK; i++)
		rc = add_device(t, cfg->devices[i].name);
	if (rc == OK)
		rc = add_topics(t, cfg);
	if (rc < 0) {
		own_table_destroy(t);
		return rc;
	}
	t->root = span_str(root);
	*out = t;
	return OK;
}

void own_table_destroy(struct own_table *t)
{
	if (!t)
		return;
	arena_free(&t->arena);
	free(t);
}

/* Take the first level off `topic`; what is left is empty and NULL behind the last one. */
static struct span take_level(struct span *topic)
{
	const uint8_t *slash = topic->len ? memchr(topic->p, '/', topic->len) : NULL;
	struct span level = span_of(topic->p, slash ? (size_t)(slash - topic->p) : topic->len);

	*topic = slash ? span_of(slash + 1, topic->len - level.len - 1) : span_of(NULL, 0);
	return level;
}

static bool is_device(const struct own_table *t, struct span level)
{
	char name[NAME_BYTES + 1];
	size_t value;

	if (level.len == 0 || level.len > NAME_BYTES)
		return false;
	memcpy(name, level.p, level.len);
	name[level.len] = '\0';
	return name_set_find(&t->devices, name, &value) == OK;
}

static bool is_topic(const struct own_table *t, struct span topic)
{
	char name[TOPIC_TEMPLATE_BYTES];
	size_t value;

	if (topic.len >= sizeof(name))
		return false;
	memcpy(name, topic.p, topic.len);
	name[topic.len] = '\0';
	return name_set_find(&t->topics, name, &value) == OK;
}

/* Is it one when what a dot begins is left out, up to the end of that level? */
static bool is_attribute(const struct own_table *t, struct span topic)
{
	uint8_t name[TOPIC_TEMPLATE_BYTES];

	for (size_t dot = 0; topic.len < sizeof(name) && dot < topic.len; dot++) {
		const uint8_t *slash = memchr(topic.p + dot, '/', topic.len - dot);
		size_t rest = slash ? (size_t)(topic.p + topic.len - slash) : 0;

		if (topic.p[dot] != '.')
			continue;
		memcpy(name, topic.p, dot);
		if (rest)
			memcpy(name + dot, slash, rest);
		if (is_topic(t, span_of(name, dot + rest)))
			return true;
	}
	return false;
}

static bool is_own(const struct own_table *t, struct span topic)
{
	return is_topic(t, topic) || (t->has_channels && is_attribute(t, topic));
}

static bool take_end(struct span *topic, const char *end)
{
	size_t n = strlen(end);

	if (topic->len <= n || memcmp(topic->p + topic->len - n, end, n) != 0)
		return false;
	topic->len -= n;
	return true;
}

/* Topics that the user laid out. False: it is none of these, and nothing below them. */
static bool judge_laid_out(const struct own_table *t, const struct mqtt_publish_request *r, uint8_t *verdict,
			   bool *command)
{
	struct span topic = r->topic;

	*verdict = MQTT_RC_NOT_AUTHORIZED;
	if (is_own(t, topic))
		return true;
	if (take_end(&topic, "/set")) {
		if (!is_own(t, topic))
			return false;
		*verdict = r->retain ? MQTT_RC_RETAIN_NOT_SUPPORTED : MQTT_RC_SUCCESS;
		*command = !r->retain;
		return true;
	}
	return take_end(&topic, "/set/result") && is_own(t, topic);
}

static uint8_t may_publish(struct mqtt_policy *p, const struct mqtt_publish_request *r, bool *command)
{
	const struct own_topics *o = (const struct own_topics *)(const void *)p;
	const struct own_table *t = atomic_load_explicit(&o->table, memory_order_acquire);
	uint8_t verdict;
	struct span rest = r->topic, level;

	if (t->ntopics > 0 && judge_laid_out(t, r, &verdict, command))
		return verdict;
	if (rest.len <= t->root.len || rest.p[t->root.len] != '/' ||
	    memcmp(rest.p, t->root.p, t->root.len) != 0)
		return MQTT_RC_SUCCESS;
	rest = span_of(rest.p + t->root.len + 1, rest.len - t->root.len - 1);
	level = take_level(&rest);
	if (span_equal(level, span_str("_gateway")))
		return MQTT_RC_NOT_AUTHORIZED;
	if (!is_device(t, level))
		return MQTT_RC_SUCCESS;
	level = take_level(&rest); /* the tag, whose name the field side judges */
	if (!level.len || !span_equal(rest, span_str("set")))
		return MQTT_RC_NOT_AUTHORIZED;
	if (r->retain)
		return MQTT_RC_RETAIN_NOT_SUPPORTED;
	*command = true;
	return MQTT_RC_SUCCESS;
}

static struct mqtt_session_terms *session_terms(struct mqtt_policy *p, struct span client_id)
{
	return uplink_terms_found(container_of(p, struct own_topics, policy)->terms, client_id);
}

int own_topics_create(struct own_table *first, struct uplink_terms *terms, struct own_topics **out)
{
	struct own_topics *o = calloc(1, sizeof(*o));

	if (!o)
		return ERR_NOMEM;
	o->policy.publish = may_publish;
	o->policy.session = session_terms;
	o->terms = terms;
	atomic_init(&o->table, first);
	*out = o;
	return OK;
}

void own_topics_destroy(struct own_topics *o)
{
	if (!o)
		return;
	own_table_destroy(atomic_load(&o->table));
	free(o);
}

struct mqtt_policy *own_topics_policy(struct own_topics *o)
{
	return &o->policy;
}

struct own_table *own_topics_replace(struct own_topics *o, struct own_table *next)
{
	return atomic_exchange_explicit(&o->table, next, memory_order_acq_rel);
}

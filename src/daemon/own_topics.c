#include "daemon/own_topics.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "config/names.h"
#include "wire/mqtt.h"

#define NAME_BYTES (4 * CONFIG_NAME_MAX)

struct own_table {
	struct arena arena;
	struct span root;
	struct name_set devices;
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

static uint8_t may_publish(struct mqtt_policy *p, const struct mqtt_publish_request *r, bool *command)
{
	const struct own_topics *o = (const struct own_topics *)(const void *)p;
	const struct own_table *t = atomic_load_explicit(&o->table, memory_order_acquire);
	struct span rest = r->topic, level;

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

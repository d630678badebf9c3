/*
 * Policies of publishing: from the keys of four levels to the one that holds for each tag, and what must fit together in it.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "config/gateway_check.h"

/* A policy on the way down, with the places that a fault in it names. */
struct level {
	struct config_policy policy;
	const struct doc_node *publish_at, *payload_at, *bounds_at; /* the map that set it; NULL: nobody */
};

#define POLICY_BUCKETS 1024u

struct policy_node {
	struct policy_node *next;
	struct config_policy policy;
};

struct policy_set {
	struct policy_node *buckets[POLICY_BUCKETS];
};

static const char *const publish_names[] = {"every_scan", "on_change", "period", "on_change_or_period",
					    "threshold"};

/* ---- the same policy once ---- */

static uint64_t mix(uint64_t h, double x)
{
	uint64_t bits;

	memcpy(&bits, &x, sizeof(bits));
	return (h ^ bits) * 1099511628211u;
}

static size_t bucket_of(const struct config_policy *p)
{
	uint64_t h = 14695981039346656037u;

	h = mix(h, (double)p->publish * 8 + (double)p->payload);
	h = mix(h, p->period_ms);
	h = mix(h, p->min_interval_ms);
	h = mix(h, p->above);
	h = mix(h, p->below);
	h = mix(h, p->hysteresis);
	h = mix(h, p->deadband.amount);
	for (const char *t = p->topic ? p->topic : ""; *t; t++)
		h = (h ^ (unsigned char)*t) * 1099511628211u;
	return (size_t)(h ^ h >> 32) % POLICY_BUCKETS;
}

static int share(struct checker *c, const struct config_policy *p, const struct config_policy **out)
{
	struct policy_node **at = &c->policies->buckets[bucket_of(p)], *n;

	for (n = *at; n; n = n->next)
		if (config_policy_equal(&n->policy, p))
			break;
	if (!n) {
		n = arena_alloc(c->r->arena, sizeof(*n));
		if (!n)
			return ERR_NOMEM;
		n->policy = *p;
		n->next = *at;
		*at = n;
	}
	*out = &n->policy;
	return OK;
}

/* ---- down the levels ---- */

static void descend(struct level *l, const struct config_policy_keys *k, const struct doc_node *at)
{
	struct config_policy *p = &l->policy;

	if (k->publish != CONFIG_PUBLISH_UNSET) {
		p->publish = (enum config_publish)k->publish;
		l->publish_at = at;
	}
	if (k->payload != CONFIG_PAYLOAD_UNSET) {
		p->payload = (enum config_payload)k->payload;
		l->payload_at = at;
	}
	if (!isnan(k->above) || !isnan(k->below) || !isnan(k->hysteresis))
		l->bounds_at = at;
	p->period_ms = k->period_ms ? k->period_ms : p->period_ms;
	p->min_interval_ms =
		k->min_interval_ms != CONFIG_INTERVAL_UNSET ? k->min_interval_ms : p->min_interval_ms;
	p->above = isnan(k->above) ? p->above : k->above;
	p->below = isnan(k->below) ? p->below : k->below;
	p->hysteresis = isnan(k->hysteresis) ? p->hysteresis : k->hysteresis;
	p->deadband = isnan(k->deadband.amount) ? p->deadband : k->deadband;
	p->topic = k->topic ? k->topic : p->topic;
	p->template = k->template ? k->template : p->template;
}

static bool is_periodic(const struct config_policy *p)
{
	return p->publish == CONFIG_PUBLISH_PERIOD || p->publish == CONFIG_PUBLISH_ON_CHANGE_OR_PERIOD;
}

/* Keys of this level that mean nothing beside what holds here. */
static void check_idle_keys(struct checker *c, const struct doc_node *at, const struct config_policy *p)
{
	const struct {
		const char *key;
		bool applies;
		const char *with;
	} keys[] = {
		{"period", is_periodic(p), "publish: period and publish: on_change_or_period"},
		{"above", p->publish == CONFIG_PUBLISH_THRESHOLD, "publish: threshold"},
		{"below", p->publish == CONFIG_PUBLISH_THRESHOLD, "publish: threshold"},
		{"hysteresis", p->publish == CONFIG_PUBLISH_THRESHOLD, "publish: threshold"},
		{"min_interval", p->publish != CONFIG_PUBLISH_PERIOD,
		 "publish: every_scan, on_change, on_change_or_period and threshold"},
		{"payload_template", p->payload == CONFIG_PAYLOAD_TEMPLATE, "payload: template"},
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!keys[i].applies && doc_get(at, keys[i].key))
			schema_fault_key(c->r, at, keys[i].key, "applies only with %s", keys[i].with);
}

static bool is_first_fault(struct checker *c, const struct doc_node *at)
{
	bool is_first = c->policy_fault_at != at;

	c->policy_fault_at = at;
	return is_first;
}

static void check_bounds(struct checker *c, const struct level *l)
{
	const struct config_policy *p = &l->policy;

	if (p->publish != CONFIG_PUBLISH_THRESHOLD || !l->bounds_at || !isfinite(p->above) ||
	    !isfinite(p->below))
		return;
	if (!(p->above > p->below) && is_first_fault(c, l->bounds_at))
		schema_fault_key(c->r, l->bounds_at, "above", "found %.15g, allowed: more than below, %.15g",
				 p->above, p->below);
	else if (p->above > p->below && !(p->hysteresis < p->above - p->below) &&
		 is_first_fault(c, l->bounds_at))
		schema_fault_key(c->r, l->bounds_at, "hysteresis",
				 "found %.15g, allowed: less than the %.15g between below and above",
				 p->hysteresis, p->above - p->below);
}

/* Does `at`, which asked for it, lack the key? With a wrong value there it has a fault already. */
static bool lacks(struct checker *c, const struct doc_node *at, const char *key)
{
	return at && !doc_get(at, key) && is_first_fault(c, at);
}

/* What holds for a tag must be complete; a fault names who asked for it, once. */
static void check_complete(struct checker *c, const struct level *l)
{
	const struct config_policy *p = &l->policy;

	if (is_periodic(p) && !p->period_ms && lacks(c, l->publish_at, "period"))
		schema_fault_key(c->r, l->publish_at, "period", "found nothing, needed with publish: %s",
				 publish_names[p->publish]);
	if (p->publish == CONFIG_PUBLISH_THRESHOLD && !isfinite(p->above) && !isfinite(p->below) &&
	    l->publish_at && !doc_get(l->publish_at, "below") && lacks(c, l->publish_at, "above"))
		schema_fault_key(c->r, l->publish_at, "above",
				 "found neither above nor below, needed with publish: threshold");
	if (p->payload == CONFIG_PAYLOAD_TEMPLATE && !p->template &&
	    lacks(c, l->payload_at, "payload_template"))
		schema_fault_key(c->r, l->payload_at, "payload_template",
				 "found nothing, needed with payload: template");
	if (p->publish == CONFIG_PUBLISH_ON_CHANGE_OR_PERIOD && p->period_ms &&
	    p->min_interval_ms > p->period_ms && l->publish_at && is_first_fault(c, l->publish_at))
		schema_fault_key(c->r, l->publish_at, "min_interval",
				 "found %" PRIu32 " ms, allowed: no more than period, %" PRIu32 " ms",
				 p->min_interval_ms, p->period_ms);
	check_bounds(c, l);
}

/* `at` is the map that has the keys, NULL when they are not from this file; `around` a map that has that. */
static struct level below(struct checker *c, const struct level *above, const struct config_policy_keys *keys,
			  const struct doc_node *at, const struct doc_node *around)
{
	struct level l = *above;

	if (!keys)
		return l;
	descend(&l, keys, at ? at : around);
	if (at)
		check_idle_keys(c, at, &l.policy);
	return l;
}

/* ---- tags, groups, devices ---- */

static bool is_number(const struct config_tag *tag)
{
	enum value_kind kind;

	if (tag->type >= VALUE_TYPE_COUNT)
		return true; /* a fault of its own */
	kind = value_type_info(tag->type)->kind;
	return kind == VALUE_KIND_INT || kind == VALUE_KIND_UINT || kind == VALUE_KIND_FLOAT;
}

/* min and max are limits of what may be written, or what percent are of. */
static void check_range(struct checker *c, const struct doc_node *node, const struct config_tag *tag,
			const struct config_policy *p)
{
	static const char *const bounds[] = {"min", "max"};

	for (size_t i = 0; i < 2 && !tag->writable && !p->deadband.is_percent && is_number(tag); i++)
		if (doc_get(node, bounds[i]))
			schema_fault_key(c->r, node, bounds[i],
					 "applies only with access: rw or a deadband in percent");
}

static int resolve_tag(struct checker *c, const struct doc_node *node, const struct doc_node *device,
		       const struct level *group, struct config_tag *tag)
{
	struct level l = below(c, group, tag->keys, node, device);

	if (tag->keys && node && !is_number(tag) && tag->keys->publish == CONFIG_PUBLISH_THRESHOLD)
		schema_fault_key(c->r, node, "publish",
				 "does not apply to the type %s, which has no above and below; remove it",
				 value_type_info(tag->type)->name);
	if (node)
		check_range(c, node, tag, &l.policy);
	check_complete(c, &l);
	return share(c, &l.policy, &tag->policy);
}

static void complete_group(struct config_group *g)
{
	bool is_neuron = g->policy->payload == CONFIG_PAYLOAD_NEURON_VALUES ||
			 g->policy->payload == CONFIG_PAYLOAD_NEURON_TAGS;

	if (g->message == CONFIG_MESSAGE_UNSET)
		g->message = is_neuron ? CONFIG_MESSAGE_GROUP : CONFIG_MESSAGE_TAGS;
}

static void check_group_message(struct checker *c, const struct doc_node *node, const struct config_group *g)
{
	static const char *const keys[] = {"retain", "group_topic"};

	for (size_t i = 0; i < 2 && g->message == CONFIG_MESSAGE_TAGS; i++)
		if (doc_get(node, keys[i]))
			schema_fault_key(c->r, node, keys[i],
					 "applies only with message: group and message: both");
}

/* The nodes of a list of maps by index, in `nodes`; NULL where there is none. */
static int nodes_of(struct checker *c, const struct doc_node *list, size_t n, const struct doc_node ***nodes)
{
	*nodes = arena_array(c->r->arena, n, sizeof(**nodes));
	if (!*nodes)
		return ERR_NOMEM;
	for (const struct doc_node *node = list && list->kind == DOC_LIST ? list->first : NULL; node;
	     node = node->next)
		if (node->kind == DOC_MAP && node->index < n)
			(*nodes)[node->index] = node;
	return OK;
}

static int resolve_groups(struct checker *c, const struct doc_node *node, const struct level *device,
			  struct config_device *dev, struct level *levels)
{
	const struct doc_node **nodes;
	int rc = nodes_of(c, doc_get(node, "groups"), dev->ngroups, &nodes);

	for (size_t i = 0; i < dev->ngroups && rc == OK; i++) {
		struct config_group *g = &dev->groups[i];

		levels[i] = below(c, device, g->keys, nodes[i], node);
		if ((rc = share(c, &levels[i].policy, &g->policy)) < 0)
			return rc;
		complete_group(g);
		if (nodes[i])
			check_group_message(c, nodes[i], g);
	}
	return rc;
}

static int resolve_tags(struct checker *c, const struct doc_node *node, struct config_device *dev,
			const struct level *groups, bool *has_tags)
{
	const struct doc_node *list = doc_get(node, "tags"),
			      *n = list && list->kind == DOC_LIST ? list->first : NULL;
	int rc;

	for (size_t i = 0; i < dev->ntags; i++) {
		struct config_tag *tag = &dev->tags[i];
		const struct doc_node *at = n && n->index == i && n->kind == DOC_MAP ? n : NULL;

		if (n && n->index == i)
			n = n->next;
		has_tags[tag->group] = true;
		if ((rc = resolve_tag(c, at, node, &groups[tag->group], tag)) < 0)
			return rc;
	}
	return OK;
}

/* What there is without any key. */
static const struct level initial = {
	.policy = {.publish = CONFIG_PUBLISH_ON_CHANGE, .above = INFINITY, .below = -INFINITY}};

int gateway_check_policies(struct checker *c, const struct doc_node *file, const struct doc_node *node,
			   struct config_device *dev)
{
	const struct doc_node *gateway = doc_get(file, "gateway");
	struct level *groups = arena_array(c->r->arena, dev->ngroups, sizeof(*groups));
	bool *has_tags = arena_array(c->r->arena, dev->ngroups, sizeof(*has_tags));
	struct level device = initial;
	int rc;

	if (!c->policies)
		c->policies = arena_alloc(c->r->arena, sizeof(*c->policies));
	if (!c->policies || !groups || !has_tags)
		return ERR_NOMEM;
	/* No key of the gateway or of a device is idle: they are for whoever below asks for them. */
	if (c->cfg->gateway.keys)
		descend(&device, c->cfg->gateway.keys, gateway);
	if (dev->keys)
		descend(&device, dev->keys, node);
	if (!dev->ngroups)
		return OK;
	if ((rc = resolve_groups(c, node, &device, dev, groups)) < 0 ||
	    (rc = resolve_tags(c, node, dev, groups, has_tags)) < 0)
		return rc;
	for (size_t i = 0; i < dev->ngroups; i++)
		if (!has_tags[i])
			check_complete(c, &groups[i]);
	return OK;
}

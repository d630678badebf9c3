#include <math.h>
#include <string.h>

#include "base/expr.h"
#include "config/gateway_check.h"
#include "config/gateway_rules.h"
#include "config/gateway_schema.h"
#include "config/io_config.h"

#define PLACES_EACH 4u /* registers of the largest number */
#define TAGS_MAX    (65536u / PLACES_EACH)

/* ---- names ---- */

static bool is_text(const char *text, struct span s)
{
	return text && strlen(text) == s.len && memcmp(text, s.p, s.len) == 0;
}

/* ai0.mode of ai0, when the device is on a rack: which attributes there are is known to its driver. */
static bool is_attribute(const struct config_device *dev, struct span name)
{
	const uint8_t *dot = name.len ? memchr(name.p, '.', name.len) : NULL;

	for (size_t i = 0; dot && i < dev->ntags; i++)
		if (config_area_is_rack(dev->tags[i].address.area) &&
		    is_text(dev->tags[i].name, span_of(name.p, (size_t)(dot - name.p))))
			return true;
	return false;
}

int gateway_find_tag(const struct gateway_config *cfg, struct span device, struct span name,
		     struct config_device **dev, struct config_tag **tag)
{
	*dev = NULL;
	*tag = NULL;
	for (size_t i = 0; i < cfg->ndevices && !*dev; i++)
		if (is_text(cfg->devices[i].name, device))
			*dev = &cfg->devices[i];
	for (size_t i = 0; *dev && i < (*dev)->ntags; i++) {
		if (!is_text((*dev)->tags[i].name, name))
			continue;
		*tag = &(*dev)->tags[i];
		return OK;
	}
	return *dev && is_attribute(*dev, name) ? OK : ERR_NOT_FOUND;
}

void gateway_split_tag(const char *text, struct span *device, struct span *name)
{
	const char *slash = strchr(text, '/');

	*device = span_of(text, slash ? (size_t)(slash - text) : 0);
	*name = slash ? span_str(slash + 1) : span_of(text, 0);
}

/* ---- one tag ---- */

static void apply_not(struct checker *c, const struct doc_node *node, const char *const *keys, size_t n,
		      const char *why)
{
	for (size_t i = 0; i < n; i++)
		if (doc_get(node, keys[i]))
			schema_fault_key(c->r, node, keys[i], "applies only %s", why);
}

static const char *const internal_keys[] = {"value", "expression", "counter"};

void gateway_check_wired_tag(struct checker *c, const struct doc_node *node)
{
	apply_not(c, node, internal_keys, 3, "on a line of type internal");
	if (!doc_get(node, "address"))
		schema_fault_key(c->r, node, "address", "found nothing, allowed: %s", rule_address.allowed);
}

/* The type, which is a bool or a number that has registers of its own. */
static bool check_type(struct checker *c, const struct doc_node *node, struct config_tag *tag)
{
	const struct value_type_info *t;

	if (tag->type == CONFIG_TYPE_UNSET) {
		if (doc_get(node, "type"))
			return false;
		tag->type = tag->counter.of ? VALUE_TYPE_UINT64 : VALUE_TYPE_FLOAT64;
	}
	switch (tag->type) {
	case VALUE_TYPE_BOOL:
	case VALUE_TYPE_INT16:
	case VALUE_TYPE_UINT16:
	case VALUE_TYPE_INT32:
	case VALUE_TYPE_UINT32:
	case VALUE_TYPE_INT64:
	case VALUE_TYPE_UINT64:
	case VALUE_TYPE_FLOAT32:
	case VALUE_TYPE_FLOAT64:
		break;
	default:
		t = value_type_info(tag->type);
		schema_fault_key(
			c->r, node, "type",
			"found \"%s\", allowed on an internal line: bool, int16, uint16, int32, uint32, "
			"int64, uint64, float32, float64",
			t->name);
		return false;
	}
	if (tag->counter.of && (tag->type == VALUE_TYPE_BOOL))
		schema_fault_key(c->r, node, "type", "found \"bool\", allowed for a counter: a number");
	return true;
}

static void check_value(struct checker *c, const struct doc_node *node, const struct config_tag *tag)
{
	if (tag->type == VALUE_TYPE_BOOL && tag->value != 0 && tag->value != 1)
		schema_fault_key(c->r, node, "value", "found %.15g, allowed with type: bool: 0 or 1",
				 tag->value);
	if (tag->value < tag->min || tag->value > tag->max)
		schema_fault_key(c->r, node, "value", "found %.15g, allowed: %.15g..%.15g, by min and max",
				 tag->value, tag->min, tag->max);
}

void gateway_check_internal_tag(struct checker *c, const struct doc_node *node, struct config_tag *tag,
				size_t index)
{
	static const char *const wired[] = {"address", "order", "byte", "length", "scale", "offset"};
	static const char *const bounds[] = {"min", "max"};
	unsigned kinds = 0;

	apply_not(c, node, wired, sizeof(wired) / sizeof(wired[0]),
		  "to what lies in a device, not on an internal line");
	for (size_t i = 0; i < 3; i++)
		kinds += doc_get(node, internal_keys[i]) != NULL;
	if (kinds != 1)
		schema_fault_key(c->r, node, kinds ? "value" : "name",
				 "found %u of value, expression and counter, needed: one of them", kinds);
	if (tag->writable && doc_get(node, "expression"))
		schema_fault_key(c->r, node, "access",
				 "found \"rw\", but what is computed can only be read, allowed: r");
	if (!tag->writable)
		apply_not(c, node, bounds, 2, "with access: rw");
	if (tag->min > tag->max)
		schema_fault_key(c->r, node, "max", "found %.15g, allowed: no less than min, %.15g", tag->max,
				 tag->min);
	if (!check_type(c, node, tag))
		return;
	if (index >= TAGS_MAX)
		schema_fault(c->r, node, "found more tags, allowed on a device of an internal line: %u",
			     TAGS_MAX);
	tag->order = value_type_default_order(tag->type);
	tag->address = (struct config_address){.area = tag->type == VALUE_TYPE_BOOL ? CONFIG_AREA_COIL
										    : CONFIG_AREA_HOLDING,
					       .number = (uint16_t)(index * PLACES_EACH),
					       .bit = -1};
	if (!isnan(tag->value))
		check_value(c, node, tag);
}

/* ---- what they are made from ---- */

static uint8_t rank_of(const struct gateway_config *cfg, struct span device, struct span name)
{
	struct config_device *dev;
	struct config_tag *tag;

	return gateway_find_tag(cfg, device, name, &dev, &tag) == OK && tag ? tag->rank : 0;
}

/* One more than the highest of its operands; what has a fault has rank 1. */
static unsigned rank_above(const struct gateway_config *cfg, const struct config_tag *tag)
{
	char unheard[EXPR_FAULT_MAX];
	struct span device, name;
	unsigned highest = 0;
	struct expr e;

	if (tag->counter.of) {
		gateway_split_tag(tag->counter.of, &device, &name);
		return 1u + rank_of(cfg, device, name);
	}
	if (expr_parse(span_str(tag->expression), &e, unheard) < 0)
		return 1;
	for (unsigned i = 0; i < e.ntags; i++) {
		unsigned rank = rank_of(cfg, e.tags[i].device, e.tags[i].name);

		highest = rank > highest ? rank : highest;
	}
	return 1 + highest;
}

static void check_reference(struct checker *c, const struct doc_node *node, const char *key,
			    struct span device, struct span name)
{
	struct config_device *dev;
	struct config_tag *tag;

	if (gateway_find_tag(c->cfg, device, name, &dev, &tag) < 0)
		schema_fault_key(c->r, node, key, "found \"%.*s/%.*s\", allowed: a tag that there is%s",
				 (int)device.len, (const char *)device.p, (int)name.len, (const char *)name.p,
				 dev ? "; the device has none of that name"
				     : "; there is no device of that name");
}

static void check_references(struct checker *c, const struct doc_node *node, const struct config_tag *tag)
{
	char fault[EXPR_FAULT_MAX];
	struct span device, name;
	struct expr e;

	if (tag->counter.of) {
		gateway_split_tag(tag->counter.of, &device, &name);
		check_reference(c, doc_get(node, "counter"), "of", device, name);
		return;
	}
	if (expr_parse(span_str(tag->expression), &e, fault) < 0) {
		schema_fault_key(c->r, node, "expression", "%s", fault);
		return;
	}
	for (unsigned i = 0; i < e.ntags; i++)
		check_reference(c, node, "expression", e.tags[i].device, e.tags[i].name);
}

static bool is_made(const struct config_tag *tag)
{
	return tag->expression || tag->counter.of;
}

/* Ranks rise until they are what they must be; in a circle they rise for ever. */
static bool raise_ranks(struct gateway_config *cfg)
{
	bool raised = false;

	for (size_t d = 0; d < cfg->ndevices; d++) {
		for (size_t i = 0; i < cfg->devices[d].ntags; i++) {
			struct config_tag *tag = &cfg->devices[d].tags[i];
			unsigned rank = is_made(tag) ? rank_above(cfg, tag) : 0;

			/* In a circle they could rise by its length with each pass. */
			rank = rank > CONFIG_RANKS_MAX ? CONFIG_RANKS_MAX + 1 : rank;
			if (rank == tag->rank)
				continue;
			tag->rank = (uint8_t)rank;
			raised = true;
		}
	}
	return raised;
}

static bool has_made_tags(const struct gateway_config *cfg)
{
	for (size_t d = 0; d < cfg->ndevices; d++)
		for (size_t i = 0; i < cfg->devices[d].ntags; i++)
			if (is_made(&cfg->devices[d].tags[i]))
				return true;
	return false;
}

static void check_made(struct checker *c, const struct doc_node *node, const struct config_tag *tag)
{
	const char *key = tag->expression ? "expression" : "counter";

	check_references(c, node, tag);
	if (tag->rank > CONFIG_RANKS_MAX)
		schema_fault_key(
			c->r, node, key,
			"it is made from itself, or from a chain of more than %d computed tags; remove one "
			"from the circle",
			CONFIG_RANKS_MAX);
}

static void check_device(struct checker *c, const struct doc_node *node, const struct config_device *dev)
{
	const struct doc_node *list = doc_get(node, "tags");

	for (const struct doc_node *n = list && dev->ntags ? list->first : NULL; n; n = n->next)
		if (n->kind == DOC_MAP && is_made(&dev->tags[n->index]))
			check_made(c, n, &dev->tags[n->index]);
}

void gateway_check_internal(struct checker *c, const struct doc_node *devices)
{
	if (!has_made_tags(c->cfg))
		return;
	for (unsigned pass = 0; pass <= CONFIG_RANKS_MAX && raise_ranks(c->cfg); pass++)
		;
	for (const struct doc_node *n = c->cfg->ndevices ? devices->first : NULL; n; n = n->next)
		if (n->kind == DOC_MAP)
			check_device(c, n, &c->cfg->devices[n->index]);
}

#include <string.h>

#include "config/gateway_check.h"
#include "config/gateway_rules.h"
#include "config/gateway_schema.h"
#include "config/io_config.h"

#define ADDRESSES 65536u

/* ---- groups ---- */

static int default_group(struct checker *c, struct config_device *dev)
{
	int rc;

	dev->groups = arena_alloc(c->r->arena, sizeof(*dev->groups));
	if (!dev->groups)
		return ERR_NOMEM;
	dev->ngroups = 1;
	if ((rc = schema_defaults(c->r, &gateway_group_schema, dev->groups)) < 0)
		return rc;
	dev->groups->name = "default";
	return OK;
}

static void check_period(struct checker *c, const struct doc_node *node, const struct config_group *g)
{
	const struct doc_node *period = doc_get(node, "period");

	if (g->publish == CONFIG_PUBLISH_PERIOD && !period)
		schema_fault_key(c->r, node, "period", "found nothing, needed with publish: period");
	if (g->publish != CONFIG_PUBLISH_PERIOD && period)
		schema_fault_key(c->r, node, "period", "applies only with publish: period");
}

static int check_groups(struct checker *c, const struct doc_node *node, struct config_device *dev,
			struct name_set *names)
{
	const struct doc_node *list = doc_get(node, "groups");
	int rc;

	if (!list || (list->kind == DOC_LIST && !list->count)) {
		if ((rc = default_group(c, dev)) < 0)
			return rc;
		if ((rc = name_set_init(names, c->r->arena, 1)) < 0)
			return rc;
		return name_set_add(names, "default", 0, NULL);
	}
	if ((rc = name_set_init(names, c->r->arena, dev->ngroups)) < 0)
		return rc;
	for (const struct doc_node *n = dev->ngroups ? list->first : NULL; n; n = n->next) {
		if (n->kind != DOC_MAP)
			continue;
		gateway_check_unique(c, names, n, dev->groups[n->index].name, n->index,
				     "group of this device");
		check_period(c, n, &dev->groups[n->index]);
	}
	return OK;
}

static void check_tag_group(struct checker *c, const struct doc_node *node, const struct config_device *dev,
			    const struct name_set *groups, struct config_tag *tag)
{
	if (!tag->group_name) {
		if (doc_get(node, "group") || !dev->ngroups)
			return;
		tag->group_name = dev->groups[0].name;
		if (dev->ngroups > 1)
			schema_fault_key(c->r, node, "group",
					 "found nothing, needed because the device has %zu groups",
					 dev->ngroups);
		return;
	}
	if (dev->ngroups && name_set_find(groups, tag->group_name, &tag->group) < 0)
		schema_fault_key(c->r, node, "group",
				 "found \"%s\", allowed: the name of one of the device's groups",
				 tag->group_name);
}

/* ---- what an area holds ---- */

static bool is_bit_area(enum config_area a)
{
	return a == CONFIG_AREA_COIL || a == CONFIG_AREA_DISCRETE || a == CONFIG_AREA_DI ||
	       a == CONFIG_AREA_DO || a == CONFIG_AREA_RELAY;
}

static bool is_output_area(enum config_area a)
{
	return a == CONFIG_AREA_COIL || a == CONFIG_AREA_HOLDING || a == CONFIG_AREA_DO ||
	       a == CONFIG_AREA_RELAY || a == CONFIG_AREA_AO;
}

static bool check_area(struct checker *c, const struct doc_node *node, const struct config_tag *tag,
		       const struct config_line *line)
{
	const struct config_address *a = &tag->address;
	bool is_rack = config_line_is_rack(line);
	unsigned channels;

	if (config_area_is_rack(a->area) != is_rack) {
		schema_fault_key(c->r, node, "address", "found the area %s, allowed on this line: %s",
				 config_area_text(a->area),
				 is_rack ? "di, do, relay, ai, ao, rtd, tc"
					 : "coil, discrete, input, holding");
		return false;
	}
	if (!is_rack)
		return true;
	channels = config_line_channels(line, a->area);
	if (channels == 0)
		schema_fault_key(c->r, node, "address",
				 "found the area %s, but the rack has no such channels",
				 config_area_text(a->area));
	else if (a->number >= channels)
		schema_fault_key(c->r, node, "address", "found channel %u, allowed: 0..%u", a->number,
				 channels - 1);
	return a->number < channels;
}

/* The type that the area has of itself, or CONFIG_TYPE_UNSET. */
static enum value_type area_type(enum config_area a)
{
	if (is_bit_area(a))
		return VALUE_TYPE_BOOL;
	return config_area_is_rack(a) ? VALUE_TYPE_FLOAT64 : CONFIG_TYPE_UNSET;
}

static void check_type(struct checker *c, const struct doc_node *node, struct config_tag *tag)
{
	enum value_type own = area_type(tag->address.area);

	if (tag->type == CONFIG_TYPE_UNSET && !doc_get(node, "type")) {
		tag->type = own;
		if (own == CONFIG_TYPE_UNSET)
			schema_fault_key(c->r, node, "type", "found nothing, needed in the area %s",
					 config_area_text(tag->address.area));
		return;
	}
	if (own != CONFIG_TYPE_UNSET && tag->type != CONFIG_TYPE_UNSET && tag->type != own)
		schema_fault_key(c->r, node, "type", "found \"%s\", allowed in the area %s: %s",
				 value_type_info(tag->type)->name, config_area_text(tag->address.area),
				 value_type_info(own)->name);
}

static void check_bit(struct checker *c, const struct doc_node *node, const struct config_tag *tag)
{
	bool is_bool = tag->type == VALUE_TYPE_BOOL, is_register = !is_bit_area(tag->address.area);

	if (is_bool && is_register && tag->address.bit < 0)
		schema_fault_key(c->r, node, "address", "a bool of a register needs its bit, such as %s:%u.0",
				 config_area_text(tag->address.area), tag->address.number);
	if (tag->address.bit >= 0 && (!is_bool || !is_register))
		schema_fault_key(c->r, node, "address", "found bit %d, allowed only for a bool of a register",
				 tag->address.bit);
}

static void check_span(struct checker *c, const struct doc_node *node, const struct config_tag *tag)
{
	unsigned registers = value_type_info(tag->type)->registers;

	if (!registers)
		registers = (tag->length + 1u) / 2u;
	if (!config_area_is_rack(tag->address.area) && tag->address.number + registers > ADDRESSES)
		schema_fault_key(c->r, node, "address", "%u registers from %u on end behind 65535", registers,
				 tag->address.number);
}

/* ---- keys that apply to some types only ---- */

static void check_order(struct checker *c, const struct doc_node *node, struct config_tag *tag)
{
	const struct value_type_info *type = value_type_info(tag->type);

	if (tag->order == CONFIG_ORDER_UNSET) {
		tag->order = value_type_default_order(tag->type);
		return;
	}
	if (config_area_is_rack(tag->address.area) || tag->type == VALUE_TYPE_BOOL ||
	    !value_type_takes_order(tag->type, tag->order))
		schema_fault_key(c->r, node, "order", "found \"%s\", which does not fit %s",
				 byte_order_info(tag->order)->name,
				 config_area_is_rack(tag->address.area) ? "a channel of a rack" : type->name);
}

static void check_applies(struct checker *c, const struct doc_node *node, const struct config_tag *tag)
{
	enum value_kind kind = value_type_info(tag->type)->kind;
	bool is_number = kind == VALUE_KIND_INT || kind == VALUE_KIND_UINT || kind == VALUE_KIND_FLOAT;
	bool is_bytes = kind == VALUE_KIND_STRING || kind == VALUE_KIND_BYTES;
	bool is_byte = tag->type == VALUE_TYPE_INT8 || tag->type == VALUE_TYPE_UINT8;
	const struct {
		const char *key;
		bool applies;
	} keys[] = {
		{"byte", is_byte},       {"length", is_bytes}, {"scale", is_number}, {"offset", is_number},
		{"deadband", is_number}, {"min", is_number},   {"max", is_number},
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!keys[i].applies && doc_get(node, keys[i].key))
			schema_fault_key(c->r, node, keys[i].key, "does not apply to the type %s",
					 value_type_info(tag->type)->name);
	if (is_bytes && !doc_get(node, "length"))
		schema_fault_key(c->r, node, "length", "found nothing, needed with the type %s: 1..%u bytes",
				 value_type_info(tag->type)->name, VALUE_BYTES_MAX);
}

/* One request writes at most 123 registers (MODBUS Application Protocol V1.1b3, 6.12). */
#define WRITABLE_BYTES_MAX (2u * 123u)

static void check_writing(struct checker *c, const struct doc_node *node, const struct config_tag *tag)
{
	static const char *const bounds[] = {"min", "max"};

	if (tag->writable && !is_output_area(tag->address.area))
		schema_fault_key(c->r, node, "access", "found \"rw\", but the area %s can only be read",
				 config_area_text(tag->address.area));
	if (tag->writable && tag->length > WRITABLE_BYTES_MAX)
		schema_fault_key(c->r, node, "length",
				 "found \"%u\", allowed with access: rw: 1..%u, what one request can write",
				 tag->length, WRITABLE_BYTES_MAX);
	for (size_t i = 0; i < 2; i++)
		if (!tag->writable && doc_get(node, bounds[i]))
			schema_fault_key(c->r, node, bounds[i], "applies only with access: rw");
}

static void check_numbers(struct checker *c, const struct doc_node *node, const struct config_tag *tag)
{
	if (tag->scale == 0)
		schema_fault_key(c->r, node, "scale", "found 0, allowed: any other number");
	if (tag->min > tag->max)
		schema_fault_key(c->r, node, "max", "found %.15g, allowed: no less than min, %.15g", tag->max,
				 tag->min);
}

static void check_tag(struct checker *c, const struct doc_node *node, struct config_tag *tag,
		      const struct config_line *line)
{
	check_numbers(c, node, tag);
	if (tag->address.bit == CONFIG_BIT_UNSET || !line || !check_area(c, node, tag, line))
		return;
	check_type(c, node, tag);
	check_writing(c, node, tag);
	if (tag->type == CONFIG_TYPE_UNSET)
		return;
	check_bit(c, node, tag);
	check_order(c, node, tag);
	check_applies(c, node, tag);
	check_span(c, node, tag);
	gateway_limit_output(line, tag);
}

/* A device without tags: the channels of a rack, or a fault. */
static int no_tags(struct checker *c, const struct doc_node *node, struct config_device *dev,
		   const struct config_line *line)
{
	if (!line || !dev->ngroups)
		return OK;
	if (!config_line_is_rack(line)) {
		schema_fault_key(c->r, node, "tags", "found nothing, allowed: a list of maps");
		return OK;
	}
	if (dev->ngroups > 1) {
		schema_fault_key(c->r, node, "groups",
				 "found %zu groups, allowed: one, because the device names no tags",
				 dev->ngroups);
		return OK;
	}
	return gateway_add_channels(c, dev, line);
}

int gateway_check_tags(struct checker *c, const struct doc_node *node, struct config_device *dev,
		       const struct config_line *line)
{
	const struct doc_node *list = doc_get(node, "tags");
	struct name_set groups, names;
	int rc;

	gateway_check_device_times(c, node, dev, line);
	if ((rc = check_groups(c, node, dev, &groups)) < 0)
		return rc;
	if (!list)
		return no_tags(c, node, dev, line);
	if ((rc = name_set_init(&names, c->r->arena, dev->ntags)) < 0)
		return rc;
	for (const struct doc_node *n = dev->ntags ? list->first : NULL; n; n = n->next) {
		if (n->kind != DOC_MAP)
			continue;
		gateway_check_unique(c, &names, n, dev->tags[n->index].name, n->index, "tag of this device");
		check_tag_group(c, n, dev, &groups, &dev->tags[n->index]);
		if (line && line->type == CONFIG_LINE_INTERNAL) {
			gateway_check_internal_tag(c, n, &dev->tags[n->index], n->index);
			continue;
		}
		gateway_check_wired_tag(c, n);
		check_tag(c, n, &dev->tags[n->index], line);
	}
	return OK;
}

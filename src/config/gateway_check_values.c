#include <math.h>
#include <string.h>

#include "config/gateway_check.h"
#include "config/gateway_rules.h"
#include "config/gateway_schema.h"
#include "config/io_config.h"

/* ---- numbers ---- */

static void check_points(struct checker *c, const struct doc_node *map, const char *key, const double *points)
{
	if (points[0] == points[1]) /* what could not be read is NaN */
		schema_fault_key(c->r, map, key, "found %.15g twice, allowed: two different numbers",
				 points[0]);
}

/* Numbers that are very far from each other have no finite scale between them, or one of 0. */
static void check_map_scale(struct checker *c, const struct doc_node *map, const struct config_map *m)
{
	double scale = (m->value[1] - m->value[0]) / (m->raw[1] - m->raw[0]);
	bool is_read = m->raw[0] != m->raw[1] && m->value[0] != m->value[1] && !isnan(scale);

	if (is_read && (scale == 0 || !isfinite(scale) || !isfinite(m->value[0] - m->raw[0] * scale)))
		schema_fault_key(
			c->r, map, "raw",
			"found points that no number scales to those of value, allowed: points nearer "
			"to each other");
}

void gateway_check_numbers(struct checker *c, const struct doc_node *node, struct config_tag *tag)
{
	static const char *const instead[] = {"scale", "offset", "scale_tag"};
	const struct doc_node *map = doc_get(node, "map");

	tag->has_invalid = doc_get(node, "invalid");
	if (tag->scale == 0)
		schema_fault_key(c->r, node, "scale", "found 0, allowed: any other number");
	if (tag->min > tag->max)
		schema_fault_key(c->r, node, "max", "found %.15g, allowed: no less than min, %.15g", tag->max,
				 tag->min);
	if (!tag->map)
		return;
	check_points(c, map, "raw", tag->map->raw);
	check_points(c, map, "value", tag->map->value);
	check_map_scale(c, map, tag->map);
	for (size_t i = 0; i < sizeof(instead) / sizeof(instead[0]); i++)
		if (doc_get(node, instead[i]))
			schema_fault_key(c->r, node, instead[i], "does not go with map: give one of them");
}

/* ---- what the address says along ---- */

static bool is_bytes(const struct config_tag *tag)
{
	enum value_kind kind = value_type_info(tag->type)->kind;

	return kind == VALUE_KIND_STRING || kind == VALUE_KIND_BYTES;
}

/* The number behind the dot: of a string its length, of anything else the bit. */
static void resolve_detail(struct checker *c, const struct doc_node *node, struct config_tag *tag)
{
	struct config_address *a = &tag->address;

	if (a->detail < 0)
		return;
	if (!is_bytes(tag) && a->detail > 63) {
		schema_fault_key(c->r, node, "address", "found bit %d, allowed: 0..63", a->detail);
	} else if (!is_bytes(tag)) {
		a->bit = (int8_t)a->detail;
	} else if (a->detail == 0 || (doc_get(node, "length") && tag->length != a->detail)) {
		schema_fault_key(c->r, node, "address", "found the length %d, allowed: 1..%u, as in length",
				 a->detail, VALUE_BYTES_MAX);
	} else {
		tag->length = (uint16_t)a->detail;
	}
}

static void resolve_address(struct checker *c, const struct doc_node *node, const struct config_device *dev,
			    struct config_tag *tag)
{
	struct config_address *a = &tag->address;

	if (a->unit >= 0 && a->unit != dev->unit)
		schema_fault_key(
			c->r, node, "address",
			"found unit %d, but the device has unit %u: give the unit that belongs here, "
			"or a device of its own",
			a->unit, dev->unit);
	resolve_detail(c, node, tag);
	if (a->order == CONFIG_ORDER_UNSET)
		return;
	if (doc_get(node, "order"))
		schema_fault_key(c->r, node, "order", "stands in the address, too: give one of them");
	else
		tag->order = (enum byte_order)a->order;
}

/* ---- bits and bytes ---- */

static void check_field(struct checker *c, const struct doc_node *node, struct config_tag *tag)
{
	unsigned width = value_type_info(tag->type)->bits, bit = 0;

	if (!value_type_takes_bits(tag->type)) {
		schema_fault_key(c->r, node, "bits",
				 "does not apply to the type %s, allowed: int16, uint16 and wider ones",
				 value_type_info(tag->type)->name);
		return;
	}
	if (tag->address.bit > 0)
		bit = (unsigned)tag->address.bit;
	if (bit + tag->bits > width)
		schema_fault_key(c->r, node, "bits", "found %u from bit %u on, allowed in %s: at most %u",
				 tag->bits, bit, value_type_info(tag->type)->name,
				 width > bit ? width - bit : 0);
}

static void check_bit(struct checker *c, const struct doc_node *node, struct config_tag *tag)
{
	bool is_bool = tag->type == VALUE_TYPE_BOOL, is_register = !config_is_bit_area(tag->address.area);

	if (doc_get(node, "bits")) {
		check_field(c, node, tag);
		return;
	}
	if (is_bool && is_register && tag->address.bit < 0)
		schema_fault_key(c->r, node, "address", "a bool of a register needs its bit, such as %s:%u.0",
				 config_area_text(tag->address.area), tag->address.number);
	if (tag->address.bit >= 0 && (!is_bool || !is_register))
		schema_fault_key(c->r, node, "address",
				 "found bit %d, allowed only for a bool of a register, or with bits",
				 tag->address.bit);
	else if (tag->address.bit > 15)
		schema_fault_key(c->r, node, "address", "found bit %d, allowed in one register: 0..15",
				 tag->address.bit);
}

/* What the device says for its numbers, or its texts; a bit of a register and a channel have no order. */
static enum byte_order default_order(const struct config_device *dev, const struct config_tag *tag)
{
	int order = is_bytes(tag) ? dev->string_order : dev->order;

	if (config_area_is_rack(tag->address.area) || tag->type == VALUE_TYPE_BOOL ||
	    order == CONFIG_ORDER_UNSET)
		return value_type_default_order(tag->type);
	return (enum byte_order)order;
}

/* "AB, BA": the orders that a type takes. */
static void order_words(enum value_type type, char *text, size_t size)
{
	size_t len = 0;

	text[0] = 0;
	for (unsigned o = 0; o < BYTE_ORDER_COUNT && len < size; o++)
		if (value_type_takes_order(type, (enum byte_order)o))
			len += (size_t)snprintf(text + len, size - len, "%s%s", len ? ", " : "",
						byte_order_info((enum byte_order)o)->name);
}

static void check_order(struct checker *c, const struct doc_node *node, const struct config_device *dev,
			struct config_tag *tag)
{
	const char *key = doc_get(node, "order") ? "order" : "address";
	char orders[96];

	if (tag->order == CONFIG_ORDER_UNSET) {
		tag->order = default_order(dev, tag);
		return;
	}
	if (config_area_is_rack(tag->address.area) || tag->type == VALUE_TYPE_BOOL) {
		schema_fault_key(c->r, node, key, "found \"%s\", but %s has no order; remove it",
				 byte_order_info(tag->order)->name,
				 config_area_is_rack(tag->address.area) ? "a channel of a rack" : "a bool");
	} else if (!value_type_takes_order(tag->type, tag->order)) {
		order_words(tag->type, orders, sizeof(orders));
		schema_fault_key(c->r, node, key, "found \"%s\", allowed with the type %s: %s",
				 byte_order_info(tag->order)->name, value_type_info(tag->type)->name, orders);
	}
}

/* ---- keys that apply to some types only ---- */

static void check_applies(struct checker *c, const struct doc_node *node, const struct config_tag *tag)
{
	enum value_kind kind = value_type_info(tag->type)->kind;
	bool is_whole = kind == VALUE_KIND_INT || kind == VALUE_KIND_UINT;
	bool is_number = is_whole || kind == VALUE_KIND_FLOAT;
	bool is_byte = tag->type == VALUE_TYPE_INT8 || tag->type == VALUE_TYPE_UINT8;
	const struct {
		const char *key;
		bool applies;
	} keys[] = {
		{"byte", is_byte},        {"length", is_bytes(tag)},
		{"scale", is_number},     {"offset", is_number},
		{"map", is_number},       {"invalid", is_number},
		{"scale_tag", is_number}, {"enum", is_whole || kind == VALUE_KIND_BOOL},
		{"deadband", is_number},  {"min", is_number},
		{"max", is_number},       {"above", is_number},
		{"below", is_number},     {"hysteresis", is_number},
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!keys[i].applies && doc_get(node, keys[i].key))
			schema_fault_key(c->r, node, keys[i].key, "does not apply to the type %s; remove it",
					 value_type_info(tag->type)->name);
	if (is_bytes(tag) && !tag->length && !doc_get(node, "length") && tag->address.detail < 0)
		schema_fault_key(c->r, node, "length", "found nothing, needed with the type %s: 1..%u bytes",
				 value_type_info(tag->type)->name, VALUE_BYTES_MAX);
}

/* Can the device hold the number? */
static bool holds(const struct config_tag *tag, int64_t number)
{
	const struct value_type_info *type = value_type_info(tag->type);
	unsigned width = tag->bits ? tag->bits : type->bits;

	if (tag->type == VALUE_TYPE_BCD16 || tag->type == VALUE_TYPE_BCD32)
		return number >= 0 && number <= (tag->type == VALUE_TYPE_BCD16 ? 9999 : 99999999);
	if (type->kind != VALUE_KIND_INT)
		return number >= 0 && (uint64_t)number <= UINT64_MAX >> (64 - width);
	return width == 64 || (number >= -((int64_t)1 << (width - 1)) && number < (int64_t)1 << (width - 1));
}

static void check_labels(struct checker *c, const struct doc_node *node, const struct config_tag *tag)
{
	static const char *const beside[] = {"scale", "offset", "map",   "scale_tag", "deadband",
					     "min",   "max",    "above", "below",     "hysteresis"};

	if (!tag->nlabels)
		return;
	for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++)
		if (doc_get(node, beside[i]))
			schema_fault_key(c->r, node, beside[i],
					 "does not go with enum, whose values are texts");
	for (size_t i = 0; i < tag->nlabels; i++)
		if (!holds(tag, tag->labels[i].number))
			schema_fault_key(c->r, node, "enum",
					 "found the number %lld, allowed: what the type %s holds",
					 (long long)tag->labels[i].number, value_type_info(tag->type)->name);
}

void gateway_check_value(struct checker *c, const struct doc_node *node, const struct config_device *dev,
			 struct config_tag *tag)
{
	resolve_address(c, node, dev, tag);
	check_bit(c, node, tag);
	check_order(c, node, dev, tag);
	check_applies(c, node, tag);
	check_labels(c, node, tag);
}

/* ---- scale factors in registers ---- */

static bool is_plain_integer(const struct config_tag *tag)
{
	enum value_kind kind;

	if (tag->type == CONFIG_TYPE_UNSET)
		return true; /* has its fault */
	kind = value_type_info(tag->type)->kind;
	return (kind == VALUE_KIND_INT || kind == VALUE_KIND_UINT) && !tag->map && !tag->nlabels &&
	       !tag->scale_tag_name && tag->scale == 1 && tag->offset == 0;
}

void gateway_check_scale_tags(struct checker *c, const struct doc_node *list, struct config_device *dev,
			      const struct name_set *names)
{
	/* Without tags it may be no list, but what somebody wrote instead of one. */
	for (const struct doc_node *n = dev->ntags ? list->first : NULL; n; n = n->next) {
		struct config_tag *tag = &dev->tags[n->index];
		const struct config_tag *by;

		if (n->kind != DOC_MAP || !tag->scale_tag_name)
			continue;
		if (name_set_find(names, tag->scale_tag_name, &tag->scale_tag) < 0) {
			schema_fault_key(c->r, n, "scale_tag",
					 "found \"%s\", allowed: the name of another tag of this device",
					 tag->scale_tag_name);
			continue;
		}
		by = &dev->tags[tag->scale_tag];
		if (!is_plain_integer(by))
			schema_fault_key(c->r, n, "scale_tag",
					 "found \"%s\", allowed: an integer tag without scale, map and enum",
					 tag->scale_tag_name);
		if (by->group != tag->group)
			schema_fault_key(
				c->r, n, "scale_tag",
				"found \"%s\" of another group, allowed: a tag of the same group, so that "
				"both are read at the same time",
				tag->scale_tag_name);
	}
}

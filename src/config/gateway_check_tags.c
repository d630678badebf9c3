#include <stdio.h>
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

bool config_is_bit_area(enum config_area a)
{
	return a == CONFIG_AREA_COIL || a == CONFIG_AREA_DISCRETE || a == CONFIG_AREA_DI ||
	       a == CONFIG_AREA_DO || a == CONFIG_AREA_RELAY;
}

static bool is_output_area(enum config_area a)
{
	return a == CONFIG_AREA_COIL || a == CONFIG_AREA_HOLDING || a == CONFIG_AREA_DO ||
	       a == CONFIG_AREA_RELAY || a == CONFIG_AREA_AO;
}

/* "di, ai" in buf: of which kinds a rack has channels. */
static const char *kinds_of(const struct config_line *line, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (int kind = CONFIG_AREA_DI; kind <= CONFIG_AREA_TC && len < size; kind++)
		if (config_line_channels(line, (enum config_area)kind))
			len += (size_t)snprintf(buf + len, size - len, "%s%s", len ? ", " : "",
						config_area_text((enum config_area)kind));
	return buf;
}

static bool check_area(struct checker *c, const struct doc_node *node, const struct config_tag *tag,
		       const struct config_line *line)
{
	const struct config_address *a = &tag->address;
	bool is_rack = config_line_is_rack(line);
	unsigned channels;
	char text[64];

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
		schema_fault_key(c->r, node, "address", "found the area %s, allowed on this rack: %s",
				 config_area_text(a->area), kinds_of(line, text, sizeof(text)));
	else if (a->number >= channels)
		schema_fault_key(c->r, node, "address", "found channel %u, allowed: 0..%u", a->number,
				 channels - 1);
	return a->number < channels;
}

/* The type that the area has of itself, or CONFIG_TYPE_UNSET. */
static enum value_type area_type(enum config_area a)
{
	if (config_is_bit_area(a))
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

static void check_span(struct checker *c, const struct doc_node *node, const struct config_tag *tag)
{
	unsigned registers = value_type_info(tag->type)->registers;

	if (!registers)
		registers = (tag->length + 1u) / 2u;
	if (!config_area_is_rack(tag->address.area) && tag->address.number + registers > ADDRESSES)
		schema_fault_key(c->r, node, "address",
				 "%u registers from %u on end behind 65535, allowed: a lower address",
				 registers, tag->address.number);
}

/* One request writes at most 123 registers (MODBUS Application Protocol V1.1b3, 6.12). */
#define WRITABLE_BYTES_MAX (2u * 123u)

static void check_writing(struct checker *c, const struct doc_node *node, const struct config_tag *tag)
{
	if (tag->writable && !is_output_area(tag->address.area))
		schema_fault_key(c->r, node, "access",
				 "found \"rw\", but the area %s can only be read, allowed: r",
				 config_area_text(tag->address.area));
	if (tag->writable && tag->length > WRITABLE_BYTES_MAX)
		schema_fault_key(c->r, node, "length",
				 "found \"%u\", allowed with access: rw: 1..%u, what one request can write",
				 tag->length, WRITABLE_BYTES_MAX);
}

static void check_tag(struct checker *c, const struct doc_node *node, struct config_tag *tag,
		      const struct config_device *dev, const struct config_line *line)
{
	gateway_check_numbers(c, node, tag);
	if (tag->address.bit == CONFIG_BIT_UNSET || !line || !check_area(c, node, tag, line))
		return;
	check_type(c, node, tag);
	if (tag->type != CONFIG_TYPE_UNSET)
		gateway_check_value(c, node, dev, tag);
	check_writing(c, node, tag);
	if (tag->type == CONFIG_TYPE_UNSET)
		return;
	check_span(c, node, tag);
	gateway_limit_output(line, tag);
}

/* A device without tags: the channels of a rack, or a fault. */
static int no_tags(struct checker *c, const struct doc_node *node, struct config_device *dev,
		   const struct config_line *line)
{
	bool is_elsewhere = doc_get(node, "template") || doc_get(node, "tags_file");

	if (!line || !dev->ngroups || (is_elsewhere && faults_any(c->r->faults)))
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
		check_tag(c, n, &dev->tags[n->index], dev, line);
	}
	gateway_check_scale_tags(c, list, dev, &names);
	return OK;
}

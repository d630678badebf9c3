#include <string.h>

#include "config/gateway_check.h"
#include "config/gateway_schema.h"
#include "config/io_config.h"
#include "config/schema_scalar.h"

/*
 * What is written, and to whom.
 */
bool config_device_is_broadcast(const struct config_device *device, const struct config_line *line)
{
	return device->unit == 0 &&
	       (line->type == CONFIG_LINE_MODBUS_RTU || line->type == CONFIG_LINE_RTU_OVER_TCP);
}

/* A bit, a byte or an odd length: the rest of the register must stay as it is. */
static bool is_partial(const struct config_tag *tag)
{
	return tag->address.bit >= 0 || tag->type == VALUE_TYPE_INT8 || tag->type == VALUE_TYPE_UINT8 ||
	       tag->length % 2 != 0;
}

static void check_broadcast(struct checker *c, const struct doc_node *node, const struct config_device *dev,
			    const struct config_tag *tag)
{
	if (!tag->writable)
		schema_fault_key(
			c->r, node, "access",
			"the device has unit 0, which is all units of the line, and none of them answers: "
			"only access: rw is allowed");
	if (tag->verify)
		schema_fault_key(c->r, node, "verify",
				 "found true, allowed with unit 0 (all units of the line): false, because "
				 "none answers");
	if (is_partial(tag) && !(dev->mask_write && tag->length < 2))
		schema_fault_key(
			c->r, node, "address",
			"a part of a register is read before it is written, and unit 0 (all units of the "
			"line) does not answer: use whole registers%s",
			tag->length < 2 ? ", or give the device mask_write: true" : "");
}

static void check_device(struct checker *c, const struct doc_node *node, const struct config_line *line)
{
	static const char *const keys[] = {"write", "mask_write", "one_by_one"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (config_line_is_rack(line) && doc_get(node, keys[i]))
			schema_fault_key(c->r, node, keys[i], "applies only to devices on Modbus lines");
}

/* ---- the safe state ---- */

void gateway_check_watchdog(struct checker *c, const struct doc_node *node, struct config_line *line)
{
	struct config_watchdog *w = &line->watchdog;
	const struct doc_node *map = doc_get(node, "watchdog");

	w->is_set = map && map->kind == DOC_MAP;
	if (!w->is_set || !doc_get(map, "watch"))
		return;
	if (w->watch != CONFIG_WATCH_UPLINK && w->uplink)
		schema_fault_key(c->r, map, "uplink", "applies only with watch: uplink");
	if (w->watch != CONFIG_WATCH_UPLINK)
		return;
	for (size_t i = 0; w->uplink && i < c->cfg->nuplinks; i++)
		if (c->cfg->uplinks[i].name && strcmp(c->cfg->uplinks[i].name, w->uplink) == 0)
			return;
	if (w->uplink)
		schema_fault_key(c->r, map, "uplink", "found \"%s\", allowed: the name of one of the uplinks",
				 w->uplink);
	else if (!doc_get(map, "uplink"))
		schema_fault_key(c->r, map, "uplink", "found nothing, needed with watch: uplink");
}

static const char *number_fault(const struct config_tag *tag)
{
	const struct schema_field any = {.kind = SCHEMA_NUMBER, .width = sizeof(double)};
	double value;

	if (schema_scalar(NULL, &any, tag->safe, &value) < 0)
		return "a number";
	return value >= tag->min && value <= tag->max ? NULL : "a number from min to max";
}

/* NULL, or what would be right. */
static const char *safe_fault(const struct config_tag *tag)
{
	size_t len = strlen(tag->safe);

	switch (value_type_info(tag->type)->kind) {
	case VALUE_KIND_BOOL:
		return strcmp(tag->safe, "true") == 0 || strcmp(tag->safe, "false") == 0 ? NULL
											 : "true or false";
	case VALUE_KIND_STRING:
		return len <= tag->length ? NULL : "a text no longer than length";
	case VALUE_KIND_BYTES:
		return len == 2u * tag->length && strspn(tag->safe, "0123456789abcdefABCDEF") == len
			       ? NULL
			       : "two hexadecimal digits for each byte of length";
	default:
		return number_fault(tag);
	}
}

static void check_safe(struct checker *c, const struct doc_node *node, const struct config_tag *tag,
		       const struct config_line *line)
{
	const char *allowed;

	if (!tag->safe || tag->type == CONFIG_TYPE_UNSET)
		return;
	if (!tag->writable)
		schema_fault_key(c->r, node, "safe", "applies only with access: rw");
	else if (!line->watchdog.is_set)
		schema_fault_key(c->r, node, "safe",
				 "applies only on a line with a watchdog: give line \"%s\" one", line->name);
	else if ((allowed = safe_fault(tag)))
		schema_fault_key(c->r, node, "safe", "found \"%s\", allowed with the type %s: %s", tag->safe,
				 value_type_info(tag->type)->name, allowed);
}

void gateway_check_writes(struct checker *c, const struct doc_node *node, const struct config_device *dev,
			  const struct config_line *line)
{
	const struct doc_node *list = doc_get(node, "tags");

	if (!line)
		return;
	check_device(c, node, line);
	for (const struct doc_node *n = list && dev->ntags ? list->first : NULL; n; n = n->next) {
		const struct config_tag *tag = &dev->tags[n->index];

		if (n->kind != DOC_MAP || tag->address.bit == CONFIG_BIT_UNSET)
			continue;
		check_safe(c, n, tag, line);
		if (tag->verify && !tag->writable)
			schema_fault_key(c->r, n, "verify", "applies only with access: rw");
		else if (config_device_is_broadcast(dev, line))
			check_broadcast(c, n, dev, tag);
	}
}

#include "config/gateway_check.h"
#include "config/gateway_schema.h"
#include "config/io_config.h"

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
		if (tag->verify && !tag->writable)
			schema_fault_key(c->r, n, "verify", "applies only with access: rw");
		else if (config_device_is_broadcast(dev, line))
			check_broadcast(c, n, dev, tag);
	}
}

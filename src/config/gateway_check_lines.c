#include <string.h>

#include "config/gateway_check.h"
#include "config/io_config.h"

#define BAUD_DEFAULT 19200u

static void check_backoff(struct checker *c, const struct doc_node *n, const struct config_line *line)
{
	const struct doc_node *backoff = doc_get(n, "backoff");

	if (backoff && backoff->kind == DOC_MAP && line->backoff.max_ms < line->backoff.first_ms)
		schema_fault_key(c->r, backoff, "max", "found %u ms, allowed: no less than first, %u ms",
				 line->backoff.max_ms, line->backoff.first_ms);
}

/* A port can be open once; the second line would never get it. */
static void check_path(struct checker *c, const struct doc_node *n, const struct config_line *line)
{
	for (const struct config_line *other = c->cfg->lines; other < line; other++) {
		if (!other->path || !line->path || strcmp(other->path, line->path) != 0)
			continue;
		schema_fault_key(c->r, n, "path",
				 "found the port of line \"%s\", allowed: a port of its own; put the devices "
				 "of both on one line",
				 other->name ? other->name : "");
		return;
	}
}

/* What depends on another key, and what is not written. */
static void check_port(struct checker *c, const struct doc_node *n, struct config_line *line)
{
	bool is_ascii = line->mode == CONFIG_MODE_ASCII;

	if (line->type != CONFIG_LINE_MODBUS_RTU)
		return;
	if (!line->baud)
		line->baud = BAUD_DEFAULT;
	if (!line->data_bits)
		line->data_bits = is_ascii ? 7 : 8;
	if (!is_ascii && line->data_bits == 7)
		schema_fault_key(
			c->r, n, "data_bits",
			"found 7, allowed with mode: rtu is 8, whose frames are bytes; or use mode: ascii");
	line->has_rs485 = doc_get(n, "rs485") != NULL;
	check_path(c, n, line);
}

int gateway_check_lines(struct checker *c, const struct doc_node *list)
{
	struct config_line *line;
	int rc = name_set_init(&c->lines, c->r->arena, c->cfg->nlines);

	if (rc < 0)
		return rc;
	for (const struct doc_node *n = c->cfg->nlines ? list->first : NULL; n; n = n->next) {
		if (n->kind != DOC_MAP)
			continue;
		line = &c->cfg->lines[n->index];
		gateway_check_unique(c, &c->lines, n, line->name, n->index, "line");
		check_backoff(c, n, line);
		check_port(c, n, line);
		gateway_check_watchdog(c, n, line);
		if (config_line_is_rack(line) && (rc = gateway_check_rack(c, n, line)) < 0)
			return rc;
	}
	return OK;
}

void gateway_check_device_times(struct checker *c, const struct doc_node *node,
				const struct config_device *dev, const struct config_line *line)
{
	static const char *const keys[] = {"timeout", "retries", "backoff", "silence"};
	const struct doc_node *backoff = doc_get(node, "backoff");
	uint32_t max_ms = dev->backoff.max_ms;

	if (backoff && backoff->kind == DOC_MAP && max_ms && max_ms < dev->backoff.first_ms)
		schema_fault_key(c->r, backoff, "max", "found %u ms, allowed: no less than first, %u ms",
				 max_ms, dev->backoff.first_ms);
	if (!line)
		return;
	for (size_t i = 0; config_line_is_rack(line) && i < sizeof(keys) / sizeof(*keys); i++)
		if (doc_get(node, keys[i]))
			schema_fault_key(c->r, node, keys[i],
					 "applies only to a device on a Modbus line; leave it out");
	if (line->type == CONFIG_LINE_MODBUS_TCP && doc_get(node, "silence"))
		schema_fault_key(c->r, node, "silence",
				 "applies only to a device on a serial line; leave it out");
}

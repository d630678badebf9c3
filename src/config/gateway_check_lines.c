#include "config/gateway_check.h"

int gateway_check_lines(struct checker *c, const struct doc_node *list)
{
	const struct doc_node *backoff;
	const struct config_line *line;
	int rc = name_set_init(&c->lines, c->r->arena, c->cfg->nlines);

	if (rc < 0)
		return rc;
	for (const struct doc_node *n = c->cfg->nlines ? list->first : NULL; n; n = n->next) {
		if (n->kind != DOC_MAP)
			continue;
		line = &c->cfg->lines[n->index];
		gateway_check_unique(c, &c->lines, n, line->name, n->index, "line");
		backoff = doc_get(n, "backoff");
		if (backoff && backoff->kind == DOC_MAP && line->backoff.max_ms < line->backoff.first_ms)
			schema_fault_key(c->r, backoff, "max",
					 "found %u ms, allowed: no less than first, %u ms",
					 line->backoff.max_ms, line->backoff.first_ms);
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

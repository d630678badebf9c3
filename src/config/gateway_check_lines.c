#include "config/gateway_check.h"
#include "config/io_config.h"

int gateway_check_lines(struct checker *c, const struct doc_node *list)
{
	const struct doc_node *backoff;
	struct config_line *line;
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
		if (config_line_is_rack(line) && (rc = gateway_check_rack(c, n, line)) < 0)
			return rc;
	}
	return OK;
}

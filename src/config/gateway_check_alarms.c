#include <math.h>

#include "config/gateway_check.h"

static void check_limits(struct checker *c, const struct doc_node *node, const struct config_alarm *a)
{
	bool has_above = !isinf(a->above), has_below = !isinf(a->below);

	if (!has_above && !has_below && !a->quality)
		schema_fault_key(c->r, node, "above",
				 "found nothing, needed: at least one of above, below and quality: true");
	if (has_above && has_below && a->below >= a->above)
		schema_fault_key(c->r, node, "below", "found %.15g, allowed: less than above, %.15g",
				 a->below, a->above);
	if (a->hysteresis > 0 && has_above && has_below && a->hysteresis >= a->above - a->below)
		schema_fault_key(c->r, node, "hysteresis",
				 "found %.15g, allowed: less than the distance from below to above, %.15g",
				 a->hysteresis, a->above - a->below);
}

static void check_tag(struct checker *c, const struct doc_node *node, const struct config_alarm *a)
{
	struct config_device *dev;
	struct span device, name;
	struct config_tag *tag;

	if (!a->tag)
		return;
	gateway_split_tag(a->tag, &device, &name);
	if (gateway_find_tag(c->cfg, device, name, &dev, &tag) < 0)
		schema_fault_key(c->r, node, "tag", "found \"%s\", allowed: a tag that there is; %s", a->tag,
				 dev ? "the device has none of that name"
				     : "there is no device of that name");
	else if (tag && (tag->type == VALUE_TYPE_STRING || tag->type == VALUE_TYPE_BYTES) &&
		 (!isinf(a->above) || !isinf(a->below)))
		schema_fault_key(c->r, node, "tag",
				 "found a tag of type %s, allowed with limits: a number or bool",
				 value_type_info(tag->type)->name);
}

int gateway_check_alarms(struct checker *c, const struct doc_node *list)
{
	struct name_set names;
	int rc = name_set_init(&names, c->r->arena, c->cfg->nalarms);

	if (rc < 0)
		return rc;
	for (const struct doc_node *n = c->cfg->nalarms ? list->first : NULL; n; n = n->next) {
		const struct config_alarm *a = &c->cfg->alarms[n->index];

		if (n->kind != DOC_MAP)
			continue;
		gateway_check_unique(c, &names, n, a->name, n->index, "alarm");
		check_limits(c, n, a);
		check_tag(c, n, a);
	}
	return OK;
}

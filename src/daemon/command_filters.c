#include "daemon/command_filters.h"

#include <stdio.h>
#include <string.h>

#include "config/text_template.h"

static int add_filter(struct command_filters *f, const char *filter)
{
	const char *copy;

	if (command_filters_have(f, filter))
		return OK;
	copy = arena_text(&f->arena, filter, strlen(filter));
	if (!copy || name_set_add(&f->set, copy, 0, NULL) < 0)
		return ERR_NOMEM;
	f->list[f->n++] = copy;
	return OK;
}

static int add(struct command_filters *f, const struct gateway_config *cfg, const char *template)
{
	const char *names[TOPIC_NAMES] = {
		[TOPIC_ROOT] = cfg->gateway.root, [TOPIC_GATEWAY] = cfg->gateway.name};
	char buf[TOPIC_TEMPLATE_BYTES + sizeof("/set")];
	size_t len = topic_template_filter(template, names, buf, TOPIC_TEMPLATE_BYTES);

	memcpy(buf + len, "/set", sizeof("/set"));
	return add_filter(f, buf);
}

/* What the uplink thread says about its uplinks: lines may watch them. */
static int add_uplinks(struct command_filters *f, const struct gateway_config *cfg)
{
	char buf[TOPIC_TEMPLATE_BYTES + sizeof(UPLINK_TOPICS "+")];

	snprintf(buf, sizeof(buf), "%s" UPLINK_TOPICS "+", cfg->gateway.root);
	return add_filter(f, buf);
}

/* Tags that follow each other mostly share a policy. */
static int add_device(struct command_filters *f, const struct gateway_config *cfg,
		      const struct config_device *dev)
{
	const char *last = NULL;
	int rc = OK;

	for (size_t i = 0; i < dev->ntags && rc == OK; i++) {
		const char *topic = dev->tags[i].policy->topic;

		if (topic && topic != last)
			rc = add(f, cfg, topic);
		if (rc == OK && dev->groups[dev->tags[i].group].policy->topic)
			rc = add(f, cfg, dev->groups[dev->tags[i].group].policy->topic);
		last = topic;
	}
	return rc;
}

int command_filters_make(struct command_filters *f, const struct gateway_config *cfg)
{
	size_t most = 2;
	int rc;

	*f = (struct command_filters){0};
	for (size_t i = 0; i < cfg->ndevices; i++)
		for (size_t k = 0; k < cfg->devices[i].ntags; k++)
			most += 2u * (cfg->devices[i].tags[k].policy->topic != NULL);
	for (size_t i = 0; i < cfg->ndevices; i++)
		most += cfg->devices[i].ngroups;
	f->list = arena_array(&f->arena, most, sizeof(*f->list));
	if (!f->list || name_set_init(&f->set, &f->arena, most) < 0)
		return ERR_NOMEM;
	rc = add(f, cfg, TOPIC_TEMPLATE_DEFAULT);
	for (size_t i = 0; i < cfg->ndevices && rc == OK; i++)
		rc = add_device(f, cfg, &cfg->devices[i]);
	return rc == OK ? add_uplinks(f, cfg) : rc;
}

void command_filters_free(struct command_filters *f)
{
	arena_free(&f->arena);
	*f = (struct command_filters){0};
}

bool command_filters_have(const struct command_filters *f, const char *filter)
{
	size_t value;

	return f->n > 0 && name_set_find(&f->set, filter, &value) == OK;
}

/*
 * For gateway_config.c: what the tables cannot say. Names that refer to others, values that depend on others, and defaults that
 * do. Runs also after faults, on what could be read: what has a fault already gets no second one.
 */
#ifndef CONFIG_GATEWAY_CHECK_H
#define CONFIG_GATEWAY_CHECK_H

#include "config/gateway_config.h"
#include "config/names.h"
#include "config/schema.h"

struct checker {
	const struct schema_reader *r;
	struct gateway_config *cfg;
	struct name_set lines;
};

/* Faults are added to the reader's; ERR_NOMEM. */
MUST_USE int gateway_check(struct checker *c, const struct doc_node *file);
/* The lines: names, and values that depend on others. */
MUST_USE int gateway_check_lines(struct checker *c, const struct doc_node *list);
/* One device's groups and tags. `line` is NULL when its line is not known. */
MUST_USE int gateway_check_tags(struct checker *c, const struct doc_node *node, struct config_device *dev,
				const struct config_line *line);

/* One device's time-out, retries, back-off and silence. `line` as above. */
void gateway_check_device_times(struct checker *c, const struct doc_node *node,
				const struct config_device *dev, const struct config_line *line);

/* One line's watchdog. */
void gateway_check_watchdog(struct checker *c, const struct doc_node *node, struct config_line *line);
/* What is written on it; after gateway_check_tags(). */
void gateway_check_writes(struct checker *c, const struct doc_node *node, const struct config_device *dev,
			  const struct config_line *line);

/* The uplinks: what they refer to, and what their URL is made of. */
MUST_USE int gateway_check_uplinks(struct checker *c, const struct doc_node *list);

/* Is `name` the second of its kind at `node`? Adds a fault then. A NULL name is passed over. */
void gateway_check_unique(struct checker *c, struct name_set *set, const struct doc_node *node,
			  const char *name, size_t index, const char *what);

#endif

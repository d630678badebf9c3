/*
 * For gateway_config.c: what the tables cannot say. Names that refer to others, values that depend on others, and defaults that
 * do. Runs also after faults, on what could be read: what has a fault already gets no second one.
 */
#ifndef CONFIG_GATEWAY_CHECK_H
#define CONFIG_GATEWAY_CHECK_H

#include "base/bytes.h"
#include "config/gateway_config.h"
#include "config/names.h"
#include "config/schema.h"

struct policy_set; /* gateway_check_policy.c */

struct checker {
	const struct schema_reader *r;
	struct gateway_config *cfg;
	struct name_set lines;
	struct policy_set *policies;
	const struct doc_node *policy_fault_at; /* whose policy was found incomplete last */
};

/* Faults are added to the reader's; ERR_NOMEM. */
MUST_USE int gateway_check(struct checker *c, const struct doc_node *file);
/* The lines: names, and values that depend on others. */
MUST_USE int gateway_check_lines(struct checker *c, const struct doc_node *list);
/* The modules of a line that is a rack. */
MUST_USE int gateway_check_rack(struct checker *c, const struct doc_node *node, struct config_line *line);
/* All channels of `line` become tags of a device that names none. */
MUST_USE int gateway_add_channels(struct checker *c, struct config_device *dev,
				  const struct config_line *line);
/* min and max of a tag of an analog output, where the file names none: what the mode of its channel takes. */
void gateway_limit_output(const struct config_line *line, struct config_tag *tag);
/* One device's groups and tags. `line` is NULL when its line is not known. */
MUST_USE int gateway_check_tags(struct checker *c, const struct doc_node *node, struct config_device *dev,
				const struct config_line *line);

/* A tag of an internal line: what it is, and keys that apply to no such tag; and the other way round. */
void gateway_check_internal_tag(struct checker *c, const struct doc_node *node, struct config_tag *tag,
				size_t index);
void gateway_check_wired_tag(struct checker *c, const struct doc_node *node);

/* What counters and computed tags refer to, and whether they go round in circles. After all devices. */
void gateway_check_internal(struct checker *c, const struct doc_node *devices);

/* What alarms watch. After all devices. ERR_NOMEM. */
MUST_USE int gateway_check_alarms(struct checker *c, const struct doc_node *list);

/* A tag that is named as "device/tag", or by its two parts; attributes of channels are found as well, *tag is NULL then. */
MUST_USE int gateway_find_tag(const struct gateway_config *cfg, struct span device, struct span name,
			      struct config_device **dev, struct config_tag **tag);
/* The two parts of "device/tag". */
void gateway_split_tag(const char *text, struct span *device, struct span *name);
/* One device's time-out, retries, back-off and silence. `line` as above. */
void gateway_check_device_times(struct checker *c, const struct doc_node *node,
				const struct config_device *dev, const struct config_line *line);
/* The policies of one device's groups and tags, and what groups publish; behind gateway_check_tags(). */
MUST_USE int gateway_check_policies(struct checker *c, const struct doc_node *file,
				    const struct doc_node *node, struct config_device *dev);

/* The topics that templates make of all tags and groups: how deep they are, and that each is there once. */
MUST_USE int gateway_check_topics(struct checker *c, const struct doc_node *devices);
bool config_is_bit_area(enum config_area a);

/* What of a tag's numbers does not depend on its type. */
void gateway_check_numbers(struct checker *c, const struct doc_node *node, struct config_tag *tag);
/* What of a tag depends on its type, which is known: also what its address says beside the place. */
void gateway_check_value(struct checker *c, const struct doc_node *node, const struct config_device *dev,
			 struct config_tag *tag);
/* When all tags of a device are known. `list` is that of its tags. */
void gateway_check_scale_tags(struct checker *c, const struct doc_node *list, struct config_device *dev,
			      const struct name_set *names);

/* One line's watchdog. */
void gateway_check_watchdog(struct checker *c, const struct doc_node *node, struct config_line *line);
/* What is written on it; after gateway_check_tags(). */
void gateway_check_writes(struct checker *c, const struct doc_node *node, const struct config_device *dev,
			  const struct config_line *line);

/* The uplinks: what they refer to, and what their URL is made of. */
MUST_USE int gateway_check_uplinks(struct checker *c, const struct doc_node *list);

/* The views; after devices and lines. */
MUST_USE int gateway_check_views(struct checker *c, const struct doc_node *views);

/* One of this machine only? `address` is numeric. */
bool gateway_is_loopback(const char *address);

/* The map of the Modbus view: made from the tags, or read from the file that it names. ERR_NOMEM. */
MUST_USE int gateway_map_make(struct checker *c, const struct doc_node *view);
MUST_USE int gateway_map_load(struct checker *c, const struct doc_node *view);

/* The place of a tag without an address: the area, type and size it has by itself. */
struct config_place gateway_map_place(const struct config_modbus_view *view, const struct config_tag *tag);
bool gateway_map_is_bits(enum config_area area);
/* Puts them in order and finds two that overlap: index of the second in *at, of the first before it. False: none. */
bool gateway_map_sort(struct config_place *places, size_t n, size_t *at);

/* Is `name` the second of its kind at `node`? Adds a fault then. A NULL name is passed over. */
void gateway_check_unique(struct checker *c, struct name_set *set, const struct doc_node *node,
			  const char *name, size_t index, const char *what);

#endif

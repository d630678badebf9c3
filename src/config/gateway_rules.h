/*
 * The texts of a gateway's configuration that have a form of their own.
 */
#ifndef CONFIG_GATEWAY_RULES_H
#define CONFIG_GATEWAY_RULES_H

#include "config/gateway_config.h"
#include "config/schema.h"

extern const struct schema_rule rule_name;       /* PRODUCT "Words": 1 to 64 characters, ... */
extern const struct schema_rule rule_root;       /* the first levels of topics */
extern const struct schema_rule rule_address;    /* struct config_address */
extern const struct schema_rule rule_host;       /* a host name or numeric address */
extern const struct schema_rule rule_ip;         /* a numeric address */
extern const struct schema_rule rule_unit;       /* a unit for people */
extern const struct schema_rule rule_url;        /* of an uplink */
extern const struct schema_rule rule_filter;     /* topics with wildcards */
extern const struct schema_rule rule_topic_part; /* the beginning of a topic */
extern const struct schema_rule rule_template;   /* uplinks/remap.h */
extern const struct schema_rule rule_safe;       /* a value of some type; the check knows which */
extern const struct schema_rule rule_deadband;   /* struct config_deadband */
extern const struct schema_rule rule_topic;      /* template of the topics of tags */
extern const struct schema_rule rule_group_topic;
extern const struct schema_rule rule_payload_template;
extern const struct schema_rule rule_client_id; /* of MQTT; a user name, too */
extern const struct schema_rule rule_reference; /* MQTT 5.0, 4.11: servers to go to */

extern const struct schema_rule rule_net;      /* struct config_net */
extern const struct schema_rule rule_units;    /* struct config_units */
extern const struct schema_rule rule_tag;      /* "device/tag" */
extern const struct schema_rule rule_sentence; /* up to 200 characters */

/* Well-formed UTF-8 of 1..max characters, none of them a control character or in `without`. */
bool rule_is_clean(const char *text, size_t max, const char *without);

extern const struct schema_rule rule_point; /* what one channel of a rack is connected to */

#endif

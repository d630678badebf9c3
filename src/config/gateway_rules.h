/*
 * The texts of a gateway's configuration that have a form of their own.
 */
#ifndef CONFIG_GATEWAY_RULES_H
#define CONFIG_GATEWAY_RULES_H

#include "config/gateway_config.h"
#include "config/schema.h"

extern const struct schema_rule rule_name;      /* PRODUCT "Words": 1 to 64 characters, ... */
extern const struct schema_rule rule_root;      /* the first levels of topics */
extern const struct schema_rule rule_address;   /* struct config_address */
extern const struct schema_rule rule_host;      /* a host name or numeric address */
extern const struct schema_rule rule_ip;        /* a numeric address */
extern const struct schema_rule rule_unit;      /* a unit for people */
extern const struct schema_rule rule_reference; /* MQTT 5.0, 4.11: servers to go to */

/* "coil", "holding", ... */
const char *config_area_text(enum config_area area);

#endif

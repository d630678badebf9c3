/*
 * The tables of the configuration file.
 */
#ifndef CONFIG_GATEWAY_SCHEMA_H
#define CONFIG_GATEWAY_SCHEMA_H

#include "config/schema.h"

extern const struct schema gateway_schema;       /* struct gateway_config */
extern const struct schema gateway_group_schema; /* struct config_group */
extern const struct schema gateway_tag_schema;   /* struct config_tag */

/* What type and order hold when the file does not name them. */
#define CONFIG_TYPE_UNSET  VALUE_TYPE_COUNT
#define CONFIG_ORDER_UNSET BYTE_ORDER_COUNT
#define CONFIG_BIT_UNSET   (-2) /* no address that could be read */

#endif

/*
 * The tables of the configuration file.
 */
#ifndef CONFIG_GATEWAY_SCHEMA_H
#define CONFIG_GATEWAY_SCHEMA_H

#include "config/schema.h"

extern const struct schema gateway_schema;        /* struct gateway_config */
extern const struct schema gateway_line_schema;   /* struct config_line */
extern const struct schema gateway_module_schema; /* struct config_module */
extern const struct schema gateway_device_schema; /* struct config_device */
extern const struct schema gateway_group_schema;  /* struct config_group */
extern const struct schema gateway_tag_schema;    /* struct config_tag */

/* What type and order hold when the file does not name them. */
#define CONFIG_TYPE_UNSET   VALUE_TYPE_COUNT
#define CONFIG_SIGNAL_UNSET (-1)
#define CONFIG_BIT_UNSET    (-2) /* no address that could be read */

extern const struct schema gateway_policy_schema; /* struct config_policy_keys */
extern const struct schema gateway_uplink_schema; /* of struct config_uplink */

extern const struct schema gateway_alarm_schema; /* of struct config_alarm */

/* For the tables. */
#define TABLE(fields_) .fields = (fields_), .nfields = sizeof(fields_) / sizeof((fields_)[0])
#define MS_PER_S       1000.0
#define MS_PER_MIN     60000.0
#define MS_PER_H       3600000.0
#define MS_PER_D       86400000.0
#define KIB            1024.0
#define MIB            1048576.0
#define GIB            1073741824.0

#endif

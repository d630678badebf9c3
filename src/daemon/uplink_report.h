/*
 * How an uplink does, as JSON.
 */
#ifndef DAEMON_UPLINK_REPORT_H
#define DAEMON_UPLINK_REPORT_H

#include <jansson.h>

#include "uplinks/uplink.h"

/* For {root}/_gateway/uplink/{name}. NULL: out of memory. */
json_t *uplink_state_json(const struct uplink_status *s);
/* For "lineside status": the same with name and url in front. NULL: out of memory. */
json_t *uplink_report_json(const struct config_uplink *cfg, const struct uplink_status *s);

#endif

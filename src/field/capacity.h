/*
 * Can what is asked of a serial line fit its baud rate? Computed from the plan of requests, before anything is sent: bytes of requests and
 * answers, silences, and a response time that is assumed. Pure.
 */
#ifndef FIELD_CAPACITY_H
#define FIELD_CAPACITY_H

#include "base/err.h"
#include "config/gateway_config.h"

#define CAPACITY_RESPONSE_US 10000u /* assumed of each device; many are slower */
#define CAPACITY_TEXT_MAX    512u

/*
 * Say one sentence for each line that cannot do its scans at the rate that is asked, and what would help. Lines without a known baud
 * rate are passed over.
 *   text  borrowed for the call
 * ERR_NOMEM: not all were looked at.
 */
MUST_USE int capacity_check(const struct gateway_config *cfg, void (*say)(void *arg, const char *text),
			    void *arg);

#endif

/*
 * The field side for "lineside status", as JSON. On the field thread.
 */
#ifndef DAEMON_FIELD_REPORT_H
#define DAEMON_FIELD_REPORT_H

#include <jansson.h>

#include "field/field.h"

/* {"lines": [...], "devices": [...]}; f NULL: both are empty. NULL: out of memory. */
json_t *field_report_make(const struct field *f);

#endif

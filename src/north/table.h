/*
 * The payload formats there are.
 */
#ifndef NORTH_TABLE_H
#define NORTH_TABLE_H

#include "field/format.h"

extern const struct payload_format north_json;

/* By name ("json"), or NULL. */
const struct payload_format *north_format_find(const char *name);

#endif

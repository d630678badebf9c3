/*
 * The payload formats there are.
 */
#ifndef NORTH_TABLE_H
#define NORTH_TABLE_H

#include "field/format.h"

extern const struct payload_format north_json;
extern const struct payload_format north_value;
extern const struct payload_format north_plain;
extern const struct payload_format north_moxa;
extern const struct payload_format north_neuron_values;
extern const struct payload_format north_neuron_tags;
extern const struct payload_format north_template;

/* By the configuration's enum config_payload. */
extern const payload_formats north_formats;

#endif

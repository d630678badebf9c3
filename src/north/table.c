#include "north/table.h"

const payload_formats north_formats = {
	[CONFIG_PAYLOAD_JSON] = &north_json,
	[CONFIG_PAYLOAD_VALUE] = &north_value,
	[CONFIG_PAYLOAD_PLAIN] = &north_plain,
	[CONFIG_PAYLOAD_MOXA] = &north_moxa,
	[CONFIG_PAYLOAD_NEURON_VALUES] = &north_neuron_values,
	[CONFIG_PAYLOAD_NEURON_TAGS] = &north_neuron_tags,
	[CONFIG_PAYLOAD_TEMPLATE] = &north_template,
};

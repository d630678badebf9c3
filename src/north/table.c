#include "north/table.h"

static const struct payload_format *const formats[] = {
	&north_json,
};

const struct payload_format *north_format_find(const char *name)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++)
		if (strcmp(formats[i]->name, name) == 0)
			return formats[i];
	return NULL;
}

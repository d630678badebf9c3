/* Any text as an address of a tag: what is accepted names the same place in the plain form, too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/gateway_rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_address a = CONFIG_ADDRESS_NONE, again = CONFIG_ADDRESS_NONE;
	char text[64], plain[64];
	int n;

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	if (!rule_address.parse(text, &a)) {
		if (rule_address.parse(text, NULL))
			abort();
		return 0;
	}
	if (a.bit != -1 || a.unit > 255 || a.detail > (int)VALUE_BYTES_MAX ||
	    a.order > (int)CONFIG_ORDER_UNSET)
		abort();
	n = snprintf(plain, sizeof(plain), "%s:%u", config_area_text(a.area), a.number);
	if (a.detail >= 0)
		snprintf(plain + n, sizeof(plain) - (size_t)n, ".%d", a.detail);
	if (!rule_address.parse(plain, &again) || again.area != a.area || again.number != a.number ||
	    again.detail != a.detail)
		abort();
	return 0;
}

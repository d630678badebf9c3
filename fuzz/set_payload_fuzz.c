/*
 * Payloads of /set: whatever the bytes, the decoder stays in its bounds, and what it accepts can be published and is then
 * read back as the same value.
 */
#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "north/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char json[4096];
	char fault[SET_FAULT_MAX];
	struct set_command c, again;
	struct wr w = wr_of(json, sizeof(json));

	if (json_set_decode(span_of(data, size), &c, fault) < 0) {
		assert(c.id_len <= SET_ID_MAX);
		return 0;
	}
	assert(c.value.kind != TAG_NONE);
	json_value_encode(&w, &c.value);
	assert(!w.bad);
	if ((size_t)(w.p - (uint8_t *)json) > SET_PAYLOAD_MAX)
		return 0;
	assert(json_set_decode(span_of(json, (size_t)(w.p - (uint8_t *)json)), &again, fault) == OK);
	assert(tag_value_equal(&c.value, &again.value));
	return 0;
}

/*
 * Payloads on their way through an uplink: whatever the bytes, the scanner stays in its bounds. What it takes for an object with a time
 * is one for jansson, too, with this member; and with the word put in it is still one, is not edited again, and nothing else changed.
 */
#include <assert.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "uplinks/historical.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *load(const uint8_t *p, size_t n)
{
	return json_loadb((const char *)p, n, JSON_DECODE_INT_AS_REAL, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t at, extra = sizeof(HISTORICAL_TEXT) - 1, again;
	json_t *before = NULL, *after = NULL;
	int64_t ts, same;
	uint8_t *edited;

	if (!historical_look(span_of(data, size), &ts, &at))
		return 0;
	assert(at < size && data[at] == '}');
	edited = malloc(size + extra);
	assert(edited);
	memcpy(edited, data, at);
	memcpy(edited + at, HISTORICAL_TEXT, extra);
	memcpy(edited + at + extra, data + at, size - at);
	assert(!historical_look(span_of(edited, size + extra), &same, &again));
	/* names are compared as they are written: one with an escape in it may mean the same to jansson */
	if (memmem(data, size, "\\u", 2))
		goto done;
	/* jansson wants UTF-8, no NUL in names, and numbers that are not too large: what it does not read is no fault of ours */
	before = load(data, size);
	after = load(edited, size + extra);
	if (before) {
		assert(after && json_is_true(json_object_get(after, "historical")));
		assert(json_real_value(json_object_get(before, "ts")) == (double)ts);
		json_object_del(after, "historical");
		assert(json_equal(before, after));
	}
done:
	json_decref(before);
	json_decref(after);
	free(edited);
	return 0;
}

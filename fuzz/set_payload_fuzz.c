/*
 * Payloads of /set: whatever the bytes, the decoder stays in its bounds, and what it accepts can be published and is then
 * read back as the same value.
 */
#include <assert.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>

#include "north/json.h"
#include "north/plain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* jansson must find the same: JSON, and this value. It refuses integers beyond int64, so these it reads as reals. */
static void compare(const uint8_t *data, size_t size, const struct set_command *c)
{
	json_t *root = json_loadb((const char *)data, size,
				  JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
	const json_t *value;

	assert(root);
	value = json_is_object(root) ? json_object_get(root, "value") : root;
	if (c->value.kind == TAG_BOOL)
		assert(c->value.b == json_is_true(value));
	else if (c->value.kind == TAG_STRING)
		assert(span_equal(c->value.s, span_str(json_string_value(value))));
	else
		assert(tag_value_to_double(&c->value) == json_real_value(value));
	if (c->has_id)
		assert(strcmp(json_string_value(json_object_get(root, "id")), c->id) == 0);
	json_decref(root);
}

/* What is a command in JSON is the same in plain text; of the rest it takes text as it is. */
static void compare_plain(const uint8_t *data, size_t size, int rc, const struct set_command *json)
{
	char fault[SET_FAULT_MAX];
	struct set_command c;
	int plain_rc = plain_set_decode(span_of(data, size), &c, fault);

	if (rc == OK)
		assert(plain_rc == OK && tag_value_equal(&c.value, &json->value));
	else if (plain_rc == OK)
		assert(c.value.kind == TAG_STRING && span_equal(c.value.s, span_of(data, size)) && !c.has_id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char json[4096];
	char fault[SET_FAULT_MAX];
	struct set_command c, again;
	struct wr w = wr_of(json, sizeof(json));

	int rc = json_set_decode(span_of(data, size), &c, fault);

	compare_plain(data, size, rc, &c);
	if (rc < 0) {
		assert(c.id_len <= SET_ID_MAX);
		if (c.has_id)
			assert(strlen(c.id) == c.id_len);
		return 0;
	}
	assert(c.value.kind != TAG_NONE);
	compare(data, size, &c);
	json_value_encode(&w, &c.value);
	assert(!w.bad);
	if ((size_t)(w.p - (uint8_t *)json) > SET_PAYLOAD_MAX)
		return 0;
	assert(json_set_decode(span_of(json, (size_t)(w.p - (uint8_t *)json)), &again, fault) == OK);
	assert(tag_value_equal(&c.value, &again.value));
	return 0;
}

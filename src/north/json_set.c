#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "north/json.h"

#define UINT64_DIGITS 20

/*
 * jansson's integers end at INT64_MAX. For a larger one it stops with json_error_numeric_overflow right behind the number;
 * that number is read here, if it is one of uint64.
 */
static int big_integer_before(struct span payload, int position, uint64_t *out)
{
	char digits[UINT64_DIGITS + 1];
	size_t end = position > 0 ? (size_t)position : 0, n = 0;

	if (end > payload.len)
		return ERR_RANGE;
	while (n < end && payload.p[end - n - 1] >= '0' && payload.p[end - n - 1] <= '9')
		n++;
	if (n == 0 || n > UINT64_DIGITS || (n < end && payload.p[end - n - 1] == '-'))
		return ERR_RANGE;
	memcpy(digits, payload.p + end - n, n);
	digits[n] = '\0';
	if (n == UINT64_DIGITS && strcmp(digits, "18446744073709551615") > 0)
		return ERR_RANGE;
	*out = strtoull(digits, NULL, 10);
	return OK;
}

static int take_string(const json_t *j, struct set_command *out, char *fault)
{
	size_t len = json_string_length(j);

	if (len > SET_TEXT_MAX) {
		snprintf(fault, SET_FAULT_MAX, "text of %zu bytes, at most %u are allowed", len,
			 SET_TEXT_MAX);
		return ERR_TOO_LARGE;
	}
	memcpy(out->text, json_string_value(j), len);
	out->text[len] = '\0';
	out->value = tag_string(span_of(out->text, len));
	return OK;
}

/* `big`: what the only number of the payload is, when jansson could not hold it. */
static int take_value(const json_t *j, const uint64_t *big, struct set_command *out, char *fault)
{
	if (json_is_boolean(j))
		out->value = tag_bool(json_is_true(j));
	else if (json_is_integer(j))
		out->value = tag_int(json_integer_value(j));
	else if (json_is_real(j))
		out->value = big ? tag_uint(*big) : tag_double(json_real_value(j));
	else if (json_is_string(j))
		return take_string(j, out, fault);
	else {
		snprintf(fault, SET_FAULT_MAX, "value must be a number, a text, true or false");
		return ERR_MALFORMED;
	}
	return OK;
}

static int take_id(const json_t *j, struct set_command *out, char *fault)
{
	size_t len = json_is_string(j) ? json_string_length(j) : SET_ID_MAX + 1;

	if (len > SET_ID_MAX) {
		snprintf(fault, SET_FAULT_MAX, "id must be a text of at most %u bytes", SET_ID_MAX);
		return ERR_MALFORMED;
	}
	memcpy(out->id, json_string_value(j), len);
	out->id[len] = '\0';
	out->id_len = len;
	out->has_id = true;
	return OK;
}

static int take_object(const json_t *root, const uint64_t *big, struct set_command *out, char *fault)
{
	const json_t *id = json_object_get(root, "id"), *value = json_object_get(root, "value");
	const char *key;
	json_t *each;
	int rc;

	if (id && (rc = take_id(id, out, fault)) < 0)
		return rc;
	json_object_foreach((json_t *)(uintptr_t)root, key, each)
	{
		char quoted[48];

		if (each == id || each == value)
			continue;
		snprintf(fault, SET_FAULT_MAX, "unknown key %s, only value and id are allowed",
			 log_quote(quoted, sizeof(quoted), span_str(key)));
		return ERR_MALFORMED;
	}
	if (!value) {
		snprintf(fault, SET_FAULT_MAX, "the key \"value\" is missing");
		return ERR_MALFORMED;
	}
	return take_value(value, big, out, fault);
}

static int parse_fault(const json_error_t *error, char *fault)
{
	if (!error->text[0] || json_error_code(error) == json_error_out_of_memory)
		return ERR_NOMEM;
	snprintf(fault, SET_FAULT_MAX, "not JSON: %.70s", error->text);
	return ERR_MALFORMED;
}

int json_set_decode(struct span payload, struct set_command *out, char *fault)
{
	const size_t flags = JSON_DECODE_ANY | JSON_REJECT_DUPLICATES;
	uint64_t big;
	bool is_big = false;
	json_error_t error = {0}; /* jansson leaves it alone when its first allocation fails */
	json_t *root;
	int rc;

	*out = (struct set_command){.value = tag_none()};
	fault[0] = '\0';
	if (payload.len == 0 || payload.len > SET_PAYLOAD_MAX) {
		snprintf(fault, SET_FAULT_MAX, "%zu bytes, 1 to %u are allowed", payload.len,
			 SET_PAYLOAD_MAX);
		return payload.len ? ERR_TOO_LARGE : ERR_MALFORMED;
	}
	root = json_loadb((const char *)payload.p, payload.len, flags, &error);
	if (!root && json_error_code(&error) == json_error_numeric_overflow) {
		is_big = big_integer_before(payload, error.position, &big) == OK;
		error = (json_error_t){0};
		root = json_loadb((const char *)payload.p, payload.len, flags | JSON_DECODE_INT_AS_REAL,
				  &error);
		if ((!root && json_error_code(&error) == json_error_numeric_overflow) || (root && !is_big)) {
			json_decref(root);
			snprintf(fault, SET_FAULT_MAX, "a number beyond 64 bits");
			return ERR_RANGE;
		}
	}
	if (!root)
		return parse_fault(&error, fault);
	if (json_is_object(root))
		rc = take_object(root, is_big ? &big : NULL, out, fault);
	else
		rc = take_value(root, is_big ? &big : NULL, out, fault);
	json_decref(root);
	return rc;
}

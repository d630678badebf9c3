#include "tools/store_line.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tools/json_text.h"
#include "wire/mqtt.h"
#include "wire/mqtt_forward.h"

static const char *const states[] = {
	[STORE_WAITS] = "waits", [STORE_SENT] = "sent", [STORE_RELEASED] = "released"};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- printing ---- */

/* Set a member to a value that is taken over; both may be NULL after a failed allocation. */
static void put(json_t *object, const char *key, json_t *value, int *rc)
{
	if (!value || json_object_set_new_nocheck(object, key, value) < 0)
		*rc = *rc == OK ? ERR_NOMEM : *rc;
}

static void put_int(json_t *object, const char *key, uint64_t n, int *rc)
{
	put(object, key, json_integer((json_int_t)n), rc);
}

static void put_text(json_t *object, const char *key, struct span s, int *rc)
{
	if (!json_text_is(s)) {
		*rc = ERR_MALFORMED;
		return;
	}
	put(object, key, json_stringn_nocheck(s.p ? (const char *)s.p : "", s.len), rc);
}

/* What is false is left out. */
static void put_flag(json_t *object, const char *key, bool is_set, int *rc)
{
	if (is_set)
		put(object, key, json_true(), rc);
}

static json_t *message_of(const struct store_msg *m, int *rc)
{
	json_t *o = json_object();

	put_text(o, "topic", m->topic, rc);
	if (json_text_is(m->payload))
		put_text(o, "payload", m->payload, rc);
	else
		put(o, "payload_base64", json_base64(m->payload), rc);
	put_int(o, "qos", m->qos, rc);
	put_flag(o, "retain", m->retain, rc);
	if (m->expires_ms)
		put_int(o, "expires_ms", (uint64_t)m->expires_ms, rc);
	if (m->props.len)
		put(o, "properties_base64", json_base64(m->props), rc);
	return o;
}

static void put_session(json_t *o, const struct store_session *s, int *rc)
{
	json_t *will;

	if (s->expiry_s != UINT32_MAX)
		put_int(o, "expiry_s", s->expiry_s, rc);
	if (s->away_ms)
		put_int(o, "away_ms", (uint64_t)s->away_ms, rc);
	if (!s->will)
		return;
	put(o, "will", will = json_object(), rc);
	put_int(will, "delay_s", s->will->delay_s, rc);
	if (s->will->expires)
		put_int(will, "expiry_s", s->will->expiry_s, rc);
	put(will, "message", message_of(&s->will->msg, rc), rc);
}

static void put_sub(json_t *o, const struct store_sub *s, int *rc)
{
	put_text(o, "filter", s->filter, rc);
	put_int(o, "qos", s->qos, rc);
	put_flag(o, "no_local", s->no_local, rc);
	put_flag(o, "retain_as_published", s->retain_as_published, rc);
	if (s->retain_handling)
		put_int(o, "retain_handling", s->retain_handling, rc);
	if (s->id)
		put_int(o, "subscription_id", s->id, rc);
}

static void put_row(json_t *o, const struct store_row *r, int *rc)
{
	json_t *ids;

	put_int(o, "qos", r->qos, rc);
	put_flag(o, "retain", r->retain, rc);
	if (r->state != STORE_WAITS) {
		put(o, "state", json_string(states[r->state]), rc);
		put_int(o, "packet_id", r->packet_id, rc);
	}
	if (r->sub_ids && r->sub_ids[0]) {
		put(o, "subscription_ids", ids = json_array(), rc);
		for (uint32_t i = 1; i <= r->sub_ids[0]; i++)
			if (json_array_append_new(ids, json_integer((json_int_t)r->sub_ids[i])) < 0)
				*rc = ERR_NOMEM;
	}
	if (r->state != STORE_RELEASED)
		put(o, "message", message_of(&r->msg, rc), rc);
}

static int print(FILE *to, json_t *o, int rc)
{
	if (rc == OK && (json_dumpf(o, to, JSON_COMPACT) < 0 || putc('\n', to) == EOF))
		rc = ERR_IO;
	json_decref(o);
	return rc;
}

static json_t *line_of(const char *type, struct span client, int *rc)
{
	json_t *o = json_object();

	put(o, "type", json_string(type), rc);
	if (client.len)
		put_text(o, "client", client, rc);
	return o;
}

int store_line_print(FILE *to, struct span client, const struct store_op *op)
{
	int rc = OK;
	json_t *o = NULL;

	switch (op->kind) {
	case STORE_OP_SESSION:
		put_session(o = line_of("session", client, &rc), &op->session, &rc);
		break;
	case STORE_OP_SUB:
		put_sub(o = line_of("subscription", client, &rc), &op->sub, &rc);
		break;
	case STORE_OP_RECEIVED:
		put_int(o = line_of("received", client, &rc), "packet_id", op->row.packet_id, &rc);
		break;
	case STORE_OP_ROW:
		put_row(o = line_of("message", client, &rc), &op->row, &rc);
		break;
	case STORE_OP_RETAINED:
		o = line_of("retained", client, &rc);
		put(o, "message", message_of(&op->retained.msg, &rc), &rc);
		break;
	default:
		return ERR_UNSUPPORTED;
	}
	return print(to, o, rc);
}

int store_line_print_begin(FILE *to)
{
	int rc = OK;
	json_t *o = line_of("lineside-store", span_of(NULL, 0), &rc);

	put_int(o, "version", STORE_LINE_VERSION, &rc);
	return print(to, o, rc);
}

int store_line_print_end(FILE *to, uint64_t lines)
{
	int rc = OK;
	json_t *o = line_of("end", span_of(NULL, 0), &rc);

	put_int(o, "lines", lines, &rc);
	return print(to, o, rc);
}

/* ---- reading ---- */

struct reading {
	struct store_line *line;
	char *why;
	size_t size;
	int rc; /* the first fault */
};

static void PRINTF_LIKE(2, 3) fault(struct reading *r, const char *fmt, ...)
{
	va_list args;

	if (r->rc < 0)
		return;
	r->rc = ERR_MALFORMED;
	va_start(args, fmt);
	vsnprintf(r->why, r->size, fmt, args);
	va_end(args);
}

/* Are all members of `o` among these? */
static void only(struct reading *r, const json_t *o, const char *const *keys, size_t n)
{
	const char *key;
	json_t *value;

	if (!json_is_object(o)) {
		fault(r, "found no object where one is needed");
		return;
	}
	json_object_foreach((json_t *)(uintptr_t)o, key, value)
	{
		size_t i = 0;

		while (i < n && strcmp(keys[i], key) != 0)
			i++;
		if (i == n)
			fault(r, "\"%s\" is not a member of this line in this version", key);
	}
}
#define ONLY(r, o, ...)                                                  \
	do {                                                             \
		static const char *const keys_[] = {__VA_ARGS__};        \
		only((r), (o), keys_, sizeof(keys_) / sizeof(keys_[0])); \
	} while (0)

static uint64_t take_int(struct reading *r, const json_t *o, const char *key, uint64_t min, uint64_t max,
			 uint64_t otherwise)
{
	const json_t *v = json_object_get(o, key);
	json_int_t n = json_integer_value(v);

	if (!v && otherwise >= min && otherwise <= max)
		return otherwise;
	if (!json_is_integer(v) || n < 0 || (uint64_t)n < min || (uint64_t)n > max) {
		fault(r, "\"%s\": needed: a whole number, %llu..%llu", key, (unsigned long long)min,
		      (unsigned long long)max);
		return min;
	}
	return (uint64_t)n;
}
#define NEEDED UINT64_MAX

static bool take_flag(struct reading *r, const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	if (v && !json_is_boolean(v))
		fault(r, "\"%s\": needed: true or false", key);
	return json_is_true(v);
}

static struct span take_text(struct reading *r, const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_string(v)) {
		fault(r, "\"%s\": needed: a text", key);
		return span_of(NULL, 0);
	}
	return span_of((const uint8_t *)json_string_value(v), json_string_length(v));
}

static struct span take_base64(struct reading *r, const json_t *o, const char *key)
{
	struct span text = take_text(r, o, key);
	struct store_line *l = r->line;
	size_t len;
	int rc;

	if (r->rc < 0 || l->nbytes == COUNT(l->bytes))
		return span_of(NULL, 0);
	rc = json_base64_decode((const char *)text.p, text.len, &l->bytes[l->nbytes], &len);
	if (rc == ERR_NOMEM)
		r->rc = rc;
	else if (rc < 0)
		fault(r, "\"%s\": needed: base64 with its padding", key);
	return rc == OK ? span_of(l->bytes[l->nbytes++], len) : span_of(NULL, 0);
}

/* As they came from a PUBLISH: nothing that a receiver would take amiss. */
static struct span take_properties(struct reading *r, const json_t *o)
{
	struct span s, whole;
	struct mqtt_props p;

	if (!json_object_get(o, "properties_base64"))
		return span_of(NULL, 0);
	s = take_base64(r, o, "properties_base64");
	if (r->rc == OK &&
	    (mqtt_passed_on_read(s, &p) < 0 || !mqtt_passed_on_whole(&p, &whole) || whole.len != s.len))
		fault(r, "\"properties_base64\": needed: properties of an MQTT 5 PUBLISH that are passed on");
	return s;
}

static void take_message(struct reading *r, const json_t *line, struct store_msg *m)
{
	const json_t *o = json_object_get(line, "message");

	if (!o) {
		fault(r, "\"message\" is missing");
		return;
	}
	ONLY(r, o, "topic", "payload", "payload_base64", "properties_base64", "qos", "retain", "expires_ms");
	m->topic = take_text(r, o, "topic");
	if (r->rc == OK && (!mqtt_utf8_valid(m->topic) || !mqtt_topic_valid(m->topic)))
		fault(r, "\"topic\": needed: a topic");
	if (!json_object_get(o, "payload") == !json_object_get(o, "payload_base64"))
		fault(r, "needed: \"payload\" or \"payload_base64\"");
	else if (json_object_get(o, "payload"))
		m->payload = take_text(r, o, "payload");
	else
		m->payload = take_base64(r, o, "payload_base64");
	if (r->rc == OK && m->payload.len > MQTT_REMAINING_MAX)
		fault(r, "\"payload\": longer than a packet can be");
	m->props = take_properties(r, o);
	m->qos = (uint8_t)take_int(r, o, "qos", 0, 2, NEEDED);
	m->retain = take_flag(r, o, "retain");
	m->expires_ms = (int64_t)take_int(r, o, "expires_ms", 0, INT64_MAX, 0);
}

static void read_session(struct reading *r, const json_t *o)
{
	struct store_session *s = &r->line->op.session;
	struct store_will *w = &r->line->will;
	const json_t *will = json_object_get(o, "will");

	ONLY(r, o, "type", "client", "expiry_s", "away_ms", "will");
	r->line->op.kind = STORE_OP_SESSION;
	s->client_id = r->line->client;
	s->expiry_s = (uint32_t)take_int(r, o, "expiry_s", 0, UINT32_MAX, UINT32_MAX);
	s->away_ms = (int64_t)take_int(r, o, "away_ms", 0, INT64_MAX, 0);
	if (!will)
		return;
	ONLY(r, will, "delay_s", "expiry_s", "message");
	w->delay_s = (uint32_t)take_int(r, will, "delay_s", 0, UINT32_MAX, 0);
	w->expires = json_object_get(will, "expiry_s") != NULL;
	w->expiry_s = (uint32_t)take_int(r, will, "expiry_s", 0, UINT32_MAX, 0);
	take_message(r, will, &w->msg);
	s->will = w;
}

static void read_sub(struct reading *r, const json_t *o)
{
	struct store_sub *s = &r->line->op.sub;

	ONLY(r, o, "type", "client", "filter", "qos", "no_local", "retain_as_published", "retain_handling",
	     "subscription_id");
	r->line->op.kind = STORE_OP_SUB;
	s->filter = take_text(r, o, "filter");
	if (r->rc == OK && (!mqtt_utf8_valid(s->filter) || !mqtt_filter_valid(s->filter)))
		fault(r, "\"filter\": needed: a topic filter");
	s->qos = (uint8_t)take_int(r, o, "qos", 0, 2, NEEDED);
	s->no_local = take_flag(r, o, "no_local");
	s->retain_as_published = take_flag(r, o, "retain_as_published");
	s->retain_handling = (uint8_t)take_int(r, o, "retain_handling", 0, 2, 0);
	s->id = (uint32_t)take_int(r, o, "subscription_id", 0, MQTT_REMAINING_MAX, 0);
}

static void read_received(struct reading *r, const json_t *o)
{
	ONLY(r, o, "type", "client", "packet_id");
	r->line->op.kind = STORE_OP_RECEIVED;
	r->line->op.row.packet_id = (uint16_t)take_int(r, o, "packet_id", 1, UINT16_MAX, NEEDED);
}

static void take_sub_ids(struct reading *r, const json_t *o, struct store_row *row)
{
	const json_t *list = json_object_get(o, "subscription_ids");
	size_t n = json_array_size(list);
	uint32_t *ids;

	if (!list || r->rc < 0)
		return;
	if (!json_is_array(list) || n > STORE_SUB_IDS_MAX) {
		fault(r, "\"subscription_ids\": needed: a list of at most %u", STORE_SUB_IDS_MAX);
		return;
	}
	r->line->sub_ids = ids = malloc((n + 1) * sizeof(*ids));
	if (!ids) {
		r->rc = ERR_NOMEM;
		return;
	}
	ids[0] = (uint32_t)n;
	for (size_t i = 0; i < n; i++) {
		json_int_t id = json_integer_value(json_array_get(list, i));

		if (id < 1 || id > MQTT_REMAINING_MAX)
			fault(r, "\"subscription_ids\": needed: whole numbers, 1..%u", MQTT_REMAINING_MAX);
		ids[i + 1] = (uint32_t)id;
	}
	row->sub_ids = ids;
}

static void take_state(struct reading *r, const json_t *o, struct store_row *row)
{
	struct span word = span_str("waits");

	if (json_object_get(o, "state"))
		word = take_text(r, o, "state");
	while (row->state < COUNT(states) && !span_equal(word, span_str(states[row->state])))
		row->state++;
	if (row->state == COUNT(states))
		fault(r, "\"state\": needed: waits, sent or released");
	if (row->state != STORE_WAITS && row->qos != 2)
		fault(r, "\"state\": %s is one of QoS 2 only", states[row->state % COUNT(states)]);
	if (row->state != STORE_WAITS)
		row->packet_id = (uint16_t)take_int(r, o, "packet_id", 1, UINT16_MAX, NEEDED);
	else if (json_object_get(o, "packet_id"))
		fault(r, "\"packet_id\": found one, but the message was not sent");
}

static void read_row(struct reading *r, const json_t *o)
{
	struct store_row *row = &r->line->op.row;

	ONLY(r, o, "type", "client", "qos", "retain", "state", "packet_id", "subscription_ids", "message");
	r->line->op.kind = STORE_OP_ROW;
	row->qos = (uint8_t)take_int(r, o, "qos", 1, 2, NEEDED);
	row->retain = take_flag(r, o, "retain");
	take_state(r, o, row);
	take_sub_ids(r, o, row);
	if (row->state != STORE_RELEASED)
		take_message(r, o, &row->msg);
	else if (json_object_get(o, "message"))
		fault(r, "\"message\": found one, but the client has it");
}

static void read_retained(struct reading *r, const json_t *o)
{
	struct store_msg *m = &r->line->op.retained.msg;

	ONLY(r, o, "type", "message");
	r->line->op.kind = STORE_OP_RETAINED;
	take_message(r, o, m);
	if (r->rc == OK && (!m->payload.len || !m->retain))
		fault(r, "needed: a message with \"retain\" and a payload");
}

static void read_begin(struct reading *r, const json_t *o)
{
	ONLY(r, o, "type", "version");
	r->line->kind = STORE_LINE_BEGIN;
	if (take_int(r, o, "version", 0, INT32_MAX, NEEDED) != STORE_LINE_VERSION)
		fault(r, "\"version\": this version of lineside reads version %d", STORE_LINE_VERSION);
}

static void read_end(struct reading *r, const json_t *o)
{
	ONLY(r, o, "type", "lines");
	r->line->kind = STORE_LINE_END;
	r->line->lines = take_int(r, o, "lines", 1, INT64_MAX, NEEDED);
}

static const struct {
	const char *type;
	bool of_client;
	void (*read)(struct reading *r, const json_t *o);
} types[] = {
	{"lineside-store", false, read_begin},
	{"session", true, read_session},
	{"subscription", true, read_sub},
	{"received", true, read_received},
	{"message", true, read_row},
	{"retained", false, read_retained},
	{"end", false, read_end},
};

static void read_root(struct reading *r, const json_t *o)
{
	const char *type = json_string_value(json_object_get(o, "type"));
	size_t i = 0;

	while (type && i < COUNT(types) && strcmp(types[i].type, type) != 0)
		i++;
	if (!type || i == COUNT(types)) {
		fault(r, "\"type\": needed: the type of a line of a store that this version knows");
		return;
	}
	if (types[i].of_client) {
		struct span client = take_text(r, o, "client");

		if (r->rc == OK && (!client.len || client.len > MQTT_STRING_MAX || !mqtt_utf8_valid(client)))
			fault(r, "\"client\": needed: a client id");
		r->line->client = client;
	}
	r->line->kind = STORE_LINE_CHANGE;
	types[i].read(r, o);
}

int store_line_read(struct span text, struct store_line *out, char *why, size_t size)
{
	struct reading r = {.line = out, .why = why, .size = size};
	json_error_t error;

	memset(out, 0, sizeof(*out));
	why[0] = '\0';
	out->root = json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, &error);
	if (out->root)
		read_root(&r, out->root);
	else if (json_error_code(&error) == json_error_out_of_memory)
		r.rc = ERR_NOMEM;
	else
		fault(&r, "no JSON: %s", error.text);
	if (r.rc < 0)
		store_line_fini(out);
	return r.rc;
}

void store_line_fini(struct store_line *l)
{
	for (size_t i = 0; i < l->nbytes; i++)
		free(l->bytes[i]);
	free(l->sub_ids);
	json_decref(l->root);
	memset(l, 0, sizeof(*l));
}

/* Messages as JSON: mosquitto_sub's object for %j and %J, ours for --json. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tools/json_text.h"
#include "tools/mqtt_options.h"
#include "tools/sub_output.h"

/* Set a member to a value that is taken over; both may be NULL after a failed allocation. */
static void put(json_t *object, const char *key, json_t *value, int *rc)
{
	if (!value || json_object_set_new_nocheck(object, key, value) < 0)
		*rc = ERR_NOMEM;
}

/* Text that claims to be UTF-8 and may not be: each wrong byte becomes U+FFFD, which three bytes say. */
static json_t *text_repaired(struct span s)
{
	char *out = malloc(s.len * 3 + 1);
	size_t n = 0;
	json_t *value;

	if (!out)
		return NULL;
	for (size_t i = 0; i < s.len;) {
		size_t len = s.p[i] == 0 ? 1 : json_text_char(s.p + i, s.len - i);

		memcpy(out + n, len ? (const char *)s.p + i : "\xEF\xBF\xBD", len ? len : 3);
		n += len ? len : 3;
		i += len ? len : 1;
	}
	value = json_stringn_nocheck(out, n);
	free(out);
	return value;
}

static json_t *text(struct span s)
{
	return json_text_is(s) ? json_stringn_nocheck((const char *)s.p, s.len) : text_repaired(s);
}

/* User properties as an object ({name: value}, the last of a name wins) or as a list of pairs. */
static void put_user(json_t *props, const struct mqtt_prop_item *item, bool as_list, int *rc)
{
	const char *key = as_list ? "user-property" : "user-properties";
	json_t *users = json_object_get(props, key);
	json_t *value = text(item->value);
	char *name;

	if (!users) {
		users = as_list ? json_array() : json_object();
		put(props, key, users, rc);
	}
	if (as_list) {
		if (*rc == OK &&
		    json_array_append_new(users, json_pack("[o, o]", text(item->str), value)) == 0)
			return;
	} else if ((name = calloc(item->str.len + 1, 1))) {
		memcpy(name, item->str.p, item->str.len);
		put(users, name, value, rc);
		free(name);
		return;
	}
	*rc = ERR_NOMEM;
}

static void put_prop(json_t *props, const struct mqtt_prop_item *item, bool as_list, int *rc)
{
	const char *word = mqtt_property_word(item->id);

	switch (mqtt_prop_kind(item->id)) {
	case MQTT_PROP_PAIR:
		put_user(props, item, as_list, rc);
		break;
	case MQTT_PROP_STRING:
	case MQTT_PROP_BINARY:
		put(props, word, text(item->str), rc);
		break;
	default:
		put(props, word, json_integer(item->num), rc);
	}
}

static void put_props(json_t *root, const char *key, const struct mqtt_props *p, bool as_list, int *rc)
{
	struct rd r = rd_of(p->raw.p, p->raw.len);
	struct mqtt_prop_item item;
	json_t *props;

	if (p->raw.len == 0)
		return;
	put(root, key, props = json_object(), rc);
	while (*rc == OK && mqtt_props_next(&r, &item))
		put_prop(props, &item, as_list, rc);
}

static int dump(FILE *to, json_t *root, size_t flags, int rc)
{
	if (rc == OK && json_dumpf(root, to, flags | JSON_ENCODE_ANY) < 0)
		rc = ERR_IO;
	json_decref(root);
	return rc;
}

static void put_time(json_t *root, const struct timespec *at, int *rc)
{
	char day[64], zone[16], all[128];
	struct tm tm;

	if (!localtime_r(&at->tv_sec, &tm))
		return;
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	strftime(zone, sizeof(zone), "%z", &tm);
	snprintf(all, sizeof(all), "%s.%06ldZ%s", day, at->tv_nsec / 1000, zone);
	put(root, "tst", json_string(all), rc);
}

int sub_json_object(FILE *to, const struct sub_message *s, bool payload_is_json)
{
	const struct mqtt_publish *m = s->m;
	json_t *root = json_object(), *payload;
	int rc = root ? OK : ERR_NOMEM;

	put_time(root, &s->at, &rc);
	put(root, "topic", text(m->topic), &rc);
	put(root, "qos", json_integer(m->qos), &rc);
	put(root, "retain", json_integer(m->retain), &rc);
	put(root, "payloadlen", json_integer((json_int_t)m->payload.len), &rc);
	if (m->qos)
		put(root, "mid", json_integer(m->packet_id), &rc);
	put_props(root, "properties", &m->props, false, &rc);
	if (m->payload.len == 0)
		payload = json_null();
	else if (payload_is_json)
		payload = json_loadb((const char *)m->payload.p, m->payload.len,
				     JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	else
		payload = text(m->payload);
	if (!payload && payload_is_json)
		rc = ERR_MALFORMED;
	else
		put(root, "payload", payload, &rc);
	return dump(to, root, s->pretty ? JSON_INDENT(2) : JSON_COMPACT, rc);
}

int sub_json_line(FILE *to, const struct sub_message *s)
{
	const struct mqtt_publish *m = s->m;
	json_t *root = json_object();
	int rc = root ? OK : ERR_NOMEM;

	put(root, "ts", json_integer((json_int_t)s->at.tv_sec * 1000 + s->at.tv_nsec / 1000000), &rc);
	put(root, "topic", text(m->topic), &rc);
	if (json_text_is(m->payload)) {
		put(root, "payload", text(m->payload), &rc);
	} else {
		put(root, "payload", json_base64(m->payload), &rc);
		put(root, "encoding", json_string("base64"), &rc);
	}
	put(root, "qos", json_integer(m->qos), &rc);
	put(root, "retain", json_boolean(m->retain), &rc);
	if (m->qos)
		put(root, "mid", json_integer(m->packet_id), &rc);
	put_props(root, "props", &m->props, true, &rc);
	return dump(to, root, JSON_COMPACT, rc);
}

/*
 * Commands: from {root}/{device}/{tag}/set to the device and back to who asked.  Each gets exactly one result.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "field/internal.h"
#include "field/safe.h"

/* Where a result goes. */
struct asker {
	const char *topic;
	const char *response_topic; /* NULL: none */
	struct span correlation;
	struct span id;
};

/* One command whose write is under way. Texts lie behind it, in the same allocation, and are NUL terminated. */
struct command {
	struct field_write write;
	struct field *field;
	struct asker asker;
};

static void publish_result(struct field *f, const struct asker *a, struct set_outcome *o)
{
	struct tag_message m = {.qos = 1, .content_type = json_of(f)->content_type};
	struct wr w = wr_of(f->payload, f->payload_size);
	char result_topic[TOPIC_BUFFER];

	o->id = a->id;
	o->ts_ms = o->ts_ms ? o->ts_ms : loop_wall_ms(f->loop);
	json_of(f)->encode_result(&w, o);
	assert(!w.bad); /* id, value and sentence are bounded far below the buffer */
	m.payload = span_of(f->payload, f->payload_size - w.left);
	m.topic = a->response_topic;
	m.correlation_data = a->correlation;
	if (!m.topic) {
		snprintf(result_topic, sizeof(result_topic), "%s/result", a->topic);
		m.topic = result_topic;
	}
	f->sink->publish(f->sink, &m);
}

static void refuse(struct field *f, const struct asker *a, const char *error, const char *text)
{
	struct set_outcome o = {.error = error, .text = text && text[0] ? text : NULL};

	publish_result(f, a, &o);
}

static void command_done(struct field_write *w, const struct set_outcome *outcome)
{
	struct command *c = container_of(w, struct command, write);
	struct set_outcome o = *outcome;

	publish_result(c->field, &c->asker, &o);
	free(c);
}

/* Bytes and a NUL, from the room behind a command. */
static const char *stow(char **room, const void *bytes, size_t len)
{
	char *at = *room;

	if (len)
		memcpy(at, bytes, len);
	at[len] = '\0';
	*room += len + 1;
	return at;
}

static struct command *command_create(struct field *f, const struct asker *a)
{
	size_t topic_len = strlen(a->topic), response_len = a->response_topic ? strlen(a->response_topic) : 0;
	struct command *c =
		malloc(sizeof(*c) + topic_len + response_len + a->correlation.len + a->id.len + 4);
	char *room;

	if (!c)
		return NULL;
	*c = (struct command){.field = f, .write.done = command_done};
	room = (char *)(c + 1);
	c->asker.topic = stow(&room, a->topic, topic_len);
	if (a->response_topic)
		c->asker.response_topic = stow(&room, a->response_topic, response_len);
	if (a->correlation.p)
		c->asker.correlation =
			span_of(stow(&room, a->correlation.p, a->correlation.len), a->correlation.len);
	if (a->id.p)
		c->asker.id = span_of(stow(&room, a->id.p, a->id.len), a->id.len);
	return c;
}

/* Whose command it is: a tag's {topic}/set; or *t is NULL, and it is {root}/{device}/{tag}/set of none there is. */
static int find_target(struct field *f, const char *topic, struct tag **t, struct span *device)
{
	const char *root = f->cfg ? f->cfg->gateway.root : "", *at = topic + strlen(root), *slash;
	size_t len = strlen(topic);

	if (!f->cfg || len < 5 || strcmp(topic + len - 4, "/set") != 0 || len + 8 > TOPIC_BUFFER)
		return ERR_TOPIC;
	*t = topics_find(f, span_of(topic, len - 4));
	if (*t)
		return OK;
	if (strncmp(topic, root, strlen(root)) != 0 || *at != '/')
		return ERR_TOPIC;
	slash = strchr(++at, '/');
	if (!slash || slash == at || strchr(slash + 1, '/') != topic + len - 4 ||
	    slash + 1 == topic + len - 4)
		return ERR_TOPIC;
	*device = span_of(at, (size_t)(slash - at));
	return OK;
}

/*
 * Nobody but the gateway publishes on its topics (PRODUCT.md, "Topics and payloads") or below $: an answer is no way around
 * that, and goes to {topic}/result then.
 */
static bool may_answer_at(struct field *f, const char *topic)
{
	return topic[0] && topic[0] != '$' && !strpbrk(topic, "+#") && !topics_are_own(f, topic);
}

static void submit(struct field *f, const struct asker *a, struct tag *t, const struct tag_value *value,
		   const struct field_set *set)
{
	struct command *c = command_create(f, a);

	if (!c) {
		refuse(f, a, "busy", err_text(ERR_NOMEM));
		return;
	}
	c->write.value = *value;
	c->write.has_expiry = set->has_expiry;
	c->write.expiry_ms = set->expiry_ms;
	if (t->cfg->writable)
		safe_seen(t->device->line, CONFIG_WATCH_MQTT);
	field_write(f, t, &c->write);
}

/* {root}/{device}/_safe/set; find_target() has seen the rest of it. */
static bool is_safe_topic(const struct field *f, const char *topic)
{
	static const char end[] = "/_safe/set";
	size_t len = strlen(topic);

	return strncmp(topic, f->cfg->gateway.root, strlen(f->cfg->gateway.root)) == 0 && len > strlen(end) &&
	       strcmp(topic + len - strlen(end), end) == 0;
}

/* Any device names its line. */
static void command_safe(struct field *f, const struct asker *a, struct span device,
			 const struct tag_value *v)
{
	struct set_outcome o = {.ok = true, .value = *v};
	char text[SET_FAULT_MAX] = "no such device";
	struct device *d = field_device(f, device);
	const char *error = d ? safe_command(d->line, v, text) : "unknown_tag";

	if (error)
		refuse(f, a, error, text);
	else
		publish_result(f, a, &o);
}

int field_set(struct field *f, const struct field_set *set)
{
	struct asker a = {
		.topic = set->topic, .response_topic = set->response_topic, .correlation = set->correlation};
	const struct payload_format *format;
	struct set_command command;
	struct span device = span_of(NULL, 0);
	char text[SET_FAULT_MAX] = "";
	struct tag *t;
	int rc;

	if (find_target(f, set->topic, &t, &device) < 0)
		return ERR_TOPIC;
	if (a.response_topic && !may_answer_at(f, a.response_topic))
		a.response_topic = NULL;
	format = t ? (*f->formats)[t->cfg->policy->payload] : json_of(f);
	rc = format->decode_set(set->payload, &command, text);
	if (command.has_id)
		a.id = span_of(command.id, command.id_len);
	if (rc < 0)
		refuse(f, &a, rc == ERR_RANGE ? "range" : "malformed", text);
	else if (!t && is_safe_topic(f, set->topic))
		command_safe(f, &a, device, &command.value);
	else if (!t)
		refuse(f, &a, "unknown_tag", field_device(f, device) ? "no such tag" : "no such device");
	else
		submit(f, &a, t, &command.value, set);
	return OK;
}

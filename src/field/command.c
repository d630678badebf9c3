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
	struct tag_message m = {.qos = 1, .content_type = f->format->content_type};
	struct wr w = wr_of(f->payload, sizeof(f->payload));
	char result_topic[TOPIC_BUFFER];

	o->id = a->id;
	o->ts_ms = o->ts_ms ? o->ts_ms : loop_wall_ms(f->loop);
	f->format->encode_result(&w, o);
	assert(!w.bad); /* id, value and sentence are bounded far below the buffer */
	m.payload = span_of(f->payload, sizeof(f->payload) - w.left);
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

static struct device *find_device(struct field *f, struct span name)
{
	list_for_each (line_node, &f->lines) {
		struct line *l = container_of(line_node, struct line, node);

		list_for_each (node, &l->devices) {
			struct device *d = container_of(node, struct device, node);

			if (span_equal(span_str(d->cfg->name), name))
				return d;
		}
	}
	return NULL;
}

/* The two levels between root and "set". */
static int split_topic(const struct field *f, const char *topic, struct span *device, struct span *tag)
{
	const char *root = f->cfg ? f->cfg->gateway.root : "", *at = topic + strlen(root), *slash;

	if (!f->cfg || strncmp(topic, root, strlen(root)) != 0 || *at != '/' ||
	    strlen(topic) + 8 > TOPIC_BUFFER)
		return ERR_TOPIC;
	at++;
	slash = strchr(at, '/');
	if (!slash || slash == at)
		return ERR_TOPIC;
	*device = span_of(at, (size_t)(slash - at));
	at = slash + 1;
	slash = strchr(at, '/');
	if (!slash || slash == at || strcmp(slash, "/set") != 0)
		return ERR_TOPIC;
	*tag = span_of(at, (size_t)(slash - at));
	return OK;
}

/*
 * Nobody but the gateway publishes below its root (PRODUCT.md, "Topics and payloads") or below $: an answer is no way around
 * that, and goes to {topic}/result then.
 */
static bool may_answer_at(const struct field *f, const char *topic)
{
	const char *root = f->cfg->gateway.root;
	size_t n = strlen(root);

	return topic[0] && topic[0] != '$' && !strpbrk(topic, "+#") &&
	       !(strncmp(topic, root, n) == 0 && (topic[n] == '/' || topic[n] == '\0'));
}

/* NULL: there is none, and text says what. */
static struct tag *find(struct field *f, struct span device, struct span tag, char *text)
{
	char names[TOPIC_BUFFER]; /* both, each with a NUL: they are parts of a topic, which is shorter */
	char *name = names + device.len + 1;
	struct tag *t;

	memcpy(names, device.p, device.len);
	names[device.len] = '\0';
	memcpy(name, tag.p, tag.len);
	name[tag.len] = '\0';
	if (!(t = field_find_tag(f, names, name)))
		snprintf(text, SET_FAULT_MAX, "no such %s", find_device(f, device) ? "tag" : "device");
	return t;
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

/* {root}/{device}/_safe/set: any device names its line. */
static void command_safe(struct field *f, const struct asker *a, struct span device,
			 const struct tag_value *v)
{
	struct set_outcome o = {.ok = true, .value = *v};
	char text[SET_FAULT_MAX] = "no such device";
	struct device *d = find_device(f, device);
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
	struct set_command command;
	struct span device, tag;
	char text[SET_FAULT_MAX] = "";
	const char *error = NULL;
	struct tag *t = NULL;
	int rc;

	if (split_topic(f, set->topic, &device, &tag) < 0)
		return ERR_TOPIC;
	if (a.response_topic && !may_answer_at(f, a.response_topic))
		a.response_topic = NULL;
	rc = f->format->decode_set(set->payload, &command, text);
	if (command.has_id)
		a.id = span_of(command.id, command.id_len);
	if (rc == OK && span_equal(tag, span_str("_safe"))) {
		command_safe(f, &a, device, &command.value);
		return OK;
	}
	if (rc < 0)
		error = rc == ERR_RANGE ? "range" : "malformed";
	else if (!(t = find(f, device, tag, text)))
		error = "unknown_tag";
	if (error)
		refuse(f, &a, error, text);
	else
		submit(f, &a, t, &command.value, set);
	return OK;
}

#include "daemon/field_port.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* As long as a topic of ours can be: root, device, tag, "/set". A longer one is none. */
#define TOPIC_BYTES 2048
#define MS_PER_S    1000u

static void publish(struct tag_sink *sink, const struct tag_message *m)
{
	struct field_port *p = container_of(sink, struct field_port, sink);
	struct mqtt_publish out = {
		.retain = m->retain, .qos = m->qos, .topic = span_str(m->topic), .payload = m->payload};
	int rc;

	mqtt_props_clear(&out.props);
	if (m->content_type)
		mqtt_props_set_str(&out.props, MQTT_P_CONTENT_TYPE, span_str(m->content_type));
	if (m->correlation_data.p)
		mqtt_props_set_str(&out.props, MQTT_P_CORRELATION_DATA, m->correlation_data);
	if ((rc = mqtt_port_publish(p->port, &out)) < 0) {
		char quoted[256];

		log_warning("field", "a message for %s was not published: %s",
			    log_quote(quoted, sizeof(quoted), out.topic), err_text(rc));
	}
}

/* The text of a span in `buf`, NUL terminated, or NULL when it does not fit. */
static const char *text_of(struct span s, char *buf, size_t size)
{
	if (s.len >= size)
		return NULL;
	if (s.len)
		memcpy(buf, s.p, s.len);
	buf[s.len] = '\0';
	return buf;
}

static void take_command(struct field_port *p, const struct mqtt_publish *m)
{
	char topic[TOPIC_BYTES], response[TOPIC_BYTES], quoted[256];
	struct field_set set = {.topic = text_of(m->topic, topic, sizeof(topic)), .payload = m->payload};

	if (!p->field || !set.topic)
		return;
	if (mqtt_props_has(&m->props, MQTT_P_RESPONSE_TOPIC))
		set.response_topic = text_of(m->props.str[MQTT_P_RESPONSE_TOPIC], response, sizeof(response));
	if (mqtt_props_has(&m->props, MQTT_P_CORRELATION_DATA))
		set.correlation = m->props.str[MQTT_P_CORRELATION_DATA];
	if (mqtt_props_has(&m->props, MQTT_P_MESSAGE_EXPIRY)) {
		uint32_t s = m->props.num[MQTT_P_MESSAGE_EXPIRY];

		set.has_expiry = true;
		set.expiry_ms = s < UINT32_MAX / MS_PER_S ? s * MS_PER_S : UINT32_MAX;
	}
	if (field_set(p->field, &set) < 0)
		log_info("field", "%s is not a topic of a command",
			 log_quote(quoted, sizeof(quoted), m->topic));
}

/* What the uplink thread says about its uplinks: they may be the masters of lines with a watchdog. */
static void take_uplink(struct field_port *p, const char *name, struct span state)
{
	static const char *const up[] = {"\"state\":\"online\"", "\"state\":\"draining\""};
	bool is_up = false;

	for (size_t i = 0; state.len && i < sizeof(up) / sizeof(*up); i++)
		is_up = is_up || memmem(state.p, state.len, up[i], strlen(up[i]));
	if (field_uplink_state(p->field, name, is_up) < 0)
		log_error("field", "the state of uplink \"%s\" is not known: %s", name, err_text(ERR_NOMEM));
}

static void take_message(void *arg, const struct mqtt_publish *m)
{
	struct field_port *p = arg;
	char topic[TOPIC_BYTES];
	const char *uplink = text_of(m->topic, topic, sizeof(topic)) ? strstr(topic, UPLINK_TOPICS) : NULL;

	if (p->field && uplink)
		take_uplink(p, uplink + strlen(UPLINK_TOPICS), m->payload);
	else
		take_command(p, m);
}

int field_port_open(struct field_port *p, struct broker *broker, struct loop *loop)
{
	static const struct mqtt_port_ops ops = {.message = take_message};

	*p = (struct field_port){.sink = {.publish = publish}};
	return mqtt_port_open(broker, loop, &ops, p, &p->port);
}

int field_port_take_commands(struct field_port *p, const struct gateway_config *cfg)
{
	int rc = command_filters_make(&p->next, cfg);

	for (size_t i = 0; i < p->next.n && rc == OK; i++)
		if (!command_filters_have(&p->filters, p->next.list[i]))
			rc = mqtt_port_subscribe(p->port, span_str(p->next.list[i]));
	if (rc < 0)
		field_port_settle_commands(p, false);
	return rc;
}

void field_port_settle_commands(struct field_port *p, bool is_applied)
{
	struct command_filters *gone = is_applied ? &p->filters : &p->next;
	const struct command_filters *kept = is_applied ? &p->next : &p->filters;

	for (size_t i = 0; i < gone->n; i++)
		if (!command_filters_have(kept, gone->list[i]))
			mqtt_port_unsubscribe(p->port, span_str(gone->list[i]));
	command_filters_free(gone);
	if (is_applied)
		p->filters = p->next;
	p->next = (struct command_filters){0};
}

void field_port_close(struct field_port *p)
{
	command_filters_free(&p->filters);
	command_filters_free(&p->next);
}

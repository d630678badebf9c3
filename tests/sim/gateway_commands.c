#include "gateway_world.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A write may still be on its way when its command was answered with an error; the networks take no longer. */
#define UNDER_WAY_MS 1000u
#define MQTT_MS      200u /* from client to field side at most */
#define COMMAND_MS   30u  /* what one takes at most on a calm line: read and write */

/* ---- sending ---- */

static enum cell cell_for(struct gw *g, enum command_kind kind)
{
	static const enum cell writable[] = {CELL_LEVEL, CELL_LEVEL, CELL_BIT,
					     CELL_LOW,   CELL_COIL,  CELL_LOCKED};

	if (kind == COMMAND_READ_ONLY)
		return CELL_COUNT;
	if (kind == COMMAND_RANGE)
		return sim_one_in(g->world, 2) ? CELL_LEVEL : CELL_LOW;
	return writable[gw_any(g, sizeof(writable) / sizeof(*writable))];
}

static uint64_t raw_for(struct gw *g, const struct gw_command *c, unsigned id)
{
	if (c->kind == COMMAND_RANGE)
		return c->cell == CELL_LEVEL ? 5001 + gw_any(g, 100) : 256;
	switch (c->cell) {
	case CELL_LEVEL:
		return 1 + id; /* another one for each command */
	case CELL_BIT:
	case CELL_COIL:
		return gw_any(g, 2);
	default:
		return gw_any(g, 256);
	}
}

static size_t payload_of(const struct gw_command *c, unsigned id, char *buf, size_t size)
{
	char value[32];

	cell_text(c->cell, c->raw, value, sizeof(value));
	return (size_t)snprintf(buf, size, "{\"id\":\"%u\",\"value\":%s%s}", id, value,
				c->kind == COMMAND_MALFORMED ? "x" : "");
}

static enum command_kind draw_kind(struct gw *g)
{
	return sim_one_in(g->world, 3) ? (enum command_kind)gw_any(g, COMMAND_KINDS) : COMMAND_RIGHT;
}

void gw_command(struct gw *g, struct gw_peer *p)
{
	unsigned id = g->ncommands;
	struct gw_command *c = &g->commands[id];
	char topic[64], payload[96], text[16];
	struct mqtt_publish m = {.qos = (uint8_t)gw_any(g, 3)};
	struct gw_line *l;

	if (!p->peer.is_ready || id == GW_COMMANDS)
		return;
	*c = (struct gw_command){.kind = draw_kind(g), .peer = &p->peer, .life = p->peer.life};
	if (c->kind == COMMAND_RETAIN && !sim_one_in(g->world, 12))
		c->kind = COMMAND_RIGHT; /* they cost a connection each */
	c->device = &g->devices[gw_any(g, g->ndevices)];
	if (c->kind == COMMAND_RETAIN) /* of a device that is not there it is a message like others */
		c->device = c->device->line->devices[0];
	c->cell = cell_for(g, c->kind);
	c->raw = raw_for(g, c, id);
	c->sent_us = sim_now_us(g->world);
	snprintf(topic, sizeof(topic), "plant1/%s/%s/set", c->device->name,
		 c->kind == COMMAND_UNKNOWN ? "nothing" : cell_infos[c->cell].name);
	l = c->device->line;
	m.topic = span_str(topic);
	m.payload = span_of(payload, payload_of(c, id, payload, sizeof(payload)));
	m.retain = c->kind == COMMAND_RETAIN;
	mqtt_props_clear(&m.props);
	snprintf(text, sizeof(text), "%u", id);
	if (p->peer.version == MQTT_V5 && sim_one_in(g->world, 2)) {
		c->has_response = true;
		mqtt_props_set_str(&m.props, MQTT_P_RESPONSE_TOPIC, span_str(p->filter));
		mqtt_props_set_str(&m.props, MQTT_P_CORRELATION_DATA, span_str(text));
	}
	if (p->peer.version == MQTT_V5 && sim_one_in(g->world, 4))
		mqtt_props_set_num(&m.props, MQTT_P_MESSAGE_EXPIRY, c->expiry_s = 1);
	if (!sim_peer_publish(&p->peer, &m))
		return;
	g->ncommands++;
	if (c->kind != COMMAND_RIGHT || !c->device->is_configured)
		return;
	/* it goes first on its line, and may make scans late */
	if (l->busy_until_us < c->sent_us)
		l->busy_until_us = c->sent_us;
	l->busy_until_us += MS(COMMAND_MS);
}

/* ---- results ---- */

static struct gw_command *command_of(struct gw *g, struct span payload, char *json, size_t size)
{
	static const char start[] = "{\"id\":\"";
	unsigned id;

	gw_text(payload, json, size);
	if (strncmp(json, start, sizeof(start) - 1) != 0)
		return NULL;
	id = (unsigned)strtoul(json + sizeof(start) - 1, NULL, 10);
	return id < g->ncommands ? &g->commands[id] : NULL;
}

/* Errors of commands that never reached the device. */
static bool is_before_sending(const char *error)
{
	static const char *const words[] = {"range",     "type",    "read_only", "unknown_tag",
					    "malformed", "expired", "busy",      "superseded"};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcmp(error, words[i]) == 0)
			return true;
	return false;
}

static bool is_in_device(const struct gw *g, const struct gw_command *c)
{
	for (unsigned i = 0; i < g->nwrites; i++)
		if (g->writes[i].device == c->device && g->writes[i].cell == c->cell &&
		    g->writes[i].raw == c->raw && g->writes[i].us >= c->sent_us)
			return true;
	return false;
}

static void check_ok(struct gw *g, const struct gw_command *c, unsigned id, const char *json)
{
	const struct gw_device *d = c->device;
	uint64_t now_us = sim_now_us(g->world);
	/* one command after the other, and none of long ago is on its way */
	bool is_calm = d->condition == CONDITION_WELL && now_us >= d->deadline_us;
	char value[48], text[32];

	cell_text(c->cell, c->raw, text, sizeof(text));
	snprintf(value, sizeof(value), "\"value\":%s,", text);
	if (c->kind != COMMAND_RIGHT)
		gw_broken(g, "command %u: ok, and was to be refused: %s", id, json);
	else if (!strstr(json, value))
		gw_broken(g, "command %u: ok with another value than %s: %s", id, text, json);
	else if (!is_in_device(g, c))
		gw_broken(g, "command %u: ok, and the device never had %s", id, text);
	else if (is_calm && !plc_held(d->unit, c->cell, text, now_us, now_us))
		gw_broken(g, "command %u: ok, and the device has %s no more", id, text);
}

static void check_error(struct gw *g, const struct gw_command *c, unsigned id, const char *json)
{
	static const char *const expected[COMMAND_KINDS] = {[COMMAND_RANGE] = "range",
							    [COMMAND_READ_ONLY] = "read_only",
							    [COMMAND_UNKNOWN] = "unknown_tag",
							    [COMMAND_MALFORMED] = "malformed"};
	bool is_elsewhere = strcmp(c->error, "offline") == 0 || strcmp(c->error, "unknown_tag") == 0;

	if (expected[c->kind] && strcmp(c->error, expected[c->kind]) != 0 && !is_elsewhere)
		gw_broken(g, "command %u: not %s: %s", id, expected[c->kind], json);
	if (c->cell == CELL_LEVEL && is_before_sending(c->error) &&
	    c->writes) /* the values of others are not unique */
		gw_broken(g, "command %u: refused, and was written: %s", id, json);
}

void gw_result(struct gw *g, const struct tag_message *m)
{
	char json[256], place[64], text[16];
	struct gw_command *c = command_of(g, m->payload, json, sizeof(json));
	unsigned id = c ? (unsigned)(c - g->commands) : 0;
	const char *error;

	if (!c) {
		gw_broken(g, "%s: a result of no command: %s", m->topic, json);
		return;
	}
	if (c->results++ || c->kind == COMMAND_RETAIN)
		gw_broken(g, "command %u: result %u: %s", id, c->results, json);
	c->result_us = sim_now_us(g->world);
	c->is_ok = strstr(json, "\"ok\":true") != NULL;
	error = strstr(json, "\"error\":\"");
	if (!c->is_ok && error)
		gw_text(span_of(error + 9, strcspn(error + 9, "\"")), c->error, sizeof(c->error));
	if (c->has_response)
		snprintf(place, sizeof(place), "reply/%c", c->peer->id[1]);
	else
		snprintf(place, sizeof(place), "plant1/%s/%s/set/result", c->device->name,
			 c->kind == COMMAND_UNKNOWN ? "nothing" : cell_infos[c->cell].name);
	snprintf(text, sizeof(text), "%u", id);
	if (strcmp(m->topic, place) != 0 ||
	    (c->has_response && !span_equal(m->correlation_data, span_str(text))))
		gw_broken(g, "command %u: its result went to %s", id, m->topic);
	if (c->is_ok)
		check_ok(g, c, id, json);
	else
		check_error(g, c, id, json);
}

void gw_result_came(struct gw *g, struct sim_peer *p, const struct mqtt_publish *m)
{
	char json[256], topic[64];
	struct gw_command *c;

	gw_text(m->topic, topic, sizeof(topic));
	if (strncmp(topic, "reply/", 6) != 0 && !strstr(topic, "/set/result"))
		return;
	c = command_of(g, m->payload, json, sizeof(json));
	if (!c || c->peer != p || c->life != p->life)
		return;
	if (c->came++)
		gw_broken(g, "command %u: its result came %u times: %s", (unsigned)(c - g->commands), c->came,
			  json);
	if (c->has_response && p->version == MQTT_V5 && !mqtt_props_has(&m->props, MQTT_P_CORRELATION_DATA))
		gw_broken(g, "command %u: its result came without correlation data",
			  (unsigned)(c - g->commands));
}

/* ---- what is in the devices ---- */

/* May this command be what was written now? */
static bool may_write(const struct gw_command *c, uint64_t now_us)
{
	if (c->kind != COMMAND_RIGHT || c->writes > c->device->line->retries)
		return false;
	if (!c->results)
		return true;
	return !is_before_sending(c->error) && now_us <= c->result_us + MS(UNDER_WAY_MS);
}

/* Its first attempt goes out in time; that and the others may be on their way for a while. */
static void check_expiry(struct gw *g, const struct gw_command *c, uint64_t now_us)
{
	const struct gw_line *l = c->device->line;
	uint64_t end_us =
		c->sent_us + MS(1000 * c->expiry_s + MQTT_MS + l->retries * l->timeout_ms + UNDER_WAY_MS);

	if (c->expiry_s && now_us > end_us)
		gw_broken(g, "command %u: written %llu ms after it was sent, and was to expire after %u s",
			  (unsigned)(c - g->commands), (unsigned long long)(now_us - c->sent_us) / 1000,
			  c->expiry_s);
}

void gw_written(struct plc_unit *u, enum cell cell, uint64_t raw)
{
	struct gw *g = u->plc->owner;
	struct gw_device *d = NULL;
	struct gw_command *found = NULL;
	uint64_t now_us = sim_now_us(g->world);

	for (unsigned i = 0; i < g->ndevices; i++)
		if (g->devices[i].unit == u)
			d = &g->devices[i];
	for (unsigned i = 0; i < g->ncommands; i++) {
		struct gw_command *c = &g->commands[i];

		if (c->device == d && c->cell == cell && c->raw == raw && may_write(c, now_us) &&
		    (!found || (found->results && !c->results)))
			found = c; /* rather one that waits for its result, and the first of these: it goes first */
	}
	assert(d && g->nwrites < GW_WRITES);
	g->writes[g->nwrites++] = (struct gw_write){.device = d, .cell = cell, .raw = raw, .us = now_us};
	if (found && cell == CELL_LEVEL && found->writes == 0)
		check_expiry(g, found, now_us);
	if (found)
		found->writes++;
	else
		gw_broken(g, "%s/%s: %" PRIu64 " was written, and no command says so", d->name,
			  cell_infos[cell].name, raw);
}

/* Everything is over. */
void gw_settle_commands(struct gw *g)
{
	for (unsigned i = 0; i < g->ncommands; i++) {
		const struct gw_command *c = &g->commands[i];
		bool is_alive = c->peer->life == c->life && c->peer->is_ready;

		if (c->kind == COMMAND_RETAIN) {
			if (is_alive && (c->peer->version == MQTT_V5))
				gw_broken(g, "command %u: RETAIN, and the connection lives", i);
			continue;
		}
		if (is_alive && (c->results != 1 || c->came != 1))
			gw_broken(g, "command %u for %s/%s: %u results, %u came", i, c->device->name,
				  cell_infos[c->cell].name, c->results, c->came);
		/* of other tags, one that was lost on its way may have been taken for another of the same value */
		if (c->cell == CELL_LEVEL && c->writes && c->results != 1)
			gw_broken(g, "command %u: written, and %u results", i, c->results);
	}
}

#include "gateway_world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "field/refused.h"

#define BEGIN_MS      3600000u /* virtual time begins here */
#define SLACK_MS      250u     /* for the network's delays and some commands in between */
#define ROUGH_TAIL_MS 1000u    /* what a rough network still carries when it is calm again */

/* ---- the log ---- */

static uint64_t hash_of(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
	return hash;
}

/* Its slot, or a free one: nmessages 0. */
static struct gw_topic *topic_slot(struct gw *g, const char *name)
{
	uint64_t at = hash_of(name, strlen(name));

	while (g->topic[at % GW_TOPICS].nmessages && strcmp(g->topic[at % GW_TOPICS].name, name) != 0)
		at++;
	return &g->topic[at % GW_TOPICS];
}

static void log_message(struct gw *g, const struct tag_message *m)
{
	struct gw_topic *t = topic_slot(g, m->topic);

	assert(g->nlog < GW_LOG && strlen(m->topic) < sizeof(t->name));
	g->log[g->nlog] = (struct gw_published){.hash = hash_of(m->payload.p, m->payload.len),
						.topic = (unsigned)(t - g->topic),
						.number = t->nmessages,
						.before = t->last};
	snprintf(t->name, sizeof(t->name), "%s", m->topic);
	t->last = g->nlog++;
	t->nmessages++;
	t->is_cleared = m->payload.len == 0;
	t->is_retained = m->retain;
}

/* ---- what the field side says ---- */

/* The text after "key": up to the next comma or brace. */
static bool member(const char *json, const char *key, char *buf, size_t size)
{
	char quoted[24];
	const char *at;
	size_t n;

	snprintf(quoted, sizeof(quoted), "\"%s\":", key);
	at = strstr(json, quoted);
	if (!at)
		return false;
	at += strlen(quoted);
	n = strcspn(at, ",}");
	gw_text(span_of(at, n), buf, size);
	return true;
}

/* A good value was in the device between request and answer, and there is an answer that it is from. */
static void check_value(struct gw *g, const struct gw_device *d, enum cell cell, const char *value)
{
	const struct gw_line *l = d->line;
	const struct cell_info *c = &cell_infos[cell];

	if (!l->answer.is_on || l->answer.unit != d->unit->number || l->answer.area != c->area ||
	    l->answer.start > c->start || l->answer.start + l->answer.count < c->start + c->count)
		gw_broken(g, "%s/%s: a good value that no answer brought", d->name, c->name);
	else if (!plc_held(d->unit, cell, value, l->answer.from_us, l->answer.to_us))
		gw_broken(g, "%s/%s: %s was not in the device in the %llu us before its answer", d->name,
			  c->name, value, (unsigned long long)(l->answer.to_us - l->answer.from_us));
}

static void check_tag(struct gw *g, struct gw_device *d, enum cell cell, const char *json)
{
	struct gw_tag *t = &d->tags[cell];
	char value[32] = "", ts_text[32] = "", quality[16] = "";
	int64_t ts;

	if (!member(json, "value", value, sizeof(value)) || !member(json, "ts", ts_text, sizeof(ts_text)) ||
	    !member(json, "quality", quality, sizeof(quality)))
		gw_broken(g, "%s/%s: a payload without its members: %s", d->name, cell_infos[cell].name,
			  json);
	ts = strtoll(ts_text, NULL, 10);
	if (ts != loop_wall_ms(g->field_loop))
		gw_broken(g, "%s/%s: ts is %lld ms beside the time of the answer", d->name,
			  cell_infos[cell].name, (long long)(ts - loop_wall_ms(g->field_loop)));
	if (t->is_published && t->wall_steps == g->wall_steps && ts < t->ts)
		gw_broken(g, "%s/%s: ts goes back", d->name, cell_infos[cell].name);
	t->is_published = true;
	t->is_good = strcmp(quality, "\"good\"") == 0;
	t->ts = ts;
	t->wall_steps = g->wall_steps;
	t->at_us = sim_now_us(g->world);
	if (t->is_good)
		check_value(g, d, cell, value);
	else if (strcmp(value, "null") != 0)
		gw_broken(g, "%s/%s: bad, and has a value: %s", d->name, cell_infos[cell].name, value);
}

static void check_rack(struct gw *g, const struct tag_message *m, const char *json)
{
	if (!strstr(m->topic, "_status") && !strstr(m->topic, "/set/") && json[0] &&
	    !strstr(json, "\"quality\":\"good\""))
		gw_broken(g, "%s: %s", m->topic, json);
}

static void check_device(struct gw *g, struct gw_device *d, const char *last, const char *json)
{
	enum cell cell = 0;

	if (!json[0])
		return; /* cleared; a reload looks whether it was right */
	if (!d->is_configured)
		gw_broken(g, "%s/%s is published, and is not configured", d->name, last);
	if (strcmp(last, "_status") == 0) {
		d->starts += strstr(json, "\"connecting\"") != NULL;
		return;
	}
	while (cell < CELLS && strcmp(last, cell_infos[cell].name) != 0)
		cell++;
	if (cell == CELLS || (cell == CELL_FAR && !d->has_far))
		gw_broken(g, "%s/%s is published, and is no tag", d->name, last);
	else
		check_tag(g, d, cell, json);
}

static void check_message(struct gw *g, const struct tag_message *m)
{
	char json[512];
	const char *rest = m->topic + strlen("plant1/");

	gw_text(m->payload, json, sizeof(json));
	if (strncmp(m->topic, "reply/", 6) == 0 || strstr(m->topic, "/set/result")) {
		if (m->retain)
			gw_broken(g, "%s: a result with RETAIN", m->topic);
		gw_result(g, m);
		return;
	}
	if (!m->retain)
		gw_broken(g, "%s without RETAIN", m->topic);
	if (strncmp(rest, "_gateway/line/", 14) == 0) {
		if (!strstr(json, "\"utilisation_percent\":"))
			gw_broken(g, "%s is no status of a line: %s", m->topic, json);
		return;
	}
	if (strncmp(rest, "rack/", 5) == 0) {
		check_rack(g, m, json);
		return;
	}
	for (unsigned i = 0; i < g->ndevices; i++) {
		size_t n = strlen(g->devices[i].name);

		if (strncmp(rest, g->devices[i].name, n) == 0 && rest[n] == '/') {
			check_device(g, &g->devices[i], rest + n + 1, json);
			return;
		}
	}
	gw_broken(g, "%s is published, and is of no device", m->topic);
}

void gw_publish(struct tag_sink *sink, const struct tag_message *m)
{
	struct gw *g = container_of(sink, struct gw, sink);

	check_message(g, m);
	log_message(g, m);
	g->port.sink.publish(&g->port.sink, m);
}

void gw_set_wall_steps(struct gw *g, int64_t by_ms)
{
	sim_step_wall(g->world, by_ms);
	g->wall_steps++;
}

/* ---- what clients get of it ---- */

/* The message of `t` with this number. */
static const struct gw_published *numbered(const struct gw *g, const struct gw_topic *t, unsigned number)
{
	const struct gw_published *m = &g->log[t->last];

	while (m->number > number)
		m = &g->log[m->before];
	return m;
}

/* The first message of a topic in a connection: the newest that looks like it; with a twin of it just before, the older. */
static int first_seen(const struct gw *g, const struct gw_topic *t, uint64_t hash)
{
	const struct gw_published *m = &g->log[t->last];

	while (m->number > 0 && m->hash != hash)
		m = &g->log[m->before];
	if (m->hash != hash)
		return -1;
	while (m->number > 0 && g->log[m->before].hash == hash)
		m = &g->log[m->before];
	return (int)m->number;
}

/* The next one: right after the last, of which twins may have been left out at the beginning. */
static int next_seen(const struct gw *g, const struct gw_topic *t, int last, uint64_t hash)
{
	uint64_t twin = numbered(g, t, (unsigned)last)->hash;

	for (unsigned n = (unsigned)last + 1; n < t->nmessages; n++) {
		uint64_t found = numbered(g, t, n)->hash;

		if (found == hash)
			return (int)n;
		if (found != twin)
			break;
	}
	return -1;
}

void gw_peer_message(struct sim_peer *peer, const struct mqtt_publish *m)
{
	struct gw_peer *p = container_of(peer, struct gw_peer, peer);
	struct gw *g = peer->owner;
	char name[64], json[160];
	struct gw_topic *t;
	uint64_t hash = hash_of(m->payload.p, m->payload.len);
	int *seen, now;

	gw_text(m->topic, name, sizeof(name));
	if (strlen(name) > 4 && strcmp(name + strlen(name) - 4, "/set") == 0)
		return; /* a command, of any client */
	if (p->life != peer->life) {
		p->life = peer->life;
		memset(p->seen, -1, sizeof(p->seen));
	}
	gw_result_came(g, peer, m);
	t = topic_slot(g, name);
	seen = &p->seen[t - g->topic];
	if (t->nmessages == 0) {
		gw_broken(g, "client %s: %s, which nobody published", peer->id, name);
		return;
	}
	now = *seen < 0 ? first_seen(g, t, hash) : next_seen(g, t, *seen, hash);
	if (now < 0)
		gw_broken(g, "client %s: %s: after message %d of %u came %s", peer->id, name, *seen,
			  t->nmessages, gw_text(m->payload, json, sizeof(json)));
	*seen = now;
}

void gw_check_newest(struct gw *g, struct gw_peer *p)
{
	for (unsigned i = 0; i < GW_TOPICS; i++) {
		const struct gw_topic *t = &g->topic[i];
		bool is_here = p->life == p->peer.life && p->seen[i] >= 0;
		int seen = is_here ? p->seen[i] : -1;
		uint64_t newest;

		if (!t->nmessages || !t->is_retained)
			continue;
		newest = g->log[t->last].hash;
		if (t->is_cleared ? is_here && numbered(g, t, (unsigned)seen)->hash != newest
				  : !is_here || numbered(g, t, (unsigned)seen)->hash != newest)
			gw_broken(g, "client %s: has message %d of %s, the newest is %u%s", p->peer.id, seen,
				  t->name, t->nmessages - 1, t->is_cleared ? ", cleared" : "");
	}
}

/* ---- what must show by when ---- */

/* The longest back-off that can be in force when nothing was answered for so long. */
static uint64_t backoff_ms(const struct gw_line *l, uint64_t silent_ms)
{
	uint64_t b = l->first_ms, t = 0;

	while (b < l->max_ms && t + b * 7 / 8 <= silent_ms) {
		t += b * 7 / 8;
		b = 2 * b < l->max_ms ? 2 * b : l->max_ms;
	}
	return b;
}

/*
 * Beside units that answer, probes have an eighth of the time in which the wire is free, and the last may have taken a whole
 * time-out that nothing was saved up for.
 */
#define PROBES_MS(l) (8ull * (l)->timeout_ms)

static enum condition condition_of(const struct gw_device *d)
{
	if (d->line->is_rough)
		return CONDITION_ROUGH;
	return d->line->plc.mode == PLC_ALIVE && !d->unit->is_absent ? CONDITION_WELL : CONDITION_DEAD;
}

static unsigned scan_ms(const struct gw_device *d)
{
	return d->line->scan_ms * (d->is_slower ? 2 : 1);
}

void gw_reconsider(struct gw *g, struct gw_device *d)
{
	const struct gw_line *l = d->line;
	uint64_t now_us = sim_now_us(g->world), wait_ms = SLACK_MS, silent_ms, blocks_us;
	uint64_t ok_us = l->last_ok_us < d->last_ok_us ? l->last_ok_us : d->last_ok_us;
	/* What is under way when something changes ends first; of each device on the line one after the other. */
	uint64_t attempts_ms = (uint64_t)PLC_UNITS * l->timeout_ms * (l->retries + 1);
	/* A device is asked for two of its blocks before it is silent, also without retries. */
	uint64_t polls_ms = l->retries ? attempts_ms : 2 * attempts_ms;

	d->condition = condition_of(d);
	if (now_us < l->calm_us + MS(ROUGH_TAIL_MS))
		wait_ms += ROUGH_TAIL_MS;
	if (d->condition == CONDITION_WELL) {
		silent_ms = (now_us - ok_us) / 1000 + wait_ms + polls_ms;
		wait_ms += backoff_ms(l, silent_ms) + (uint64_t)PLC_UNITS * l->timeout_ms;
		wait_ms += PROBES_MS(l);
	} else {
		/* A command that comes after all attempts of polls but one has as many of its own. */
		wait_ms += 2 * scan_ms(d) + polls_ms + attempts_ms - (uint64_t)PLC_UNITS * l->timeout_ms;
	}
	d->deadline_us = now_us + MS(wait_ms);
	/* A block that was lost again and again, while others of its device were not, has a back-off of its own. */
	blocks_us = l->calm_us + MS(ROUGH_TAIL_MS + l->max_ms + 2 * scan_ms(d) + SLACK_MS);
	if (l->calm_us && d->deadline_us < blocks_us)
		d->deadline_us = blocks_us;
}

static uint64_t far_settled_us(const struct gw_device *d)
{
	return d->far_since_us + MS(4 * scan_ms(d) + SLACK_MS);
}

/*
 * A tag that was refused is tried again after longer and longer, so it may stay bad for as long as it was refused before, and the
 * first wait.
 */
static uint64_t far_tried_us(const struct gw_device *d)
{
	uint64_t refused_us = d->far_since_us ? d->far_since_us - MS(BEGIN_MS) : 0; /* at most */

	return far_settled_us(d) + refused_us + MS(REFUSED_WAIT_FIRST_MS);
}

static bool is_far_right(const struct gw_device *d, bool is_good, uint64_t now_us)
{
	if (now_us <= far_settled_us(d))
		return true;
	if (d->unit->is_far_refused)
		return !is_good;
	return is_good || now_us <= far_tried_us(d);
}

static void watch_well(struct gw *g, const struct gw_device *d)
{
	uint64_t now_us = sim_now_us(g->world);

	for (unsigned c = 0; c < CELLS; c++) {
		const struct gw_tag *t = &d->tags[c];
		uint64_t last_us = t->at_us > d->line->busy_until_us ? t->at_us : d->line->busy_until_us;

		if (c == CELL_FAR) {
			if (d->has_far && !is_far_right(d, t->is_good, now_us))
				gw_broken(g, "%s/far is %s, and is%s refused", d->name,
					  t->is_good ? "good" : "bad", d->unit->is_far_refused ? "" : " not");
			continue;
		}
		if (!t->is_good)
			gw_broken(g, "%s/%s is not good, and the device is well", d->name,
				  cell_infos[c].name);
		else if (cell_infos[c].is_fast && now_us > last_us + MS(scan_ms(d) + SLACK_MS))
			gw_broken(g, "%s/%s is late: %llu ms since the last scan", d->name,
				  cell_infos[c].name, (unsigned long long)(now_us - t->at_us) / 1000);
	}
}

static void watch_dead(struct gw *g, const struct gw_device *d)
{
	for (unsigned c = 0; c < CELLS; c++)
		if ((c != CELL_FAR || d->has_far) && (!d->tags[c].is_published || d->tags[c].is_good))
			gw_broken(g, "%s/%s is not bad, and the device is dead", d->name, cell_infos[c].name);
}

void gw_watch(struct gw *g)
{
	for (unsigned i = 0; i < g->ndevices; i++) {
		const struct gw_device *d = &g->devices[i];

		if (!d->is_configured || sim_now_us(g->world) < d->deadline_us)
			continue;
		if (d->condition == CONDITION_WELL)
			watch_well(g, d);
		else if (d->condition == CONDITION_DEAD)
			watch_dead(g, d);
	}
}

static bool is_well(const struct gw *g, const struct gw_device *d)
{
	uint64_t now_us = sim_now_us(g->world);

	return d->condition == CONDITION_WELL && now_us >= d->deadline_us &&
	       (!d->has_far || now_us > far_tried_us(d));
}

bool gw_all_well(struct gw *g)
{
	for (unsigned i = 0; i < g->ndevices; i++)
		if (g->devices[i].is_configured && !is_well(g, &g->devices[i]))
			return false;
	return true;
}

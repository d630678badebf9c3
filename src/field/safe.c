#include "field/safe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define RETRY_FIRST_MS    1000u
#define RETRY_DOUBLED_MAX 5u /* then every 32 s */

/* One tag with a safe value. */
struct safe_output {
	struct job job;
	bool is_wanted; /* still to be confirmed */
	uint64_t retry_at;
	unsigned failures;
};

static struct loop *loop_of(const struct line *l)
{
	return l->field->loop;
}

static const char *watch_text(enum config_watch what)
{
	static const char *const texts[] = {[CONFIG_WATCH_MODBUS] = "modbus",
					    [CONFIG_WATCH_MQTT] = "mqtt",
					    [CONFIG_WATCH_UPLINK] = "uplink"};

	return texts[what];
}

static const struct config_watchdog *watchdog(const struct line *l)
{
	return &l->cfg->watchdog;
}

/* ---- outputs ---- */

static void want_outputs(struct device *d, bool is_wanted)
{
	for (size_t i = 0; i < d->noutputs; i++) {
		d->outputs[i].is_wanted = is_wanted;
		d->outputs[i].retry_at = 0;
		d->outputs[i].failures = 0;
	}
}

static void want_all(struct line *l, bool is_wanted)
{
	list_for_each (node, &l->devices)
		want_outputs(container_of(node, struct device, node), is_wanted);
}

static bool is_ready(const struct device *d, const struct safe_output *o, uint64_t now)
{
	return o->is_wanted && o->job.phase == JOB_WAITS && now >= o->retry_at &&
	       (d->state != DEVICE_OFFLINE || d->is_broadcast);
}

struct job *safe_next(struct line *l, bool (*is_busy)(const struct line *l, const struct device *d))
{
	uint64_t now = loop_now_ms(loop_of(l));

	if (!l->safe.is_on)
		return NULL;
	list_for_each (node, &l->devices) {
		struct device *d = container_of(node, struct device, node);

		for (size_t i = 0; i < d->noutputs; i++)
			if (is_ready(d, &d->outputs[i], now) && !is_busy(l, d))
				return &d->outputs[i].job;
	}
	return NULL;
}

static void try_again(struct safe_output *o)
{
	struct line *l = o->job.device->line;
	uint32_t wait_ms = RETRY_FIRST_MS << o->failures;

	if (o->failures < RETRY_DOUBLED_MAX)
		o->failures++;
	o->retry_at = loop_now_ms(loop_of(l)) + wait_ms;
	if (!loop_timer_pending(&l->safe.retry) || l->safe.retry.due_ms > o->retry_at)
		loop_timer_set(loop_of(l), &l->safe.retry, wait_ms);
}

void safe_written(struct job *job, const struct set_outcome *outcome)
{
	struct safe_output *o = container_of(job, struct safe_output, job);

	job->phase = JOB_WAITS;
	if (!o->is_wanted)
		return; /* cleared meanwhile */
	if (outcome->ok) {
		o->is_wanted = false;
		return;
	}
	if (o->failures == 0)
		log_error("field", "device \"%s\": the safe value of \"%s\" is not confirmed: %s",
			  job->device->cfg->name, job->tag->cfg->name,
			  outcome->exception ? job->device->last_error
			  : outcome->text    ? outcome->text
					     : outcome->error);
	try_again(o);
}

void safe_device_lost(struct device *d)
{
	for (size_t i = 0; i < d->noutputs; i++) {
		struct safe_output *o = &d->outputs[i];

		if (o->job.phase == JOB_WAITS)
			continue;
		o->job.phase = JOB_WAITS;
		if (o->is_wanted)
			try_again(o);
	}
}

static void retry_due(struct loop_timer *timer)
{
	struct line *l = container_of(timer, struct line, safe.retry);
	uint64_t now = loop_now_ms(loop_of(l)), next = UINT64_MAX;

	list_for_each (node, &l->devices) {
		const struct device *d = container_of(node, struct device, node);

		for (size_t i = 0; i < d->noutputs; i++)
			if (d->outputs[i].is_wanted && d->outputs[i].retry_at > now &&
			    d->outputs[i].retry_at < next)
				next = d->outputs[i].retry_at;
	}
	if (next != UINT64_MAX)
		loop_timer_set(loop_of(l), timer, next - now);
	line_wake(l);
}

/* ---- states ---- */

static void tell(struct line *l, const char *cause)
{
	struct field *f = l->field;
	const struct safe_event e = {.line = l->cfg->name,
				     .is_entered = l->safe.is_on,
				     .cause = cause,
				     .ts_ms = loop_wall_ms(loop_of(l))};
	struct wr w = wr_of(f->payload, f->payload_size);
	int n = snprintf(f->topic, sizeof(f->topic), "%s/_gateway/event", f->cfg->gateway.root);

	json_of(f)->encode_safe_event(&w, &e);
	if (!w.bad && n > 0 && (size_t)n < sizeof(f->topic))
		publish(f, f->topic, false, span_of(f->payload, f->payload_size - w.left));
	publish_line(l);
	list_for_each (node, &l->devices)
		publish_status(container_of(node, struct device, node));
}

static void watch_again(struct line *l)
{
	uint64_t due_ms = loop_now_ms(loop_of(l)) + watchdog(l)->timeout_ms;

	if (!watchdog(l)->is_set || l->safe.is_on || l->safe.is_master_up)
		loop_timer_cancel(loop_of(l), &l->safe.timer);
	else if (!loop_timer_pending(&l->safe.timer) ||
		 l->safe.timer.due_ms != due_ms) /* many in one millisecond */
		loop_timer_set(loop_of(l), &l->safe.timer, watchdog(l)->timeout_ms);
}

static void enter(struct line *l, const char *cause)
{
	l->safe.is_on = true;
	log_warning("field", "line \"%s\": safe state (%s)", l->cfg->name, cause);
	watch_again(l);
	want_all(l, true);
	jobs_refuse(l, "safe_mode");
	tell(l, cause);
	line_wake(l);
}

static void clear(struct line *l, const char *cause)
{
	l->safe.is_on = false;
	log_notice("field", "line \"%s\": safe state cleared (%s)", l->cfg->name, cause);
	want_all(l, false);
	loop_timer_cancel(loop_of(l), &l->safe.retry);
	watch_again(l);
	tell(l, cause);
}

static void expired(struct loop_timer *timer)
{
	struct line *l = container_of(timer, struct line, safe.timer);

	enter(l, watch_text((enum config_watch)watchdog(l)->watch));
}

void safe_seen(struct line *l, enum config_watch what)
{
	if (!watchdog(l)->is_set || watchdog(l)->watch != (int)what)
		return;
	if (!l->safe.is_on)
		watch_again(l);
	else if (watchdog(l)->clear == CONFIG_CLEAR_AUTO)
		clear(l, watch_text(what));
}

const char *safe_command(struct line *l, const struct tag_value *v, char *text)
{
	if (!watchdog(l)->is_set) {
		snprintf(text, SET_FAULT_MAX, "the line has no watchdog");
		return "unknown_tag";
	}
	if (v->kind != TAG_BOOL) {
		snprintf(text, SET_FAULT_MAX, "must be true or false");
		return "type";
	}
	if (v->b && !l->safe.is_on)
		enter(l, "command");
	else if (!v->b && l->safe.is_on)
		clear(l, "command");
	else if (!v->b)
		safe_seen(l, CONFIG_WATCH_MQTT);
	return NULL;
}

/* ---- what is watched ---- */

void field_master_seen(const struct tag *t)
{
	safe_seen(t->device->line, CONFIG_WATCH_MODBUS);
}

static struct uplink_seen *find_uplink(struct field *f, const char *name)
{
	for (size_t i = 0; i < f->nuplinks; i++)
		if (strcmp(f->uplinks[i].name, name) == 0)
			return &f->uplinks[i];
	return NULL;
}

static bool is_up(struct field *f, const char *name)
{
	const struct uplink_seen *u = find_uplink(f, name);

	return u && u->is_up;
}

static void uplink_changed(struct line *l)
{
	bool up = is_up(l->field, watchdog(l)->uplink);

	if (l->safe.is_master_up == up)
		return;
	l->safe.is_master_up = up;
	if (up)
		safe_seen(l, CONFIG_WATCH_UPLINK);
	else
		watch_again(l);
}

static int remember_uplink(struct field *f, const char *name, bool up)
{
	struct uplink_seen *u = find_uplink(f, name), *all;

	if (!u) {
		if (!(all = realloc(f->uplinks, (f->nuplinks + 1) * sizeof(*all))))
			return ERR_NOMEM;
		f->uplinks = all;
		u = &all[f->nuplinks];
		if (!(u->name = strdup(name)))
			return ERR_NOMEM;
		f->nuplinks++;
	}
	u->is_up = up;
	return OK;
}

int field_uplink_state(struct field *f, const char *name, bool up)
{
	int rc = remember_uplink(f, name, up);

	if (rc < 0)
		return rc;
	list_for_each (node, &f->lines) {
		struct line *l = container_of(node, struct line, node);

		if (watchdog(l)->is_set && watchdog(l)->watch == CONFIG_WATCH_UPLINK &&
		    strcmp(watchdog(l)->uplink, name) == 0)
			uplink_changed(l);
	}
	return OK;
}

/* ---- life ---- */

void safe_init(struct line *l)
{
	loop_timer_init(&l->safe.timer, expired);
	loop_timer_init(&l->safe.retry, retry_due);
}

void safe_start(struct line *l)
{
	if (watchdog(l)->is_set && watchdog(l)->watch == CONFIG_WATCH_UPLINK)
		l->safe.is_master_up = is_up(l->field, watchdog(l)->uplink);
	watch_again(l);
}

void safe_stop(struct line *l)
{
	loop_timer_cancel(loop_of(l), &l->safe.timer);
	loop_timer_cancel(loop_of(l), &l->safe.retry);
}

/* The configuration's text as a value: the check has seen that it is one of the tag's kind. */
static struct tag_value value_of(const struct tag *t)
{
	const char *text = t->cfg->safe;
	char *end;
	double number;

	switch (value_type_info(t->format.type)->kind) {
	case VALUE_KIND_BOOL:
		return tag_bool(strcmp(text, "true") == 0);
	case VALUE_KIND_STRING:
	case VALUE_KIND_BYTES:
		return tag_string(span_str(text));
	default:
		number = strtod(text, &end);
		return strchr(text, '.') || strpbrk(text, "eE") ? tag_double(number)
								: tag_int(strtoll(text, NULL, 10));
	}
}

static bool has_output(const struct tag *t)
{
	return t->cfg->safe && t->cfg->writable;
}

int safe_device_init(struct device *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->ntags; i++)
		n += has_output(&d->tags[i]);
	if (n == 0)
		return OK;
	if (!(d->outputs = calloc(n, sizeof(*d->outputs))))
		return ERR_NOMEM;
	for (size_t i = 0; i < d->ntags; i++) {
		struct safe_output *o = &d->outputs[d->noutputs];
		struct tag_value value;
		char text[SET_FAULT_MAX] = "";

		if (!has_output(&d->tags[i]))
			continue;
		o->job = (struct job){.device = d, .tag = &d->tags[i], .is_safe = true};
		list_init(&o->job.node);
		value = value_of(&d->tags[i]);
		if (tag_command_check(&d->tags[i], &value, &o->job.value, text)) {
			log_error("field", "device \"%s\" tag \"%s\": the safe value %s %s", d->cfg->name,
				  d->tags[i].cfg->name, d->tags[i].cfg->safe, text);
			return ERR_RANGE;
		}
		d->noutputs++;
	}
	return OK;
}

void safe_device_fini(struct device *d)
{
	free(d->outputs);
}

void safe_device_joined(struct device *d)
{
	want_outputs(d, d->line->safe.is_on);
}

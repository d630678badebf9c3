/*
 * Writes: from whoever asks (a command of MQTT, a view) to the device, and one answer back.
 *
 * A write waits in the queue of its line until nothing else is under way to its device.  When another to the same tag comes
 * meanwhile, only the newest goes out, in the place of the newest, and the older one is answered "superseded": so what is
 * written is in the order in which it was asked for, and a slider that moves does not fill the line.
 *
 *     WAITS --(a part of a register)--> READS --> WRITES --(verify)--> VERIFIES --> answered
 *        \-------------------------------------->   (one request after the other, where the device takes one register at a time)
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "field/internal.h"
#include "field/safe.h"

/* ---- ends ---- */

static void answer(struct field_write *w, const struct field *f, struct set_outcome *o)
{
	if (!w)
		return;
	w->job = NULL;
	o->ts_ms = o->ts_ms ? o->ts_ms : loop_wall_ms(f->loop);
	w->done(w, o);
}

static void refuse(struct field_write *w, const struct field *f, const char *error, const char *text)
{
	struct set_outcome o = {.error = error, .text = text && text[0] ? text : NULL};

	answer(w, f, &o);
}

/* The job ends here; *o says how. Who is answered may ask for another write at once. */
static void job_end(struct job *job, struct set_outcome *o)
{
	struct line *l = job->device->line;
	struct field_write *w = job->asker;

	if (job->is_safe) {
		safe_written(job, o);
		return;
	}
	list_remove(&job->node);
	l->njobs--;
	free(job);
	answer(w, l->field, o);
}

static void job_fail(struct job *job, const char *error)
{
	struct set_outcome o = {.error = error};

	if (job->phase == JOB_VERIFIES)
		o.text = "it was written, but could not be read back";
	job_end(job, &o);
}

static bool is_busy(const struct line *l, const struct device *d)
{
	for (unsigned i = 0; i < l->nslots; i++)
		if (l->slots[i].is_used && l->slots[i].job && l->slots[i].device == d)
			return true;
	return false;
}

static struct job *first_expired(struct line *l, uint64_t now)
{
	list_for_each (node, &l->jobs) {
		struct job *job = container_of(node, struct job, node);

		if (job->phase == JOB_WAITS && job->has_expiry && now >= job->expires_at)
			return job;
	}
	return NULL;
}

struct job *jobs_next(struct line *l)
{
	uint64_t now = loop_now_ms(l->field->loop);
	struct job *safe = safe_next(l, is_busy), *expired;

	if (safe)
		return safe;
	while ((expired = first_expired(l, now))) /* from the first again: an answer may change the queue */
		job_fail(expired, "expired");
	list_for_each (node, &l->jobs) {
		struct job *job = container_of(node, struct job, node);

		if (job->phase == JOB_WAITS && !is_busy(l, job->device))
			return job;
	}
	return NULL;
}

static bool is_of(const struct job *job, const void *device)
{
	return job->device == device;
}

static bool is_waiting(const struct job *job, const void *unused)
{
	(void)unused;
	return job->phase == JOB_WAITS;
}

/* Who is answered may ask for another at once: that one is not among those that end here. */
static void jobs_end(struct line *l, bool (*ends)(const struct job *job, const void *arg), const void *arg,
		     const char *sent_error, const char *waiting_error)
{
	struct list all;

	list_init(&all);
	list_for_each (node, &l->jobs) {
		if (!ends(container_of(node, struct job, node), arg))
			continue;
		list_remove(node);
		list_append(&all, node);
	}
	while (!list_empty(&all)) {
		struct job *job = container_of(list_first(&all), struct job, node);

		job_fail(job, job->phase == JOB_WAITS ? waiting_error : sent_error);
	}
}

void jobs_fail(struct device *d, const char *sent_error, const char *waiting_error)
{
	jobs_end(d->line, is_of, d, sent_error, waiting_error);
	safe_device_lost(d);
}

void jobs_refuse(struct line *l, const char *error)
{
	jobs_end(l, is_waiting, NULL, error, error);
}

/* ---- requests ---- */

/* The value in its registers, on what is in them; or its bit. */
static void put_value(const struct job *job, union source_data *data)
{
	const struct tag *t = job->tag;
	int rc;

	if (t->is_bits) {
		data->bits[0] = job->value.b;
		return;
	}
	rc = modbus_value_encode(&t->format, &job->value, data->regs);
	assert(rc == OK); /* tag_command_check() tried it */
	(void)rc;
}

/* s->req.data holds the registers as they are, or zeros. */
static void make_write(struct slot *s)
{
	struct job *job = s->job;
	enum config_write how = (enum config_write)s->device->cfg->write;

	job->phase = JOB_WRITES;
	s->req.op = SOURCE_WRITE;
	s->req.is_multiple = how == CONFIG_WRITE_MULTIPLE;
	put_value(job, &s->req.data);
	if (how != CONFIG_WRITE_SINGLE || s->req.count == 1)
		return;
	job->nleft = (uint16_t)(s->req.count - 1);
	s->req.count = 1;
}

/* The next register, for a device that takes one at a time. */
static bool next_register(struct slot *s)
{
	struct job *job = s->job;

	if (job->nleft == 0)
		return false;
	memmove(&s->req.data.regs[0], &s->req.data.regs[1], job->nleft * sizeof(s->req.data.regs[0]));
	job->nleft--;
	s->req.start++;
	s->attempts = 0;
	return true;
}

/*
 * The bits of the value, without those around them: what they become on zeros and on ones is the same for its own bits only.
 */
static void make_mask(struct slot *s)
{
	union source_data zeros = {0}, ones = {.regs = {0xffff}};

	put_value(s->job, &zeros);
	put_value(s->job, &ones);
	s->job->phase = JOB_WRITES;
	s->req.op = SOURCE_MASK;
	s->req.and_mask = zeros.regs[0] ^ ones.regs[0];
	s->req.or_mask = zeros.regs[0];
}

static void make_read(struct slot *s, enum job_phase phase)
{
	const struct tag *t = s->job->tag;

	s->job->phase = phase;
	s->req.op = SOURCE_READ;
	s->req.start = t->start;
	s->req.count = t->count;
	s->attempts = 0;
}

void job_start(struct slot *s, struct job *job)
{
	const struct tag *t = job->tag;

	s->job = job;
	s->req.area = t->cfg->address.area;
	s->req.start = t->start;
	s->req.count = t->count;
	s->req.data = (union source_data){0};
	if (!tag_is_partial(t))
		make_write(s);
	else if (s->device->cfg->mask_write && t->count == 1)
		make_mask(s);
	else
		make_read(s, JOB_READS); /* the other bits of its registers stay as they are */
}

/* ---- answers of the device ---- */

/* So that the new value shows. */
static void poll_soon(struct device *d, const struct tag *t)
{
	struct group *g = &d->groups[t->cfg->group];
	size_t index = (size_t)(t - d->tags);

	for (size_t b = 0; b < g->plan.nblocks; b++)
		for (size_t i = 0; i < g->plan.blocks[b].nitems; i++)
			if (g->plan.items[g->plan.blocks[b].first + i].tag == index)
				g->plan.blocks[b].is_pending = g->may_wait = true;
}

static void value_text(const struct tag_value *v, char *text, size_t size)
{
	char number[NUMBER_TEXT_MAX];

	if (tag_value_is_number(v)) {
		number_text(number, v);
		snprintf(text, size, "%.28s", number);
	} else if (v->kind == TAG_BOOL) {
		snprintf(text, size, "%s", v->b ? "true" : "false");
	} else if (v->kind == TAG_STRING) {
		snprintf(text, size, "\"%.*s\"", (int)v->s.len, (const char *)v->s.p);
	} else {
		snprintf(text, size, "other bytes");
	}
}

/* Does what was read back hold the value, bit for bit? */
static bool is_in_place(const struct job *job, const union source_data *read)
{
	union source_data expected = *read;

	put_value(job, &expected);
	return job->tag->is_bits
		       ? (expected.bits[0] & 1) == (read->bits[0] & 1)
		       : memcmp(expected.regs, read->regs, job->tag->count * sizeof(expected.regs[0])) == 0;
}

/* The value as the tag has it after a write. */
static struct tag_value written_value(const struct job *job, int64_t ts_ms, struct modbus_value *scratch)
{
	union source_data data = {0};

	put_value(job, &data);
	return tag_decode(job->tag, &data, 0, ts_ms, scratch).value;
}

static void verified(struct slot *s, struct set_outcome *o, char *text)
{
	struct modbus_value scratch[2];
	struct tag_sample sample = tag_decode(s->job->tag, &s->req.data, 0, s->req.answered_ms, &scratch[0]);
	struct tag_value wrote = written_value(s->job, o->ts_ms, &scratch[1]);
	char texts[2][SET_FAULT_MAX / 3];

	publish_sample(s->device, s->job->tag, &sample);
	o->ok = is_in_place(s->job, &s->req.data);
	if (o->ok)
		return;
	value_text(&wrote, texts[0], sizeof(texts[0]));
	value_text(&sample.value, texts[1], sizeof(texts[1]));
	snprintf(text, SET_FAULT_MAX, "wrote %s, read back %s", texts[0], texts[1]);
	o->error = "verify";
	o->text = text;
}

/* An answer that says yes: true when there is more to ask. */
static bool has_more(struct slot *s)
{
	struct job *job = s->job;

	switch (job->phase) {
	case JOB_READS:
		make_write(s);
		s->attempts = 0;
		return true;
	case JOB_WRITES:
		if (next_register(s))
			return true;
		s->device->counters.writes++;
		if (!job->tag->cfg->verify)
			return false;
		make_read(s, JOB_VERIFIES);
		return true;
	default:
		return false;
	}
}

bool job_answered(struct slot *s)
{
	struct job *job = s->job;
	struct set_outcome o = {.ts_ms = s->req.answered_ms};
	struct modbus_value scratch;
	char text[SET_FAULT_MAX];

	if (s->req.rc == OK && has_more(s))
		return true;
	if (s->req.rc == ERR_REMOTE) {
		o.error = "exception";
		o.exception = s->req.exception;
	} else if (s->req.rc != OK) {
		o.error = "failed";
		o.text = err_text(s->req.rc);
	} else if (job->phase == JOB_VERIFIES) {
		verified(s, &o, text);
	} else {
		o.ok = true;
		poll_soon(s->device, job->tag);
	}
	if (o.ok)
		o.value = written_value(job, o.ts_ms, &scratch);
	job_end(job, &o);
	return false;
}

/* ---- asking ---- */

/* NULL, or why the device will not be asked. */
static const char *check_access(const struct device *d, const struct tag *t, char *text)
{
	if (d->is_stopping)
		return "cancelled";
	if (!t->cfg->writable)
		return "read_only";
	if (d->line->safe.is_on) {
		snprintf(text, SET_FAULT_MAX, "the line is in its safe state");
		return "safe_mode";
	}
	if (d->state == DEVICE_OFFLINE && !d->is_broadcast) {
		snprintf(text, SET_FAULT_MAX, "%s", d->last_error);
		return "offline";
	}
	return NULL;
}

/* NULL, or why it will not be asked for this value. */
static const char *check(const struct tag *t, const struct tag_value *v, struct modbus_value *raw, char *text)
{
	const char *error = check_access(t->device, t, text);

	return error ? error : tag_command_check(t, v, raw, text);
}

/*
 * Only the newest of those that wait for a tag is worth writing. It is queued already: what the answer to the older one asks for
 * comes after it.
 */
static void supersede(struct line *l, const struct job *newest)
{
	list_for_each (node, &l->jobs) {
		struct job *job = container_of(node, struct job, node);

		if (job->tag != newest->tag || job->phase != JOB_WAITS || job == newest)
			continue;
		job_fail(job, "superseded");
		return;
	}
}

static void queue(struct device *d, struct tag *t, struct field_write *w, const struct modbus_value *raw)
{
	struct field *f = d->line->field;
	struct job *job = malloc(sizeof(*job));

	if (!job) {
		refuse(w, f, "busy", err_text(ERR_NOMEM));
		return;
	}
	*job = (struct job){.device = d,
			    .tag = t,
			    .value = *raw,
			    .asker = w,
			    .has_expiry = w->has_expiry,
			    .expires_at = loop_now_ms(f->loop) + w->expiry_ms};
	w->job = job;
	list_append(&d->line->jobs, &job->node);
	d->line->njobs++;
	line_wake(d->line);
	supersede(d->line, job);
}

static bool waits_for(struct line *l, const struct tag *t)
{
	list_for_each (node, &l->jobs) {
		const struct job *job = container_of(node, struct job, node);

		if (job->tag == t && job->phase == JOB_WAITS)
			return true;
	}
	return false;
}

void field_write(struct field *f, struct tag *t, struct field_write *w)
{
	struct device *d = t->device;
	char text[SET_FAULT_MAX] = "";
	struct modbus_value raw;
	const char *error = check(t, &w->value, &raw, text);

	w->job = NULL;
	if (!error && d->line->njobs >= JOBS_MAX && !waits_for(d->line, t)) {
		snprintf(text, sizeof(text), "too many commands wait for this line");
		error = "busy";
	}
	if (error)
		refuse(w, f, error, text);
	else
		queue(d, t, w, &raw);
}

const char *field_write_check(const struct tag *t, const struct tag_value *v)
{
	char text[SET_FAULT_MAX];
	struct modbus_value raw;

	return check(t, v, &raw, text);
}

void field_write_forget(struct field_write *w)
{
	if (w->job)
		w->job->asker = NULL;
	w->job = NULL;
}

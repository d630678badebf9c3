/*
 * Commands: from {root}/{device}/{tag}/set to the device and back to who asked.  Each gets exactly one result.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "field/internal.h"

/* Where a result goes, before and after there is a job: to a topic, or to who called field_write(). */
struct asker {
	struct field_write *write;
	const char *topic;
	const char *response_topic;
	struct span correlation;
	struct span id;
};

static void answer(struct field *f, const struct asker *a, struct set_outcome *o)
{
	struct tag_message m = {.qos = 1, .content_type = json_of(f)->content_type};
	struct wr w = wr_of(f->payload, f->payload_size);
	char result_topic[TOPIC_BUFFER];

	o->id = a->id;
	o->ts_ms = o->ts_ms ? o->ts_ms : loop_wall_ms(f->loop);
	if (a->write)
		a->write->job = NULL;
	if (a->write)
		a->write->done(a->write, o);
	if (!a->topic)
		return;
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

	answer(f, a, &o);
}

/* ---- jobs ---- */

/* The job ends here; *o says how. */
static void job_end(struct job *job, struct set_outcome *o)
{
	struct line *l = job->device->line;
	struct asker a = {.write = job->write,
			  .topic = job->topic,
			  .response_topic = job->response_topic,
			  .correlation = job->correlation,
			  .id = job->id};

	list_remove(&job->node);
	l->njobs--;
	answer(l->field, &a, o); /* may queue another */
	free(job);
}

static void job_fail(struct job *job, const char *error)
{
	struct set_outcome o = {.error = error};

	job_end(job, &o);
}

static bool is_busy(const struct line *l, const struct device *d)
{
	for (unsigned i = 0; i < l->nslots; i++)
		if (l->slots[i].is_used && l->slots[i].job && l->slots[i].device == d)
			return true;
	return false;
}

struct job *jobs_next(struct line *l)
{
	uint64_t now = loop_now_ms(l->field->loop);

	list_for_each (node, &l->jobs) {
		struct job *job = container_of(node, struct job, node);

		if (job->phase != JOB_WAITS || is_busy(l, job->device))
			continue;
		if (!job->has_expiry || now < job->expires_at)
			return job;
		job_fail(job, "expired");
	}
	return NULL;
}

void jobs_fail(struct device *d, const char *sent_error, const char *waiting_error)
{
	list_for_each (node, &d->line->jobs) {
		struct job *job = container_of(node, struct job, node);

		if (job->device == d)
			job_fail(job, job->phase == JOB_WAITS ? waiting_error : sent_error);
	}
}

/* s->req.data holds the registers as they are, or zeros: put the value in and make it the write. */
static int make_write(struct slot *s)
{
	struct job *job = s->job;
	const struct tag *t = job->tag;
	int rc;

	job->phase = JOB_WRITES;
	s->req.op = SOURCE_WRITE;
	if (t->is_bits) {
		s->req.data.bits[0] = job->value.b;
		return OK;
	}
	rc = modbus_value_encode(&t->format, &job->value, s->req.data.regs);
	assert(rc == OK); /* tag_command_check() tried it */
	return rc;
}

void job_start(struct slot *s, struct job *job)
{
	const struct tag *t = job->tag;

	s->job = job;
	s->req.area = t->cfg->address.area;
	s->req.start = t->start;
	s->req.count = t->count;
	s->req.data = (union source_data){0};
	if (tag_is_partial(t)) {
		job->phase = JOB_READS; /* the other bits of its registers stay as they are */
		s->req.op = SOURCE_READ;
		return;
	}
	(void)make_write(s);
}

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

bool job_answered(struct slot *s)
{
	struct job *job = s->job;
	struct set_outcome o = {.ts_ms = s->req.answered_ms};
	struct device *d = s->device;
	struct modbus_value scratch;

	if (s->req.rc == OK && job->phase == JOB_READS) {
		(void)make_write(s);
		s->attempts = 0;
		return true;
	}
	if (s->req.rc == OK) {
		d->counters.writes++;
		poll_soon(d, job->tag);
		o.ok = true;
		o.value = tag_decode(job->tag, &s->req.data, 0, o.ts_ms, &scratch).value;
	} else if (s->req.rc == ERR_REMOTE) {
		o.error = "exception";
		o.exception = s->req.exception;
	} else {
		o.error = "failed";
		o.text = err_text(s->req.rc);
	}
	job_end(job, &o);
	return false;
}

/* ---- commands ---- */

/* Bytes and a NUL, from the room behind a job. */
static const char *stow(char **room, const void *bytes, size_t len)
{
	char *at = *room;

	if (len)
		memcpy(at, bytes, len);
	at[len] = '\0';
	*room += len + 1;
	return at;
}

static struct job *job_create(const struct asker *a)
{
	size_t topic_len = a->topic ? strlen(a->topic) : 0,
	       response_len = a->response_topic ? strlen(a->response_topic) : 0;
	struct job *job =
		malloc(sizeof(*job) + topic_len + response_len + a->correlation.len + a->id.len + 4);
	char *room;

	if (!job)
		return NULL;
	*job = (struct job){0};
	list_init(&job->node);
	room = (char *)(job + 1);
	if (a->topic)
		job->topic = stow(&room, a->topic, topic_len);
	if (a->response_topic)
		job->response_topic = stow(&room, a->response_topic, response_len);
	if (a->correlation.p)
		job->correlation =
			span_of(stow(&room, a->correlation.p, a->correlation.len), a->correlation.len);
	if (a->id.p)
		job->id = span_of(stow(&room, a->id.p, a->id.len), a->id.len);
	return job;
}

static struct device *find_device(struct field *f, const char *name, size_t len)
{
	list_for_each (line_node, &f->lines) {
		struct line *l = container_of(line_node, struct line, node);

		list_for_each (node, &l->devices) {
			struct device *d = container_of(node, struct device, node);

			if (strlen(d->cfg->name) == len && memcmp(d->cfg->name, name, len) == 0)
				return d;
		}
	}
	return NULL;
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

/* expiry_ms: from now; NULL: it never expires */
static void queue_job(struct field *f, const struct asker *a, struct tag *t, const struct modbus_value *raw,
		      const uint32_t *expiry_ms)
{
	struct device *d = t->device;
	struct job *job;

	if (d->line->njobs >= JOBS_MAX) {
		refuse(f, a, "busy", "too many commands wait for this line");
		return;
	}
	job = job_create(a);
	if (!job) {
		refuse(f, a, "busy", err_text(ERR_NOMEM));
		return;
	}
	job->device = d;
	job->tag = t;
	job->value = *raw;
	job->has_expiry = expiry_ms != NULL;
	job->expires_at = expiry_ms ? loop_now_ms(f->loop) + *expiry_ms : 0;
	job->write = a->write;
	if (a->write)
		a->write->job = job;
	list_append(&d->line->jobs, &job->node);
	d->line->njobs++;
	line_wake(d->line);
}

/* NULL, or why the device will not be asked. */
static const char *check(const struct tag *t, const struct tag_value *v, struct modbus_value *raw, char *text)
{
	if (!t->cfg->writable)
		return "read_only";
	if (t->device->state == DEVICE_OFFLINE) {
		snprintf(text, SET_FAULT_MAX, "%s", t->device->last_error);
		return "offline";
	}
	return tag_command_check(t, v, raw, text);
}

static void carry_out(struct field *f, const struct asker *a, struct tag *t, const struct tag_value *v,
		      const uint32_t *expiry_ms)
{
	char text[SET_FAULT_MAX] = "";
	struct modbus_value raw;
	const char *error = check(t, v, &raw, text);

	if (error)
		refuse(f, a, error, text);
	else
		queue_job(f, a, t, &raw, expiry_ms);
}

void field_write(struct field *f, struct tag *t, struct field_write *w)
{
	struct asker a = {.write = w};

	w->job = NULL;
	carry_out(f, &a, t, &w->value, w->has_expiry ? &w->expiry_ms : NULL);
}

void field_write_forget(struct field_write *w)
{
	if (w->job)
		w->job->write = NULL;
	w->job = NULL;
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
	else if (!t)
		refuse(f, &a, "unknown_tag",
		       find_device(f, (const char *)device.p, device.len) ? "no such tag" : "no such device");
	else
		carry_out(f, &a, t, &command.value, set->has_expiry ? &set->expiry_ms : NULL);
	return OK;
}

#include "daemon/field_thread.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/field_port.h"
#include "daemon/field_report.h"
#include "daemon/line_trace.h"
#include "daemon/loop_thread.h"
#include "daemon/views.h"
#include "field/capacity.h"
#include "north/table.h"
#include "south/table.h"

#define STATUS_MS 60000u

struct trace_order {
	int fd;
	char line[];
};

struct field_thread {
	struct loop *loop;
	struct loop_thread thread;
	const char *root;
	struct field_port port;

	/* The question: the asker writes it before the notify of inbox, the field thread the answer before that of answered. */
	struct loop_source inbox;
	struct loop_source *answered;
	enum field_ask what;
	const struct gateway_config *cfg;
	int answer;

	/* The newest report that was not taken. */
	struct loop_source report_wanted;
	struct loop_source *reported;
	_Atomic(json_t *) report;

	struct loop_source trace_wanted;
	_Atomic(struct trace_order *) trace_order; /* of the one that has not begun */

	/* The field thread's own. */
	struct field *field;
	struct views views;
	struct loop_timer status;
	uint64_t start_ms;
};

static void publish_status(struct field_thread *t, const char *state)
{
	char topic[1024], payload[192];
	struct tag_message m = {.topic = topic, .qos = 1, .retain = true, .content_type = "application/json"};
	uint64_t uptime_s = (loop_now_ms(t->loop) - t->start_ms) / 1000;

	snprintf(topic, sizeof(topic), "%s/_gateway/status", t->root);
	snprintf(payload, sizeof(payload), "{\"state\":\"%s\",\"version\":\"%s\",\"uptime_s\":%" PRIu64 "}",
		 state, LINESIDE_VERSION, uptime_s);
	m.payload = span_str(payload);
	t->port.sink.publish(&t->port.sink, &m);
}

static void tell_status(struct loop_timer *timer)
{
	struct field_thread *t = container_of(timer, struct field_thread, status);

	publish_status(t, "online");
	loop_timer_set(t->loop, &t->status, STATUS_MS);
}

static int begin(struct field_thread *t)
{
	int rc;

	rc = field_create(t->loop, &t->port.sink, &south_factory, &north_formats, &t->field);
	if (rc < 0)
		return rc;
	t->port.field = t->field;
	t->start_ms = loop_now_ms(t->loop);
	tell_status(&t->status);
	return OK;
}

static void warn(void *arg, const char *text)
{
	(void)arg;
	log_warning("field", "%s", text);
}

static int apply(struct field_thread *t)
{
	int rc;

	if (!t->field && (rc = begin(t)) < 0)
		return rc;
	if ((rc = capacity_check(t->cfg, warn, NULL)) < 0)
		return rc;
	if ((rc = field_port_take_commands(&t->port, t->cfg)) < 0)
		return rc;
	rc = views_prepare(&t->views, t->loop, t->field, t->cfg);
	if (rc == OK && (rc = field_apply(t->field, t->cfg)) < 0)
		views_abandon(&t->views);
	else if (rc == OK)
		views_commit(&t->views, t->cfg);
	field_port_settle_commands(&t->port, rc == OK);
	return rc;
}

static void end(struct field_thread *t)
{
	t->port.field = NULL;
	views_end(&t->views);
	field_destroy(t->field);
	t->field = NULL;
	loop_timer_cancel(t->loop, &t->status);
	publish_status(t, "offline");
}

static void answer_question(struct loop_source *s)
{
	struct field_thread *t = container_of(s, struct field_thread, inbox);

	t->answer = OK;
	if (t->what == FIELD_APPLY)
		t->answer = apply(t);
	else if (t->what == FIELD_END)
		end(t);
	loop_notify(t->answered);
}

static void make_report(struct loop_source *s)
{
	struct field_thread *t = container_of(s, struct field_thread, report_wanted);

	json_t *report = field_report_make(t->field), *views = views_report(&t->views);

	if (report && (!views || json_object_update(report, views) < 0)) {
		json_decref(report);
		report = NULL;
	}
	json_decref(views);
	json_decref(atomic_exchange(&t->report, report));
	loop_notify(t->reported);
}

void field_thread_ask_report(struct field_thread *t)
{
	loop_notify(&t->report_wanted);
}

json_t *field_thread_take_report(struct field_thread *t)
{
	return atomic_exchange(&t->report, NULL);
}

/* ---- traces ---- */

static void order_free(struct trace_order *o)
{
	if (o)
		close(o->fd);
	free(o);
}

static void begin_trace(struct loop_source *s)
{
	struct field_thread *t = container_of(s, struct field_thread, trace_wanted);
	struct trace_order *o = atomic_exchange(&t->trace_order, NULL);

	if (o && t->field) {
		line_trace_begin(t->loop, t->field, o->line, o->fd);
		free(o);
	} else {
		order_free(o);
	}
}

int field_thread_trace(struct field_thread *t, const char *line, int fd)
{
	struct trace_order *o, *none = NULL;

	o = malloc(sizeof(*o) + strlen(line) + 1);
	if (!o)
		return ERR_NOMEM;
	o->fd = fd;
	memcpy(o->line, line, strlen(line) + 1);
	if (!atomic_compare_exchange_strong(&t->trace_order, &none, o)) {
		free(o);
		return ERR_FULL;
	}
	loop_notify(&t->trace_wanted);
	return OK;
}

int field_thread_create(struct broker *broker, const char *root, struct loop_source *answered,
			struct loop_source *reported, struct field_thread **out)
{
	struct field_thread *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return ERR_NOMEM;
	t->root = root;
	t->answered = answered;
	t->reported = reported;
	loop_timer_init(&t->status, tell_status);
	if ((rc = loop_create(&t->loop)) < 0)
		goto failed;
	loop_source_add(t->loop, &t->inbox, answer_question);
	loop_source_add(t->loop, &t->report_wanted, make_report);
	loop_source_add(t->loop, &t->trace_wanted, begin_trace);
	if ((rc = field_port_open(&t->port, broker, t->loop)) < 0)
		goto failed;
	*out = t;
	return OK;
failed:
	field_thread_destroy(t);
	return rc;
}

int field_thread_start(struct field_thread *t)
{
	return loop_thread_start(&t->thread, t->loop, "field", "devices are no longer read");
}

void field_thread_ask(struct field_thread *t, enum field_ask what, const struct gateway_config *cfg)
{
	t->what = what;
	t->cfg = cfg;
	loop_notify(&t->inbox);
}

int field_thread_answer(const struct field_thread *t)
{
	return t->answer;
}

void field_thread_stop(struct field_thread *t)
{
	if (!loop_thread_stop(&t->thread))
		return;
	/* Only when it was not asked to end, after a failure: the broker is still there for its last words. */
	t->port.field = NULL;
	views_end(&t->views);
	field_destroy(t->field);
	t->field = NULL;
}

void field_thread_destroy(struct field_thread *t)
{
	if (!t)
		return;
	if (t->loop) {
		loop_timer_cancel(t->loop, &t->status);
		if (t->inbox.loop) {
			loop_source_remove(&t->inbox);
			loop_source_remove(&t->report_wanted);
			loop_source_remove(&t->trace_wanted);
		}
		loop_destroy(t->loop);
	}
	field_port_close(&t->port);
	json_decref(atomic_load(&t->report));
	order_free(atomic_load(&t->trace_order));
	free(t);
}

/*
 * lineside sub: print what an MQTT broker has, with the flags of mosquitto_sub.
 */
#include <stdlib.h>
#include <string.h>

#include "tools/mqtt_tool.h"
#include "tools/sub_output.h"
#include "tools/tool.h"

struct sub {
	struct mqtt_tool t;
	struct loop_timer timeout; /* -W */
	uint64_t printed;
	size_t asked; /* SUBSCRIBE and UNSUBSCRIBE without an answer */
	uint64_t random;
};

/* ---- subscribing ---- */

static int subscribe_all(struct sub *s)
{
	const struct mqtt_options *o = &s->t.o;
	struct mqtt_sub_item *items;
	int rc;

	if (!o->ntopics)
		return OK;
	if (!(items = calloc(o->ntopics, sizeof(*items))))
		return ERR_NOMEM;
	for (size_t i = 0; i < o->ntopics; i++)
		items[i] = (struct mqtt_sub_item){.filter = span_str(o->topics[i]),
						  .qos = o->qos,
						  .retain_as_published = o->retain_as_published};
	rc = mqtt_client_subscribe(s->t.client, items, o->ntopics, &o->props[PROPS_SUBSCRIBE].props, NULL);
	s->asked += rc == OK;
	free(items);
	return rc;
}

static int unsubscribe_all(struct sub *s)
{
	const struct mqtt_options *o = &s->t.o;
	int rc = OK;

	for (size_t i = 0; rc == OK && i < o->nunsubscribes; i++) {
		struct span filter = span_str(o->unsubscribes[i]);

		rc = mqtt_client_unsubscribe(s->t.client, &filter, 1, &o->props[PROPS_UNSUBSCRIBE].props,
					     NULL);
		s->asked += rc == OK;
	}
	return rc;
}

static bool any_granted(struct span codes)
{
	for (size_t i = 0; i < codes.len; i++)
		if (codes.p[i] < 0x80)
			return true;
	return false;
}

static void say_granted(const struct mqtt_client_answer *e)
{
	printf("Subscribed:");
	for (size_t i = 0; i < e->codes.len; i++)
		printf("%s %u", i ? "," : "", e->codes.p[i]);
	printf("\n");
	fflush(stdout);
}

static void answered(struct mqtt_tool *t, const struct mqtt_client_answer *e)
{
	struct sub *s = container_of(t, struct sub, t);

	if (!e->is_again)
		s->asked--;
	if (e->err < 0) {
		mqtt_tool_error(t, "the broker cannot take the request: %s",
				e->reason ? mqtt_reason_text(e->reason) : err_text(e->err));
		mqtt_tool_leave(t, 1, false);
		return;
	}
	if (e->type == MQTT_SUBSCRIBE && t->o.debug && !t->o.quiet)
		say_granted(e);
	if (e->type == MQTT_SUBSCRIBE && !any_granted(e->codes)) {
		mqtt_tool_error(t, "the broker denied every subscription");
		mqtt_tool_leave(t, 1, false);
	} else if (t->o.exit_after_suback && s->asked == 0) {
		mqtt_tool_leave(t, 0, true);
	}
}

/* ---- messages ---- */

/* splitmix64 */
static bool is_drawn(struct sub *s)
{
	uint64_t z = s->random += UINT64_C(0x9E3779B97F4A7C15);

	if (s->t.o.percent >= 100)
		return true;
	z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
	z ^= z >> 31;
	return (double)(z % 100000) < s->t.o.percent * 1000;
}

static bool is_filtered_out(const struct mqtt_options *o, struct span topic)
{
	for (size_t i = 0; i < o->nfilters_out; i++)
		if (mqtt_filter_matches(span_str(o->filters_out[i]), topic))
			return true;
	return false;
}

static void clear_retained(struct sub *s, struct span topic)
{
	struct mqtt_publish m = {.topic = topic, .qos = 1, .retain = true};
	int rc = mqtt_client_publish(s->t.client, &m, NULL);

	if (rc < 0)
		mqtt_tool_error(&s->t, "cannot clear the retained message: %s", err_text(rc));
}

/* Like mosquitto_sub: of a message without bytes there is nothing to print, but with -v that it came. */
static void print_plain(const struct mqtt_options *o, const struct mqtt_publish *m)
{
	if (m->payload.len == 0 && (!o->verbose || o->no_newline))
		return;
	if (o->verbose) {
		fwrite(m->topic.p, 1, m->topic.len, stdout);
		putchar(' ');
	}
	if (m->payload.len > 0)
		fwrite(m->payload.p, 1, m->payload.len, stdout);
	else
		fputs("(null)", stdout);
	if (!o->no_newline)
		putchar('\n');
}

static void print(struct sub *s, const struct mqtt_publish *m)
{
	const struct mqtt_options *o = &s->t.o;
	struct sub_message message = {.m = m, .pretty = o->pretty};
	int rc = OK;

	clock_gettime(CLOCK_REALTIME, &message.at);
	if (!o->json && !o->format) {
		print_plain(o, m);
	} else {
		rc = o->json ? sub_json_line(stdout, &message)
			     : sub_format_print(stdout, o->format, &message);
		if (!o->no_newline)
			putchar('\n');
	}
	if (fflush(stdout) != 0) {
		mqtt_tool_error(&s->t, "cannot write to standard output");
		mqtt_tool_leave(&s->t, 1, false);
	}
	if (rc == ERR_MALFORMED)
		mqtt_tool_error(&s->t, "the payload on topic %.*s is not what the format wants",
				(int)m->topic.len, (const char *)m->topic.p);
	else if (rc < 0)
		mqtt_tool_error(&s->t, "%s", err_text(rc));
}

static void message(struct mqtt_tool *t, const struct mqtt_publish *m)
{
	struct sub *s = container_of(t, struct sub, t);
	const struct mqtt_options *o = &t->o;

	if (is_filtered_out(o, m->topic))
		return;
	if (o->retained_only && !m->retain) {
		mqtt_tool_leave(t, 0, true);
		return;
	}
	if (o->remove_retained && m->retain)
		clear_retained(s, m->topic);
	if ((o->no_retained && m->retain) || !is_drawn(s))
		return;
	print(s, m);
	if (o->count && ++s->printed == o->count)
		mqtt_tool_leave(t, 0, o->remove_retained);
}

/* ---- life ---- */

static void timeout_fire(struct loop_timer *timer)
{
	struct sub *s = container_of(timer, struct sub, timeout);

	mqtt_tool_leave(&s->t, MQTT_TOOL_TIMEOUT, false);
	if (!s->t.o.quiet)
		fputs("lineside sub: time is up\n", stderr);
}

static int run(struct sub *s)
{
	struct mqtt_tool *t = &s->t;
	int rc, status = 1;

	t->message = message;
	t->answered = answered;
	loop_timer_init(&s->timeout, timeout_fire);
	if ((rc = mqtt_tool_open(t, true)) < 0)
		return status;
	s->random = t->o.client.seed;
	if ((rc = subscribe_all(s)) < 0 || (rc = unsubscribe_all(s)) < 0) {
		mqtt_tool_error(t, "cannot subscribe: %s", err_text(rc));
		return status;
	}
	if (t->o.timeout_s)
		loop_timer_set(t->loop, &s->timeout, t->o.timeout_s * UINT64_C(1000));
	status = mqtt_tool_run(t);
	loop_timer_cancel(t->loop, &s->timeout);
	return status;
}

static int format_check(const struct mqtt_options *o)
{
	const char *bad;

	if (!o->format || sub_format_check(o->format, &bad) == OK)
		return OK;
	if (!*bad)
		return mqtt_options_fault(o, "-F ends in the middle of a %%, @ or \\ sequence");
	return mqtt_options_fault(o, "-F: '%c' at position %ld is no field, flag or escape", *bad,
				  (long)(bad - o->format) + 1);
}

int tool_sub(int argc, char **argv)
{
	struct sub s = {.t = {.signals = {.fd = -1}}};
	int status = 1;

	if (mqtt_options_parse(&s.t.o, MQTT_TOOL_SUB, argc, argv) == OK &&
	    !mqtt_tool_information(&s.t.o, &status) && format_check(&s.t.o) == OK)
		status = run(&s);
	mqtt_tool_close(&s.t);
	return status;
}

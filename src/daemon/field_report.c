#include "daemon/field_report.h"

#include <stdio.h>

struct report {
	json_t *lines, *devices;
	bool nomem;
};

static void append(struct report *r, json_t *to, json_t *item)
{
	if (json_array_append_new(to, item) < 0) /* takes no NULL */
		r->nomem = true;
}

static void add_line(void *arg, const struct line_status *l)
{
	struct report *r = arg;
	const struct line_counters *c = l->counters;

	append(r, r->lines,
	       json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:I}", "name",
			 l->name, "state", l->state, "safe_mode", l->is_safe, "devices",
			 (json_int_t)l->devices, "online", (json_int_t)l->online, "commands_waiting",
			 (json_int_t)l->waiting, "passes_waiting", (json_int_t)l->passes,
			 "utilisation_percent", l->utilisation / 10.0, "sent", (json_int_t)c->sent,
			 "answered", (json_int_t)c->answered, "timeouts", (json_int_t)c->timeouts, "crc",
			 (json_int_t)c->crc, "errors", (json_int_t)c->errors, "passed",
			 (json_int_t)c->passed));
}

static json_t *exception_codes(const struct device_counters *c)
{
	json_t *out = json_object();
	char code[8];

	for (unsigned i = 0; out && i < DIAG_EXCEPTIONS; i++) {
		if (!c->by_exception[i])
			continue;
		snprintf(code, sizeof(code), "%u", i);
		if (json_object_set_new(out, i ? code : "other", json_integer(c->by_exception[i])) < 0) {
			json_decref(out);
			out = NULL;
		}
	}
	return out;
}

static json_t *response(const struct response_times *r)
{
	json_t *buckets = json_object();
	char bound[16];

	for (unsigned i = 0; buckets && i < RESPONSE_BUCKETS; i++) {
		if (!r->buckets[i])
			continue;
		if (i < RESPONSE_BUCKETS - 1)
			snprintf(bound, sizeof(bound), "%u", (unsigned)response_bounds_ms[i]);
		else
			snprintf(bound, sizeof(bound), "more");
		if (json_object_set_new(buckets, bound, json_integer(r->buckets[i])) < 0) {
			json_decref(buckets);
			buckets = NULL;
		}
	}
	return json_pack("{s:I, s:f, s:f, s:o}", "count", (json_int_t)r->count, "mean",
			 response_mean_us(r) / 1000.0, "max", r->max_us / 1000.0, "up_to", buckets);
}

static json_t *groups(const struct device_status *d)
{
	json_t *out = json_object();

	for (size_t i = 0; out && i < d->ngroups; i++) {
		const struct group_status *g = &d->groups[i];
		json_t *item = json_pack("{s:I, s:f, s:I, s:I}", "scan_ms", (json_int_t)g->scan_ms,
					 "average_ms", scan_mean_ms(g->times), "worst_ms",
					 (json_int_t)g->times->worst_ms, "late", (json_int_t)g->times->late);

		if (json_object_set_new(out, g->name, item) < 0) {
			json_decref(out);
			out = NULL;
		}
	}
	return out;
}

/* NULL: no memory. */
static json_t *refused_of(const struct device_status *d)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < d->nrefused && i < DEVICE_REFUSED_MAX; i++)
		if (json_array_append_new(list, json_string(d->refused[i].text)) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

static void add_device(void *arg, const char *name, const char *line, const struct device_status *d)
{
	struct report *r = arg;
	const struct device_counters *c = d->counters;
	/* cut to its room, perhaps within a character: that is no text for JSON */
	json_t *error = d->last_error ? json_string(d->last_error) : NULL;

	append(r, r->devices,
	       json_pack("{s:s, s:s, s:s, s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
			 "s:o, s:o, s:o, s:o, s:I}",
			 "name", name, "line", line, "state", d->state, "since_ms", (json_int_t)d->since_ms,
			 "last_ok_ms", (json_int_t)d->last_ok_ms, "last_error", error ? error : json_null(),
			 "ok", (json_int_t)c->ok, "timeouts", (json_int_t)c->timeouts, "exceptions",
			 (json_int_t)c->exceptions, "errors", (json_int_t)c->errors, "writes",
			 (json_int_t)c->writes, "late", (json_int_t)c->late, "late_ms",
			 (json_int_t)c->late_ms, "sent", (json_int_t)c->sent, "retries",
			 (json_int_t)c->retries, "crc", (json_int_t)c->crc, "exception_codes",
			 exception_codes(c), "response_ms", response(d->response), "groups", groups(d),
			 "refused", refused_of(d), "refused_total", (json_int_t)d->nrefused));
}

json_t *field_report_make(const struct field *f)
{
	struct report r = {.lines = json_array(), .devices = json_array()};
	const struct field_visitor v = {.line = add_line, .device = add_device, .arg = &r};

	if (!r.lines || !r.devices) {
		json_decref(r.lines);
		json_decref(r.devices);
		return NULL;
	}
	if (f)
		field_visit(f, &v);
	if (r.nomem) {
		json_decref(r.lines);
		json_decref(r.devices);
		return NULL;
	}
	return json_pack("{s:o, s:o}", "lines", r.lines, "devices", r.devices);
}

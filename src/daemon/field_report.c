#include "daemon/field_report.h"

struct report {
	json_t *lines, *devices;
	bool nomem;
};

static void append(struct report *r, json_t *to, json_t *item)
{
	if (json_array_append_new(to, item) < 0) /* takes no NULL */
		r->nomem = true;
}

static void add_line(void *arg, const struct field_line_state *l)
{
	struct report *r = arg;

	append(r, r->lines,
	       json_pack("{s:s, s:s, s:I, s:I, s:I}", "name", l->name, "state", l->state, "devices",
			 (json_int_t)l->devices, "online", (json_int_t)l->online, "commands_waiting",
			 (json_int_t)l->waiting));
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
	/* cut to its room, perhaps within a character: that is no text for JSON */
	json_t *error = d->last_error ? json_string(d->last_error) : NULL;

	append(r, r->devices,
	       json_pack("{s:s, s:s, s:s, s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I}",
			 "name", name, "line", line, "state", d->state, "since_ms", (json_int_t)d->since_ms,
			 "last_ok_ms", (json_int_t)d->last_ok_ms, "last_error", error ? error : json_null(),
			 "ok", (json_int_t)d->ok, "timeouts", (json_int_t)d->timeouts, "exceptions",
			 (json_int_t)d->exceptions, "errors", (json_int_t)d->errors, "writes",
			 (json_int_t)d->writes, "late", (json_int_t)d->late, "late_ms",
			 (json_int_t)d->late_ms, "refused", refused_of(d), "refused_total",
			 (json_int_t)d->nrefused));
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

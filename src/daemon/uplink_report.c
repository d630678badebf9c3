#include "daemon/uplink_report.h"

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *drops(const struct uplink_drops *d)
{
	json_t *out = json_object();
	bool complete = out != NULL;

#define UPLINK_DROP_AS_MEMBER(name, text) \
	complete = complete && json_object_set_new(out, #name, number(d->name)) == 0;
	UPLINK_DROPS(UPLINK_DROP_AS_MEMBER)
#undef UPLINK_DROP_AS_MEMBER
	if (complete)
		return out;
	json_decref(out);
	return NULL;
}

static int add_figures(json_t *out, const struct uplink_status *s)
{
	/* cut to its room, perhaps within a character: that is no text for JSON */
	json_t *error = s->last_error[0] ? json_string(s->last_error) : NULL;
	const struct {
		const char *name;
		json_t *value;
	} members[] = {
		{"state", json_string(uplink_state_text(s->state))},
		{"since", json_integer((json_int_t)s->since_ms)},
		{"sent", number(s->sent)},
		{"acknowledged", number(s->acknowledged)},
		{"received", number(s->received)},
		{"returned", number(s->returned)},
		{"connects", number(s->connects)},
		{"queued", number(s->queued_messages)},
		{"queued_bytes", number(s->queued_bytes)},
		{"dropped", drops(&s->dropped)},
		{"last_error", error ? error : json_null()},
		{"last_error_ts",
		 s->last_error_ms ? json_integer((json_int_t)s->last_error_ms) : json_null()},
	};
	int rc = 0;

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		rc |= json_object_set_new(out, members[i].name,
					  members[i].value); /* takes the value in any case */
	return rc;
}

static json_t *with_figures(json_t *out, const struct uplink_status *s)
{
	if (out && add_figures(out, s) == 0)
		return out;
	json_decref(out);
	return NULL;
}

json_t *uplink_state_json(const struct uplink_status *s)
{
	return with_figures(json_object(), s);
}

json_t *uplink_report_json(const struct config_uplink *cfg, const struct uplink_status *s)
{
	return with_figures(json_pack("{s:s, s:s}", "name", cfg->name, "url", cfg->url), s);
}

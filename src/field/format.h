/*
 * A payload format: how tags, commands and their results stand in bytes. north/ implements it; the field side owns
 * the interface.  Pure functions of their arguments.
 */
#ifndef FIELD_FORMAT_H
#define FIELD_FORMAT_H

#include "base/bytes.h"
#include "config/gateway_config.h"
#include "field/diag.h"
#include "tags/value.h"

#define SET_PAYLOAD_MAX 1024u /* bytes of a /set payload; a longer one is refused */
#define SET_ID_MAX      128u  /* bytes of its id */
#define SET_TEXT_MAX    512u  /* bytes of its value when it is text: 250 bytes in hexadecimal fit */
#define SET_FAULT_MAX   96u

/* A command, decoded. Holds its own bytes, but must not be copied: value may point into text. */
struct set_command {
	struct tag_value value; /* BOOL, INT, UINT, DOUBLE or STRING */
	bool has_id;
	char id[SET_ID_MAX + 1];
	size_t id_len;
	char text[SET_TEXT_MAX + 1];
};

/* What a /set came to. */
struct set_outcome {
	struct span id; /* p NULL: the command had none */
	bool ok;
	struct tag_value value; /* what was written; with ok */
	int64_t ts_ms;          /* when the device confirmed, or when it was clear that it will not */
	const char *error;      /* word; when not ok */
	const char *text;       /* for people, or NULL */
	uint8_t exception;      /* 0: none */
};

#define DEVICE_REFUSED_MAX 16u /* ranges that a status tells */

/* "holding:10", "holding:10-11"; or "holding:10|11": can be read, but not together. */
struct refused_text {
	char text[32];
};

struct group_status {
	const char *name;
	uint32_t scan_ms;
	const struct scan_times *times;
};

/* How a device does; all borrowed. */
struct device_status {
	const char *state;
	int64_t since_ms;
	int64_t last_ok_ms;     /* 0: never */
	const char *last_error; /* NULL: none */
	const struct device_counters *counters;
	const struct response_times *response;
	const struct group_status *groups;
	size_t ngroups;                                  /* of them, GROUPS_SHOWN_MAX at most */
	size_t more_groups;                              /* that it has beside them */
	struct refused_text refused[DEVICE_REFUSED_MAX]; /* what it does not let itself be read, in order */
	bool is_safe;                                    /* its line is in its safe state */
	size_t nrefused;                                 /* of all; may be more than stand here */
};

/* A line went into its safe state, or left it. */
struct safe_event {
	const char *line;
	bool is_entered;
	const char *cause; /* "modbus", "mqtt", "uplink", "command" */
	int64_t ts_ms;
};

/* An alarm was raised or cleared. */
struct alarm_event {
	const char *name;
	bool is_raised;
	const char *tag;        /* "device/tag" */
	struct tag_value value; /* NONE: it has none, or is text */
	enum quality quality;
	enum reason reason;
	int64_t ts_ms;
	const char *text; /* NULL: none */
	const char *severity;
};

/* How a line does; all borrowed. */
struct line_status {
	const char *name;
	bool is_safe; /* in its safe state */
	const char *
		state; /* "idle" without devices; "offline" if none answers, "connecting" if none has yet, else "online" */
	size_t devices, online;
	size_t waiting, passes; /* commands, requests of foreign masters */
	uint32_t utilisation;   /* thousandths of the time, in the last ten seconds */
	const struct line_counters *counters;
};

/* What a payload may say of its tag beside the sample. Borrowed. */
struct payload_names {
	const char *gateway, *device, *group, *tag;
	const char *unit;     /* NULL: none */
	const char *template; /* of the format "template", which obeys its rule; else NULL */
};

struct payload_member {
	const char *tag;
	const struct tag_sample *sample;
};

/* Samples of one group in one message. Borrowed. */
struct payload_group {
	const char *gateway, *device, *group;
	int64_t ts_ms; /* of the newest of them */
	/* The members in turn: *at is 0 at first; false at the end. May be walked more than once. */
	bool (*next)(const struct payload_group *g, size_t *at, struct payload_member *m);
};

struct payload_format {
	const char *name;
	const char *content_type; /* NULL: it has none */
	/* Each writes one payload to w; when it does not fit, w->bad. */
	void (*encode_tag)(struct wr *w, const struct tag_sample *sample, const struct payload_names *n);
	/* NULL: it has no form for groups, and theirs are written as JSON. */
	void (*encode_group)(struct wr *w, const struct payload_group *g);
	/* NULL in all but JSON: results and states are written as JSON always. */
	void (*encode_result)(struct wr *w, const struct set_outcome *o);
	void (*encode_status)(struct wr *w, const struct device_status *s);
	void (*encode_event)(struct wr *w, const struct alarm_event *e);
	void (*encode_line)(struct wr *w, const struct line_status *s);
	void (*encode_safe_event)(struct wr *w, const struct safe_event *e);
	/*
	 * OK; ERR_TOO_LARGE, ERR_MALFORMED or ERR_RANGE with a sentence in fault (at least SET_FAULT_MAX bytes), ERR_NOMEM. With any
	 * but OK, out->id still holds the id when one was found.
	 */
	int (*decode_set)(struct span payload, struct set_command *out, char *fault);
};

/* One for each enum config_payload. */
typedef const struct payload_format *payload_formats[CONFIG_PAYLOAD_COUNT];

#endif

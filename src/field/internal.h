/*
 * Inside the field side.  Everything here is touched by the field thread only.
 *
 *     field --- line --- device --- group --- plan's blocks
 *                 |         '------ tag
 *                 '--- slots (requests with the source), jobs (commands that wait), passes (of foreign masters)
 */
#ifndef FIELD_INTERNAL_H
#define FIELD_INTERNAL_H

#include "base/hmap.h"
#include "base/list.h"
#include "field/access.h"
#include "field/alarm.h"
#include "field/cells.h"
#include "field/diag.h"
#include "field/field.h"
#include "field/pass.h"
#include "field/plan.h"
#include "tags/scaling.h"
#include "wire/modbus_value.h"

#define DEFAULT_TIMEOUT_MS       1000u
#define DEFAULT_BACKOFF_FIRST_MS 5000u
#define DEFAULT_BACKOFF_MAX_MS   300000u
#define STATUS_INTERVAL_MS       10000u
#define STATUS_FIRST_MS          1000u /* of a line that begins: what its devices say first is known */
#define JOBS_MAX                 1000u /* commands that wait on one line */
#define ERROR_TEXT_MAX           96u
#define TOPIC_BUFFER             1024u
#define PAYLOAD_BUFFER           16384u         /* the status of a device with many groups is the longest */
#define PAYLOAD_LARGEST          (1024u * 1024) /* of a group's message */
#define PACKET_OVERHEAD          2048u          /* topic and properties beside a payload */

/* Where a number is, for publish: threshold. */
enum zone { ZONE_INSIDE, ZONE_ABOVE, ZONE_BELOW };

struct device;
struct pace;

struct tag {
	const struct config_tag *cfg; /* the configuration's, or device->extras[] */
	struct device *device;
	const char *topic;         /* in device->topics */
	struct hmap_node by_topic; /* in field->tags, when is_found */
	struct modbus_format format;
	struct scaling scaling;
	const char *unit;
	struct hmap_node by_name; /* in field->names */
	bool is_bits;
	bool is_scale;     /* others take their power of ten from it */
	bool has_exponent; /* ... and it has been read, and is one */
	int8_t exponent;
	uint8_t text_max; /* the longest text or the most bytes that a value of it has; 0: its values are others */
	uint16_t start, count;      /* in its area */
	const struct tag *scale_by; /* holds the power of ten of its scale; NULL: none */

	bool is_found;
	bool is_published;
	bool is_held;                 /* `now` has news that wait for the end of min_interval */
	bool is_in_message;           /* `now` goes with the next message of the group */
	uint8_t zone;                 /* enum zone */
	struct pace *pace;            /* NULL: nothing to wait for */
	struct list paced;            /* in one of its lists */
	uint64_t published_at;        /* monotonic ms */
	struct tag_sample last;       /* as published; text and bytes lie in text[] */
	struct tag_sample now;        /* newest, published or not */
	struct dependant *dependants; /* what is made from it: cells.h; NULL: nothing */
	uint8_t *
		text; /* of tags whose values are texts or bytes: room for text_max + 1, twice: of last and of now */
};

struct group {
	struct device *device;
	const struct config_group *cfg;
	struct plan plan;
	struct loop_timer timer;
	uint64_t due;      /* when the next scan is to start */
	unsigned planned;  /* device->refused.version that the plan knows */
	bool is_open;      /* a scan is going on */
	bool is_missed;    /* ... and took so long that the next one should have begun */
	uint64_t begun_at; /* when it began */
	uint32_t place;    /* in its interval, a part of 2^32: not all groups are due at once */
	size_t next_block;
	bool may_wait;    /* false: none of its blocks is pending */
	uint64_t turn_us; /* the wire's time that it had, as of device->turn_us */
	struct scan_times times;
	const char *topic;          /* of its message, in device->topics; NULL: it has none */
	struct list unsent;         /* field->unsent, while tags wait for its message */
	size_t first_tag, end_tags; /* its tags lie between */
};

/*
 *   CONNECTING --answer--> ONLINE --no answer, all attempts--> OFFLINE --answer to a probe--> ONLINE
 *        \------no answer, all attempts----------------------^
 */
enum device_state { DEVICE_CONNECTING, DEVICE_ONLINE, DEVICE_OFFLINE };

struct device {
	struct list node; /* line->devices */
	struct line *line;
	bool is_entered; /* in field->names */
	const struct config_device *cfg;
	struct config_tag *extras; /* attributes of channels */
	size_t nextras;
	struct tag *tags; /* cfg's, then the extras */
	size_t ntags;
	struct group *groups; /* one for each of cfg's */
	size_t next_group;
	struct cells *cells; /* on an internal line; else NULL, and nothing of a plan there */
	struct refused refused;
	struct safe_output *outputs; /* safe.c: its tags with a safe value */
	size_t noutputs;
	char *topics;             /* all of its topics, NUL terminated */
	const char *status_topic; /* in there */

	enum device_state state;
	enum reason reason; /* why it is offline */
	int64_t since_ms, last_ok_ms;
	char last_error[ERROR_TEXT_MAX];
	struct device_counters counters, shown; /* shown: in the last status */
	struct response_times response;

	/* the configuration's: the device's own, or else its line's */
	uint32_t timeout_ms, silence_us, backoff_first_ms, backoff_max_ms;
	unsigned attempts_max;

	/* line_queue.c */
	uint64_t turn_us; /* the wire's time that it had, as of line->turn_us: who had the least is next */
	uint64_t group_turn_us;
	uint32_t cost_us; /* of one poll, about */

	unsigned failures;  /* attempts without an answer since the last one */
	uint64_t failed_at; /* when the last of them was counted, us */
	bool was_forgiven;  /* a connection that broke, since the last answer */
	uint32_t backoff_ms;
	struct loop_timer backoff_timer;
	bool is_probe_due;
	bool is_probe_free;    /* nobody knows that it is silent: its connection was away */
	unsigned short_probes; /* in a row */
	size_t next_probe;
	bool is_broadcast; /* unit 0 of a serial line: all units, and none of them answers */
	bool is_stopping;  /* it leaves its line */
	bool is_kept;      /* during field_apply() */
};

enum job_phase { JOB_WAITS, JOB_READS, JOB_WRITES, JOB_VERIFIES };

/* One write that was accepted. */
struct job {
	struct list node; /* line->jobs, also while it is in a slot */
	struct device *device;
	struct tag *tag;
	enum job_phase phase;
	bool is_safe;   /* safe.c's, and not in line->jobs */
	uint16_t nleft; /* registers still to write, one by one */
	bool has_expiry;
	uint64_t expires_at;
	struct modbus_value value; /* raw */
	struct field_write *asker; /* NULL: it does not want to know */
};

struct slot {
	struct source_request req;
	struct line *line;
	bool is_used;
	bool is_probe;
	struct device *device;
	struct group *group;     /* of a read of a block */
	size_t first;            /* the block's first item: its name while others are cut */
	struct job *job;         /* of a command */
	struct field_pass *pass; /* of a foreign master; its device may be NULL */
	unsigned attempts;       /* of a command */
	uint64_t submitted_us;
	uint32_t charged_us; /* to the device's turn, in advance */
	bool is_long;        /* a probe with the whole time-out */
};

/* safe.c: the watchdog of a line. */
struct safe {
	bool is_on; /* the outputs are to be safe */
	bool is_master_up;
	struct loop_timer timer; /* while it watches */
	struct loop_timer retry; /* of a safe value that was not confirmed */
};

struct uplink_seen {
	char *name;
	bool is_up;
};

/* What some requests may take from the others: a part of the time that goes by. */
struct budget {
	uint64_t at_us, busy_us; /* when it was filled last, and how long the wire had been held by then */
	int64_t us;
};

struct line {
	struct list node; /* field->lines */
	struct field *field;
	const struct config_line *cfg;
	struct source *source;
	struct list devices;
	struct list jobs;
	size_t njobs;
	struct list passes; /* that wait; each has its round */
	size_t npasses;
	uint64_t pass_round;
	struct loop_timer pass_timer; /* the next of them expires */
	struct {
		uint64_t until_ms; /* foreign masters are not let through to it */
		uint8_t failures;  /* of theirs in a row */
	} pass_units[PASS_UNITS];
	struct slot slots[SOURCE_IN_FLIGHT_MAX];
	unsigned nslots, nused;
	uint32_t timeout_ms, backoff_first_ms, backoff_max_ms;
	unsigned attempts_max;

	/* line_queue.c */
	uint64_t turn_us;                     /* of the device that was served last */
	uint32_t poll_us;                     /* what a poll takes, about */
	uint64_t owed_polls_us, owed_pass_us; /* of the wire's time, by those that go before them */
	struct budget short_probes, long_probes;
	struct loop_timer probe_timer; /* a probe waits for its budget */

	struct line_counters counters;
	struct line_counters window; /* as they were when it began */
	uint64_t window_at_us;
	uint32_t utilisation; /* thousandths, in the last whole window */

	struct safe safe;

	bool is_down; /* nobody takes the connection: its devices are offline, and one of them is the probe */
	uint32_t backoff_ms;
	struct loop_timer backoff_timer; /* while it is down */
	struct loop_timer status_timer;
	struct loop_timer pump_timer; /* work was queued: look at it in the next turn */
	bool is_kept;                 /* during field_apply() */
	unsigned ngroups;             /* ...those that have their place in the grid */
	unsigned ordinal;             /* among the lines */
};

/* Watchers are being called; one call may bring about another round inside it. */
struct watch_round {
	struct watch_round *outer;
	struct list *next;
};

struct field {
	struct loop *loop;
	struct tag_sink *sink;
	struct source_factory *factory;
	const payload_formats *formats;
	const struct gateway_config *cfg;
	struct list lines;
	struct cells_queue cells;
	struct alarms *alarms; /* NULL before the first configuration */
	struct hmap names;     /* tags by device and name */
	struct list watchers;
	struct watch_round *rounds;  /* the innermost; NULL: none */
	struct uplink_seen *uplinks; /* those that told how they are */
	size_t nuplinks;
	struct hmap tags; /* by topic */
	struct list paces;
	struct list unsent; /* groups with a message to send */
	struct loop_timer unsent_timer;
	char topic[TOPIC_BUFFER];
	uint8_t *payload;
	size_t payload_size, payload_room;            /* the buffer; how much of it a message may have */
	struct group_status groups[GROUPS_SHOWN_MAX]; /* of the device whose status is told */
};

/* field.c */
struct line *field_line(struct field *f, const char *name);     /* NULL: none */
struct device *field_device(struct field *f, struct span name); /* the same */

/* tag.c: places and values */
bool area_is_bits(enum config_area area);
void tag_init(struct tag *t, const struct config_tag *cfg);
/* Before the tags of an answer are decoded: is this one a scale of others? */
void tag_note_exponent(struct tag *t, const union source_data *data, unsigned offset);
/* From what was read at the tag's place; text is borrowed from `scratch` or from the configuration. */
struct tag_sample tag_decode(const struct tag *t, const union source_data *data, unsigned offset,
			     int64_t ts_ms, struct modbus_value *scratch);
/* NULL, or the error word, with a sentence in text (SET_FAULT_MAX). */
const char *tag_command_check(const struct tag *t, const struct tag_value *v, struct modbus_value *raw,
			      char *text);

/* rack.c: channels and their attributes */
MUST_USE int rack_add_attributes(struct device *d); /* as extras */
void rack_repoint(struct device *d);
/* Start and unit of a tag, when the device is a rack. */
void rack_place_tag(const struct device *d, struct tag *t, bool is_extra);
/* A value that was read becomes as good as its channel says. */
void rack_judge(const struct device *d, const struct tag *t, struct tag_sample *s);
/* Does a write have to start from the registers as they are? */
bool tag_is_partial(const struct tag *t);
static inline const struct payload_format *json_of(const struct field *f)
{
	return (*f->formats)[CONFIG_PAYLOAD_JSON];
}

/* publish.c */
void publish(struct field *f, const char *topic, bool retain, struct span payload);
/* The one door: whoever has a new sample of a tag brings it here; what is published of it, and when, is its policy's. */
void publish_sample(struct device *d, struct tag *t, const struct tag_sample *s);
/* Would it be published in this scan, but for that it is bad as it was? */
bool publish_is_bad_again(const struct tag *t, const struct config_group *g, uint64_t now);
void publish_bad(struct device *d, struct tag *t, enum reason reason);
/* Publish t->now, whatever the policy says. */
void publish_now(struct tag *t);
void publish_status(struct device *d);
void publish_line(struct line *l);
struct device_status device_status_of(const struct device *d); /* borrows d and its field's room for groups */
struct line_status line_status_of(const struct line *l);       /* borrows l */
bool line_topic(struct field *f,
		const struct line *l); /* "{root}/_gateway/line/{name}" in f->topic; false: too long */

/* publish_pace.c: the end of min_interval, and of period with on_change_or_period. */
MUST_USE int pace_join(struct field *f, struct tag *t); /* ERR_NOMEM */
void pace_leave(struct tag *t);
void pace_published(struct tag *t); /* at t->published_at */
bool pace_is_cooling(const struct tag *t, uint64_t now);
void pace_drop_unused(struct field *f);

/* publish_group.c: messages of groups */
void group_add(struct group *g, struct tag *t); /* t->now goes with the next one */
void group_scanned(struct group *g);            /* the scan is done */
void group_flush(struct group *g);              /* what was to be told is told now */
void group_flush_soon(struct group *g);         /* no scan will be done */
void groups_flush(struct loop_timer *timer);    /* field->unsent_timer */

/* topics.c */
MUST_USE int topics_create(struct device *d, const struct gateway_config *cfg); /* ERR_NOMEM, ERR_TOO_LARGE */
void topics_enter(struct device *d);                                            /* into field->tags */
void topics_leave(struct device *d);
struct tag *topics_find(struct field *f, struct span topic); /* NULL: no tag's */
bool topics_are_own(struct field *f, const char *topic);     /* is it one of the gateway's, or below one? */
/* Retained messages of a device that is gone, unless somebody has the topic now. */
void topics_clear(struct field *f, const struct device *d);

/* device.c */
MUST_USE int device_create(struct line *line, const struct gateway_config *gateway,
			   const struct config_device *cfg, struct device **out);
void device_forget_waits(struct device *d); /* what its tags and groups wait for */
void device_destroy(struct device *d);      /* accepts NULL; not in use any more */
void device_repoint(struct device *d, const struct config_device *cfg);
void device_start(struct device *d);
void device_stop(struct device *d); /* timers */
void device_online(struct device *d);
void device_offline(struct device *d, enum reason reason);
void device_backoff(struct device *d); /* wait longer, then probe */
void device_error(struct device *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool device_has_blocks(const struct device *d, size_t n); /* so many at least */
bool device_waits(const struct device *d);                /* some block waits to be read */
/* The next block that waits to be read, in turn between groups. False: none. */
bool device_next_block(struct device *d, struct group **g, size_t *block);
/* A block that is not known to be without an answer is asked soon, or on the wire. False: there is none. */
bool device_ask_another(struct device *d);
/* Any block will do to see whether the device is there. False: it has none. */
bool device_probe_block(struct device *d, struct group **g, size_t *block);
void group_is_pending(struct group *g);                 /* one of its blocks is to be read */
void group_block_silent(struct group *g, size_t block); /* leave it out for a while */
void scan_progress(struct group *g);

/* access.c */
void access_enter(struct device *d); /* its tags can be found */
void access_leave(struct device *d);
struct tag *access_find(struct field *f, struct span device, struct span tag); /* NULL: none */
void access_sample(struct tag *t); /* tell those who watch of t->now */
void access_applied(struct field *f);

/* line.c */
MUST_USE int line_create(struct field *f, const struct config_line *cfg, struct line **out);
void line_repoint(struct line *l, const struct config_line *cfg);
void line_destroy(
	struct line *l); /* accepts NULL; no device is left; requests of foreign masters are answered */
void line_start(struct line *l);
void line_forget_device(struct line *l, struct device *d); /* its requests are taken back */
void line_stop_device(struct line *l, struct device *d); /* and its commands cancelled; it leaves the line */
void slot_submit(struct slot *s);
void slot_release(struct slot *s);
struct plan_block *slot_block(const struct slot *s);

/* line_queue.c */
void line_pump(struct line *l);
void line_wake(struct line *l); /* something waits to be sent */
void line_queue_init(struct line *l);
void line_queue_stop(struct line *l);
bool device_must_wait(struct device *d); /* a late answer of it may come; the line looks again after that */
void queue_account(struct slot *s, uint32_t busy_us); /* a request is over */

/* line_down.c */
void line_down_init(struct line *l);
void line_down(struct line *l); /* nobody takes its connection */
void line_up(struct line *l, const struct device *probed);
void line_device_gone(struct line *l);
void line_look_again(struct line *l, uint64_t ms); /* at what it may send, after `ms` at the latest */
bool line_anyone_answers(struct line *l);
bool line_anyone_is_new(struct line *l, const struct device *but); /* waits to be asked for the first time */
bool probe_may_go(struct device *d, uint32_t *timeout_ms, bool *is_long);
void probe_failed(struct slot *s, uint32_t busy_us);
void first_contact_failed(struct line *l, uint32_t busy_us);

/* pass.c */
void pass_unit_spoke(struct line *l, uint8_t unit);
void passes_init(struct line *l);
struct field_pass *pass_next(struct line *l); /* whose turn it is, or NULL; still in the queue */
void pass_start(struct slot *s, struct field_pass *p);
void pass_answered(struct slot *s);       /* the slot is released */
void passes_fail(struct line *l, int rc); /* those that wait */
void passes_end(struct line *l);          /* the line is out of the field's list: all of them */

/* write.c */
void job_start(struct slot *s, struct job *job);
/* What the device answered to the command in s; true: s->req is to be submitted again (as the write after the read). */
bool job_answered(struct slot *s);
void jobs_fail(struct device *d, const char *sent_error, const char *waiting_error);
void jobs_refuse(struct line *l, const char *error); /* those that wait */
struct job *jobs_next(
	struct line *l); /* the first that may be sent now, or NULL; answers those that expired */

#endif

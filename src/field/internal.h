/*
 * Inside the field side.  Everything here is touched by the field thread only.
 *
 *     field --- line --- device --- group --- plan's blocks
 *                 |         '------ tag
 *                 '--- slots (requests with the source), jobs (commands that wait)
 */
#ifndef FIELD_INTERNAL_H
#define FIELD_INTERNAL_H

#include "base/list.h"
#include "field/alarm.h"
#include "field/cells.h"
#include "field/field.h"
#include "field/plan.h"
#include "tags/scaling.h"
#include "wire/modbus_value.h"

#define DEFAULT_TIMEOUT_MS       1000u
#define DEFAULT_BACKOFF_FIRST_MS 5000u
#define DEFAULT_BACKOFF_MAX_MS   300000u
#define STATUS_INTERVAL_MS       10000u
#define JOBS_MAX                 1000u /* commands that wait on one line */
#define JOBS_IN_A_ROW            8u    /* then a poll that waits is let in between */
#define ERROR_TEXT_MAX           96u
#define TOPIC_BUFFER             1024u
#define PAYLOAD_BUFFER           4096u

struct tag {
	const struct config_tag *cfg; /* the configuration's, or device->extras[] */
	struct modbus_format format;
	struct scaling scaling;
	const char *unit;
	bool is_bits;
	uint16_t start, count; /* in its area */

	bool is_published;
	uint64_t published_at;        /* monotonic ms */
	struct tag_sample last;       /* as published; text and bytes lie in text[] */
	struct dependant *dependants; /* what is made from it: cells.h; NULL: nothing */
	uint8_t *text;                /* of string and bytes tags: room for format.length + 1 */
};

struct device;

struct group {
	struct device *device;
	const struct config_group *cfg;
	struct plan plan;
	struct loop_timer timer;
	uint64_t due;      /* when the next scan is to start */
	unsigned planned;  /* device->refused.version that the plan knows */
	bool is_open;      /* a scan is going on */
	uint64_t begun_at; /* when it began */
	unsigned ordinal;  /* among the groups of the line; staggers the starts */
	size_t next_block;
};

/*
 *   CONNECTING --answer--> ONLINE --no answer, all attempts--> OFFLINE --answer to a probe--> ONLINE
 *        \------no answer, all attempts----------------------^
 */
enum device_state { DEVICE_CONNECTING, DEVICE_ONLINE, DEVICE_OFFLINE };

struct counters {
	uint64_t ok, timeouts, exceptions, errors, writes;
	uint64_t late;    /* scans that were left out because the one before was not done */
	uint64_t late_ms; /* the worst time by which one took longer than its interval */
};

struct device {
	struct list node; /* line->devices */
	struct line *line;
	const struct config_device *cfg;
	struct config_tag *extras; /* attributes of channels */
	size_t nextras;
	struct tag *tags; /* cfg's, then the extras */
	size_t ntags;
	struct group *groups; /* one for each of cfg's */
	size_t next_group;
	struct cells *cells; /* on an internal line; else NULL, and nothing of a plan there */
	struct refused refused;

	enum device_state state;
	enum reason reason; /* why it is offline */
	int64_t since_ms, last_ok_ms;
	char last_error[ERROR_TEXT_MAX];
	struct counters counters, shown; /* shown: in the last status */
	uint32_t backoff_ms;
	struct loop_timer backoff_timer;
	bool is_probe_due;
	size_t next_probe;
	bool is_kept; /* during field_apply() */
};

enum job_phase { JOB_WAITS, JOB_READS, JOB_WRITES };

/* One command that was accepted. */
struct job {
	struct list node; /* line->jobs, also while it is in a slot */
	struct device *device;
	struct tag *tag;
	enum job_phase phase;
	bool has_expiry;
	uint64_t expires_at;
	struct modbus_value value; /* raw */
	/* one allocation with the job; texts are NUL terminated */
	const char *topic;
	const char *response_topic; /* NULL: none */
	struct span correlation;
	struct span id;
};

struct slot {
	struct source_request req;
	struct line *line;
	bool is_used;
	bool is_probe;
	struct device *device;
	struct group *group; /* of a read of a block */
	size_t first;        /* the block's first item: its name while others are cut */
	struct job *job;     /* of a command */
	unsigned attempts;
};

struct line {
	struct list node; /* field->lines */
	struct field *field;
	const struct config_line *cfg;
	struct source *source;
	struct list devices;
	struct list jobs;
	size_t njobs;
	unsigned jobs_in_a_row;
	struct slot slots[SOURCE_IN_FLIGHT_MAX];
	unsigned nslots, nused;
	uint32_t timeout_ms, backoff_first_ms, backoff_max_ms;
	unsigned attempts_max;

	bool is_down; /* nobody takes the connection: its devices are offline, and one of them is the probe */
	uint32_t backoff_ms;
	struct loop_timer backoff_timer; /* while it is down */
	struct loop_timer status_timer;
	struct loop_timer pump_timer; /* work was queued: look at it in the next turn */
	bool is_kept;                 /* during field_apply() */
};

struct field {
	struct loop *loop;
	struct tag_sink *sink;
	struct source_factory *factory;
	const struct payload_format *format;
	const struct gateway_config *cfg;
	struct list lines;
	struct cells_queue cells;
	struct alarms *alarms; /* NULL before the first configuration */
	char topic[TOPIC_BUFFER];
	uint8_t payload[PAYLOAD_BUFFER];
};

/* field.c */
struct device *field_device(struct field *f, struct span name); /* NULL: none */

/* tag.c: places and values */
bool area_is_bits(enum config_area area);
void tag_init(struct tag *t, const struct config_tag *cfg);
/* From what was read at the tag's place; text is borrowed from `scratch`. */
struct tag_sample tag_decode(const struct tag *t, const union source_data *data, unsigned offset,
			     int64_t ts_ms, struct modbus_value *scratch);
/* NULL, or the error word, with a sentence in text (SET_FAULT_MAX). */
const char *tag_command_check(const struct tag *t, const struct tag_value *v, struct modbus_value *raw,
			      char *text);

/* publish.c */
void publish(struct field *f, const char *topic, bool retain, struct span payload);
void publish_sample(struct device *d, struct tag *t, const struct tag_sample *s);
void publish_bad(struct device *d, struct tag *t, enum reason reason);
void publish_status(struct device *d);
struct device_status device_status_of(const struct device *d); /* borrows d */
/* Compose "{root}/{device}/{last}" in f->topic; false when it is too long. */
bool topic_compose(struct field *f, const char *device, const char *last);

/* device.c */
MUST_USE int device_create(struct line *line, const struct config_device *cfg, struct device **out);
void device_destroy(struct device *d); /* accepts NULL; not in use any more */
void device_repoint(struct device *d, const struct config_device *cfg);
void device_start(struct device *d);
void device_stop(struct device *d); /* timers */
void device_online(struct device *d);
void device_offline(struct device *d, enum reason reason);
void device_backoff(struct device *d); /* wait longer, then probe */
void device_error(struct device *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
struct tag *device_tag(struct device *d, const char *name, size_t len);
bool device_has_blocks(const struct device *d);
/* The next block that waits to be read, in turn between groups. False: none. */
bool device_next_block(struct device *d, struct group **g, size_t *block);
void scan_progress(struct group *g);

/* line.c */
MUST_USE int line_create(struct field *f, const struct config_line *cfg, struct line **out);
void line_repoint(struct line *l, const struct config_line *cfg);
void line_destroy(struct line *l); /* accepts NULL; no device is left */
void line_start(struct line *l);
void line_wake(struct line *l);                            /* something waits to be sent */
void line_forget_device(struct line *l, struct device *d); /* its requests are taken back */
void line_stop_device(struct line *l, struct device *d); /* and its commands cancelled; it leaves the line */

/* write.c */
void job_start(struct slot *s, struct job *job);
/* What the device answered to the command in s; true: s->req is to be submitted again (as the write after the read). */
bool job_answered(struct slot *s);
void jobs_fail(struct device *d, const char *sent_error, const char *waiting_error);
struct job *jobs_next(
	struct line *l); /* the first that may be sent now, or NULL; answers those that expired */

#endif

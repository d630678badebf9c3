/*
 * How views and computed tags reach the tags of the field side: what they hold, and writing them. On the field
 * thread only.
 *
 * A `struct tag *` is good until the next field_apply(); who keeps one finds it anew then (field.applied).
 */
#ifndef FIELD_ACCESS_H
#define FIELD_ACCESS_H

#include "base/list.h"
#include "field/field.h"
#include "tags/value.h"

struct tag;
struct job;

/* NULL: no such tag. */
struct tag *field_find_tag(struct field *f, const char *device, const char *tag);

/*
 * What was read last, published or not; text and bytes are borrowed until the loop's next turn. Before the first answer it is
 * bad with reason offline.
 */
struct tag_sample field_tag_now(const struct tag *t);

/* ---- who wants to see every sample, and each new configuration ---- */

/* Its callbacks may take away any watcher, itself too, and add some. */
struct field_watcher {
	/* A sample was read or found bad, before any policy of publishing. May not change the configuration. May be NULL. */
	void (*sample)(struct field_watcher *w, struct tag *t, const struct tag_sample *s);
	/* field_apply() is done: handles of before are gone. May be NULL. */
	void (*applied)(struct field_watcher *w);

	/* the field side's */
	struct list node;
	struct field *field;
};

void field_watch(struct field *f, struct field_watcher *w);
void field_unwatch(struct field_watcher *w); /* one that watches, or did */

/* ---- writing: every surface comes through here ---- */

/* Embedded by who asks; the field side's from field_write() until done(). */
struct field_write {
	/* the asker's */
	struct tag_value value; /* text and bytes are borrowed for the call of field_write() */
	bool has_expiry;
	uint32_t expiry_ms; /* not sent to the device later than this from now */
	/* Exactly once, later or from inside field_write(). *o is borrowed for the call; o->id is empty. */
	void (*done)(struct field_write *w, const struct set_outcome *o);
	void *owner;

	struct job *job; /* the field side's; NULL: none is under way */
};

/*
 * Access and range are checked first; then it is queued on the line. A write that still waits when a newer one to the same tag
 * comes is not sent, and its outcome is the error "superseded".
 */
void field_write(struct field *f, struct tag *t, struct field_write *w);

/* NULL, or the error with which field_write() of this value would be refused at once. */
const char *field_write_check(const struct tag *t, const struct tag_value *v);

/* A Modbus master asked for this tag, through a view: a sign of life for the watchdog of its line (config_watchdog). */
void field_master_seen(const struct tag *t);

/* The asker is gone: done() is not called. A write that is queued or under way is carried out all the same. */
void field_write_forget(struct field_write *w);

#endif

/*
 * The safe state of a line: when the master that the watchdog of the line waits for stays away, the outputs take their safe values and writes are
 * refused, until it is back or somebody clears it.
 *
 *                 nothing seen for `timeout`, or {root}/{device}/_safe/set true
 *     WATCHING ------------------------------------------------------------------> SAFE
 *        ^                                                                           |
 *        '----- seen again (clear: auto), or {root}/{device}/_safe/set false --------'
 *
 * The safe values go out ahead of everything else on the line, each until the device confirmed it. What they need is
 * allocated with the device, so nothing can fail when it matters.
 */
#ifndef FIELD_SAFE_H
#define FIELD_SAFE_H

#include "field/internal.h"

void safe_init(struct line *l);
/* The line runs now: the first time-out begins. */
void safe_start(struct line *l);
void safe_stop(struct line *l);

/* The outputs of a device whose tags are made. ERR_NOMEM. */
MUST_USE int safe_device_init(struct device *d);
void safe_device_fini(struct device *d);
/* It joined its line: when that is in its safe state, so are its outputs. */
void safe_device_joined(struct device *d);
/* Its requests were taken back: what was under way is to be sent again. */
void safe_device_lost(struct device *d);

/* A command of MQTT to one of its tags; a sign of life for the watchdogs that watch `what`. */
void safe_seen(struct line *l, enum config_watch what);

/* {root}/{device}/_safe/set. NULL, or the error word with a sentence in text (SET_FAULT_MAX). */
const char *safe_command(struct line *l, const struct tag_value *v, char *text);

/* The next output to write, or NULL. Not while something else is under way to its device: `is_busy` says. */
struct job *safe_next(struct line *l, bool (*is_busy)(const struct line *l, const struct device *d));
/* How the write of one ended. */
void safe_written(struct job *job, const struct set_outcome *o);

#endif

/*
 * Alarms: a tag beyond its limits, or bad. Each hangs on its tag (field/cells.h), sees each sample, and tells when it is raised and
 * when it is cleared, once each.
 *
 *             beyond, for `delay`
 *   CLEARED ----------------------> RAISED
 *      ^                              |
 *      +--- back by the hysteresis ---+
 *
 * A bad sample changes nothing unless the alarm is for quality; then it counts as beyond.
 *
 * Inside field/; the field thread only.
 */
#ifndef FIELD_ALARM_H
#define FIELD_ALARM_H

#include "field/cells.h"

struct alarms;

/* The alarms of `cfg`, cleared, hung on nothing. ERR_NOMEM. */
MUST_USE int alarms_create(struct field *f, const struct gateway_config *cfg, struct alarms **out);

/*
 * Put `next` in the place of `old` (NULL: none), which is freed: an alarm that is the same as before stays raised, and one that was raised
 * and is no more, or is another now, is told as cleared.
 */
void alarms_replace(struct alarms *old, struct alarms *next);

/* Hang all on their tags: after cells_link(). */
void alarms_link(struct alarms *a);

void alarms_destroy(struct alarms *a); /* accepts NULL; nothing is told */

#endif

/*
 * Records that come late say so: `"historical":true` is put into JSON objects whose member "ts", Unix milliseconds, is old. The bytes
 * are edited, not written anew: whatever else stands in the object stays as it is, numbers to the last digit. Pure, does not allocate,
 * takes time in proportion to the bytes.
 */
#ifndef UPLINKS_HISTORICAL_H
#define UPLINKS_HISTORICAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

#define HISTORICAL_TEXT     ",\"historical\":true"
#define HISTORICAL_AFTER_MS 10000
#define HISTORICAL_DEPTH    64 /* objects and lists within each other */

/*
 * Is this one JSON object with a member "ts" that is an integer, without a member "historical"? Then *ts is that number, of
 * several the last, and *insert_at where HISTORICAL_TEXT goes. Names are compared as they are written: "t\u0073" is not "ts".
 */
bool historical_look(struct span json, int64_t *ts, size_t *insert_at);

/* Is a record with this ts late at `now_ms`? Numbers too small to be milliseconds since 1970 are no time. */
bool historical_is_late(int64_t ts, int64_t now_ms);

#endif

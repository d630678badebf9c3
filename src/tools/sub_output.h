/*
 * How `lineside sub` prints a message: plain, by a format of -F, or as JSON.  Nothing here flushes.
 */
#ifndef TOOLS_SUB_OUTPUT_H
#define TOOLS_SUB_OUTPUT_H

#include <stdio.h>
#include <time.h>

#include "base/err.h"
#include "wire/mqtt.h"

struct sub_message {
	const struct mqtt_publish *m;
	struct timespec at; /* wall clock of the arrival */
	bool pretty;        /* indent %j and %J */
};

/*
 * Is `format` one? OK; ERR_MALFORMED with *bad pointing at the character that is wrong, at the final NUL when
 * it ends too early.
 */
MUST_USE int sub_format_check(const char *format, const char **bad);

/*
 * Print by a format that was checked, without a newline behind. ERR_MALFORMED: %J and the payload is no JSON,
 * or %d or %f and it has not the size of a number; what came before is printed. ERR_NOMEM.
 */
MUST_USE int sub_format_print(FILE *to, const char *format, const struct sub_message *s);

/*
 * %j (payload as a string) and %J (payload as it is, ERR_MALFORMED when that is no JSON): mosquitto_sub's
 * object.
 */
MUST_USE int sub_json_object(FILE *to, const struct sub_message *s, bool payload_is_json);

/*
 * --json: {"ts":unix ms,"topic":"...","payload":"...","qos":1,"retain":false,"mid":7,"props":{...}} on one
 * line, without the newline.  A payload that is not UTF-8 is base64 and followed by "encoding":"base64"; mid
 * is there for QoS 1 and 2, props for MQTT 5 messages that have some.
 */
MUST_USE int sub_json_line(FILE *to, const struct sub_message *s);

#endif

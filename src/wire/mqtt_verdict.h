/* For the unit tests of the MQTT codec: a table of packets and verdicts. Include after cmocka.h. */
#ifndef WIRE_MQTT_VERDICT_H
#define WIRE_MQTT_VERDICT_H

#include <stdio.h>

#include "wire/mqtt_testing.h"

struct verdict {
	const char *what;
	enum mqtt_version v; /* 0: every version */
	uint8_t first;       /* first byte of the packet */
	const char *body;    /* in the notation of mqtt_testing.h */
	int rc;
};

/* Decode one packet; the bytes stay allocated, for `any` points into them, until the caller frees them. */
static inline int verdict_decode(const struct verdict *t, enum mqtt_version v, union mqtt_any *any,
				 uint8_t **bytes)
{
	struct mqtt_frame f;
	size_t len;
	int rc;

	*bytes = mqtt_packet_of(t->first, t->body, &len);
	rc = mqtt_frame_read(*bytes, len, UINT32_MAX, &f);
	if (rc < 0)
		return rc;
	assert_int_equal(f.size, len);
	return mqtt_any_decode(&f, v, any);
}

static inline void verdicts_check(const struct verdict *t, size_t n)
{
	size_t wrong = 0;

	for (; n > 0; n--, t++)
		for (enum mqtt_version v = MQTT_V31; v <= MQTT_V5; v++) {
			union mqtt_any any;
			uint8_t *bytes;
			int rc;

			if (t->v != 0 && t->v != v)
				continue;
			rc = verdict_decode(t, v, &any, &bytes);
			free(bytes);
			if (rc == t->rc)
				continue;
			fprintf(stderr, "%s (version %d): %s instead of %s\n", t->what, (int)v, err_text(rc),
				err_text(t->rc));
			wrong++;
		}
	assert_int_equal(wrong, 0);
}

#define VERDICTS(table) verdicts_check(table, sizeof(table) / sizeof((table)[0]))

#endif

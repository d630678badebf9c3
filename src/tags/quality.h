/*
 * How good a tag's value is and, when it is not good, why: the words of PRODUCT.md, "Topics and payloads". Pure.
 */
#ifndef TAGS_QUALITY_H
#define TAGS_QUALITY_H

#include <stddef.h>

enum quality { QUALITY_GOOD, QUALITY_UNCERTAIN, QUALITY_BAD, QUALITY_COUNT };

/* REASON(name, word in payloads) */
#define REASON_TABLE(REASON)           \
	REASON(TIMEOUT, "timeout")     \
	REASON(EXCEPTION, "exception") \
	REASON(CRC, "crc")             \
	REASON(OFFLINE, "offline")     \
	REASON(RANGE, "range")         \
	REASON(STALE, "stale")         \
	REASON(SAFE_MODE, "safe_mode") \
	REASON(CONFIG, "config")       \
	REASON(CLOCK, "clock")

enum reason {
	REASON_NONE, /* goes with QUALITY_GOOD and with nothing else */
#define REASON_AS_ENUM(name, word) REASON_##name,
	REASON_TABLE(REASON_AS_ENUM)
#undef REASON_AS_ENUM
		REASON_COUNT
};

/* The word in payloads; static, never NULL. reason_name(REASON_NONE) is "". */
const char *quality_name(enum quality q);
const char *reason_name(enum reason r);

#endif

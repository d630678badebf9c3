/*
 * Error values.  A function that can fail returns OK or one of these and is
 * marked MUST_USE; the cause is logged once, where it is known.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define MUST_USE               __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* ERR(name, text for people) */
#define ERR_TABLE(ERR)                                             \
	ERR(NOMEM, "out of memory")                                \
	ERR(AGAIN, "not complete yet")                             \
	ERR(CLOSED, "closed by the other side")                    \
	ERR(IO, "input/output error")                              \
	ERR(MALFORMED, "malformed bytes")                          \
	ERR(PROTOCOL, "not allowed by the protocol at this point") \
	ERR(UNEXPECTED, "not the answer to what was asked")        \
	ERR(REMOTE, "refused by the other side")                   \
	ERR(TIMEOUT, "no answer in time")                          \
	ERR(TOO_LARGE, "larger than allowed")                      \
	ERR(FULL, "a limit is reached")                            \
	ERR(RANGE, "value out of range")                           \
	ERR(TOPIC, "not a valid topic")                            \
	ERR(NOT_FOUND, "not found")                                \
	ERR(EXISTS, "exists already")                              \
	ERR(DENIED, "not permitted")                               \
	ERR(CONFIG, "wrong configuration")                         \
	ERR(UNSUPPORTED, "not supported")                          \
	ERR(BUSY, "busy")

enum err_index {
	ERR_INDEX_OK,
#define ERR_AS_INDEX(name, text) ERR_INDEX_##name,
	ERR_TABLE(ERR_AS_INDEX)
#undef ERR_AS_INDEX
		ERR_INDEX_COUNT
};

enum err {
	OK = 0,
#define ERR_AS_VALUE(name, text) ERR_##name = -(int)ERR_INDEX_##name,
	ERR_TABLE(ERR_AS_VALUE)
#undef ERR_AS_VALUE
};

/* The text of an ERR_* value; never NULL, static, "unknown error" for others. */
const char *err_text(int err);

#endif

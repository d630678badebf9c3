/*
 * The log: one line per event on stderr, `2026-11-22T12:00:00.123Z warning
 * mqtt: client "a" 10.0.0.1:5000: keep-alive ran out`.  A line names the client
 * id or device, the address and the cause.  Bytes from outside go through
 * log_quote().  Thread safe; a write is one write(2), never blocks on a lock of ours.
 *
 * Each cause (the place in the code that logs) is limited: after LOG_BURST lines
 * within LOG_WINDOW_MS the rest is counted, and the next line that is let through
 * says how many were left out.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

#define LOG_BURST     10
#define LOG_WINDOW_MS 10000

/* One per place that logs; zero-initialised static. */
struct log_cause {
	_Atomic uint64_t window_start_ms;
	_Atomic uint32_t lines;
	_Atomic uint32_t left_out;
};

/* The process-wide threshold (the one setting the whole process shares); default LOG_NOTICE. */
void log_set_level(enum log_level level);
enum log_level log_level(void);

/* "error", "warning", ...; log_level_parse returns ERR_NOT_FOUND for another word. */
const char *log_level_name(enum log_level level);
MUST_USE int log_level_parse(const char *word, enum log_level *level);

/* Write lines to this descriptor instead of stderr (tests). */
void log_set_fd(int fd);

void log_write(struct log_cause *cause, enum log_level level, const char *area, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

#define LOG_AT(level, area, ...)                                              \
	do {                                                                  \
		static struct log_cause log_cause_;                           \
		if ((level) <= log_level())                                   \
			log_write(&log_cause_, (level), (area), __VA_ARGS__); \
	} while (0)

#define log_error(area, ...)   LOG_AT(LOG_ERROR, area, __VA_ARGS__)
#define log_warning(area, ...) LOG_AT(LOG_WARNING, area, __VA_ARGS__)
#define log_notice(area, ...)  LOG_AT(LOG_NOTICE, area, __VA_ARGS__)
#define log_info(area, ...)    LOG_AT(LOG_INFO, area, __VA_ARGS__)
#define log_debug(area, ...)   LOG_AT(LOG_DEBUG, area, __VA_ARGS__)

/*
 * `s` in double quotes, control and non-UTF-8 bytes as \xNN, cut to fit.  Returns buf, so
 * it fits an argument list; buf holds at least 8 bytes.
 */
const char *log_quote(char *buf, size_t size, struct span s);

#endif

/*
 * The command line of `lineside bench`: one table parses and prints --help. Options of mosquitto_pub for the
 * connection, words and flags of emqtt-bench (conn, pub, sub, -c -R -I -t -s -q -F -L) beside our own.
 */
#ifndef TOOLS_BENCH_OPTIONS_H
#define TOOLS_BENCH_OPTIONS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/err.h"
#include "wire/mqtt.h"

enum bench_mode {
	BENCH_EXCHANGE,
	BENCH_FAN_IN,
	BENCH_FAN_OUT,
	BENCH_SUBSCRIBE, /* exchange with many subscriptions */
	BENCH_RETAINED,
	BENCH_OFFLINE,
	BENCH_CONNECT,
	BENCH_IDLE,
	BENCH_PUB,
	BENCH_SUB,
	BENCH_MODES
};

#define BENCH_PAYLOAD_MIN 16u /* publisher, run, number */
#define BENCH_PAYLOAD_MAX 1048576u
#define BENCH_CLIENTS_MAX 1000000u
#define BENCH_WINDOW_MAX  16384u    /* packet ids stay unique */
#define BENCH_WORKERS_MAX 64u       /* bits of a word */
#define BENCH_BATCH_BYTES 16777216u /* of one send */
#define BENCH_TOPIC_MAX   200u

/* What to do, complete: nothing is 0 for "not given". Strings are borrowed from argv. Read-only after parsing. */
struct bench_options {
	bool help;
	enum bench_mode mode;

	const char *host, *username, *password, *prefix;
	unsigned port;
	enum mqtt_version version;

	unsigned clients, publishers, subscribers, slow;
	unsigned filters;  /* of a subscriber */
	unsigned topics;   /* retained: of all publishers together */
	const char *topic; /* pub, sub: with %i for the client's number; NULL: made up */
	unsigned qos, size, window, batch;
	double rate; /* messages (connect: connections) a second of all together; 0: closed loop */
	unsigned interval_ms;
	unsigned connect_rate; /* of the set-up; 0: as fast as it goes */
	uint64_t limit;        /* messages of all publishers together; 0: none */
	double seconds, warmup_s, drain_s;
	unsigned workers;
	unsigned pid; /* the broker's; 0: not known */
	bool json, quiet;
	bool persistent; /* subscribers have sessions that stay; of offline they always do */
	bool to_all;     /* offline: each message goes to every session, else to one */
	bool leave,
		resume; /* retained, offline: what is set or queued stays in the broker; it is there already */
};

/*
 * Parse argv[1..argc). A password in it is overwritten, after a copy was taken. A fault is explained on stderr: ERR_RANGE.
 * bench_options_fini() in every case.
 */
MUST_USE int bench_options_parse(struct bench_options *o, int argc, char **argv);
void bench_options_fini(struct bench_options *o);

/* A line on standard error in the name of the command. */
void bench_complain(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));

void bench_options_help(FILE *to);
const char *bench_mode_name(enum bench_mode mode);

#endif

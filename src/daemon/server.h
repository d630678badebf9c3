/*
 * A running gateway: broker workers, field thread, listeners, and the main thread that starts, reloads and stops them.
 */
#ifndef DAEMON_SERVER_H
#define DAEMON_SERVER_H

#include "base/log.h"
#include "config/gateway_config.h"

struct server_options {
	const char *path; /* of the configuration, NULL: the default, and no reload */
	bool has_level;   /* a log level that the configuration does not change */
	enum log_level level;
};

/*
 * Run until SIGTERM or SIGINT, on the calling thread and those it makes. Takes `cfg`. Returns OK after a clean stop, or why it could
 * not start or go on; that was logged.
 */
MUST_USE int server_run(const struct server_options *options, struct gateway_config *cfg);

#endif

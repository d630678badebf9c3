/*
 * A new configuration for a gateway that runs.
 */
#ifndef DAEMON_RELOAD_H
#define DAEMON_RELOAD_H

#include "config/gateway_config.h"

/*
 * Load `path` for a gateway that was started with `running`. Faults are logged; what cannot change while it runs is
 * logged too, and the gateway's name and root in *out are those of `running`, which outlives it.
 * Returns OK with *out, or ERR_CONFIG, ERR_IO, ERR_NOMEM: it was logged, and there is nothing to do.
 */
MUST_USE int reload_config(const char *path, const struct gateway_config *running,
			   struct gateway_config **out);

#endif

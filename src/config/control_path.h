/*
 * Where the control socket of a gateway is when its configuration does not say: the server binds it there, and "lineside status"
 * looks there. Reads the environment and the user id, opens nothing.
 */
#ifndef CONFIG_CONTROL_PATH_H
#define CONFIG_CONTROL_PATH_H

#include <stddef.h>

#include "config/gateway_config.h"

#define CONTROL_PATH_BYTES 108 /* what the address of a Unix socket holds */

/*
 * gateway.control_socket; else NAME.sock in /run/lineside for root, in $XDG_RUNTIME_DIR/lineside, or in /tmp/lineside-UID.
 * Writes it to buf. ERR_TOO_LARGE: no Unix socket may have so long a path; what fits is in buf.
 */
MUST_USE int control_path(const struct gateway_config *cfg, char *buf, size_t size);

#endif

#include "config/control_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int control_path(const struct gateway_config *cfg, char *buf, size_t size)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR"), *name = cfg->gateway.name;
	uid_t user = geteuid();
	int n;

	if (cfg->gateway.control_socket)
		n = snprintf(buf, size, "%s", cfg->gateway.control_socket);
	else if (user == 0)
		n = snprintf(buf, size, "/run/lineside/%s.sock", name);
	else if (runtime && runtime[0] == '/')
		n = snprintf(buf, size, "%s/lineside/%s.sock", runtime, name);
	else
		n = snprintf(buf, size, "/tmp/lineside-%u/%s.sock", (unsigned)user, name);
	return n > 0 && (size_t)n < size && n < CONTROL_PATH_BYTES ? OK : ERR_TOO_LARGE;
}

#include "daemon/control.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"

#define TIMEOUT_MS 5000u

static const char *reason(int rc)
{
	switch (rc) {
	case ERR_EXISTS:
		return "another gateway that runs answers there";
	case ERR_TOO_LARGE:
		return "its path is longer than a Unix socket can have";
	case ERR_DENIED:
		return "its folder belongs to somebody else, or others may write to it";
	case ERR_IO:
		return strerror(errno);
	default:
		return err_text(rc);
	}
}

static int open_at(struct control *c, struct loop *loop, const struct gateway_config *cfg,
		   const struct control_command *commands, void *arg)
{
	bool is_configured = cfg->gateway.control_socket != NULL;
	struct control next = {0};
	int rc = control_path(cfg, next.path, sizeof(next.path));

	if (rc == OK && !is_configured)
		rc = control_folder_make(next.path);
	if (rc == OK)
		rc = control_socket_open(loop, next.path, TIMEOUT_MS, commands, arg, &next.socket);
	if (rc < 0 && is_configured) {
		log_error("daemon", "control socket %s: %s", next.path, reason(rc));
		return rc;
	}
	if (rc < 0)
		log_warning("daemon",
			    "no control socket, so \"lineside status\" does not find this gateway: %s: %s; "
			    "gateway.control_socket names another place",
			    next.path, reason(rc));
	*c = next;
	return OK;
}

int control_open(struct control *c, struct loop *loop, const struct gateway_config *cfg,
		 const struct control_command *commands, void *arg)
{
	int rc = open_at(c, loop, cfg, commands, arg);

	if (rc == OK && c->socket)
		log_info("daemon", "control socket %s", c->path);
	return rc;
}

void control_move(struct control *c, struct loop *loop, const struct gateway_config *cfg,
		  const struct control_command *commands, void *arg)
{
	char path[CONTROL_PATH_BYTES];
	struct control next;

	if (control_path(cfg, path, sizeof(path)) == OK && c->socket && strcmp(path, c->path) == 0)
		return;
	if (open_at(&next, loop, cfg, commands, arg) < 0 || !next.socket) {
		if (c->socket)
			log_warning("daemon", "the control socket stays %s", c->path);
		return;
	}
	control_close(c);
	*c = next;
	log_notice("daemon", "control socket %s", c->path);
}

void control_close(struct control *c)
{
	control_socket_close(c->socket);
	c->socket = NULL;
}

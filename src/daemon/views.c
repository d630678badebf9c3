#include "daemon/views.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "net/stream_tcp.h"

static int open_listener(struct views *v, struct loop *loop, const struct config_modbus_view *c)
{
	int rc = listener_tcp_open(loop, c->address, c->port, modbus_view_acceptor(v->modbus),
				   &v->next_listener);

	if (rc == ERR_IO)
		log_error("daemon", "views.modbus: %s port %u: %s", c->address, c->port, strerror(errno));
	return rc;
}

static bool is_moved(const struct views *v, const struct gateway_config *cfg)
{
	return !v->listener || !config_modbus_listener_equal(&v->cfg->views.modbus, &cfg->views.modbus);
}

int views_prepare(struct views *v, struct loop *loop, struct field *field, const struct gateway_config *cfg)
{
	int rc;

	if (!cfg->views.has_modbus)
		return OK;
	if (!v->modbus) {
		if ((rc = modbus_view_create(loop, field, &v->modbus)) < 0)
			return rc;
		v->is_new = true;
	}
	rc = modbus_view_prepare(v->modbus, cfg);
	if (rc == OK && is_moved(v, cfg))
		rc = open_listener(v, loop, &cfg->views.modbus);
	if (rc < 0)
		views_abandon(v);
	return rc;
}

static void close_view(struct views *v)
{
	listener_close(v->listener);
	v->listener = NULL;
	modbus_view_destroy(v->modbus);
	v->modbus = NULL;
	v->is_new = false;
}

static void tell_place(const struct config_modbus_view *c, const struct listener *l)
{
	bool is_v6 = strchr(c->address, ':') != NULL;

	log_notice("daemon", "views.modbus: on %s%s%s:%u, tags: %zu", is_v6 ? "[" : "", c->address,
		   is_v6 ? "]" : "", listener_port(l), c->nplaces);
}

void views_commit(struct views *v, const struct gateway_config *cfg)
{
	v->cfg = cfg;
	if (!cfg->views.has_modbus) {
		close_view(v);
		return;
	}
	modbus_view_commit(v->modbus);
	v->is_new = false;
	if (!v->next_listener)
		return;
	listener_close(v->listener);
	v->listener = v->next_listener;
	v->next_listener = NULL;
	tell_place(&cfg->views.modbus, v->listener);
}

void views_abandon(struct views *v)
{
	listener_close(v->next_listener);
	v->next_listener = NULL;
	if (v->is_new)
		close_view(v);
	else if (v->modbus)
		modbus_view_abandon(v->modbus);
}

void views_end(struct views *v)
{
	close_view(v);
	v->cfg = NULL;
}

static json_t *modbus_report(const struct views *v)
{
	struct modbus_view_stats s = {0};

	modbus_view_stats(v->modbus, &s);
	return json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
			 "name", "modbus", "address", v->cfg->views.modbus.address, "port",
			 (int)listener_port(v->listener), "tags", (json_int_t)s.tags, "connections",
			 (json_int_t)s.server.connections, "requests", (json_int_t)s.server.requests,
			 "exceptions", (json_int_t)s.server.exceptions, "reads", (json_int_t)s.reads,
			 "writes", (json_int_t)s.writes, "passed", (json_int_t)s.passed, "limited",
			 (json_int_t)s.limited, "forbidden", (json_int_t)s.forbidden, "refused",
			 (json_int_t)s.server.refused, "displaced", (json_int_t)s.server.displaced,
			 "malformed", (json_int_t)s.server.malformed);
}

json_t *views_report(const struct views *v)
{
	if (!v->listener)
		return json_pack("{s:[]}", "views");
	return json_pack("{s:[o]}", "views", modbus_report(v));
}

#include "views/modbus_view.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/stream.h"
#include "views/modbus_impl.h"

/* ---- requests ---- */

void modbus_view_answer(struct modbus_server_request *r, const struct modbus_req *req,
			enum modbus_exception exception, const union modbus_data *data)
{
	uint8_t pdu[MODBUS_PDU_MAX];
	size_t len = 0;

	if (exception == MODBUS_EXCEPTION_NONE && modbus_rsp_encode(req, data, pdu, sizeof(pdu), &len) == OK)
		modbus_server_answer(r, span_of(pdu, len));
	else
		modbus_server_refuse(r, exception != MODBUS_EXCEPTION_NONE
						? exception
						: MODBUS_EXCEPTION_SERVER_DEVICE_FAILURE);
}

static void read_map(struct modbus_view *v, struct modbus_server_request *r, const struct modbus_req *req)
{
	union modbus_data data = {0};
	bool is_bits = modbus_fc_info(req->fc)->shape == MODBUS_SHAPE_READ_BITS;
	enum modbus_exception e = modbus_map_read(v->map, is_bits, req->address, req->count, &data);

	v->stats.reads++;
	modbus_view_answer(r, req, e, &data);
}

static void ask_map(struct modbus_view *v, struct modbus_server_request *r)
{
	struct modbus_req req = {0};
	int rc = modbus_req_decode(r->pdu, r->pdu_len, &req);

	if (rc < 0) {
		modbus_server_refuse(r, modbus_exception_of(rc));
		return;
	}
	switch (modbus_fc_info(req.fc)->shape) {
	case MODBUS_SHAPE_READ_BITS:
	case MODBUS_SHAPE_READ_REGS:
		read_map(v, r, &req);
		break;
	case MODBUS_SHAPE_IDENTIFICATION:
		modbus_identify_answer(v, r, &req);
		break;
	case MODBUS_SHAPE_DIAGNOSTICS:
	case MODBUS_SHAPE_EVENT_COUNTER:
		modbus_server_refuse(r, MODBUS_EXCEPTION_ILLEGAL_FUNCTION); /* of serial lines */
		break;
	default:
		v->stats.writes++;
		modbus_write_begin(v, r, &req);
	}
}

/* A function that we do not know may write. */
static bool may_write(uint8_t fc)
{
	const struct modbus_fc_info *info = modbus_fc_info(fc);

	return !info || modbus_shape_writes(info->shape) || info->shape == MODBUS_SHAPE_DIAGNOSTICS;
}

static bool is_own_unit(const struct modbus_view *v, uint8_t unit)
{
	return unit == v->map->view->unit || unit == 0 || unit == 255;
}

static void on_request(void *handler, struct modbus_server_request *r)
{
	struct modbus_view *v = handler;
	enum config_access access = modbus_allow_access(v->map->view, r->peer->address);

	if (access == CONFIG_ACCESS_NONE || (access == CONFIG_ACCESS_READ && may_write(r->pdu[0]))) {
		v->stats.forbidden++;
		modbus_server_refuse(r, MODBUS_EXCEPTION_ILLEGAL_FUNCTION);
	} else if (is_own_unit(v, r->unit)) {
		ask_map(v, r);
	} else if (!modbus_pass_begin(v, r)) {
		modbus_server_refuse(r, MODBUS_EXCEPTION_GATEWAY_PATH_UNAVAILABLE);
	}
}

static void on_cancel(void *handler, struct modbus_server_request *r)
{
	struct modbus_task *task = r->owner;

	(void)handler;
	if (task)
		task->cancel(r);
}

static bool on_accept(void *handler, struct modbus_peer *peer)
{
	const struct modbus_view *v = handler;

	return modbus_allow_access(v->map->view, peer->address) != CONFIG_ACCESS_NONE;
}

static const struct modbus_handler_ops handler_ops = {
	.accept = on_accept, .request = on_request, .cancel = on_cancel};

/* ---- life ---- */

static void on_accepted(struct acceptor *a, struct stream *stream)
{
	struct modbus_view *v = container_of(a, struct modbus_view, acceptor);
	struct acceptor *server;

	if (!v->server) {
		stream_close(stream); /* nothing is committed yet: who comes again will be served */
		return;
	}
	server = modbus_server_acceptor(v->server);
	server->accepted(server, stream);
}

static void on_sample(struct field_watcher *w, struct tag *t, const struct tag_sample *s)
{
	modbus_map_sample(container_of(w, struct modbus_view, watcher)->map, t, s);
}

int modbus_view_create(struct loop *loop, struct field *field, struct modbus_view **out)
{
	struct modbus_view *v = calloc(1, sizeof(*v));

	if (!v)
		return ERR_NOMEM;
	v->acceptor.accepted = on_accepted;
	v->loop = loop;
	v->field = field;
	v->watcher.sample = on_sample;
	list_init(&v->watcher.node);
	*out = v;
	return OK;
}

int modbus_view_prepare(struct modbus_view *v, const struct gateway_config *cfg)
{
	const struct config_modbus_view *now = &cfg->views.modbus;
	int rc = modbus_map_create(cfg, &v->next_map);

	if (rc == OK)
		rc = modbus_routes_create(now, &v->next_routes);
	if (rc == OK && !v->server)
		rc = modbus_server_create_handled(v->loop, &handler_ops, v, now->max_connections,
						  &v->next_server);
	if (rc < 0)
		modbus_view_abandon(v);
	return rc;
}

void modbus_view_abandon(struct modbus_view *v)
{
	modbus_map_destroy(v->next_map);
	modbus_routes_destroy(v->next_routes);
	modbus_server_destroy(v->next_server);
	v->next_map = NULL;
	v->next_routes = NULL;
	v->next_server = NULL;
}

/* The samples are only for what is held. */
static void watch(struct modbus_view *v)
{
	bool is_wanted = v->map->held != NULL;

	if (is_wanted && !v->is_watching)
		field_watch(v->field, &v->watcher);
	else if (!is_wanted && v->is_watching)
		field_unwatch(&v->watcher);
	v->is_watching = is_wanted;
}

void modbus_view_commit(struct modbus_view *v)
{
	if (v->next_server)
		v->server = v->next_server;
	modbus_server_limit(v->server, v->next_map->view->max_connections);
	modbus_map_inherit(v->next_map, v->map);
	modbus_map_destroy(v->map);
	modbus_routes_destroy(v->routes);
	v->map = v->next_map;
	v->routes = v->next_routes;
	v->next_map = NULL;
	v->next_routes = NULL;
	v->next_server = NULL;
	v->generation++;
	modbus_map_bind(v->map, v->field);
	watch(v);
}

struct acceptor *modbus_view_acceptor(struct modbus_view *v)
{
	return &v->acceptor;
}

void modbus_view_stats(const struct modbus_view *v, struct modbus_view_stats *out)
{
	*out = v->stats;
	out->tags = v->map ? v->map->view->nplaces : 0;
	if (v->server)
		modbus_server_stats(v->server, &out->server);
}

void modbus_view_destroy(struct modbus_view *v)
{
	if (!v)
		return;
	modbus_view_abandon(v);
	modbus_server_destroy(v->server);
	if (v->is_watching)
		field_unwatch(&v->watcher);
	modbus_map_destroy(v->map);
	modbus_routes_destroy(v->routes);
	free(v);
}

/*
 * The Modbus/TCP view: masters read and write tags as registers and bits, and reach the units of lines. Which tags, where,
 * who and which units is said by config/gateway_config.h, struct config_modbus_view.
 *
 * Reads are answered from the newest samples. A write goes to the device through field_write() and is answered when the device has
 * confirmed it. Requests to units of a route go onto their line as they are.
 *
 * On the field thread's loop. It opens no socket: streams come through its acceptor.
 */
#ifndef VIEWS_MODBUS_VIEW_H
#define VIEWS_MODBUS_VIEW_H

#include "base/err.h"
#include "field/field.h"
#include "modbus/server.h"

struct modbus_view;

/* `loop` and `field` are borrowed and outlive it. It serves nobody before the first commit. ERR_NOMEM. */
MUST_USE int modbus_view_create(struct loop *loop, struct field *field, struct modbus_view **out);

/*
 * A new configuration, whose views.has_modbus is set: prepare() before field_apply(), then commit() when that returned OK, else
 * abandon(). Masters stay connected. `cfg` is borrowed until the next commit or the view's end. ERR_NOMEM.
 */
MUST_USE int modbus_view_prepare(struct modbus_view *v, const struct gateway_config *cfg);
void modbus_view_commit(struct modbus_view *v);
void modbus_view_abandon(struct modbus_view *v);

/* Where a listener hands its streams to. */
struct acceptor *modbus_view_acceptor(struct modbus_view *v);

struct modbus_view_stats {
	struct modbus_server_stats server;
	uint64_t reads, writes; /* requests for the map */
	uint64_t passed;        /* requests that went to a line */
	uint64_t limited;       /* requests of a route that came too fast, or found its queue full */
	uint64_t forbidden;     /* writes of masters that may only read */
	size_t tags;            /* that the map shows */
};

void modbus_view_stats(const struct modbus_view *v, struct modbus_view_stats *out);

/* No listener uses its acceptor any more. Before field_destroy(). Accepts NULL. */
void modbus_view_destroy(struct modbus_view *v);

#endif

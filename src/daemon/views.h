/*
 * The views of the field thread: makes them, opens their listeners, and takes them from one configuration to the next. On the
 * field thread only.
 */
#ifndef DAEMON_VIEWS_H
#define DAEMON_VIEWS_H

#include <jansson.h>

#include "field/field.h"
#include "views/modbus_view.h"

struct listener;

struct views { /* all zero: none */
	struct modbus_view *modbus;
	bool is_new; /* the view above was made by views_prepare() */
	struct listener *listener, *next_listener;
	const struct gateway_config *cfg; /* the one that was committed */
};

/*
 * Before field_apply() of `cfg`, which is borrowed until the next views_commit() or views_end(). What listens is opened here, so that a
 * port that is taken refuses the configuration. ERR_IO (logged), ERR_NOMEM.
 */
MUST_USE int views_prepare(struct views *v, struct loop *loop, struct field *field,
			   const struct gateway_config *cfg);
/* field_apply() returned OK: masters that are connected stay so. */
void views_commit(struct views *v, const struct gateway_config *cfg);
/* It did not: all is as before. */
void views_abandon(struct views *v);
/* Before field_destroy(). */
void views_end(struct views *v);

/* What "lineside status" tells of them: {"views": [...]}. NULL: out of memory. */
json_t *views_report(const struct views *v);

#endif

/*
 * Where a running gateway is asked, and what is told to people when it does not answer.
 */
#ifndef TOOLS_CONTROL_FIND_H
#define TOOLS_CONTROL_FIND_H

#include <jansson.h>

#include "base/err.h"

struct control_place {
	const char *tool;   /* "lineside status": begins each message */
	const char *config; /* of -c, or NULL: the default of "lineside serve" */
	const char *socket; /* of --socket, or NULL: what the configuration says */
	char path[1024];    /* control_find() */
};

/* Find the path of the control socket. A fault is explained on stderr. */
MUST_USE int control_find(struct control_place *at);

/*
 * What control_ask() brought, as JSON, to json_decref(). NULL: it was no answer, or one with an error, which is explained on
 * stderr; after text NULL by errno.
 */
json_t *control_answer_of(const struct control_place *at, const char *text);

#endif

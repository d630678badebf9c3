/* lineside store import, into a gateway that runs: it is asked over its control socket, and reads the file itself. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tools/control_ask.h"
#include "tools/store_copy.h"
#include "tools/store_tool.h"

static uint64_t number(const json_t *all, const char *part, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(json_object_get(all, part), name));
}

static void read_result(const json_t *answer, struct store_import_result *out)
{
	*out = (struct store_import_result){
		.taken = {.sessions = number(answer, "taken", "sessions"),
			  .subs = number(answer, "taken", "subscriptions"),
			  .received = number(answer, "taken", "packet_ids"),
			  .messages = number(answer, "taken", "messages"),
			  .retained = number(answer, "taken", "retained")},
		.kept = number(answer, "kept", "sessions"),
		.kept_retained = number(answer, "kept", "retained"),
	};
}

int store_tool_import_running(const struct store_tool *t, int fd)
{
	char *text = control_ask(t->control,
				 t->replace ? "{\"command\":\"import\",\"replace\":true}\n"
					    : "{\"command\":\"import\"}\n",
				 fd, 0);
	json_t *answer = text ? json_loads(text, 0, NULL) : NULL;
	const char *error = json_string_value(json_object_get(answer, "error"));
	struct store_import_result result;
	int rc = answer && !error ? OK : ERR_IO;

	if (!text)
		store_tool_complain(t, t->control, strerror(errno));
	else if (!answer)
		store_tool_complain(t, t->control, "the gateway stopped meanwhile; do it again when it runs");
	else if (error)
		store_tool_complain(t, t->control, error);
	if (json_object_get(answer, "taken")) {
		read_result(answer, &result);
		store_tool_print_result(t, &result);
	}
	json_decref(answer);
	free(text);
	return rc;
}

#include "daemon/trace_command.h"

#include <string.h>
#include <unistd.h>

#include "config/io_config.h"

static json_t *line_names(const struct gateway_config *cfg)
{
	json_t *names = json_array();

	for (size_t i = 0; i < cfg->nlines; i++)
		if (config_line_has_frames(&cfg->lines[i]))
			json_array_append_new(names, json_string(cfg->lines[i].name));
	return names;
}

static const char *framing_of(const struct config_line *line)
{
	if (line->type == CONFIG_LINE_MODBUS_TCP)
		return "tcp";
	return line->mode == CONFIG_MODE_ASCII ? "ascii" : "rtu";
}

static const struct config_line *find_line(const struct gateway_config *cfg, const char *name)
{
	for (size_t i = 0; i < cfg->nlines; i++)
		if (strcmp(cfg->lines[i].name, name) == 0)
			return &cfg->lines[i];
	return NULL;
}

static json_t *begin(const struct gateway_config *cfg, struct field_thread *field,
		     const struct control_question *q, bool *is_taken)
{
	const struct config_line *line = find_line(cfg, q->line);
	int rc;

	if (q->fd < 0)
		return json_pack("{s:s}", "error", "no socket came with the request");
	if (!line || !config_line_has_frames(line))
		return json_pack("{s:s, s:o}", "error",
				 line ? "it has no frames, only Modbus lines have" : "there is no such line",
				 "lines", line_names(cfg));
	rc = field_thread_trace(field, q->line, q->fd);
	if (rc < 0)
		return json_pack("{s:s}", "error", rc == ERR_FULL ? "busy, ask again" : err_text(rc));
	*is_taken = true;
	return json_pack("{s:s}", "framing", framing_of(line));
}

char *trace_command(const struct gateway_config *cfg, struct field_thread *field,
		    const struct control_question *q)
{
	bool is_taken = false;
	json_t *answer = begin(cfg, field, q, &is_taken);
	char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;

	if (!is_taken && q->fd >= 0)
		close(q->fd);
	json_decref(answer);
	return text;
}

#include <stddef.h>
#include <string.h>

#include "tools/tool.h"

const struct tool tools[] = {
#define TOOL_AS_ROW(name, summary) {#name, summary, tool_##name},
	TOOL_TABLE(TOOL_AS_ROW)
#undef TOOL_AS_ROW
		{NULL, NULL, NULL},
};

const struct tool *tool_find(const struct tool *table, const char *name)
{
	for (const struct tool *t = table; t->name; t++)
		if (strcmp(t->name, name) == 0)
			return t;
	return NULL;
}

/*
 * The subcommands of `lineside` that need nothing but the floors below tools/. `lineside serve` and
 * `lineside check` know everything and live in daemon/.
 *
 * A new subcommand is one line in TOOL_TABLE, one file with `int tool_<name>(int argc, char **argv)`, and its manual page
 * docs/man/lineside-<name>.1.  It is called once in a process with nothing running: argv[0] is "lineside" and its name,
 * argv[argc] is NULL, both borrowed.  It returns the exit status, TOOL_USAGE when the arguments were wrong.  It prints its `--help` on
 * stdout; each line there that begins with "  -" is an option of the manual page too.
 */
#ifndef TOOLS_TOOL_H
#define TOOLS_TOOL_H

/* Exit status for wrong arguments. */
#define TOOL_USAGE 2

struct tool {
	const char *name;
	const char *summary; /* half a line for `lineside --help` */
	int (*run)(int argc, char **argv);
};

/* TOOL(name, summary), in the order of `lineside --help` */
/* clang-format off */
#define TOOL_TABLE(TOOL)                                                    \
	TOOL(pub, "publish to an MQTT broker")                              \
	TOOL(sub, "print the messages of an MQTT broker")                   \
	TOOL(bench, "load an MQTT broker and measure it")                   \
	TOOL(modbus, "read, write and simulate Modbus/TCP devices")         \
	TOOL(status, "a running gateway at a glance")                       \
	TOOL(tags, "tags as tables, CSV, for spreadsheets")                 \
	TOOL(templates, "the device templates that are built in")           \
	TOOL(store, "look after what a gateway keeps on disk")
/* clang-format on */

#define TOOL_AS_PROTOTYPE(name, summary) int tool_##name(int argc, char **argv);
TOOL_TABLE(TOOL_AS_PROTOTYPE)
#undef TOOL_AS_PROTOTYPE

/* Every tool of TOOL_TABLE, ended by one whose name is NULL. */
extern const struct tool tools[];

/* The tool of this name in a table that ends with a NULL name, or NULL. */
const struct tool *tool_find(const struct tool *table, const char *name);

#endif

/*
 * lineside modbus: finds the command and runs it.
 */
#include <string.h>

#include "tools/modbus_sim.h"
#include "tools/modbus_tool.h"
#include "tools/tool.h"

static const struct {
	int (*run)(const struct modbus_options *o);
	const char *summary;
} commands[MODBUS_COMMANDS] = {
	[MODBUS_READ] = {modbus_tool_read, "read values of a Modbus device"},
	[MODBUS_WRITE] = {modbus_tool_write, "write values to a Modbus device"},
	[MODBUS_SERVE] = {modbus_tool_serve, "be one or more Modbus devices with moving registers"},
	[MODBUS_SCAN] = {modbus_tool_scan, "find the units of a serial line, or behind a gateway"},
};

static void print_formats(void)
{
	printf("\nADDRESS is area:number, counted from 0; areas are coil, discrete, input and holding. 40001 "
	       "is holding:0.\n"
	       "holding:7.3 is bit 3 of a register.\n"
	       "\nTypes:\n");
	for (unsigned t = 0; t < VALUE_TYPE_COUNT; t++)
		printf("  %-8s  %s\n", value_type_info((enum value_type)t)->name,
		       value_type_info((enum value_type)t)->help);
	printf("\nOrders, A being the most significant byte; four letters stand for eight too:\n ");
	for (unsigned i = 0; i < BYTE_ORDER_COUNT; i++)
		printf(" %s", byte_order_info((enum byte_order)i)->name);
	printf("\n");
}

static void print_command(enum modbus_command c)
{
	modbus_options_usage(c, stdout);
	printf("%s\n\n", commands[c].summary);
	modbus_options_help(c, stdout);
}

static int help_of(enum modbus_command c)
{
	print_command(c);
	if (c == MODBUS_SERVE) {
		printf("\nThe device:\n");
		modbus_sim_print_map(stdout, 100);
		printf("\nIt stops at SIGTERM and SIGINT.\n");
	} else if (c != MODBUS_SCAN) {
		print_formats();
	}
	return fflush(stdout) == 0 ? 0 : 1;
}

static int help(void)
{
	printf("Usage: lineside modbus COMMAND [ARGUMENT...]\n");
	for (unsigned c = 0; c < MODBUS_COMMANDS; c++) {
		printf("\n");
		print_command((enum modbus_command)c);
	}
	printf("\nUsage: lineside modbus map -c FILE\nprint where each tag of a configuration lies for "
	       "masters\n\nOptions:\n  -c, --config FILE  the configuration\n");
	printf("\nUsage: lineside modbus trace LINE [OPTION...]\nprint the frames of a line of a running "
	       "gateway\n\nOptions:\n"
	       "  -c, --config FILE      the configuration that the gateway runs\n"
	       "  --socket PATH          its control socket\n"
	       "  -n, --count N          end after so many frames\n"
	       "  --seconds SECONDS      end after this time\n"
	       "  --json                 each frame as a line of JSON\n");
	printf("\n\"lineside modbus COMMAND --help\" says more. Exit status: 0 done; 1 it failed or the "
	       "device\n"
	       "refused; 2 wrong arguments.\n");
	return fflush(stdout) == 0 ? 0 : 1;
}

int tool_modbus(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";
	struct modbus_options o;

	for (unsigned i = 0; i < MODBUS_COMMANDS; i++) {
		enum modbus_command c = (enum modbus_command)i;

		if (strcmp(word, modbus_command_name(c)) != 0)
			continue;
		if (modbus_options_parse(c, argc - 2, argv + 2, &o) < 0)
			return TOOL_USAGE;
		return o.help ? help_of(c) : commands[c].run(&o);
	}
	if (strcmp(word, "map") == 0)
		return modbus_tool_map(argc - 1, argv + 1);
	if (strcmp(word, "trace") == 0)
		return modbus_tool_trace(argc - 1, argv + 1);
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		return help();
	fprintf(stderr, *word ? "lineside modbus: there is no command \"%s\"; " : "lineside modbus:%s ",
		word);
	fprintf(stderr, "commands are read, write, serve, scan, map and trace (--help)\n");
	return TOOL_USAGE;
}

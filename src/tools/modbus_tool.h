/*
 * The commands of `lineside modbus`, each in a file of its own. They return the exit status: 0 done, 1 it failed or
 * the device refused.
 */
#ifndef TOOLS_MODBUS_TOOL_H
#define TOOLS_MODBUS_TOOL_H

#include "tools/modbus_options.h"

int modbus_tool_read(const struct modbus_options *o);
int modbus_tool_write(const struct modbus_options *o);
int modbus_tool_serve(const struct modbus_options *o);
int modbus_tool_scan(const struct modbus_options *o);
/* These speak to no device: their arguments are their own, argv[0] is "map" or "trace". */
int modbus_tool_map(int argc, char **argv);
int modbus_tool_trace(int argc, char **argv);

#endif

/*
 * The commands of `lineside store`. They return the exit status: 0 done, 1 it failed or the store is not in order, 2 wrong arguments.
 */
#ifndef TOOLS_STORE_TOOL_H
#define TOOLS_STORE_TOOL_H

#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"
#include "config/control_path.h"
#include "store/backend.h"

struct store_tool {
	const char *command;
	const char *config; /* -c */
	const char *file;   /* -o, -i; NULL: standard output, standard input */
	bool json, replace;
	char folder[4096];                /* of the store */
	char control[CONTROL_PATH_BYTES]; /* where its gateway answers; empty: not known */
};

int store_tool_info(const struct store_tool *t);
int store_tool_check(const struct store_tool *t);
int store_tool_compact(const struct store_tool *t);
int store_tool_export(const struct store_tool *t);
int store_tool_import(const struct store_tool *t);

struct store_import_result;
void store_tool_print_result(const struct store_tool *t, const struct store_import_result *result);
/* Into the gateway that answers at t->control: it reads `fd`, which is a right export. What fails is said. */
MUST_USE int store_tool_import_running(const struct store_tool *t, int fd);

/* A line on standard error: what, and why. */
void store_tool_complain(const struct store_tool *t, const char *what, const char *why);
/* Open the store of `folder` to look at it; what stands in the way is said. */
MUST_USE int store_tool_open(const struct store_tool *t, struct store_backend **out);

#endif

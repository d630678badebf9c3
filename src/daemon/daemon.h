/*
 * The two subcommands that know everything. Called as tools are (tools/tool.h).
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

int daemon_serve(int argc, char **argv);
int daemon_check(int argc, char **argv);

#endif

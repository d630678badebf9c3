/*
 * What the field side subscribes to: the commands of a configuration, that is {root}/+/+/set and one for each layout of topics that users
 * made, and the states of uplinks.
 */
#ifndef DAEMON_COMMAND_FILTERS_H
#define DAEMON_COMMAND_FILTERS_H

#include "config/gateway_config.h"
#include "config/names.h"

#define UPLINK_TOPICS "/_gateway/uplink/" /* below the root; then the name */

struct command_filters { /* all zero: none */
	struct arena arena;
	struct name_set set;
	const char **list; /* each of them once */
	size_t n;
};

/* Nothing of `cfg` is kept. ERR_NOMEM; *f may be made empty then, too. */
MUST_USE int command_filters_make(struct command_filters *f, const struct gateway_config *cfg);
void command_filters_free(struct command_filters *f);
bool command_filters_have(const struct command_filters *f, const char *filter);

#endif

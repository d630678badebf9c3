/*
 * A rack as the source of a line: channels of all kinds over one driver.
 *
 * The modules of the line say which channels there are. A request that concerns a failing channel is answered all the same, and
 * the channel's quality tells; only when no chip of the rack is there at all, the request ends with ERR_IO, as on a line that nobody
 * answers.
 */
#ifndef SOUTH_IO_RACK_H
#define SOUTH_IO_RACK_H

#include "south/io_driver.h"

/* `line` is borrowed for the call. ERR_NOMEM, or what `create` returns. */
MUST_USE int io_rack_create(struct loop *loop, const struct config_line *line, io_driver_create *create,
			    struct source **out);

#endif

/*
 * What "lineside status" prints for people.
 */
#ifndef TOOLS_STATUS_TEXT_H
#define TOOLS_STATUS_TEXT_H

#include <jansson.h>
#include <stdio.h>

#define STATUS_DEVICES_MAX 40u /* in the table; those that are not online come first */

/* `status` is the answer of a gateway, borrowed; what it lacks is left out or 0. */
void status_print(const json_t *status, FILE *to);

#endif

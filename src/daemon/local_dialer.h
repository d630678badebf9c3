/*
 * From the program to its own broker: a pair of connected sockets, one end of which broker_accept_own() gets.
 */
#ifndef DAEMON_LOCAL_DIALER_H
#define DAEMON_LOCAL_DIALER_H

#include "mqtt/broker.h"
#include "net/stream.h"

/* The broker outlives the dialer. ERR_NOMEM. */
MUST_USE int local_dialer_create(struct broker *broker, struct dialer **out);

#endif

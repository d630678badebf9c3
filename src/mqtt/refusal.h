/*
 * While the store takes nothing, what would have to be kept is refused: nobody is told that something is safe which is not, and what
 * waits in memory does not grow. All else goes on: QoS 0, sessions that end with their connection, messages that no session of the
 * store gets. It ends by itself when the store is well again.
 *
 * A publisher of 5.0 gets the reason in PUBACK or PUBREC. Below 5.0 there is no such answer: the packet waits, unanswered, nothing
 * behind it is read, and when the store stays as it is, the connection is closed.
 */
#ifndef MQTT_REFUSAL_H
#define MQTT_REFUSAL_H

#include "mqtt/conn.h"

/* Success; or why nothing can be stored: 0x97 when the disk is full, 0x83 when it fails. */
uint8_t store_refusal(const struct worker *w);
/* Publishers are not read for now: the store is well, and behind. */
bool store_is_behind(const struct worker *w);

/* The store takes nothing, and too much waits for it already: rows are not put now, and not what nobody was promised. */
bool store_is_stuck(const struct worker *w);

/* Of 5.0: its PUBLISH is refused; counted. Below: the connection waits for the store. */
void refusal_publish(struct conn *c);
/* Does its first packet wait for the store, which takes nothing still? */
bool refusal_holds(const struct conn *c);
/* A PUBLISH is handled; false: the first time. */
bool refusal_end(struct conn *c);
/* The connection's timer fired while it waited. */
void refusal_give_up(struct conn *c);

#endif

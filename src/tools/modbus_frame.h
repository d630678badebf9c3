/*
 * What a frame of Modbus says, for people. Pure: no state, no allocation.
 */
#ifndef TOOLS_MODBUS_FRAME_H
#define TOOLS_MODBUS_FRAME_H

#include "base/bytes.h"

enum modbus_framing { MODBUS_FRAMING_TCP, MODBUS_FRAMING_RTU, MODBUS_FRAMING_ASCII };

enum modbus_frame_kind {
	MODBUS_FRAME_REQUEST,
	MODBUS_FRAME_ANSWER,
	MODBUS_FRAME_ANY /* somebody else's: one of the two */
};

#define MODBUS_FRAME_TEXT_MAX 128u

struct modbus_frame_text {
	int unit;                         /* -1: it is no whole frame */
	char text[MODBUS_FRAME_TEXT_MAX]; /* "read holding registers: 10 from 0"; empty with -1 */
};

/* Any bytes; borrowed for the call. */
void modbus_frame_read(enum modbus_framing framing, enum modbus_frame_kind kind, struct span bytes,
		       struct modbus_frame_text *out);

#endif

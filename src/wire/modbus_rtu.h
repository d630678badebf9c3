/*
 * Frames of Modbus on serial lines, RTU and ASCII: bytes <-> unit and PDU. Pure functions: no allocation, no state,
 * no clock. Where a frame ends is a matter of silence; here it is told from function and length, so that nobody needs to wait for silence
 * before he takes an answer.
 *
 * Source: MODBUS over Serial Line V1.02 ("SL"), 2.5; MODBUS Application Protocol V1.1b3 ("AP").
 */
#ifndef WIRE_MODBUS_RTU_H
#define WIRE_MODBUS_RTU_H

#include "wire/modbus.h"

#define MODBUS_RTU_MAX   (1u + MODBUS_PDU_MAX + 2u)                  /* SL 2.5.1.1 */
#define MODBUS_ASCII_MAX (1u + 2u * (1u + MODBUS_PDU_MAX + 1u) + 2u) /* SL 2.5.2.1 */
#define MODBUS_BROADCAST 0u /* this unit is all of them, and nobody answers */

struct modbus_frame {
	uint8_t unit;
	struct span pdu; /* 1..MODBUS_PDU_MAX bytes, borrowed */
};

/* SL 6.2.2; to be sent low byte first. */
uint16_t modbus_crc(const uint8_t *p, size_t len);

/* ERR_RANGE (PDU of 0 or more than MODBUS_PDU_MAX bytes) or ERR_TOO_LARGE (room); *len is untouched on failure. */
MUST_USE int modbus_rtu_encode(uint8_t unit, struct span pdu, uint8_t *out, size_t room, size_t *len);

/* A whole frame; frame->pdu borrows from buf. ERR_MALFORMED: too short or long for one, or the CRC is wrong. */
MUST_USE int modbus_rtu_decode(const uint8_t *buf, size_t len, struct modbus_frame *frame);

/*
 * How many bytes the frame has that begins at buf.
 *   buf, len  what of it has come
 *   asked     the PDU of the request that it answers
 * OK (*size is 4..MODBUS_RTU_MAX), ERR_AGAIN (more bytes are needed to tell), ERR_UNSUPPORTED (a function whose length is not
 * known here; silence ends it) or ERR_MALFORMED (it says that it is longer than a frame can be).
 */
MUST_USE int modbus_rtu_answer_size(const uint8_t *buf, size_t len, struct span asked, size_t *size);

/* The same of a request, for a device. */
MUST_USE int modbus_rtu_request_size(const uint8_t *buf, size_t len, size_t *size);

/* As modbus_rtu_encode(). */
MUST_USE int modbus_ascii_encode(uint8_t unit, struct span pdu, uint8_t *out, size_t room, size_t *len);

/*
 * Find the first frame in the `len` bytes at buf: the one that the first ':' begins, or a later ':' before its end.
 *   bytes   gets the bytes of the frame; frame->pdu borrows from it
 *   used    bytes of buf that are done with, whatever comes back: the frame, or what is none
 * OK; ERR_AGAIN (its end has not come; never for MODBUS_ASCII_MAX bytes or more with *used 0); ERR_MALFORMED (it ended and is none: LRC,
 * length, not hexadecimal; then frame->unit, and frame->pdu where it has a function code, are what it seems to be).
 */
MUST_USE int modbus_ascii_split(const uint8_t *buf, size_t len, uint8_t bytes[MODBUS_RTU_MAX],
				struct modbus_frame *frame, size_t *used);

#endif

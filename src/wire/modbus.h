/*
 * Modbus application PDUs and the MBAP frame of Modbus/TCP: bytes <-> structs, in both roles. Pure
 * functions: no allocation, no state, no clock. Strict: every length, quantity and constant is checked, and an
 * answer is compared with what was asked, so what comes back with OK needs no second look.
 *
 * Numbers in structs are in host order; addresses count from 0 as on the wire.
 *
 * Sources: MODBUS Application Protocol V1.1b3 ("AP"), MODBUS Messaging on TCP/IP V1.0b ("TCP").
 */
#ifndef WIRE_MODBUS_H
#define WIRE_MODBUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

#define MODBUS_READ_BITS_MAX  2000u
#define MODBUS_READ_REGS_MAX  125u
#define MODBUS_WRITE_BITS_MAX 1968u
#define MODBUS_WRITE_REGS_MAX 123u
#define MODBUS_RW_WRITE_MAX   121u /* registers to write of a read/write; AP 6.17 */
#define MODBUS_DIAG_WORDS_MAX 125u /* what fits; AP 6.8 */
#define MODBUS_PDU_MAX        253u /* function code and data; AP 4.1 */
#define MODBUS_MBAP_SIZE      7u   /* TCP 3.1.3 */
#define MODBUS_ADU_MAX        260u /* MBAP and PDU */
#define MODBUS_TCP_PORT       502

/* ---- areas; AREA(NAME, text, is it of bits?, may it be written?) ---- */
#define MODBUS_AREA_TABLE(AREA)                 \
	AREA(COIL, "coil", true, true)          \
	AREA(DISCRETE, "discrete", true, false) \
	AREA(INPUT, "input", false, false)      \
	AREA(HOLDING, "holding", false, true)

enum modbus_area {
#define MODBUS_AREA_AS_ENUM(name, text, bits, writable) MODBUS_AREA_##name,
	MODBUS_AREA_TABLE(MODBUS_AREA_AS_ENUM)
#undef MODBUS_AREA_AS_ENUM
		MODBUS_AREA_COUNT
};

struct modbus_area_info {
	const char *name; /* "holding" */
	bool is_bits;
	bool is_writable;
};

const struct modbus_area_info *modbus_area_info(enum modbus_area area);

/*
 * ---- functions; FC(NAME, code, area, shape, most items in one request, text); AP 6 ----
 * The area of those that are not about items is COUNT. Of "encapsulated interface transport" there is one kind, 14.
 */
#define MODBUS_FC_TABLE(FC)                                                                                  \
	FC(READ_COILS, 0x01, COIL, READ_BITS, MODBUS_READ_BITS_MAX, "read coils")                            \
	FC(READ_DISCRETE_INPUTS, 0x02, DISCRETE, READ_BITS, MODBUS_READ_BITS_MAX, "read discrete inputs")    \
	FC(READ_HOLDING_REGISTERS, 0x03, HOLDING, READ_REGS, MODBUS_READ_REGS_MAX, "read holding registers") \
	FC(READ_INPUT_REGISTERS, 0x04, INPUT, READ_REGS, MODBUS_READ_REGS_MAX, "read input registers")       \
	FC(WRITE_SINGLE_COIL, 0x05, COIL, WRITE_BIT, 1, "write single coil")                                 \
	FC(WRITE_SINGLE_REGISTER, 0x06, HOLDING, WRITE_REG, 1, "write single register")                      \
	FC(WRITE_MULTIPLE_COILS, 0x0F, COIL, WRITE_BITS, MODBUS_WRITE_BITS_MAX, "write multiple coils")      \
	FC(WRITE_MULTIPLE_REGISTERS, 0x10, HOLDING, WRITE_REGS, MODBUS_WRITE_REGS_MAX,                       \
	   "write multiple registers")                                                                       \
	FC(MASK_WRITE_REGISTER, 0x16, HOLDING, MASK, 1, "mask write register")                               \
	FC(READ_WRITE_REGISTERS, 0x17, HOLDING, READ_WRITE, MODBUS_READ_REGS_MAX,                            \
	   "read/write multiple registers")                                                                  \
	FC(DIAGNOSTICS, 0x08, COUNT, DIAGNOSTICS, MODBUS_DIAG_WORDS_MAX, "diagnostics")                      \
	FC(GET_COMM_EVENT_COUNTER, 0x0B, COUNT, EVENT_COUNTER, 0, "get comm event counter")                  \
	FC(READ_DEVICE_IDENTIFICATION, 0x2B, COUNT, IDENTIFICATION, 0, "read device identification")

enum modbus_fc {
#define MODBUS_FC_AS_ENUM(name, code, area, shape, max, text) MODBUS_FC_##name = (code),
	MODBUS_FC_TABLE(MODBUS_FC_AS_ENUM)
#undef MODBUS_FC_AS_ENUM
};

/* What request and answer look like. Those that write come last: modbus_shape_writes(). */
enum modbus_shape {
	MODBUS_SHAPE_READ_BITS,
	MODBUS_SHAPE_READ_REGS,
	MODBUS_SHAPE_DIAGNOSTICS,
	MODBUS_SHAPE_EVENT_COUNTER,
	MODBUS_SHAPE_IDENTIFICATION,
	MODBUS_SHAPE_WRITE_BIT,
	MODBUS_SHAPE_WRITE_REG,
	MODBUS_SHAPE_WRITE_BITS,
	MODBUS_SHAPE_WRITE_REGS,
	MODBUS_SHAPE_MASK,
	MODBUS_SHAPE_READ_WRITE,
};

static inline bool modbus_shape_writes(enum modbus_shape shape)
{
	return shape >= MODBUS_SHAPE_WRITE_BIT;
}

struct modbus_fc_info {
	enum modbus_fc fc;
	enum modbus_area area;
	enum modbus_shape shape;
	uint16_t max; /* items in one request: 1..max */
	const char *text;
};

/* NULL for a function that is not in the table. */
const struct modbus_fc_info *modbus_fc_info(uint8_t fc);
/* The function that reads this area, and the one that writes `count` (>0) items of it (writable areas only). */
enum modbus_fc modbus_fc_reading(enum modbus_area area);
enum modbus_fc modbus_fc_writing(enum modbus_area area, unsigned count);

/* ---- exceptions; EXCEPTION(NAME, code, text); AP 7 ---- */
#define MODBUS_EXCEPTION_TABLE(EXCEPTION)                                     \
	EXCEPTION(ILLEGAL_FUNCTION, 0x01, "illegal function")                 \
	EXCEPTION(ILLEGAL_DATA_ADDRESS, 0x02, "illegal data address")         \
	EXCEPTION(ILLEGAL_DATA_VALUE, 0x03, "illegal data value")             \
	EXCEPTION(SERVER_DEVICE_FAILURE, 0x04, "server device failure")       \
	EXCEPTION(ACKNOWLEDGE, 0x05, "acknowledge: accepted, takes longer")   \
	EXCEPTION(SERVER_DEVICE_BUSY, 0x06, "server device busy")             \
	EXCEPTION(MEMORY_PARITY_ERROR, 0x08, "memory parity error")           \
	EXCEPTION(GATEWAY_PATH_UNAVAILABLE, 0x0A, "gateway path unavailable") \
	EXCEPTION(GATEWAY_TARGET_FAILED, 0x0B, "gateway target device failed to respond")

enum modbus_exception {
	MODBUS_EXCEPTION_NONE = 0,
#define MODBUS_EXCEPTION_AS_ENUM(name, code, text) MODBUS_EXCEPTION_##name = (code),
	MODBUS_EXCEPTION_TABLE(MODBUS_EXCEPTION_AS_ENUM)
#undef MODBUS_EXCEPTION_AS_ENUM
};

/* Never NULL; "unknown exception" for a code that AP 7 does not name. */
const char *modbus_exception_text(uint8_t exception);

/* ---- device identification; AP 6.21 ---- */

#define MODBUS_MEI_IDENTIFICATION 14u
#define MODBUS_OBJECTS_MAX        246u                      /* bytes of all objects of one answer */
#define MODBUS_OBJECT_MAX         (MODBUS_OBJECTS_MAX - 2u) /* bytes of one, behind its id and length */

enum modbus_read_code {
	MODBUS_READ_BASIC = 1,
	MODBUS_READ_REGULAR,
	MODBUS_READ_EXTENDED,
	MODBUS_READ_INDIVIDUAL,
};

/* OBJECT(NAME, id, text); of the others the maker says what they are */
#define MODBUS_OBJECT_TABLE(OBJECT)                \
	OBJECT(VENDOR_NAME, 0x00, "vendor name")   \
	OBJECT(PRODUCT_CODE, 0x01, "product code") \
	OBJECT(REVISION, 0x02, "revision")         \
	OBJECT(VENDOR_URL, 0x03, "vendor url")     \
	OBJECT(PRODUCT_NAME, 0x04, "product name") \
	OBJECT(MODEL_NAME, 0x05, "model name")     \
	OBJECT(APPLICATION_NAME, 0x06, "user application name")

enum modbus_object_id {
#define MODBUS_OBJECT_AS_ENUM(name, id, text) MODBUS_OBJECT_##name = (id),
	MODBUS_OBJECT_TABLE(MODBUS_OBJECT_AS_ENUM)
#undef MODBUS_OBJECT_AS_ENUM
};

/* The objects of one answer. */
struct modbus_objects {
	uint8_t conformity; /* as sent: 1 basic, 2 regular, 3 extended; 0x80 more: individual access too */
	bool more;          /* ask again, from `next` on */
	uint8_t next;
	uint8_t count, len;               /* objects, and bytes of `list` */
	uint8_t list[MODBUS_OBJECTS_MAX]; /* each: id, length, bytes */
};

/* NULL for an id that AP does not name. */
const char *modbus_object_text(uint8_t id);

/* The next object of a list, such as rd_of(o->list, o->len); false: there is none. *value borrows from the list. */
bool modbus_object_next(struct rd *list, uint8_t *id, struct span *value);

/* Append an object. ERR_RANGE (longer than MODBUS_OBJECT_MAX), ERR_FULL (does not fit behind the others: `more`). */
MUST_USE int modbus_object_append(struct modbus_objects *o, uint8_t id, struct span value);

/* ---- diagnostics; AP 6.8. COUNTER(member, sub-function, text): what a device counts ---- */
#define MODBUS_COUNTER_TABLE(COUNTER)                                     \
	COUNTER(messages, 0x0B, "frames on the line without error")       \
	COUNTER(line_errors, 0x0C, "frames with a wrong checksum")        \
	COUNTER(exceptions, 0x0D, "exceptions answered")                  \
	COUNTER(served, 0x0E, "requests for this device, and broadcasts") \
	COUNTER(silent, 0x0F, "requests that were not answered")          \
	COUNTER(nak, 0x10, "requests answered with negative acknowledge") \
	COUNTER(busy, 0x11, "requests answered with busy")                \
	COUNTER(overruns, 0x12, "frames lost because they came too fast")

#define MODBUS_DIAG_ECHO 0u

struct modbus_counters {
#define MODBUS_COUNTER_AS_MEMBER(member, sub, text) uint16_t member; /* goes round */
	MODBUS_COUNTER_TABLE(MODBUS_COUNTER_AS_MEMBER)
#undef MODBUS_COUNTER_AS_MEMBER
};

/* The counter that a sub-function reads. ERR_NOT_FOUND. */
MUST_USE int modbus_counter(const struct modbus_counters *c, uint16_t sub_function, uint16_t *value);

/* ---- data ---- */

/*
 * Items of one request or answer: registers, or bits packed as on the wire (item 0 in the lowest bit of byte 0).
 * Of diagnostics: the words. Of the event counter: status (0, or 0xFFFF: busy) and count.
 */
union modbus_data {
	uint16_t regs[MODBUS_READ_REGS_MAX];
	uint8_t bits[MODBUS_READ_BITS_MAX / 8];
	struct modbus_objects objects;
};

static inline bool modbus_bit_get(const uint8_t *bits, unsigned i)
{
	return bits[i / 8] >> (i % 8) & 1;
}

static inline void modbus_bit_set(uint8_t *bits, unsigned i, bool on)
{
	unsigned mask = 1u << (i % 8);

	bits[i / 8] = (uint8_t)(on ? bits[i / 8] | mask : bits[i / 8] & ~mask);
}

struct modbus_req {
	uint8_t fc;
	uint16_t address;
	uint16_t
		count; /* items, of diagnostics words; 1 for the single writes and mask write; of read/write, what is read */
	union modbus_data
		data; /* what to write: `count` items; of read/write `write_count`; the words of diagnostics */
	union {
		struct { /* mask write: the register becomes (it & and_mask) | (or_mask & ~and_mask) */
			uint16_t and_mask, or_mask;
		};
		struct { /* read/write: written first, then read */
			uint16_t write_address, write_count;
		};
		struct { /* identification: enum modbus_read_code, and the object to begin with */
			uint8_t read_code, object_id;
		};
		uint16_t sub_function; /* diagnostics */
	};
};

/* ---- PDUs ---- */

/*
 * Encode a request.
 *   pdu, room  MODBUS_PDU_MAX bytes always suffice; *len is what was written, untouched on failure
 * Returns OK, ERR_UNSUPPORTED (function not in the table), ERR_RANGE (quantity, read code, or address + count beyond
 * 65536) or ERR_TOO_LARGE (room).
 */
MUST_USE int modbus_req_encode(const struct modbus_req *req, uint8_t *pdu, size_t room, size_t *len);

/*
 * Decode a request, as a server does.
 *   pdu, len  function code and data; borrowed for the call
 *   req       fc is set whenever len > 0; the rest only with OK. Bits past `count` in the last byte are 0.
 * Returns OK; ERR_MALFORMED (empty, or a length that does not fit the function), ERR_UNSUPPORTED (function not in
 * the table), ERR_RANGE (quantity, byte count, coil value, read code) or ERR_NOT_FOUND (address + count beyond 65536).
 */
MUST_USE int modbus_req_decode(const uint8_t *pdu, size_t len, struct modbus_req *req);

/* The exception that answers a request refused with this error of modbus_req_decode(). */
enum modbus_exception modbus_exception_of(int err);

/*
 * Encode the answer to `req` (one that encodes or was decoded with OK).
 *   data       for reads: `req->count` items, or objects; not looked at for writes
 *   pdu, room  as above
 * Returns OK, ERR_UNSUPPORTED, ERR_RANGE or ERR_TOO_LARGE.
 */
MUST_USE int modbus_rsp_encode(const struct modbus_req *req, const union modbus_data *data, uint8_t *pdu,
			       size_t room, size_t *len);

/* Encode an exception to function `fc`: two bytes. ERR_TOO_LARGE when room < 2. */
MUST_USE int modbus_exception_encode(uint8_t fc, uint8_t exception, uint8_t *pdu, size_t room, size_t *len);

/*
 * Decode the answer to `asked`, as a client does.
 *   pdu, len   function code and data; borrowed for the call
 *   asked      the request, one that modbus_req_encode() accepts
 *   data       gets `asked->count` items for reads; bits past them in the last byte are 0; or objects, which fill their
 *              list exactly. Untouched on failure and for writes
 *   exception  set with ERR_REMOTE only
 * Returns OK, ERR_REMOTE (*exception says why), ERR_MALFORMED (cannot be an answer of this function) or
 * ERR_UNEXPECTED (another function, quantity, address, value or object than asked).
 */
MUST_USE int modbus_rsp_decode(const uint8_t *pdu, size_t len, const struct modbus_req *asked,
			       union modbus_data *data, uint8_t *exception);

/* ---- MBAP ---- */

struct modbus_adu {
	uint16_t transaction;
	uint8_t unit;
	struct span pdu; /* 1..MODBUS_PDU_MAX bytes inside the buffer */
	size_t size;     /* bytes of the buffer that the ADU takes */
};

/*
 * Find the first ADU in the `len` bytes at buf. adu->pdu borrows from buf. OK; ERR_AGAIN (more bytes are needed;
 * never for MODBUS_ADU_MAX bytes or more) or ERR_MALFORMED (protocol id or length is wrong; the stream has lost
 * its frames, close it). adu is untouched unless OK.
 */
MUST_USE int modbus_adu_split(const uint8_t *buf, size_t len, struct modbus_adu *adu);

/*
 * Write MBAP and PDU. The PDU may already lie at out + MODBUS_MBAP_SIZE. ERR_RANGE (PDU of 0 or more than
 * MODBUS_PDU_MAX bytes) or ERR_TOO_LARGE (room); *len is untouched on failure.
 */
MUST_USE int modbus_adu_encode(uint16_t transaction, uint8_t unit, struct span pdu, uint8_t *out, size_t room,
			       size_t *len);

#endif

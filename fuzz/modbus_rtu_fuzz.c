/*
 * Any bytes as frames of a serial line, RTU and ASCII. What is accepted encodes to the same bytes again; sizes stay in their limits, and more bytes
 * do not change a size that was told.
 */
#include <stdlib.h>

#include "wire/modbus_rtu.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void rtu(const uint8_t *data, size_t len)
{
	struct modbus_frame f;
	uint8_t out[MODBUS_RTU_MAX];
	size_t got = 0;

	if (modbus_rtu_decode(data, len, &f) < 0)
		return;
	if (modbus_rtu_encode(f.unit, f.pdu, out, sizeof(out), &got) < 0)
		abort();
	if (got != len || memcmp(out, data, len) != 0)
		abort();
}

/* With its CRC put right, so that the fuzzer gets past it. */
static void rtu_mended(const uint8_t *data, size_t len)
{
	uint8_t out[MODBUS_RTU_MAX];
	size_t got = 0;

	if (len < 2 || modbus_rtu_encode(data[0], span_of(data + 1, len - 1), out, sizeof(out), &got) < 0)
		return;
	rtu(out, got);
}

static void sizes(const uint8_t *data, size_t len)
{
	size_t first = 0;

	for (size_t n = 0; n <= len && n <= 2 * MODBUS_RTU_MAX; n++) {
		size_t size = 0;
		int rc = modbus_rtu_answer_size(data, n, span_of(data, len < 5 ? len : 5), &size);

		if (rc == OK && (size < 4 || size > MODBUS_RTU_MAX || (first && size != first)))
			abort();
		if (rc == OK)
			first = size;
		else if (first)
			abort();
		size = 0;
		if (modbus_rtu_request_size(data, n, &size) == OK && (size < 4 || size > MODBUS_RTU_MAX))
			abort();
	}
}

static void ascii(const uint8_t *data, size_t len)
{
	while (len > 0) {
		uint8_t bytes[MODBUS_RTU_MAX], out[MODBUS_ASCII_MAX];
		struct modbus_frame f;
		size_t used = 0, got = 0;
		int rc = modbus_ascii_split(data, len, bytes, &f, &used);

		if (used > len || (rc == ERR_AGAIN && len - used >= MODBUS_ASCII_MAX))
			abort();
		if (rc == ERR_AGAIN)
			return;
		if (used == 0)
			abort();
		if (rc == OK && modbus_ascii_encode(f.unit, f.pdu, out, sizeof(out), &got) < 0)
			abort();
		if (got > used + 1)
			abort();
		data += used;
		len -= used;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	rtu(data, size);
	rtu_mended(data, size);
	sizes(data, size);
	ascii(data, size);
	return 0;
}

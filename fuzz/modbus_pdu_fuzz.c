/*
 * Any bytes as a request, as a stream of frames, and as the answer to a request drawn from the first bytes. What is
 * accepted must encode to the same bytes again, but for padding bits, which both sides clear.
 */
#include <assert.h>
#include <stdlib.h>

#include "wire/modbus.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void request(const uint8_t *pdu, size_t len)
{
	struct modbus_req req, again;
	uint8_t out[MODBUS_PDU_MAX];
	size_t got = 0;

	if (modbus_req_decode(pdu, len, &req) < 0)
		return;
	if (len > MODBUS_PDU_MAX)
		abort();
	if (modbus_req_encode(&req, out, sizeof(out), &got) < 0 || got != len)
		abort();
	if (memcmp(out, pdu, len - 1) != 0)
		abort();
	if (modbus_req_decode(out, got, &again) < 0 || again.count != req.count)
		abort();
}

static void frames(const uint8_t *buf, size_t len)
{
	struct modbus_adu adu;

	while (len > 0) {
		int rc = modbus_adu_split(buf, len, &adu);
		uint8_t out[MODBUS_ADU_MAX];
		size_t got = 0;

		if (rc == ERR_AGAIN && len >= MODBUS_ADU_MAX)
			abort();
		if (rc < 0)
			return;
		if (modbus_adu_encode(adu.transaction, adu.unit, adu.pdu, out, sizeof(out), &got) < 0)
			abort();
		if (got != adu.size || memcmp(out, buf, got) != 0)
			abort();
		request(adu.pdu.p, adu.pdu.len);
		buf += adu.size;
		len -= adu.size;
	}
}

/* The first five bytes draw the question; the rest is its answer. */
static void answer(const uint8_t *data, size_t size)
{
	struct modbus_req asked = {0};
	union modbus_data items = {0};
	uint8_t exception = 0;
	uint8_t out[MODBUS_PDU_MAX];
	size_t got = 0;
	int rc;

	if (size < 5)
		return;
	asked.fc = data[0] & 0x1f;
	asked.address = get_u16be(data + 1);
	asked.count = get_u16be(data + 3) & 0x0fff;
	data += 5;
	size -= 5;
	if (size >= 5) {
		asked.data.bits[0] = data[3] == 0xFF;
		if (asked.fc == MODBUS_FC_WRITE_SINGLE_REGISTER)
			asked.data.regs[0] = get_u16be(data + 3);
	}
	rc = modbus_rsp_decode(data, size, &asked, &items, &exception);
	if ((rc == ERR_REMOTE) != (exception != 0))
		abort();
	if (rc < 0)
		return;
	if (modbus_rsp_encode(&asked, &items, out, sizeof(out), &got) < 0 || got != size)
		abort();
	if (memcmp(out, data, size - 1) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	request(data, size);
	frames(data, size);
	answer(data, size);
	return 0;
}

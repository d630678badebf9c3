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

/* What an answer repeats of its question. */
static void draw(struct modbus_req *asked, const uint8_t *data, size_t size)
{
	if (asked->fc == MODBUS_FC_READ_DEVICE_IDENTIFICATION) {
		asked->read_code = (uint8_t)(asked->address & 7);
		asked->object_id = (uint8_t)(asked->address >> 8);
	} else if (asked->fc == MODBUS_FC_DIAGNOSTICS && size >= 3) {
		asked->sub_function = get_u16be(data + 1);
		for (size_t i = 0; i < asked->count && i < MODBUS_READ_REGS_MAX && 5 + 2 * i <= size; i++)
			asked->data.regs[i] = get_u16be(data + 3 + 2 * i);
	} else if (asked->fc == MODBUS_FC_READ_WRITE_REGISTERS) {
		asked->write_count = 1;
	} else if (asked->fc == MODBUS_FC_MASK_WRITE_REGISTER && size >= 7) {
		asked->and_mask = get_u16be(data + 3);
		asked->or_mask = get_u16be(data + 5);
	} else if (asked->fc == MODBUS_FC_WRITE_SINGLE_REGISTER && size >= 5) {
		asked->data.regs[0] = get_u16be(data + 3);
	} else if (asked->fc == MODBUS_FC_WRITE_SINGLE_COIL && size >= 5) {
		asked->data.bits[0] = data[3] == 0xFF;
	}
}

static void objects(const struct modbus_objects *o)
{
	struct rd list = rd_of(o->list, o->len);
	struct span value;
	uint8_t id;

	for (unsigned i = 0; i < o->count; i++)
		if (!modbus_object_next(&list, &id, &value))
			abort();
	if (list.left)
		abort();
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
	asked.fc = data[0] & 0x3f;
	asked.address = get_u16be(data + 1);
	asked.count = get_u16be(data + 3) & 0x0fff;
	data += 5;
	size -= 5;
	draw(&asked, data, size);
	rc = modbus_rsp_decode(data, size, &asked, &items, &exception);
	if ((rc == ERR_REMOTE) != (exception != 0))
		abort();
	if (rc < 0)
		return;
	if (asked.fc == MODBUS_FC_READ_DEVICE_IDENTIFICATION)
		objects(&items.objects);
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

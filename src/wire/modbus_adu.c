#include "wire/modbus.h"

/* TCP 3.1.3: the length counts the unit identifier and the PDU, which has a function code at least. */
#define LENGTH_MIN 2u
#define LENGTH_MAX (1u + MODBUS_PDU_MAX)

int modbus_adu_split(const uint8_t *buf, size_t len, struct modbus_adu *adu)
{
	struct rd r = rd_of(buf, len);
	uint16_t transaction = rd_u16be(&r);
	uint16_t protocol = rd_u16be(&r);
	uint16_t length;
	uint8_t unit;
	struct span pdu;

	/* What can be judged is judged at once: a peer that speaks something else is not waited for. */
	if (!r.bad && protocol != 0)
		return ERR_MALFORMED;
	length = rd_u16be(&r);
	if (r.bad)
		return ERR_AGAIN;
	if (length < LENGTH_MIN || length > LENGTH_MAX)
		return ERR_MALFORMED;
	unit = rd_u8(&r);
	pdu = rd_span(&r, length - 1u);
	if (r.bad)
		return ERR_AGAIN;
	*adu = (struct modbus_adu){
		.transaction = transaction,
		.unit = unit,
		.pdu = pdu,
		.size = len - r.left,
	};
	return OK;
}

int modbus_adu_encode(uint16_t transaction, uint8_t unit, struct span pdu, uint8_t *out, size_t room,
		      size_t *len)
{
	struct wr w = wr_of(out, room);
	uint8_t *at;

	if (pdu.len < 1 || pdu.len > MODBUS_PDU_MAX)
		return ERR_RANGE;
	if (room < MODBUS_MBAP_SIZE + pdu.len)
		return ERR_TOO_LARGE;
	wr_u16be(&w, transaction);
	wr_u16be(&w, 0);
	wr_u16be(&w, (uint16_t)(1u + pdu.len));
	wr_u8(&w, unit);
	at = wr_take(&w, pdu.len);
	if (!at)
		return ERR_TOO_LARGE;
	if (at != pdu.p)
		memmove(at, pdu.p, pdu.len);
	*len = MODBUS_MBAP_SIZE + pdu.len;
	return OK;
}

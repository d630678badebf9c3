#include "modbus/request.h"

#include <assert.h>

#define EXCEPTION_BIT 0x80u

void modbus_request_queued(struct modbus_request *r, struct modbus_master *m)
{
	assert(r->state == MODBUS_REQUEST_IDLE && r->timeout_ms > 0);
	r->master = m;
	r->rc = OK;
	r->exception = MODBUS_EXCEPTION_NONE;
	r->answered_ms = 0;
	r->response_us = r->busy_us = 0;
	r->state = MODBUS_REQUEST_QUEUED;
}

int modbus_request_encode(const struct modbus_request *r, uint8_t *pdu, size_t *len)
{
	if (!r->is_raw)
		return modbus_req_encode(&r->req, pdu, MODBUS_PDU_MAX, len);
	if (r->pdu_len < 1 || r->pdu_len > MODBUS_PDU_MAX)
		return ERR_RANGE;
	memcpy(pdu, r->pdu, r->pdu_len);
	*len = r->pdu_len;
	return OK;
}

static MUST_USE int raw_decode(struct modbus_request *r, struct span pdu)
{
	bool is_exception = pdu.len == 2 && pdu.p[0] == (r->pdu[0] | EXCEPTION_BIT);

	if (pdu.len < 1 || pdu.len > MODBUS_PDU_MAX)
		return ERR_MALFORMED;
	if (pdu.p[0] != r->pdu[0] && !is_exception)
		return ERR_UNEXPECTED;
	memcpy(r->pdu, pdu.p, pdu.len);
	r->pdu_len = (uint16_t)pdu.len;
	return OK;
}

int modbus_request_decode(struct modbus_request *r, struct span pdu, const struct loop *loop,
			  uint64_t sent_us)
{
	int rc = r->is_raw ? raw_decode(r, pdu)
			   : modbus_rsp_decode(pdu.p, pdu.len, &r->req, &r->data, &r->exception);
	uint64_t now_us = loop_precise_us(loop);

	if (rc != OK && rc != ERR_REMOTE)
		return rc;
	r->answered_ms = loop_wall_ms(loop);
	r->response_us = now_us > sent_us ? (uint32_t)(now_us - sent_us) : 0;
	return rc;
}

bool modbus_request_is_write(const struct modbus_request *r)
{
	const struct modbus_fc_info *info = modbus_fc_info(r->is_raw ? r->pdu[0] : r->req.fc);

	return info ? modbus_shape_writes(info->shape) : r->is_raw;
}

bool modbus_quiet_timeout(struct modbus_quiet *q, uint8_t unit, unsigned limit)
{
	bool is_anyone_left = false;

	q->timeouts++;
	q->silent[unit / 64] |= UINT64_C(1) << unit % 64;
	for (unsigned i = 0; i < 4; i++)
		is_anyone_left |= (q->answered[i] & ~q->silent[i]) != 0;
	return q->timeouts >= MODBUS_QUIET_MAX || (q->timeouts >= limit && !is_anyone_left);
}

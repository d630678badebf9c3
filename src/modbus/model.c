#include "modbus/server.h"

static enum modbus_exception read_items(const struct modbus_model_ops *ops, void *model, uint8_t unit,
					const struct modbus_req *req, const struct modbus_fc_info *f,
					union modbus_data *data)
{
	if (f->shape == MODBUS_SHAPE_READ_BITS) {
		if (!ops->read_bits)
			return MODBUS_EXCEPTION_ILLEGAL_FUNCTION;
		return ops->read_bits(model, unit, f->area, req->address, req->count, data->bits);
	}
	if (!ops->read_regs)
		return MODBUS_EXCEPTION_ILLEGAL_FUNCTION;
	return ops->read_regs(model, unit, f->area, req->address, req->count, data->regs);
}

static enum modbus_exception write_items(const struct modbus_model_ops *ops, void *model, uint8_t unit,
					 const struct modbus_req *req, const struct modbus_fc_info *f)
{
	if (f->area == MODBUS_AREA_COIL) {
		if (!ops->write_bits)
			return MODBUS_EXCEPTION_ILLEGAL_FUNCTION;
		return ops->write_bits(model, unit, req->address, req->count, req->data.bits);
	}
	if (!ops->write_regs)
		return MODBUS_EXCEPTION_ILLEGAL_FUNCTION;
	return ops->write_regs(model, unit, req->address, req->count, req->data.regs);
}

size_t modbus_model_answer(const struct modbus_model_ops *ops, void *model, uint8_t unit, struct span pdu,
			   uint8_t out[MODBUS_PDU_MAX])
{
	struct modbus_req req = {0};
	union modbus_data data = {0};
	const struct modbus_fc_info *f;
	enum modbus_exception exception;
	size_t len = 0;
	int rc = modbus_req_decode(pdu.p, pdu.len, &req);

	if (rc < 0) {
		exception = modbus_exception_of(rc);
	} else {
		f = modbus_fc_info(req.fc);
		if (f->shape == MODBUS_SHAPE_READ_BITS || f->shape == MODBUS_SHAPE_READ_REGS)
			exception = read_items(ops, model, unit, &req, f, &data);
		else
			exception = write_items(ops, model, unit, &req, f);
	}
	if (exception == MODBUS_EXCEPTION_NONE &&
	    modbus_rsp_encode(&req, &data, out, MODBUS_PDU_MAX, &len) == OK)
		return len;
	if (exception == MODBUS_EXCEPTION_NONE)
		exception = MODBUS_EXCEPTION_SERVER_DEVICE_FAILURE;
	/* A request with its highest bit set is answered with the same code: there is no other. */
	if (modbus_exception_encode(req.fc, (uint8_t)exception, out, MODBUS_PDU_MAX, &len) < 0)
		return 0;
	return len;
}

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

static enum modbus_exception mask_write(const struct modbus_model_ops *ops, void *model, uint8_t unit,
					const struct modbus_req *req)
{
	enum modbus_exception e;
	uint16_t reg = 0;

	if (ops->mask_write)
		return ops->mask_write(model, unit, req->address, req->and_mask, req->or_mask);
	if (!ops->read_regs || !ops->write_regs)
		return MODBUS_EXCEPTION_ILLEGAL_FUNCTION;
	e = ops->read_regs(model, unit, MODBUS_AREA_HOLDING, req->address, 1, &reg);
	if (e != MODBUS_EXCEPTION_NONE)
		return e;
	reg = (uint16_t)((reg & req->and_mask) | (req->or_mask & ~req->and_mask));
	return ops->write_regs(model, unit, req->address, 1, &reg);
}

/* An exception promises that nothing was changed: what cannot be read is found before the write. */
static enum modbus_exception read_write(const struct modbus_model_ops *ops, void *model, uint8_t unit,
					const struct modbus_req *req, uint16_t *regs)
{
	enum modbus_exception e;

	if (ops->read_write)
		return ops->read_write(model, unit, req, regs);
	if (!ops->read_regs || !ops->write_regs)
		return MODBUS_EXCEPTION_ILLEGAL_FUNCTION;
	e = ops->read_regs(model, unit, MODBUS_AREA_HOLDING, req->address, req->count, regs);
	if (e == MODBUS_EXCEPTION_NONE)
		e = ops->write_regs(model, unit, req->write_address, req->write_count, req->data.regs);
	if (e == MODBUS_EXCEPTION_NONE)
		e = ops->read_regs(model, unit, MODBUS_AREA_HOLDING, req->address, req->count, regs);
	return e;
}

static enum modbus_exception diagnose(const struct modbus_model_ops *ops, void *model, uint8_t unit,
				      const struct modbus_req *req, uint16_t *words)
{
	struct modbus_counters counters = {0};

	if (!ops->counters)
		return MODBUS_EXCEPTION_ILLEGAL_FUNCTION;
	if (req->sub_function == MODBUS_DIAG_ECHO) {
		memcpy(words, req->data.regs, req->count * sizeof(*words));
		return MODBUS_EXCEPTION_NONE;
	}
	ops->counters(model, unit, &counters);
	if (modbus_counter(&counters, req->sub_function, &words[0]) < 0)
		return MODBUS_EXCEPTION_ILLEGAL_FUNCTION; /* AP 6.8: sub-function code not supported */
	if (req->count != 1 || req->data.regs[0] != 0)
		return MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE;
	return MODBUS_EXCEPTION_NONE;
}

/* Requests that were done without an exception; AP 6.9. */
static enum modbus_exception count_events(const struct modbus_model_ops *ops, void *model, uint8_t unit,
					  uint16_t *words)
{
	struct modbus_counters counters = {0};

	if (!ops->counters)
		return MODBUS_EXCEPTION_ILLEGAL_FUNCTION;
	ops->counters(model, unit, &counters);
	words[0] = 0;
	words[1] = (uint16_t)(counters.served - counters.exceptions);
	return MODBUS_EXCEPTION_NONE;
}

static enum modbus_exception carry_out(const struct modbus_model_ops *ops, void *model, uint8_t unit,
				       const struct modbus_req *req, union modbus_data *data)
{
	const struct modbus_fc_info *f = modbus_fc_info(req->fc);

	if (ops->has_unit && !ops->has_unit(model, unit))
		return MODBUS_EXCEPTION_GATEWAY_TARGET_FAILED;
	switch (f->shape) {
	case MODBUS_SHAPE_READ_BITS:
	case MODBUS_SHAPE_READ_REGS:
		return read_items(ops, model, unit, req, f, data);
	case MODBUS_SHAPE_MASK:
		return mask_write(ops, model, unit, req);
	case MODBUS_SHAPE_READ_WRITE:
		return read_write(ops, model, unit, req, data->regs);
	case MODBUS_SHAPE_IDENTIFICATION:
		if (!ops->object)
			return MODBUS_EXCEPTION_ILLEGAL_FUNCTION;
		return modbus_identify(req, ops->object, model, unit, &data->objects);
	case MODBUS_SHAPE_DIAGNOSTICS:
		return diagnose(ops, model, unit, req, data->regs);
	case MODBUS_SHAPE_EVENT_COUNTER:
		return count_events(ops, model, unit, data->regs);
	default:
		return write_items(ops, model, unit, req, f);
	}
}

size_t modbus_model_answer(const struct modbus_model_ops *ops, void *model, uint8_t unit, struct span pdu,
			   uint8_t out[MODBUS_PDU_MAX])
{
	struct modbus_req req = {0};
	union modbus_data data = {0};
	enum modbus_exception exception;
	size_t len = 0;
	int rc = modbus_req_decode(pdu.p, pdu.len, &req);

	if (rc < 0)
		exception = modbus_exception_of(rc);
	else
		exception = carry_out(ops, model, unit, &req, &data);
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

/*
 * What the view says about itself: AP 6.21.
 */
#include "views/modbus_impl.h"

static const char *object(void *model, uint8_t unit, uint8_t id)
{
	const struct modbus_view *v = model;

	(void)unit;
	switch (id) {
	case MODBUS_OBJECT_VENDOR_NAME:
		return "Lineside";
	case MODBUS_OBJECT_PRODUCT_CODE:
		return "lineside";
	case MODBUS_OBJECT_REVISION:
		return LINESIDE_VERSION;
	case MODBUS_OBJECT_PRODUCT_NAME:
		return "Lineside gateway";
	case MODBUS_OBJECT_APPLICATION_NAME:
		return v->map->cfg->gateway.name;
	default:
		return NULL;
	}
}

void modbus_identify_answer(struct modbus_view *v, struct modbus_server_request *r,
			    const struct modbus_req *req)
{
	union modbus_data data = {0};
	enum modbus_exception e = modbus_identify(req, object, v, r->unit, &data.objects);

	modbus_view_answer(r, req, e, &data);
}

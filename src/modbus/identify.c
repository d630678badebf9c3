/*
 * Read device identification, the server's side: AP 6.21.
 */
#include "modbus/server.h"

#define LAST_BASIC   0x02u
#define LAST_REGULAR 0x7Fu
#define LAST_ID      0xFFu
#define INDIVIDUALLY 0x80u /* objects can be read one by one as well */

/* The last id of a category; each holds those before it. */
static unsigned last_of(uint8_t read_code)
{
	return read_code == MODBUS_READ_BASIC     ? LAST_BASIC
	       : read_code == MODBUS_READ_REGULAR ? LAST_REGULAR
						  : LAST_ID;
}

static struct span text_span(const char *text)
{
	size_t len = strlen(text);

	return span_of(text, len < MODBUS_OBJECT_MAX ? len : MODBUS_OBJECT_MAX);
}

static uint8_t conformity(const char *(*object)(void *, uint8_t, uint8_t), void *model, uint8_t unit)
{
	unsigned id = LAST_ID;

	while (id > LAST_BASIC && !object(model, unit, (uint8_t)id))
		id--;
	return INDIVIDUALLY | (id > LAST_REGULAR ? MODBUS_READ_EXTENDED
			       : id > LAST_BASIC ? MODBUS_READ_REGULAR
						 : MODBUS_READ_BASIC);
}

enum modbus_exception modbus_identify(const struct modbus_req *req,
				      const char *(*object)(void *model, uint8_t unit, uint8_t id),
				      void *model, uint8_t unit, struct modbus_objects *out)
{
	bool is_individual = req->read_code == MODBUS_READ_INDIVIDUAL;
	unsigned last = is_individual ? req->object_id : last_of(req->read_code);
	unsigned id = req->object_id;
	const char *text = object(model, unit, req->object_id);

	if (!text && is_individual)
		return MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS;
	if (!text || id > last)
		id = 0; /* an unknown one to begin with is answered as if it were the first */
	*out = (struct modbus_objects){.conformity = conformity(object, model, unit)};
	for (; id <= last; id++) {
		text = object(model, unit, (uint8_t)id);
		if (!text || modbus_object_append(out, (uint8_t)id, text_span(text)) == OK)
			continue;
		out->more = true;
		out->next = (uint8_t)id;
		break;
	}
	return MODBUS_EXCEPTION_NONE;
}

/*
 * lineside modbus write: values of one type, one behind the other, with one request. A value that is only part of
 * its registers (a bit, a byte, a string of odd length) is put into the registers as they are read just before.
 */
#include "tools/modbus_session.h"
#include "tools/modbus_text.h"
#include "tools/modbus_tool.h"
#include "tools/tool.h"

static int explain(const struct modbus_options *o, const char *text, int rc)
{
	const struct modbus_format *f = &o->format;
	const char *type = value_type_info(f->type)->name;

	if (rc == ERR_MALFORMED)
		fprintf(stderr, "lineside modbus write: \"%s\" is no value of type %s\n", text, type);
	else if (value_type_info(f->type)->registers == 0)
		fprintf(stderr, "lineside modbus write: \"%s\" does not fit %u bytes of type %s (-l)\n", text,
			f->length, type);
	else
		fprintf(stderr, "lineside modbus write: \"%s\" does not fit type %s\n", text, type);
	return rc;
}

/* The values over what `data` holds. */
static int encode_values(const struct modbus_options *o, union modbus_data *data)
{
	unsigned each = modbus_format_registers(&o->format);
	int rc;

	for (unsigned i = 0; i < o->nvalues; i++) {
		struct modbus_value v;

		rc = modbus_text_parse(o->values[i], &o->format, &v);
		if (rc == OK && modbus_area_info(o->address.area)->is_bits)
			modbus_bit_set(data->bits, i, v.b);
		else if (rc == OK)
			rc = modbus_value_encode(&o->format, &v, data->regs + i * each);
		if (rc < 0)
			return explain(o, o->values[i], rc);
	}
	return OK;
}

static int write_all(struct modbus_session *s, struct modbus_req *req)
{
	const struct modbus_options *o = s->o;
	int rc;

	if (!modbus_area_info(o->address.area)->is_bits && modbus_format_is_partial(&o->format)) {
		if ((rc = modbus_session_read(s, req->address, req->count)) < 0)
			return rc;
		req->data = s->request.data;
		if ((rc = encode_values(o, &req->data)) < 0)
			return rc;
	}
	return modbus_session_do(s, req);
}

int modbus_tool_write(const struct modbus_options *o)
{
	unsigned count = o->nvalues * modbus_format_registers(&o->format);
	unsigned most =
		modbus_area_info(o->address.area)->is_bits ? MODBUS_WRITE_BITS_MAX : MODBUS_WRITE_REGS_MAX;
	struct modbus_req req = {.address = o->address.number, .count = (uint16_t)count};
	char text[MODBUS_ADDRESS_TEXT_MAX];
	struct modbus_session s;
	int rc;

	if (count > most) {
		fprintf(stderr,
			"lineside modbus write: %u items: one request writes %u at most; write in parts\n",
			count, most);
		return TOOL_USAGE;
	}
	req.fc = (uint8_t)modbus_fc_writing(o->address.area, count);
	/* A wrong value is found before anything is sent. */
	if (encode_values(o, &req.data) < 0)
		return TOOL_USAGE;
	if (modbus_session_open(MODBUS_WRITE, o, &s) < 0)
		return 1;
	rc = write_all(&s, &req);
	modbus_session_close(&s);
	if (rc < 0)
		return 1;
	printf("%s written: %u value%s\n", modbus_address_format(&o->address, text, sizeof(text)), o->nvalues,
	       o->nvalues == 1 ? "" : "s");
	return fflush(stdout) == 0 ? 0 : 1;
}

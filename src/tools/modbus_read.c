/*
 * lineside modbus read: values of one type, one behind the other, once or again and again.
 */
#include <inttypes.h>

#include "tools/modbus_session.h"
#include "tools/modbus_text.h"
#include "tools/modbus_tool.h"

static void print_value(const struct modbus_session *s, unsigned number, const struct modbus_value *v)
{
	const struct modbus_options *o = s->o;
	struct modbus_address at = o->address;
	char text[MODBUS_ADDRESS_TEXT_MAX];
	bool is_single = o->format.type == VALUE_TYPE_FLOAT32;

	at.number = (uint16_t)number;
	modbus_address_format(&at, text, sizeof(text));
	if (!o->json) {
		printf("%s\t", text);
		modbus_text_print(stdout, v, is_single);
		printf("\n");
		return;
	}
	printf("{\"address\":\"%s\",\"type\":\"%s\",\"value\":", text, value_type_info(o->format.type)->name);
	modbus_text_print_json(stdout, v, is_single);
	printf(",\"ts\":%" PRId64 "}\n", s->request.answered_ms);
}

static int decode(const struct modbus_session *s, unsigned at, unsigned number, struct modbus_value *v)
{
	const union modbus_data *data = &s->request.data;
	char text[MODBUS_ADDRESS_TEXT_MAX];
	int rc;

	if (modbus_area_info(s->o->address.area)->is_bits) {
		*v = (struct modbus_value){.kind = VALUE_KIND_BOOL, .b = modbus_bit_get(data->bits, at)};
		return OK;
	}
	if ((rc = modbus_value_decode(&s->o->format, data->regs + at, v)) == OK)
		return OK;
	modbus_address_format(&(struct modbus_address){.area = s->o->address.area,
						       .number = (uint16_t)number,
						       .bit = MODBUS_NO_BIT},
			      text, sizeof(text));
	fprintf(stderr, "lineside modbus read: %s: register 0x%04x holds no %s\n", text, data->regs[at],
		value_type_info(s->o->format.type)->name);
	return rc;
}

/* Four registers, or the two that are there, in every order: one of the numbers looks right. */
static int read_orders(struct modbus_session *s)
{
	unsigned number = s->o->address.number, n = number <= 65532 ? 4 : 65536 - number;
	int rc = modbus_session_read(s, number, n);

	if (rc == ERR_REMOTE && n > 2)
		rc = modbus_session_read(s, number, n = 2);
	if (rc == OK)
		modbus_text_print_orders(stdout, s->request.data.regs, n);
	return rc;
}

/* All values, in as few requests as the protocol's limits allow. */
static int read_all(struct modbus_session *s)
{
	const struct modbus_options *o = s->o;
	unsigned each = modbus_format_registers(&o->format);
	unsigned most = modbus_fc_info((uint8_t)modbus_fc_reading(o->address.area))->max / each;
	int bad = OK;

	for (unsigned first = 0; first < o->count; first += most) {
		unsigned n = o->count - first < most ? o->count - first : most;
		unsigned number = o->address.number + first * each;
		int rc;

		if ((rc = modbus_session_read(s, number, n * each)) < 0)
			return rc;
		for (unsigned i = 0; i < n; i++) {
			struct modbus_value v;

			rc = decode(s, i * each, number + i * each, &v);
			if (rc == OK)
				print_value(s, number + i * each, &v);
			else
				bad = rc;
		}
	}
	return bad;
}

int modbus_tool_read(const struct modbus_options *o)
{
	struct modbus_session s;
	int rc;

	if (modbus_session_open(MODBUS_READ, o, &s) < 0)
		return 1;
	do {
		/* When it repeats, a failure was explained and the next round is another chance. */
		rc = o->all_orders ? read_orders(&s) : read_all(&s);
		if (fflush(stdout) != 0) {
			fprintf(stderr, "lineside modbus read: the output cannot be written\n");
			rc = ERR_IO;
			break;
		}
	} while (o->interval_ms && modbus_session_wait(&s, o->interval_ms) == OK);
	modbus_session_close(&s);
	return rc == OK ? 0 : 1;
}

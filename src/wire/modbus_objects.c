/*
 * Device identification: AP 6.21.
 */
#include "wire/modbus_bits.h"

#define MORE_FOLLOWS 0xFFu

const char *modbus_object_text(uint8_t id)
{
	switch (id) {
#define MODBUS_OBJECT_AS_CASE(name, number, text) \
	case (number):                            \
		return (text);
		MODBUS_OBJECT_TABLE(MODBUS_OBJECT_AS_CASE)
#undef MODBUS_OBJECT_AS_CASE
	default:
		return NULL;
	}
}

bool modbus_object_next(struct rd *list, uint8_t *id, struct span *value)
{
	*id = rd_u8(list);
	*value = rd_span(list, rd_u8(list));
	return !list->bad;
}

int modbus_object_append(struct modbus_objects *o, uint8_t id, struct span value)
{
	struct wr w = wr_of(o->list + o->len, sizeof(o->list) - o->len);

	if (value.len > MODBUS_OBJECT_MAX)
		return ERR_RANGE;
	if (value.len + 2 > w.left)
		return ERR_FULL;
	wr_u8(&w, id);
	wr_u8(&w, (uint8_t)value.len);
	wr_span(&w, value);
	o->len = (uint8_t)(sizeof(o->list) - w.left);
	o->count++;
	return OK;
}

void modbus_objects_encode(struct wr *w, const struct modbus_req *req, const struct modbus_objects *o)
{
	wr_u8(w, MODBUS_MEI_IDENTIFICATION);
	wr_u8(w, req->read_code);
	wr_u8(w, o->conformity);
	wr_u8(w, o->more ? MORE_FOLLOWS : 0);
	wr_u8(w, o->next);
	wr_u8(w, o->count);
	wr_bytes(w, o->list, o->len);
}

/* As many objects as were announced, and nothing behind them; of individual access the one that was asked for. */
static MUST_USE int objects_check(struct rd list, uint8_t count, const struct modbus_req *asked)
{
	bool is_individual = asked->read_code == MODBUS_READ_INDIVIDUAL;
	uint8_t id = 0;
	struct span value;

	for (unsigned i = 0; i < count; i++)
		if (!modbus_object_next(&list, &id, &value))
			return ERR_MALFORMED;
	if (list.left)
		return ERR_MALFORMED;
	return is_individual && (count != 1 || id != asked->object_id) ? ERR_UNEXPECTED : OK;
}

/*
 * The conformity level is taken as it comes, and so is the next object of an answer behind which nothing follows: devices
 * differ, and nothing depends on them.
 */
int modbus_objects_decode(struct rd *r, const struct modbus_req *asked, struct modbus_objects *o)
{
	uint8_t mei = rd_u8(r), read_code = rd_u8(r), conformity = rd_u8(r);
	uint8_t more = rd_u8(r), next = rd_u8(r), count = rd_u8(r);
	int rc;

	if (r->bad || r->left > MODBUS_OBJECTS_MAX || (more != 0 && more != MORE_FOLLOWS))
		return ERR_MALFORMED;
	if (mei != MODBUS_MEI_IDENTIFICATION || read_code != asked->read_code)
		return ERR_UNEXPECTED;
	if ((rc = objects_check(*r, count, asked)) < 0)
		return rc;
	*o = (struct modbus_objects){.conformity = conformity,
				     .more = more == MORE_FOLLOWS,
				     .next = next,
				     .count = count,
				     .len = (uint8_t)r->left};
	if (r->left)
		memcpy(o->list, r->p, r->left);
	return OK;
}

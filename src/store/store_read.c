#include <stdlib.h>

#include "store/store_impl.h"

/* ---- the store's loop: rows into bytes ---- */

struct answer {
	const struct store_read *r;
	uint8_t *bytes;
	size_t used, room;
	uint32_t rows;
	int rc;
};

static bool answer_reserve(struct answer *a, size_t more)
{
	size_t room = a->room ? a->room : 4096;
	uint8_t *bytes;

	if (more <= a->room - a->used)
		return true;
	while (room - a->used < more)
		room *= 2;
	bytes = realloc(a->bytes, room);
	if (!bytes)
		return false;
	a->bytes = bytes;
	a->room = room;
	return true;
}

static bool answer_add(void *arg, const struct store_row *row)
{
	struct answer *a = arg;
	size_t size = record_size(STORE_OP_ROW, row, true);

	if (a->rows == a->r->max_rows || (a->rows > 0 && a->used + size > a->r->max_bytes))
		return false;
	if (!answer_reserve(a, size)) {
		a->rc = ERR_NOMEM;
		return false;
	}
	record_write(a->bytes + a->used, size, STORE_OP_ROW, row, true);
	a->used += size;
	a->rows++;
	return a->rows < a->r->max_rows && a->used < a->r->max_bytes;
}

void read_execute(struct store_read *r, struct store_backend *b)
{
	struct answer a = {.r = r};
	int rc = b->ops->read(b, r->session, r->from_seq, answer_add, &a);

	r->rc = rc < 0 ? rc : a.rc;
	if (r->rc < 0) {
		free(a.bytes);
		return;
	}
	r->bytes = span_of(a.bytes, a.used);
	r->rows = a.rows;
	r->at = rd_of(a.bytes, a.used);
}

/* ---- the port's loop ---- */

bool store_read_next(struct store_read *r, struct store_row *row, uint32_t *sub_ids_room)
{
	struct store_op op;
	struct store_will will;

	if (r->rc < 0 || r->at.left == 0)
		return false;
	rd_take(&r->at, record_read(r->at.p, &op, &will));
	*row = op.row;
	if (row->sub_ids) {
		memcpy(sub_ids_room, row->sub_ids, (1 + row->sub_ids[0]) * sizeof(uint32_t));
		row->sub_ids = sub_ids_room;
	}
	return true;
}

void store_read_fini(struct store_read *r)
{
	union {
		const uint8_t *borrowed;
		uint8_t *owned;
	} bytes = {.borrowed = r->bytes.p};

	free(bytes.owned);
	r->bytes = span_of(NULL, 0);
	r->at = rd_of(NULL, 0);
	r->rows = 0;
}

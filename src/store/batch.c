#include "store/batch.h"

#include <assert.h>
#include <stdlib.h>

/*
 * A record: this head, the struct as far as it says something, the struct of a will, subscription identifiers, the bytes of
 * the spans. The parts are aligned to 8.
 */
struct record {
	uint32_t size;
	uint8_t kind;
	bool has_msg, has_will, has_sub_ids;
};

/* Which part of a struct is kept, and where the spans are in it. */
struct shape {
	size_t head;
	size_t nspans;
	size_t span[3];
};

#define IN_OP(member) (offsetof(struct store_op, member) - offsetof(struct store_op, id))
#define ROW_BEFORE(it)                             \
	{                                          \
		offsetof(struct store_row, it), 0, \
		{                                  \
			0                          \
		}                                  \
	}
#define WITH_MSG(size, at)                                                                                  \
	{                                                                                                   \
		size, 3,                                                                                    \
		{                                                                                           \
			(at) + offsetof(struct store_msg, topic), (at) + offsetof(struct store_msg, props), \
				(at) + offsetof(struct store_msg, payload)                                  \
		}                                                                                           \
	}

static const struct shape shapes[] = {
	[STORE_OP_SESSION] = {sizeof(struct store_session), 1, {offsetof(struct store_session, client_id)}},
	[STORE_OP_DROP_SESSION] = {sizeof(uint32_t), 0, {0}},
	[STORE_OP_SUB] = {sizeof(struct store_sub), 1, {offsetof(struct store_sub, filter)}},
	[STORE_OP_DROP_SUB] = {sizeof(struct store_sub), 1, {offsetof(struct store_sub, filter)}},
	[STORE_OP_MSG] = WITH_MSG(sizeof(((struct store_op *)NULL)->shared), IN_OP(shared.msg)),
	[STORE_OP_ROW] = WITH_MSG(sizeof(struct store_row), offsetof(struct store_row, msg)),
	[STORE_OP_STATE] = ROW_BEFORE(origin),
	[STORE_OP_DROP_ROWS] = ROW_BEFORE(qos),
	[STORE_OP_DROP_ROW] = ROW_BEFORE(qos),
	[STORE_OP_RECEIVED] = ROW_BEFORE(origin),
	[STORE_OP_DROP_RECEIVED] = ROW_BEFORE(origin),
	[STORE_OP_CONFIRM] = ROW_BEFORE(sub_ids),
	[STORE_OP_RETAINED] = WITH_MSG(sizeof(struct store_retained), offsetof(struct store_retained, msg)),
	[STORE_OP_CLEAR] = {sizeof(struct store_retained), 1, {offsetof(struct store_retained, msg.topic)}},
};
static const struct shape row_without_msg = ROW_BEFORE(msg);
static const struct shape will_shape = WITH_MSG(sizeof(struct store_will), offsetof(struct store_will, msg));

static size_t aligned(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

static const struct shape *shape_of(enum store_op_kind kind, bool has_msg)
{
	return kind == STORE_OP_ROW && !has_msg ? &row_without_msg : &shapes[kind];
}

/* What hangs on a struct by a pointer. */
static const struct store_will *will_of(enum store_op_kind kind, const void *what)
{
	return kind == STORE_OP_SESSION ? ((const struct store_session *)what)->will : NULL;
}

static const uint32_t *sub_ids_of(enum store_op_kind kind, const void *what)
{
	const uint32_t *ids = kind == STORE_OP_ROW ? ((const struct store_row *)what)->sub_ids : NULL;

	return ids && ids[0] > 0 ? ids : NULL;
}

static uint32_t sub_ids_kept(const uint32_t *ids)
{
	return ids[0] < STORE_SUB_IDS_MAX ? ids[0] : STORE_SUB_IDS_MAX;
}

static bool row_has_msg(enum store_op_kind kind, const void *what, bool with_msg)
{
	return kind == STORE_OP_ROW && (with_msg || ((const struct store_row *)what)->msg_id == 0);
}

/* ---- sizes ---- */

static const struct span *span_at(const void *what, size_t at)
{
	return (const void *)((const uint8_t *)what + at);
}

static size_t spans_size(const struct shape *shape, const void *what)
{
	size_t size = 0;

	for (size_t i = 0; i < shape->nspans; i++)
		size += span_at(what, shape->span[i])->len;
	return size;
}

size_t record_size(enum store_op_kind kind, const void *what, bool with_msg)
{
	const struct shape *shape = shape_of(kind, row_has_msg(kind, what, with_msg));
	const struct store_will *will = will_of(kind, what);
	const uint32_t *ids = sub_ids_of(kind, what);
	size_t size = sizeof(struct record) + aligned(shape->head);

	if (will)
		size += aligned(sizeof(*will)) + spans_size(&will_shape, will);
	if (ids)
		size += aligned((1 + sub_ids_kept(ids)) * sizeof(ids[0]));
	return aligned(size + spans_size(shape, what));
}

/* ---- writing ---- */

static uint8_t *write_part(uint8_t *at, const void *part, size_t size)
{
	memcpy(at, part, size);
	return at + aligned(size);
}

static uint8_t *write_spans(uint8_t *at, const struct shape *shape, const void *what)
{
	for (size_t i = 0; i < shape->nspans; i++) {
		const struct span *s = span_at(what, shape->span[i]);

		if (s->len)
			memcpy(at, s->p, s->len);
		at += s->len;
	}
	return at;
}

static uint8_t *write_sub_ids(uint8_t *at, const uint32_t *ids)
{
	uint32_t n = sub_ids_kept(ids);

	memcpy(at, &n, sizeof(n));
	memcpy(at + sizeof(n), ids + 1, n * sizeof(n));
	return at + aligned((1 + n) * sizeof(n));
}

void record_write(void *to, size_t size, enum store_op_kind kind, const void *what, bool with_msg)
{
	const struct store_will *will = will_of(kind, what);
	const uint32_t *ids = sub_ids_of(kind, what);
	struct record head = {
		.size = (uint32_t)size,
		.kind = (uint8_t)kind,
		.has_msg = row_has_msg(kind, what, with_msg),
		.has_will = will != NULL,
		.has_sub_ids = ids != NULL,
	};
	const struct shape *shape = shape_of(kind, head.has_msg);
	uint8_t *at = write_part(to, &head, sizeof(head));

	at = write_part(at, what, shape->head);
	if (will)
		at = write_part(at, will, sizeof(*will));
	if (ids)
		at = write_sub_ids(at, ids);
	at = write_spans(at, shape, what);
	if (will)
		at = write_spans(at, &will_shape, will);
	assert((size_t)(at - (uint8_t *)to) <= size);
}

/* ---- reading ---- */

/* The spans of `what`, of which only the lengths are right by now, follow one another from `at` on. */
static const uint8_t *point_spans(const uint8_t *at, const struct shape *shape, void *what)
{
	for (size_t i = 0; i < shape->nspans; i++) {
		struct span *s = (void *)((uint8_t *)what + shape->span[i]);

		s->p = at;
		at += s->len;
	}
	return at;
}

size_t record_read(const void *from, struct store_op *op, struct store_will *will)
{
	const uint8_t *at = from;
	const struct shape *shape;
	struct record head;

	memcpy(&head, at, sizeof(head));
	shape = shape_of(head.kind, head.has_msg);
	memset(op, 0, sizeof(*op));
	op->kind = head.kind;
	at += sizeof(head);
	memcpy(&op->id, at, shape->head);
	at += aligned(shape->head);
	if (head.has_will) {
		memcpy(will, at, sizeof(*will));
		op->session.will = will;
		at += aligned(sizeof(*will));
	}
	if (op->kind == STORE_OP_ROW)
		op->row.sub_ids = NULL;
	if (head.has_sub_ids) {
		op->row.sub_ids = (const void *)at;
		at += aligned((1 + op->row.sub_ids[0]) * sizeof(uint32_t));
	}
	at = point_spans(at, shape, &op->id);
	if (head.has_will)
		point_spans(at, &will_shape, will);
	return head.size;
}

/* ---- batches ---- */

struct batch *batch_chunk_create(uint32_t room)
{
	struct batch *b = malloc(sizeof(*b) + room);

	if (!b)
		return NULL;
	*b = (struct batch){.room = room};
	return b;
}

void batch_destroy(struct batch *b)
{
	while (b) {
		struct batch *more = b->more;

		free(b);
		b = more;
	}
}

bool batch_next(struct batch_at *at, struct store_op *op, struct store_will *will)
{
	while (at->chunk && at->used == at->chunk->used)
		*at = (struct batch_at){.chunk = at->chunk->more};
	if (!at->chunk)
		return false;
	at->used += (uint32_t)record_read((const uint8_t *)at->chunk->data + at->used, op, will);
	return true;
}

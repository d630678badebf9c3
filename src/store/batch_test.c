#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/alloc_fail.h"
#include "store/batch.h"

static const struct store_msg msg = {
	.topic = {(const uint8_t *)"a/b", 3},
	.props = {(const uint8_t *)"\x01\x01", 2},
	.payload = {(const uint8_t *)"payload", 7},
	.expires_ms = 1234567890123,
	.qos = 2,
	.retain = true,
};
static const struct store_msg empty_msg = {.qos = 1};

static void assert_span(struct span a, struct span b)
{
	assert_int_equal(a.len, b.len);
	if (a.len)
		assert_memory_equal(a.p, b.p, a.len);
}

static void assert_msg(const struct store_msg *a, const struct store_msg *b)
{
	assert_span(a->topic, b->topic);
	assert_span(a->props, b->props);
	assert_span(a->payload, b->payload);
	assert_int_equal(a->expires_ms, b->expires_ms);
	assert_int_equal(a->qos, b->qos);
	assert_int_equal(a->retain, b->retain);
}

/* Write it, read it; the record is overrun by nobody and ends where the next one begins. */
static struct store_op round_trip(const struct store_op *op, bool with_msg, struct store_will *will,
				  uint64_t *room)
{
	size_t size = record_size(op->kind, &op->id, with_msg);
	struct store_op out;

	assert_int_equal(size % 8, 0);
	memset(room, 0xa5, size + 8);
	record_write(room, size, op->kind, &op->id, with_msg);
	assert_true(room[size / 8] == UINT64_C(0xa5a5a5a5a5a5a5a5));
	memset(&out, 0x5a, sizeof(out));
	memset(will, 0x5a, sizeof(*will));
	assert_int_equal(record_read(room, &out, will), size);
	assert_int_equal(out.kind, op->kind);
	return out;
}

static void sessions_come_out_as_they_went_in(void **state)
{
	struct store_will will = {.msg = msg, .delay_s = 7, .expires = true, .expiry_s = 9}, will_out;
	struct store_op op = {
		.kind = STORE_OP_SESSION,
		.session = {.id = 77, .client_id = span_str("client"), .expiry_s = UINT32_MAX, .away_ms = -5},
	};
	struct store_op out;
	uint64_t room[64];

	(void)state;
	out = round_trip(&op, false, &will_out, room);
	assert_null(out.session.will);
	assert_int_equal(out.session.id, 77);
	assert_span(out.session.client_id, op.session.client_id);
	assert_true(out.session.expiry_s == UINT32_MAX);
	assert_int_equal(out.session.away_ms, -5);
	op.session.will = &will;
	out = round_trip(&op, false, &will_out, room);
	assert_span(out.session.client_id, op.session.client_id);
	assert_ptr_equal(out.session.will, &will_out);
	assert_msg(&will_out.msg, &msg);
	assert_int_equal(will_out.delay_s, 7);
	assert_true(will_out.expires);
	assert_int_equal(will_out.expiry_s, 9);

	out = round_trip(&(struct store_op){.kind = STORE_OP_DROP_SESSION, .id = STORE_SESSION_MAX}, false,
			 &will_out, room);
	assert_int_equal(out.id, STORE_SESSION_MAX);
}

static void subscriptions_come_out_as_they_went_in(void **state)
{
	struct store_op op = {
		.kind = STORE_OP_SUB,
		.sub = {.session = 3,
			.filter = span_str("$share/g/a/#"),
			.qos = 2,
			.no_local = true,
			.retain_as_published = true,
			.retain_handling = 2,
			.id = 268435455},
	};
	struct store_will will;
	struct store_op out;
	uint64_t room[64];

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		op.kind = i ? STORE_OP_DROP_SUB : STORE_OP_SUB;
		out = round_trip(&op, false, &will, room);
		assert_span(out.sub.filter, op.sub.filter);
		assert_int_equal(out.sub.session, 3);
		assert_int_equal(out.sub.qos, 2);
		assert_true(out.sub.no_local && out.sub.retain_as_published);
		assert_int_equal(out.sub.retain_handling, 2);
		assert_int_equal(out.sub.id, 268435455);
	}
}

static void messages_come_out_as_they_went_in(void **state)
{
	const struct store_msg *msgs[] = {&msg, &empty_msg};
	struct store_will will;
	struct store_op out;
	uint64_t room[64];

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		out = round_trip(&(struct store_op){.kind = STORE_OP_MSG,
						    .shared = {.msg_id = UINT64_MAX / 3, .msg = *msgs[i]}},
				 false, &will, room);
		assert_true(out.shared.msg_id == UINT64_MAX / 3);
		assert_msg(&out.shared.msg, msgs[i]);
		out = round_trip(&(struct store_op){.kind = STORE_OP_RETAINED,
						    .retained = {.msg = *msgs[i], .stamp = 5}},
				 false, &will, room);
		assert_msg(&out.retained.msg, msgs[i]);
		assert_int_equal(out.retained.stamp, 5);
	}
	out = round_trip(
		&(struct store_op){.kind = STORE_OP_CLEAR, .retained = {.msg.topic = msg.topic, .stamp = 6}},
		false, &will, room);
	assert_span(out.retained.msg.topic, msg.topic);
	assert_int_equal(out.retained.stamp, 6);
}

static const struct store_row a_row = {
	.session = STORE_SESSION_MAX,
	.seq = STORE_SEQ_MAX,
	.qos = 2,
	.retain = true,
	.state = STORE_SENT,
	.packet_id = 65535,
	.origin = 63,
	.number = UINT64_MAX,
};

static void assert_row(const struct store_row *a, const struct store_row *b)
{
	assert_int_equal(a->session, b->session);
	assert_true(a->seq == b->seq);
	assert_int_equal(a->qos, b->qos);
	assert_int_equal(a->retain, b->retain);
	assert_int_equal(a->state, b->state);
	assert_int_equal(a->packet_id, b->packet_id);
	assert_int_equal(a->origin, b->origin);
	assert_true(a->number == b->number);
	assert_true(a->msg_id == b->msg_id);
}

static void rows_come_out_as_they_went_in(void **state)
{
	const uint32_t ids[] = {3, 1, 268435455, 7}, none[] = {0};
	struct store_op op = {.kind = STORE_OP_ROW, .row = a_row}, out;
	struct store_will will;
	uint64_t room[64];

	(void)state;
	op.row.msg = msg;
	out = round_trip(&op, false, &will, room);
	assert_row(&out.row, &op.row);
	assert_msg(&out.row.msg, &msg);
	assert_null(out.row.sub_ids);

	op.row.sub_ids = none;
	out = round_trip(&op, false, &will, room);
	assert_null(out.row.sub_ids);

	op.row.sub_ids = ids;
	out = round_trip(&op, false, &will, room);
	assert_memory_equal(out.row.sub_ids, ids, sizeof(ids));
	assert_msg(&out.row.msg, &msg);

	/* A shared message is somewhere else, unless it is asked for. */
	op.row.msg_id = 1000;
	out = round_trip(&op, false, &will, room);
	assert_row(&out.row, &op.row);
	assert_msg(&out.row.msg, &(struct store_msg){0});
	assert_memory_equal(out.row.sub_ids, ids, sizeof(ids));
	out = round_trip(&op, true, &will, room);
	assert_row(&out.row, &op.row);
	assert_msg(&out.row.msg, &msg);
}

static void identifiers_beyond_the_most_are_not_kept(void **state)
{
	static uint32_t ids[STORE_SUB_IDS_MAX + 2] = {STORE_SUB_IDS_MAX + 1};
	static uint64_t room[STORE_SUB_IDS_MAX];
	struct store_op op = {.kind = STORE_OP_ROW, .row = {.session = 1, .seq = 1, .sub_ids = ids}}, out;
	struct store_will will;

	(void)state;
	for (uint32_t i = 1; i <= ids[0]; i++)
		ids[i] = i;
	out = round_trip(&op, false, &will, room);
	assert_int_equal(out.row.sub_ids[0], STORE_SUB_IDS_MAX);
	assert_memory_equal(out.row.sub_ids + 1, ids + 1, STORE_SUB_IDS_MAX * sizeof(ids[0]));
}

static void small_changes_come_out_as_they_went_in(void **state)
{
	static const enum store_op_kind kinds[] = {STORE_OP_STATE,         STORE_OP_DROP_ROWS,
						   STORE_OP_DROP_ROW,      STORE_OP_RECEIVED,
						   STORE_OP_DROP_RECEIVED, STORE_OP_CONFIRM};
	struct store_will will;
	uint64_t room[64];

	(void)state;
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct store_op op = {.kind = kinds[i], .row = a_row};
		struct store_op out = round_trip(&op, false, &will, room);

		if (kinds[i] == STORE_OP_CONFIRM) {
			assert_int_equal(out.row.origin, a_row.origin);
			assert_true(out.row.number == a_row.number);
			continue;
		}
		assert_int_equal(out.row.session, a_row.session);
		assert_true(out.row.seq == a_row.seq);
		if (kinds[i] == STORE_OP_DROP_ROWS || kinds[i] == STORE_OP_DROP_ROW)
			continue;
		assert_int_equal(out.row.state, a_row.state);
		assert_int_equal(out.row.packet_id, a_row.packet_id);
	}
}

/* A chunk with `n` rows, the first of them with this seq. */
static struct batch *chunk_of_rows(uint64_t seq, unsigned n)
{
	struct batch *b = batch_chunk_create(4096);

	assert_non_null(b);
	for (unsigned i = 0; i < n; i++) {
		struct store_row row = {.session = 1, .seq = seq + i, .msg = msg};
		size_t size = record_size(STORE_OP_ROW, &row, false);

		assert_true(size <= b->room - b->used);
		record_write((uint8_t *)b->data + b->used, size, STORE_OP_ROW, &row, false);
		b->used += (uint32_t)size;
	}
	return b;
}

static void a_batch_goes_through_all_its_chunks(void **state)
{
	struct batch *b = chunk_of_rows(1, 3);
	struct batch_at at = {.chunk = b};
	struct store_will will;
	struct store_op op;
	uint64_t seq = 0;

	(void)state;
	b->more = chunk_of_rows(0, 0);
	b->more->more = chunk_of_rows(4, 20);
	while (batch_next(&at, &op, &will)) {
		assert_int_equal(op.row.seq, ++seq);
		assert_msg(&op.row.msg, &msg);
	}
	assert_int_equal(seq, 23);
	assert_false(batch_next(&at, &op, &will));
	batch_destroy(b);
	batch_destroy(NULL);
}

static void a_chunk_needs_memory(void **state)
{
	(void)state;
	alloc_fail_at(1);
	assert_null(batch_chunk_create(100));
	assert_true(alloc_fail_end());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sessions_come_out_as_they_went_in),
		cmocka_unit_test(subscriptions_come_out_as_they_went_in),
		cmocka_unit_test(messages_come_out_as_they_went_in),
		cmocka_unit_test(rows_come_out_as_they_went_in),
		cmocka_unit_test(identifiers_beyond_the_most_are_not_kept),
		cmocka_unit_test(small_changes_come_out_as_they_went_in),
		cmocka_unit_test(a_batch_goes_through_all_its_chunks),
		cmocka_unit_test(a_chunk_needs_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

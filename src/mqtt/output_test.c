/* Messages and what a connection has to send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc_fail.h"
#include "mqtt/fake_stream.h"
#include "mqtt/output.h"

static void a_message_is_a_whole_copy(void **state)
{
	char topic[] = "a/b", props[] = "props", payload[] = "payload";
	struct publication p = {
		.topic = span_str(topic),
		.props = span_str(props),
		.payload = span_str(payload),
		.qos = 2,
		.retain = true,
		.command = true,
		.origin = 3,
		.number = 4,
		.publisher = 5,
		.expires_ms = 6,
	};
	struct publication back;
	struct msg *m = msg_create(&p);

	(void)state;
	memset(topic, 'x', 3);
	memset(payload, 'x', 3);
	msg_view(m, &back);
	assert_true(span_equal(back.topic, span_str("a/b")));
	assert_true(span_equal(back.props, span_str("props")));
	assert_true(span_equal(back.payload, span_str("payload")));
	assert_true(back.qos == 2 && back.retain && back.command && back.origin == 3 && back.number == 4);
	assert_true(back.publisher == 5 && back.expires_ms == 6 && !back.blob && !back.msg);
	assert_int_equal(msg_cost(m), sizeof(*m) + 15);
	assert_false(publication_expired(&back, 5));
	assert_true(publication_expired(&back, 6));
	msg_unref(m);
	msg_unref(NULL);
}

static void a_publication_makes_its_message_once(void **state)
{
	struct blob *blob = blob_create(span_str("large"));
	struct publication p = {
		.topic = span_str("t"), .payload = span_of(blob->data, blob->len), .blob = blob};
	struct msg *a, *b;

	(void)state;
	alloc_fail_at(1);
	assert_null(publication_msg(&p));
	(void)alloc_fail_end();
	a = publication_msg(&p);
	b = publication_msg(&p);
	assert_ptr_equal(a, b);
	assert_int_equal(a->refs, 3);
	assert_int_equal(blob->refs, 2);
	publication_fini(&p);
	msg_unref(a);
	assert_int_equal(blob->refs, 2);
	msg_unref(b);
	assert_int_equal(blob->refs, 1);
	blob_unref(blob);
	blob_unref(NULL);
}

/* ---- output ---- */

struct sink {
	struct out_pool *pool;
	struct output out;
	struct fake_stream *stream;
	uint64_t written;
};

static void sink_up(struct sink *s)
{
	*s = (struct sink){.stream = fake_create(300000)};
	assert_int_equal(out_pool_create(&s->pool), OK);
}

static void sink_down(struct sink *s)
{
	output_clear(&s->out, s->pool);
	out_pool_destroy(s->pool);
	stream_close(&s->stream->stream);
	fake_destroy(s->stream);
}

static uint8_t pattern(uint64_t at)
{
	return (uint8_t)(at * 7 + (at >> 8));
}

static bool take(struct sink *s, uint32_t n)
{
	uint8_t *at = output_take(&s->out, s->pool, n);

	for (uint32_t i = 0; at && i < n; i++)
		at[i] = pattern(s->written + i);
	s->written += at ? n : 0;
	return at != NULL;
}

static bool take_blob(struct sink *s, uint32_t n)
{
	uint8_t bytes[20000];
	struct blob *b;
	bool ok;

	for (uint32_t i = 0; i < n; i++)
		bytes[i] = pattern(s->written + i);
	b = blob_create(span_of(bytes, n));
	ok = b && output_blob(&s->out, s->pool, b);
	blob_unref(b);
	s->written += ok ? n : 0;
	return ok;
}

static int flush(struct sink *s)
{
	uint64_t put;

	return output_flush(&s->out, s->pool, &s->stream->stream, &put);
}

static void check(const struct sink *s)
{
	assert_int_equal(s->stream->out_len, s->written);
	for (uint64_t i = 0; i < s->written; i++)
		assert_int_equal(s->stream->out[i], pattern(i));
	assert_int_equal(s->out.bytes, 0);
	assert_null(s->out.first); /* idle, it owns nothing */
	assert_null(s->out.last);
}

static void what_is_taken_leaves_in_order_however_the_stream_cuts_it(void **state)
{
	static const uint32_t sizes[] = {1, 2, 4031, 4032, 4033, 100, 9000, 1, 0, 4000, 33, 2};

	(void)state;
	for (size_t room = 1; room < 30000; room = room * 3 + 1) {
		struct sink s;

		sink_up(&s);
		s.stream->room = 0;
		for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			assert_true(i % 3 == 2 && sizes[i] ? take_blob(&s, sizes[i]) : take(&s, sizes[i]));
			if (i == 5)
				assert_int_equal(flush(&s), ERR_AGAIN);
		}
		for (int rc = ERR_AGAIN; rc == ERR_AGAIN;) {
			s.stream->room += room;
			rc = flush(&s);
			assert_true(rc == OK || rc == ERR_AGAIN);
		}
		check(&s);
		sink_down(&s);
	}
}

static void many_small_pieces_share_blocks_and_blocks_are_used_again(void **state)
{
	struct sink s;

	(void)state;
	sink_up(&s);
	for (unsigned round = 0; round < 3; round++) {
		if (round == 1)
			alloc_fail_at(1);
		for (unsigned i = 0; i < 20000; i++)
			assert_true(take(&s, 5));
		assert_int_equal(flush(&s), OK);
		check(&s);
	}
	assert_false(alloc_fail_end());
	sink_down(&s);
}

static void a_broken_stream_is_told_and_what_waits_is_dropped(void **state)
{
	struct sink s;

	(void)state;
	sink_up(&s);
	assert_true(take(&s, 10));
	assert_true(take_blob(&s, 10000));
	s.stream->in_end = ERR_IO;
	assert_int_equal(flush(&s), ERR_IO);
	sink_down(&s); /* the sanitizer counts the blob */
}

static void what_is_given_back_is_not_sent(void **state)
{
	struct sink s;

	(void)state;
	sink_up(&s);
	assert_true(take(&s, 3));
	memset(output_take(&s.out, s.pool, 4), 0xEE, 4);
	output_give_back(&s.out, 4);
	assert_true(take(&s, 3));
	assert_int_equal(flush(&s), OK);
	check(&s);
	/* alone in its block */
	memset(output_take(&s.out, s.pool, 4), 0xEE, 4);
	output_give_back(&s.out, 4);
	assert_int_equal(flush(&s), OK);
	check(&s);
	sink_down(&s);
}

static void without_memory_nothing_is_appended(void **state)
{
	struct sink s;
	bool hit = true;

	(void)state;
	sink_up(&s);
	for (long n = 1; hit; n++) {
		alloc_fail_at(n);
		(void)take(&s, 5000);
		(void)take_blob(&s, 5000);
		(void)take(&s, 10);
		hit = alloc_fail_end();
	}
	assert_int_equal(flush(&s), OK);
	check(&s);
	alloc_fail_at(1);
	assert_int_equal(out_pool_create(&(struct out_pool *){NULL}), ERR_NOMEM);
	(void)alloc_fail_end();
	sink_down(&s);
	out_pool_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_is_a_whole_copy),
		cmocka_unit_test(a_publication_makes_its_message_once),
		cmocka_unit_test(what_is_taken_leaves_in_order_however_the_stream_cuts_it),
		cmocka_unit_test(many_small_pieces_share_blocks_and_blocks_are_used_again),
		cmocka_unit_test(what_is_given_back_is_not_sent),
		cmocka_unit_test(a_broken_stream_is_told_and_what_waits_is_dropped),
		cmocka_unit_test(without_memory_nothing_is_appended),
	};

	return cmocka_run_group_tests_name("mqtt_output", tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/alloc_fail.h"
#include "store/store.h"

/* The store does not look into messages. */
struct msg {
	uint32_t refs;
	size_t cost;
};

static void msg_unref(struct msg *m)
{
	assert_true(m->refs > 0);
	m->refs--;
}

static size_t msg_cost(const struct msg *m)
{
	return m->cost;
}

static size_t msg_payload(const struct msg *m)
{
	return m->cost / 10;
}

static const struct store_msg_ops ops = {.unref = msg_unref, .cost = msg_cost, .payload = msg_payload};

static void push(struct store_queue *q, struct msg *m, uint8_t qos)
{
	struct store_item item = {.msg = m, .qos = qos, .retain = qos == 2};

	m->refs++;
	if (qos == 1)
		item.sub_ids = calloc(2, sizeof(uint32_t));
	assert_int_equal(store_queue_push(q, &item), OK);
}

static void items_come_out_as_they_went_in(void **state)
{
	struct store *s;
	struct store_queue *q;
	struct store_item item;
	struct msg msgs[3] = {{0, 1}, {0, 10}, {0, 100}};
	size_t in = 0, out = 0, bytes = 0, payload = 0;
	uint64_t random = 1;

	(void)state;
	assert_int_equal(store_mem_create(&ops, &s), OK);
	assert_int_equal(store_queue_create(s, &q), OK);
	assert_false(store_queue_pop(q, &item));
	for (unsigned step = 0; step < 20000; step++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		/* long runs of either, so that blocks fill and the queue is empty now and then */
		if ((random >> 40) % 100 < (step / 500 % 2 ? 30 : 70)) {
			push(q, &msgs[in % 3], (uint8_t)(1 + in % 2));
			payload += msgs[in % 3].cost / 10;
			bytes += msgs[in++ % 3].cost;
		} else if (store_queue_pop(q, &item)) {
			assert_ptr_equal(item.msg, &msgs[out % 3]);
			assert_int_equal(item.qos, 1 + out % 2);
			assert_int_equal(item.retain, item.qos == 2);
			assert_int_equal(item.sub_ids != NULL, item.qos == 1);
			free(item.sub_ids);
			item.msg->refs--;
			payload -= msgs[out % 3].cost / 10;
			bytes -= msgs[out++ % 3].cost;
		} else {
			assert_int_equal(in, out);
		}
		assert_int_equal(store_queue_len(q), in - out);
		assert_int_equal(store_queue_bytes(q), bytes);
		assert_int_equal(store_len(s), in - out);
		assert_int_equal(store_payload(s), payload);
	}
	push(q, &msgs[0], 1);
	store_queue_destroy(q); /* with what is in it */
	assert_int_equal(store_len(s), 0);
	assert_int_equal(store_payload(s), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(msgs[i].refs, 0);
	store_queue_destroy(NULL);
	store_destroy(s);
	store_destroy(NULL);
}

static void without_memory_an_item_stays_the_callers(void **state)
{
	struct store *s;
	struct store_queue *q;
	struct msg m = {1, 5};
	struct store_item item = {.msg = &m, .qos = 2};
	unsigned n = 0;

	(void)state;
	alloc_fail_at(1);
	assert_int_equal(store_mem_create(&ops, &s), ERR_NOMEM);
	(void)alloc_fail_end();
	assert_int_equal(store_mem_create(&ops, &s), OK);
	alloc_fail_at(1);
	assert_int_equal(store_queue_create(s, &q), ERR_NOMEM);
	(void)alloc_fail_end();
	assert_int_equal(store_queue_create(s, &q), OK);
	for (unsigned i = 0; i < 100; i++) {
		int rc;

		alloc_fail_at(1);
		rc = store_queue_push(q, &item);
		assert_int_equal(rc, alloc_fail_end() ? ERR_NOMEM : OK);
		if (rc < 0 && i % 2)
			rc = store_queue_push(q, &item);
		n += rc == OK;
		assert_int_equal(store_queue_len(q), n);
		assert_int_equal(store_queue_bytes(q), 5 * n);
	}
	assert_true(n >= 32);
	m.refs = n;
	store_queue_destroy(q);
	assert_int_equal(m.refs, 0);
	store_destroy(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_come_out_as_they_went_in),
		cmocka_unit_test(without_memory_an_item_stays_the_callers),
	};

	return cmocka_run_group_tests_name("store_mem", tests, NULL, NULL);
}

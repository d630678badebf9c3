#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/alloc_fail.h"
#include "store/queue.h"

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

static const struct queue_msg_ops ops = {.unref = msg_unref, .cost = msg_cost, .payload = msg_payload};

static void push(struct queue *q, struct msg *m, uint8_t qos)
{
	struct queue_item item = {.msg = m, .qos = qos, .retain = qos == 2};

	m->refs++;
	if (qos == 1)
		item.sub_ids = calloc(2, sizeof(uint32_t));
	assert_int_equal(queue_push(q, &item), OK);
}

static size_t item_cost(const struct queue_item *item)
{
	return item->msg->cost + (item->sub_ids ? 16 + sizeof(uint32_t) : 0);
}

static void item_free(const struct queue_item *item)
{
	free(item->sub_ids);
	item->msg->refs--;
}

static void items_come_out_as_they_went_in(void **state)
{
	struct queue_pool *s;
	struct queue *q;
	struct queue_item item;
	struct msg msgs[3] = {{0, 1}, {0, 10}, {0, 100}};
	size_t in = 0, out = 0, bytes = 0, payload = 0;
	uint64_t random = 1;

	(void)state;
	assert_int_equal(queue_pool_create(&ops, &s), OK);
	assert_int_equal(queue_create(s, &q), OK);
	assert_false(queue_pop(q, &item));
	for (unsigned step = 0; step < 20000; step++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		/* long runs of either, so that blocks fill and the queue is empty now and then */
		if ((random >> 40) % 100 < (step / 500 % 2 ? 30 : 70)) {
			push(q, &msgs[in % 3], (uint8_t)(1 + in % 2));
			payload += msgs[in % 3].cost / 10;
			bytes += msgs[in % 3].cost + (in % 2 ? 0 : 16 + sizeof(uint32_t));
			in++;
		} else if (queue_pop(q, &item)) {
			assert_ptr_equal(item.msg, &msgs[out % 3]);
			assert_int_equal(item.qos, 1 + out % 2);
			assert_int_equal(item.retain, item.qos == 2);
			assert_int_equal(item.sub_ids != NULL, item.qos == 1);
			payload -= msgs[out % 3].cost / 10;
			bytes -= item_cost(&item);
			item_free(&item);
			out++;
		} else {
			assert_int_equal(in, out);
		}
		assert_int_equal(queue_len(q), in - out);
		assert_int_equal(queue_bytes(q), bytes);
		assert_int_equal(queue_pool_len(s), in - out);
		assert_int_equal(queue_pool_payload(s), payload);
	}
	push(q, &msgs[0], 1);
	queue_destroy(q); /* with what is in it */
	assert_int_equal(queue_pool_len(s), 0);
	assert_int_equal(queue_pool_payload(s), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(msgs[i].refs, 0);
	queue_destroy(NULL);
	queue_pool_destroy(s);
	queue_pool_destroy(NULL);
}

static void the_newest_may_be_taken_and_what_is_held_adds_up(void **state)
{
	enum { ITEMS_MAX = 500 };
	static struct msg msgs[ITEMS_MAX];
	struct queue_pool *s;
	struct queue *q;
	struct queue_item item;
	struct msg *waiting[ITEMS_MAX]; /* in order */
	size_t n = 0, from = 0, bytes = 0;
	uint64_t random = 1, idle;

	(void)state;
	assert_int_equal(queue_pool_create(&ops, &s), OK);
	assert_int_equal(queue_pool_held(s), 0);
	assert_int_equal(queue_create(s, &q), OK);
	idle = queue_pool_held(s);
	assert_false(queue_pop_newest(q, &item));
	for (unsigned step = 0; step < 50000; step++) {
		bool newest;

		random = random * 6364136223846793005u + 1442695040888963407u;
		newest = random >> 63;
		if ((random >> 40) % 100 < (step / 500 % 2 ? 30 : 70)) {
			if (from + n == ITEMS_MAX)
				continue;
			msgs[from + n].cost = from + n;
			waiting[from + n] = &msgs[from + n];
			push(q, waiting[from + n], 2);
			bytes += waiting[from + n++]->cost;
		} else if (newest ? queue_pop_newest(q, &item) : queue_pop(q, &item)) {
			assert_ptr_equal(item.msg, newest ? waiting[from + n - 1] : waiting[from]);
			from += !newest;
			n--;
			bytes -= item.msg->cost;
			item_free(&item);
		}
		if (n == 0)
			from = 0;
		assert_int_equal(queue_len(q), n);
		assert_int_equal(queue_bytes(q), bytes);
		assert_true(n > 0 ? queue_pool_held(s) > idle : queue_pool_held(s) == idle);
	}
	queue_destroy(q);
	assert_int_equal(queue_pool_held(s), 0);
	queue_pool_destroy(s);
}

static void without_memory_an_item_stays_the_callers(void **state)
{
	struct queue_pool *s;
	struct queue *q;
	struct msg m = {1, 5};
	struct queue_item item = {.msg = &m, .qos = 2};
	unsigned n = 0;

	(void)state;
	alloc_fail_at(1);
	assert_int_equal(queue_pool_create(&ops, &s), ERR_NOMEM);
	(void)alloc_fail_end();
	assert_int_equal(queue_pool_create(&ops, &s), OK);
	alloc_fail_at(1);
	assert_int_equal(queue_create(s, &q), ERR_NOMEM);
	(void)alloc_fail_end();
	assert_int_equal(queue_create(s, &q), OK);
	for (unsigned i = 0; i < 100; i++) {
		int rc;

		alloc_fail_at(1);
		rc = queue_push(q, &item);
		assert_int_equal(rc, alloc_fail_end() ? ERR_NOMEM : OK);
		if (rc < 0 && i % 2)
			rc = queue_push(q, &item);
		n += rc == OK;
		assert_int_equal(queue_len(q), n);
		assert_int_equal(queue_bytes(q), 5 * n);
	}
	assert_true(n >= 32);
	m.refs = n;
	queue_destroy(q);
	assert_int_equal(m.refs, 0);
	queue_pool_destroy(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_come_out_as_they_went_in),
		cmocka_unit_test(the_newest_may_be_taken_and_what_is_held_adds_up),
		cmocka_unit_test(without_memory_an_item_stays_the_callers),
	};

	return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/alloc_fail.h"
#include "mqtt/inflight.h"
#include "wire/mqtt.h"

static uint16_t add(struct inflight *f)
{
	struct inflight_slot *s = inflight_add(f);

	if (!s)
		return 0;
	assert_int_equal(s->state, INFLIGHT_PUBLISHED);
	assert_null(s->msg);
	assert_ptr_equal(inflight_find(f, s->packet_id), s);
	return s->packet_id;
}

/* covers 3.1.1 [MQTT-2.3.1-4]; 5.0 [MQTT-2.2.1-4] */
static void ids_follow_each_other_and_wrap_without_zero(void **state)
{
	struct inflight f = {0};

	(void)state;
	for (uint32_t i = 1; i <= 65535; i++) {
		assert_int_equal(add(&f), i);
		inflight_remove(&f, inflight_find(&f, (uint16_t)i));
	}
	assert_int_equal(add(&f), 1);
	assert_null(inflight_find(&f, 0));
	assert_null(inflight_find(&f, 65535));
	inflight_clear(&f);
	assert_int_equal(add(&f), 2); /* ids go on, so that a late answer hits nothing new */
	inflight_clear(&f);
}

/* covers 3.1.1 [MQTT-2.3.1-4]; 5.0 [MQTT-2.2.1-4] [MQTT-4.3.2-1] [MQTT-4.3.3-1] */
static void a_taken_id_is_left_out_after_the_wrap(void **state)
{
	struct inflight f = {0};

	(void)state;
	for (uint16_t i = 1; i <= 3; i++)
		assert_int_equal(add(&f), i);
	inflight_remove(&f, inflight_find(&f, 2));
	for (uint32_t i = 4; i <= 65535; i++) {
		uint16_t id = add(&f);

		assert_true(id != 1 && id != 3 && id != 0);
		inflight_remove(&f, inflight_find(&f, id));
		if (id == 65535)
			break;
	}
	assert_int_equal(add(&f), 2);
	assert_non_null(inflight_find(&f, 1));
	assert_non_null(inflight_find(&f, 3));
	inflight_clear(&f);
}

static void the_table_takes_every_id_and_no_more(void **state)
{
	struct inflight f = {0};
	static bool seen[65536];

	(void)state;
	for (uint32_t i = 0; i < MQTT_PACKET_IDS; i++) {
		uint16_t id = add(&f);

		assert_true(id != 0 && !seen[id]);
		seen[id] = true;
	}
	assert_int_equal(add(&f), 0);
	inflight_remove(&f, inflight_find(&f, 777));
	assert_int_equal(add(&f), 777); /* the only one that is free */
	assert_int_equal(add(&f), 0);
	for (uint32_t i = 65535; i > 0; i--)
		inflight_remove(&f, inflight_find(&f, (uint16_t)i));
	assert_int_equal(f.count, 0);
	assert_null(f.slots); /* a large table is given back */
	inflight_clear(&f);
}

static void what_is_done_out_of_order_leaves_the_rest_in_order(void **state)
{
	struct inflight f = {0};
	uint64_t random = 1;

	(void)state;
	f.last_id = 65000; /* so that the ids wrap meanwhile */
	for (unsigned round = 0; round < 2000; round++) {
		struct inflight_slot **list;
		unsigned n = (unsigned)(random >> 33) % 40;

		for (unsigned i = 0; i < n; i++)
			assert_true(add(&f) != 0);
		list = inflight_sorted(&f);
		assert_true((f.count == 0) == !list);
		for (uint32_t i = 1; i < f.count; i++)
			assert_true(list[i - 1]->order < list[i]->order);
		for (uint32_t i = 0, count = f.count; i < count; i++) {
			uint16_t id = list[i]->packet_id;

			random = random * 6364136223846793005u + 1;
			assert_ptr_equal(inflight_find(&f, id), list[i]);
			if ((random >> 40) % 3 == 0) {
				inflight_remove(&f, list[i]);
				assert_null(inflight_find(&f, id));
			}
			if (f.count == 0)
				break;
		}
		free(list);
	}
	inflight_clear(&f);
}

static void without_memory_a_table_serves_up_to_its_slots(void **state)
{
	bool hit = true;

	(void)state;
	for (long n = 1; hit; n++) {
		struct inflight f = {0};
		unsigned got = 0;

		alloc_fail_at(n);
		for (unsigned i = 0; i < 40; i++)
			got += add(&f) != 0;
		free(inflight_sorted(&f));
		hit = alloc_fail_end();
		/* only the first table cannot be done without */
		assert_int_equal(got, n == 1 ? 39 : 40);
		assert_int_equal(f.count, got);
		inflight_clear(&f);
	}
}

static void what_a_slot_holds_is_released(void **state)
{
	struct inflight f = {0};
	struct publication p = {.topic = span_str("t"), .payload = span_str("x")};
	struct msg *m = msg_create(&p);
	struct inflight_slot *s;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		s = inflight_add(&f);
		s->msg = msg_ref(m);
		s->sub_ids = calloc(2, sizeof(uint32_t));
	}
	assert_int_equal(m->refs, 4);
	inflight_remove(&f, s);
	assert_int_equal(m->refs, 3);
	inflight_clear(&f);
	assert_int_equal(m->refs, 1);
	msg_unref(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_follow_each_other_and_wrap_without_zero),
		cmocka_unit_test(a_taken_id_is_left_out_after_the_wrap),
		cmocka_unit_test(the_table_takes_every_id_and_no_more),
		cmocka_unit_test(what_is_done_out_of_order_leaves_the_rest_in_order),
		cmocka_unit_test(without_memory_a_table_serves_up_to_its_slots),
		cmocka_unit_test(what_a_slot_holds_is_released),
	};

	return cmocka_run_group_tests_name("mqtt_inflight", tests, NULL, NULL);
}

/* The small containers of base/: hmap.h, hash.h, list.h, bytes.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/alloc_fail.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/hmap.h"
#include "base/list.h"

struct thing {
	struct hmap_node node;
	unsigned key;
	bool is_in;
};

#define THINGS 3000

static struct thing *find(struct hmap *m, unsigned key, uint64_t hash)
{
	for (struct hmap_node *n = hmap_find(m, hash); n; n = hmap_next(n))
		if (container_of(n, struct thing, node)->key == key)
			return container_of(n, struct thing, node);
	return NULL;
}

/* `spread` small: many keys of one hash. */
static void play(struct thing *things, uint64_t spread)
{
	struct hmap m = {0};
	uint64_t random = 1;
	size_t count = 0, from = 0, visited = 0;
	struct hmap_node *n;

	assert_null(hmap_find(&m, 0));
	assert_null(hmap_any(&m, &from));
	for (unsigned i = 0; i < THINGS; i++)
		things[i] = (struct thing){.key = i};
	for (unsigned step = 0; step < 20000; step++) {
		unsigned key;
		uint64_t hash;
		struct thing *t;

		random = random * 6364136223846793005u + 1442695040888963407u;
		key = (unsigned)(random >> 33) % THINGS;
		hash = hash_bytes(9, &key, sizeof(key)) % spread;
		t = find(&m, key, hash);
		assert_ptr_equal(t, things[key].is_in ? &things[key] : NULL);
		if (t)
			hmap_remove(&m, &t->node);
		else
			hmap_insert(&m, &things[key].node, hash);
		things[key].is_in = !t;
		count += t ? (size_t)-1 : 1;
		assert_int_equal(m.count, count);
	}
	from = 0;
	for (n = hmap_any(&m, &from); n; n = hmap_after(&m, n))
		visited++;
	assert_int_equal(visited, count);
	for (from = 0; (n = hmap_any(&m, &from)); count--)
		hmap_remove(&m, n);
	assert_int_equal(count, 0);
	hmap_fini(&m);
}

static void a_map_finds_what_was_put_and_not_taken(void **state)
{
	static struct thing things[THINGS];
	bool hit = true;

	(void)state;
	play(things, UINT64_MAX);
	play(things, 50);
	for (long n = 1; hit; n++) { /* without memory the chains get longer, and that is all */
		alloc_fail_at(n);
		play(things, UINT64_MAX);
		hit = alloc_fail_end();
	}
}

static void a_hash_depends_on_every_byte_the_length_and_the_seed(void **state)
{
	uint8_t bytes[40] = {0};

	(void)state;
	for (size_t len = 0; len < sizeof(bytes); len++) {
		uint64_t h = hash_bytes(1, bytes, len);

		assert_true(h == hash_bytes(1, bytes, len));
		assert_true(h != hash_bytes(2, bytes, len));
		assert_true(h != hash_bytes(1, bytes, len + 1)); /* of zeros, too */
		for (size_t i = 0; i < len; i++) {
			bytes[i] ^= 0x10;
			assert_true(h != hash_bytes(1, bytes, len));
			bytes[i] ^= 0x10;
		}
	}
}

static void hashes_of_short_topics_spread_over_low_and_high_bits(void **state)
{
	unsigned low[256] = {0}, high[256] = {0};

	(void)state;
	for (unsigned i = 0; i < 25600; i++) {
		char name[16];
		int n = snprintf(name, sizeof(name), "tag%u", i);
		uint64_t h = hash_bytes(1, name, (size_t)n);

		low[h & 255]++;
		high[h >> 56]++;
	}
	for (unsigned i = 0; i < 256; i++) { /* 100 each */
		assert_in_range(low[i], 50, 150);
		assert_in_range(high[i], 50, 150);
	}
}

static void a_list_keeps_its_order(void **state)
{
	struct list head, other, nodes[5];
	unsigned n = 0;

	(void)state;
	list_init(&head);
	list_init(&other);
	assert_null(list_first(&head));
	assert_null(list_take_first(&head));
	for (unsigned i = 0; i < 5; i++)
		list_append(i < 3 ? &head : &other, &nodes[i]);
	list_splice(&head, &other);
	assert_true(list_empty(&other));
	list_splice(&head, &other);
	list_for_each (node, &head) {
		assert_ptr_equal(node, &nodes[n]);
		if (n++ % 2)
			list_remove(node);
	}
	assert_int_equal(n, 5);
	list_remove(&nodes[1]); /* twice is harmless */
	list_insert_before(&nodes[2], &nodes[1]);
	assert_ptr_equal(list_take_first(&head), &nodes[0]);
	assert_ptr_equal(list_take_first(&head), &nodes[1]);
	assert_ptr_equal(list_take_first(&head), &nodes[2]);
	assert_ptr_equal(list_first(&head), &nodes[4]);
	list_splice(&other, &head);
	assert_true(list_empty(&head));
	assert_ptr_equal(list_take_first(&other), &nodes[4]);
	assert_true(list_empty(&other));
}

static void a_reader_stops_at_the_end_for_good(void **state)
{
	static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7};
	struct rd r = rd_of(bytes, sizeof(bytes));

	(void)state;
	assert_int_equal(rd_u8(&r), 0x01);
	assert_int_equal(rd_u16be(&r), 0x0203);
	assert_int_equal(rd_u32be(&r), 0x04050607);
	assert_false(r.bad);
	assert_int_equal(rd_span(&r, 0).len, 0);
	assert_false(r.bad);
	assert_int_equal(rd_u8(&r), 0);
	assert_true(r.bad);
	r = rd_of(bytes, 3);
	assert_int_equal(rd_u32be(&r), 0);
	assert_true(r.bad);
	assert_int_equal(r.left, 3); /* nothing was consumed */
	assert_int_equal(rd_u8(&r), 0);
	assert_int_equal(r.left, 3);
	r = rd_of(bytes, 3);
	assert_null(rd_span(&r, SIZE_MAX).p);
	assert_true(r.bad);
}

static void a_writer_stops_at_the_end_for_good(void **state)
{
	uint8_t bytes[8] = {0};
	struct wr w = wr_of(bytes, 7);

	(void)state;
	wr_u8(&w, 1);
	wr_u16be(&w, 0x0203);
	wr_u32be(&w, 0x04050607);
	assert_false(w.bad);
	wr_bytes(&w, NULL, 0);
	assert_false(w.bad);
	wr_u8(&w, 8);
	assert_true(w.bad);
	assert_memory_equal(bytes, ((uint8_t[]){1, 2, 3, 4, 5, 6, 7, 0}), 8);
	w = wr_of(bytes, 3);
	wr_span(&w, span_str("long"));
	assert_true(w.bad);
	wr_u8(&w, 9); /* it would fit, but what goes before is missing */
	assert_int_equal(w.left, 3);
	assert_int_equal(bytes[0], 1);
	assert_true(span_equal(span_of(NULL, 0), span_str("")));
	assert_false(span_equal(span_str("a"), span_str("b")));
	assert_false(span_equal(span_str("a"), span_str("ab")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_map_finds_what_was_put_and_not_taken),
		cmocka_unit_test(a_hash_depends_on_every_byte_the_length_and_the_seed),
		cmocka_unit_test(hashes_of_short_topics_spread_over_low_and_high_bits),
		cmocka_unit_test(a_list_keeps_its_order),
		cmocka_unit_test(a_reader_stops_at_the_end_for_good),
		cmocka_unit_test(a_writer_stops_at_the_end_for_good),
	};

	return cmocka_run_group_tests_name("base_hmap", tests, NULL, NULL);
}

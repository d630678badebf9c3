#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mqtt/topic_tree.h"

#define SEED     3
#define CHILDREN 1000000u

static unsigned nfreed;

static void count_free(void *value)
{
	(void)value;
	nfreed++;
}

static void put(struct topic_tree *t, struct epoch_reader *me, struct topic_levels *l, const char *topic)
{
	struct topic_node *node;

	assert_true(topic_levels_split(l, SEED, span_str(topic)));
	assert_int_equal(topic_tree_get(t, me, l, &node), OK);
	assert_int_equal(topic_node_cas(node, NULL, &nfreed), TOPIC_CAS_DONE);
}

/* When each child is looked for from the start of the table, this takes hours. */
static void a_level_of_a_million_children_is_destroyed_in_linear_time(void **state)
{
	struct topic_levels *l = topic_levels_create(4);
	struct epoch_domain *domain;
	struct epoch_reader *me;
	struct topic_tree *t;
	char topic[32];

	(void)state;
	assert_non_null(l);
	assert_int_equal(epoch_domain_create(&domain), OK);
	assert_int_equal(epoch_reader_create(domain, &me), OK);
	assert_int_equal(topic_tree_create(SEED, &t), OK);
	for (unsigned i = 0; i < CHILDREN; i++) {
		snprintf(topic, sizeof(topic), i % 2 ? "a/%u" : "a/%u/b", i);
		put(t, me, l, topic);
		if (i % 1000 == 0)
			epoch_quiescent(me);
	}
	nfreed = 0;
	topic_tree_destroy(t, count_free);
	assert_int_equal(nfreed, CHILDREN);
	epoch_reader_destroy(me);
	epoch_domain_destroy(domain);
	free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_level_of_a_million_children_is_destroyed_in_linear_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

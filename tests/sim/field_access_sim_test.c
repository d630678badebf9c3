/*
 * Tags as views see them, and writes that are answered by a call.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "field/access.h"
#include "field_world.h"

static const char yaml[] =
	"gateway: {name: plant1}\n"
	"lines: [{name: press, type: modbus-tcp, host: press}, {name: gone, type: modbus-tcp, host: gone, "
	"timeout: 100ms}]\n"
	"devices:\n"
	"  - {name: m, line: press, tags: [\n"
	"      {name: a, address: 'holding:0', type: int16, access: rw, min: 0, max: 500, deadband: 100},\n"
	"      {name: b, address: 'holding:1', type: int16},\n"
	"      {name: s, address: 'holding:10', type: string, length: 4, access: rw}]}\n"
	"  - {name: x, line: gone, tags: [{name: a, address: 'holding:0', type: int16, access: rw}]}\n";

struct asker {
	struct field_write w;
	unsigned answers;
	bool ok;
	char error[32];
	struct tag_value value;
	void (*again)(struct asker *a); /* asks for another write when this one is answered */
	struct world *world;
};

static void done(struct field_write *w, const struct set_outcome *o)
{
	struct asker *a = w->owner;

	a->answers++;
	a->ok = o->ok;
	a->value = o->value;
	snprintf(a->error, sizeof(a->error), "%s", o->error ? o->error : "");
	if (a->again)
		a->again(a);
}

static void ask(struct world *w, struct asker *a, const char *device, const char *tag, int64_t value)
{
	*a = (struct asker){.w = {.value = tag_int(value), .done = done, .owner = a}};
	field_write(w->field, field_find_tag(w->field, device, tag), &a->w);
}

static void tags_are_found_and_hold_what_was_read_last(void **state)
{
	struct world *w = world_create(40);
	struct sim_device *d = world_device(w, "press");

	(void)state;
	d->regs[0] = 7;
	world_apply(w, yaml);
	assert_int_equal(field_tag_now(field_find_tag(w->field, "m", "a")).reason, REASON_OFFLINE);
	world_run(w, 1500);
	assert_non_null(field_find_tag(w->field, "m", "s"));
	assert_null(field_find_tag(w->field, "m", "c"));
	assert_null(field_find_tag(w->field, "y", "a"));
	d->regs[0] = 70; /* within the dead-band: not published, but known */
	world_run(w, 1500);
	assert_true(world_has(w, "plant1/m/a", "\"value\":7,"));
	assert_int_equal(field_tag_now(field_find_tag(w->field, "m", "a")).value.i, 70);
	world_destroy(w);
}

static void a_write_is_answered_once_by_a_call(void **state)
{
	struct world *w = world_create(41);
	struct sim_device *d = world_device(w, "press");
	struct asker good, range, fixed, offline, cancelled;

	(void)state;
	world_apply(w, yaml);
	world_run(w, 3000);
	ask(w, &good, "m", "a", 300);
	ask(w, &range, "m", "a", 501);
	ask(w, &fixed, "m", "b", 1);
	ask(w, &offline, "x", "a", 1);
	assert_string_equal(range.error, "range");
	assert_string_equal(fixed.error, "read_only");
	assert_string_equal(offline.error, "offline");
	assert_int_equal(good.answers, 0);
	world_run(w, 1000);
	assert_true(good.ok);
	assert_int_equal(good.value.i, 300);
	assert_int_equal(d->regs[0], 300);
	device_hang(d);
	ask(w, &cancelled, "m", "a", 5);
	field_destroy(w->field);
	w->field = NULL;
	assert_string_equal(cancelled.error, "cancelled");
	assert_int_equal(good.answers + range.answers + fixed.answers + offline.answers + cancelled.answers,
			 5);
	world_destroy(w);
}

static void a_write_that_nobody_waits_for_is_carried_out_all_the_same(void **state)
{
	struct world *w = world_create(42);
	struct sim_device *d = world_device(w, "press");
	struct asker a;

	(void)state;
	world_apply(w, yaml);
	world_run(w, 1000);
	ask(w, &a, "m", "a", 9);
	field_write_forget(&a.w);
	world_run(w, 1000);
	assert_int_equal(a.answers, 0);
	assert_int_equal(d->regs[0], 9);
	world_destroy(w);
}

static struct asker asked_inside;

static void ask_for_3(struct asker *a)
{
	ask(a->world, &asked_inside, "m", "a", 3);
}

static void the_order_is_kept_when_an_answer_asks_for_another_write(void **state)
{
	struct world *w = world_create(45);
	struct sim_device *d = world_device(w, "press");
	struct asker first, second;

	(void)state;
	world_apply(w, yaml);
	world_run(w, 1000);
	ask(w, &first, "m", "a", 1);
	first.world = w;
	first.again = ask_for_3;
	ask(w, &second, "m", "a", 2); /* and after it, from inside the answer to the first, 3 */
	world_run(w, 1000);
	assert_string_equal(first.error, "superseded");
	assert_string_equal(second.error, "superseded");
	assert_true(asked_inside.ok);
	assert_int_equal(d->regs[0], 3);
	assert_int_equal(d->writes, 1);
	world_destroy(w);
}

static void ask_all_again(struct asker *a)
{
	if (a->answers < 1000)
		field_write(a->world->field, field_find_tag(a->world->field, "all", "x"), &a->w);
}

/* Units that none answers for are written although the line is down: each time it is tried. */
static void an_answer_that_asks_again_and_again_does_not_stop_the_field_side(void **state)
{
	struct world *w = world_create(46);
	struct asker a;

	(void)state;
	world_apply(w, "gateway: {name: plant1}\n"
		       "lines: [{name: bus, type: rtu-over-tcp, host: bus, timeout: 200ms}]\n"
		       "devices:\n"
		       "  - {name: all, line: bus, unit: 0, tags: [{name: x, address: 'holding:3', type: "
		       "int16, access: rw}]}\n");
	ask(w, &a, "all", "x", 1);
	a.world = w;
	a.again = ask_all_again;
	while (a.answers == 0)
		world_run(w, 1);
	assert_in_range(a.answers, 1, 50);
	assert_string_equal(a.error, "offline");
	a.again = NULL;
	world_run(w, 1000);
	world_destroy(w);
}

struct watch {
	struct field_watcher watcher;
	struct field *field;
	const struct tag *tag; /* that it counts the samples of */
	unsigned samples, applied;
};

static void on_sample(struct field_watcher *f, struct tag *t, const struct tag_sample *s)
{
	struct watch *x = container_of(f, struct watch, watcher);

	x->samples += t == x->tag && s->quality == QUALITY_GOOD;
}

static void on_applied(struct field_watcher *f)
{
	struct watch *x = container_of(f, struct watch, watcher);

	x->applied++;
	x->tag = field_find_tag(x->field, "m", "b");
}

static void a_watcher_sees_every_sample_and_each_configuration(void **state)
{
	struct world *w = world_create(43);
	struct watch x = {.watcher = {.sample = on_sample, .applied = on_applied}};

	(void)state;
	world_device(w, "press");
	x.field = w->field;
	field_watch(w->field, &x.watcher);
	world_apply(w, yaml);
	world_run(w, 5500);
	assert_int_equal(x.applied, 1);
	assert_in_range(x.samples, 5, 7);
	field_unwatch(&x.watcher);
	world_run(w, 5000);
	assert_in_range(x.samples, 5, 7);
	world_destroy(w);
}

/* Takes another one, or itself, off the list while that is gone through. */
struct quitter {
	struct field_watcher watcher;
	struct field_watcher *victims[2];
	unsigned calls;
};

static void on_applied_quit(struct field_watcher *f)
{
	struct quitter *q = container_of(f, struct quitter, watcher);

	q->calls++;
	for (int i = 0; i < 2; i++)
		if (q->victims[i]) {
			field_unwatch(q->victims[i]);
			q->victims[i]->applied = NULL;
			q->victims[i]->sample = NULL;
		}
}

static void a_watcher_may_take_any_watcher_away(void **state)
{
	/* who takes whom away: the next, the last, itself and the next, the one before */
	static const struct {
		int who, victims[2];
		unsigned calls[4];
	} cases[] = {{0, {1, -1}, {1, 0, 1, 1}},
		     {0, {3, -1}, {1, 1, 1, 0}},
		     {1, {1, 2}, {1, 1, 0, 1}},
		     {2, {1, 3}, {1, 1, 1, 0}},
		     {3, {0, 3}, {1, 1, 1, 1}}};

	(void)state;
	for (size_t k = 0; k < sizeof(cases) / sizeof(*cases); k++) {
		struct world *w = world_create(44);
		struct quitter q[4] = {0};

		for (int i = 0; i < 4; i++) {
			q[i].watcher.applied = on_applied_quit;
			field_watch(w->field, &q[i].watcher);
		}
		for (int i = 0; i < 2; i++)
			if (cases[k].victims[i] >= 0)
				q[cases[k].who].victims[i] = &q[cases[k].victims[i]].watcher;
		world_apply(w, yaml);
		for (int i = 0; i < 4; i++) {
			assert_int_equal(q[i].calls, cases[k].calls[i]);
			field_unwatch(&q[i].watcher);
		}
		world_destroy(w);
	}
}

static struct tag *kept; /* of a device that is stopped before the asker's */

static void ask_kept(struct asker *a)
{
	a->again = NULL;
	assert_null(field_find_tag(a->world->field, "m", "a"));
	field_write(a->world->field, kept, &a->w);
}

static void an_answer_at_the_end_may_write_to_a_device_that_has_ended(void **state)
{
	struct world *w = world_create(45);
	struct asker a;

	(void)state;
	world_device(w, "press");
	world_device(w, "gone");
	world_apply(w, yaml);
	world_await(w, "plant1/x/a", "\"quality\":\"good\"", 2000);
	kept = field_find_tag(w->field, "m", "a");
	ask(w, &a, "x", "a", 5);
	a.again = ask_kept;
	a.world = w;
	world_destroy(w);
	assert_int_equal(a.answers, 2);
	assert_string_equal(a.error, "cancelled");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tags_are_found_and_hold_what_was_read_last),
		cmocka_unit_test(a_write_is_answered_once_by_a_call),
		cmocka_unit_test(a_write_that_nobody_waits_for_is_carried_out_all_the_same),
		cmocka_unit_test(the_order_is_kept_when_an_answer_asks_for_another_write),
		cmocka_unit_test(an_answer_that_asks_again_and_again_does_not_stop_the_field_side),
		cmocka_unit_test(a_watcher_sees_every_sample_and_each_configuration),
		cmocka_unit_test(a_watcher_may_take_any_watcher_away),
		cmocka_unit_test(an_answer_at_the_end_may_write_to_a_device_that_has_ended),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

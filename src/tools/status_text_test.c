#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/status_text.h"

/* What is printed, to free(). */
static char *printed(json_t *status)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	assert_non_null(status);
	status_print(status, f);
	assert_int_equal(fclose(f), 0);
	json_decref(status);
	return text;
}

static json_t *device(const char *name, const char *state, const char *error)
{
	return json_pack("{s:s, s:s, s:s, s:I, s:s}", "name", name, "line", "l", "state", state, "since_ms",
			 (json_int_t)1000, "last_error", error);
}

static void everything_has_its_line(void **state)
{
	static const char answer[] =
		"{\"version\":\"1.2.3\",\"gateway\":\"plant\",\"pid\":7,\"state\":\"running\",\"config\":\"g."
		"yaml\","
		"\"uptime_s\":93784,\"reloads\":{\"last\":\"refused\",\"last_ms\":1000,\"taken\":1,"
		"\"refused\":1},"
		"\"listeners\":[{\"name\":\"a\",\"protocol\":\"mqtt\",\"address\":\"127.0.0.1\",\"port\":"
		"1883},"
		"{\"name\":\"b\",\"protocol\":\"mqtt\",\"address\":\"::1\",\"port\":1884}],"
		"\"clients\":{\"connected\":3,\"maximum\":5,\"sessions\":4,\"connections\":3,"
		"\"connections_limit\":100},"
		"\"subscriptions\":6,\"shared_subscriptions\":2,"
		"\"retained\":{\"messages\":10,\"payload_bytes\":2048},"
		"\"queued\":{\"messages\":1,\"payload_bytes\":5},"
		"\"rates\":{\"received_per_s\":1.5,\"sent_per_s\":2.25,\"dropped_per_s\":0.5},"
		"\"dropped\":{\"qos0\":0,\"queue_full\":2,\"memory\":3},"
		"\"counters\":{\"messages_received\":100,\"messages_sent\":200,\"bytes_received\":1048576,"
		"\"bytes_sent\":10},"
		"\"store\":{\"path\":\"data\",\"durability\":\"fsync\",\"health\":\"ok\",\"commits\":40,"
		"\"commits_per_s\":2.5,\"failures\":1,\"rows\":300,\"rows_per_s\":30.0,\"elided\":700,"
		"\"rows_per_message\":0.3,\"commit_us_mean\":1250,\"commit_us_max\":20500,"
		"\"waiting_batches\":2,\"waiting_bytes\":2048,\"bytes\":1048576,\"max_bytes\":2097152},"
		"\"memory\":{\"resident_bytes\":1024,\"resident_maximum_bytes\":2048,\"clients_bytes\":512,"
		"\"limit_bytes\":4096},"
		"\"workers\":[{\"connections\":3,\"sessions\":4,\"subscriptions\":8,\"messages_received\":"
		"100,"
		"\"messages_sent\":200,\"handed_over\":9,\"queued_messages\":1,\"backlog_bytes\":1536}],"
		"\"lines\":[{\"name\":\"l\",\"state\":\"online\",\"devices\":1,\"online\":1,"
		"\"commands_waiting\":1,\"passes_waiting\":2,\"utilisation_percent\":42.3,\"sent\":900,"
		"\"timeouts\":5,\"crc\":6}],"
		"\"devices\":[{\"name\":\"d\",\"line\":\"l\",\"state\":\"online\",\"since_ms\":1000,"
		"\"last_error\":null,\"timeouts\":5,\"late\":7,\"response_ms\":{\"count\":2,\"mean\":8.25}}]"
		"}";
	char *text = printed(json_loads(answer, 0, NULL));

	(void)state;
	assert_string_equal(
		text,
		"Gateway        plant, running for 1 d 02:03:04, lineside 1.2.3, pid 7\n"
		"Configuration  g.yaml; read again 1970-01-01T00:00:01Z: refused, it runs on as it was; "
		"\"lineside check\" says why\n"
		"Listeners      a: mqtt on 127.0.0.1:1883\n"
		"               b: mqtt on [::1]:1884\n"
		"Clients        3 connected, at most 5 so far; 4 sessions; limit 100\n"
		"Subscriptions  6, and 2 shared\n"
		"Retained       10 messages, 2.0 KiB\n"
		"Queued         1 messages, 5 B\n"
		"Messages       100 in (1.5/s), 200 out (2.2/s)\n"
		"Bytes          1.0 MiB in, 10 B out\n"
		"Dropped        queue_full 2, memory 3 (0.5/s)\n"
		"Store          data, 1.0 MiB of 2.0 MiB, durability fsync; in order\n"
		"Commits        40 (2.5/s), 1.25 ms each, lately at most 20.50 ms; 1 failed; 2 waiting, 2.0 "
		"KiB\n"
		"Rows           300 written (30.0/s), 0.300 for each message; 700 not needed\n"
		"Memory         1.0 KiB, at most 2.0 KiB so far; clients hold 512 B of 4.0 KiB\n"
		"\n"
		"worker  connections  sessions  subscriptions   in  out  handed over  queued  backlog\n"
		"     0            3         4              8  100  200            9       1  1.5 KiB\n"
		"\n"
		"line  state   devices  online  used  sent  time-outs  broken  waiting\n"
		"l     online        1       1  42 %   900          5       6        3\n"
		"\n"
		"device  line  state   since                 answer  time-outs  late  last error\n"
		"d       l     online  1970-01-01T00:00:01Z  8.2 ms          5     7  \n");
	free(text);
}

static void an_answer_that_lacks_everything_is_printed(void **state)
{
	char *text = printed(json_object());

	(void)state;
	assert_non_null(strstr(text, "Dropped        none\n"));
	assert_non_null(strstr(text, "no limit\n"));
	assert_null(strstr(text, "worker"));
	free(text);
}

static void devices_that_are_not_online_come_first_and_the_rest_is_counted(void **state)
{
	json_t *list = json_array();
	char *text, name[16];

	(void)state;
	for (unsigned i = 0; i < STATUS_DEVICES_MAX + 5; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		assert_int_equal(
			json_array_append_new(
				list, device(name, i == STATUS_DEVICES_MAX + 4 ? "offline" : "online", "")),
			0);
	}
	text = printed(json_pack("{s:o}", "devices", list));
	assert_non_null(strstr(text, "last error\nd44 "));
	assert_non_null(strstr(text, "\nd38 "));
	assert_null(strstr(text, "\nd39 "));
	assert_non_null(strstr(text, "\nand 5 more devices; --json tells of all\n"));
	free(text);
}

static void what_a_device_said_does_not_reach_the_terminal_as_it_is(void **state)
{
	json_t *list = json_array();
	char *text;

	(void)state;
	assert_int_equal(json_array_append_new(list, device("d\xC3\xA9", "offline", "\033[2J\nno")), 0);
	text = printed(json_pack("{s:o}", "devices", list));
	assert_non_null(strstr(
		text,
		"\nd\xC3\xA9      l     offline  1970-01-01T00:00:01Z                  0     0  ?[2J?no\n"));
	free(text);
}

static void what_devices_refuse_is_told(void **state)
{
	json_t *d = device("d", "online", "x");
	char *text;

	(void)state;
	assert_int_equal(json_object_set_new(d, "refused", json_pack("[ss]", "holding:10", "coil:3-4")), 0);
	assert_int_equal(json_object_set_new(d, "refused_total", json_integer(5)), 0);
	text = printed(json_pack("{s:[o]}", "devices", d));
	assert_non_null(strstr(text, "\nd       holding:10, coil:3-4 and 3 more\n"));
	free(text);
}

static void a_line_in_its_safe_state_says_so(void **state)
{
	char *text = printed(json_pack("{s:[{s:s, s:s, s:b}]}", "lines", "name", "rack", "state", "online",
				       "safe_mode", 1));

	(void)state;
	assert_non_null(strstr(text, "\nrack  online, safe "));
	free(text);
}

static void an_uplink_is_one_line_with_the_sum_of_what_it_dropped(void **state)
{
	json_t *list =
		json_pack("[{s:s, s:s, s:i, s:i, s:i, s:i, s:{s:i, s:i}, s:s}]", "name", "cloud", "state",
			  "offline", "since", 1000, "acknowledged", 5, "received", 2, "queued", 7, "dropped",
			  "refused", 1, "expired", 3, "last_error", "nobody answers");
	char *text = printed(json_pack("{s:o}", "uplinks", list));

	(void)state;
	assert_non_null(strstr(
		text,
		"uplink  state    since                 sent  received  queued  dropped  last error\n"
		"cloud   offline  1970-01-01T00:00:01Z     5         2       7        4  nobody answers\n"));
	free(text);
}

static void a_view_has_its_line(void **state)
{
	char *text = printed(json_pack("{s:[{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}]}",
				       "views", "name", "modbus", "address", "::1", "port", 502, "tags", 7,
				       "connections", 2, "requests", 100, "exceptions", 3, "passed", 50,
				       "limited", 4, "forbidden", 5, "refused", 6));

	(void)state;
	assert_non_null(strstr(
		text, "Modbus view    [::1]:502, tags: 7, masters: 2; 100 requests, 3 exceptions, 50 passed "
		      "on; 4 too fast, 5 not allowed, 6 masters turned away\n"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_view_has_its_line),
		cmocka_unit_test(an_uplink_is_one_line_with_the_sum_of_what_it_dropped),
		cmocka_unit_test(everything_has_its_line),
		cmocka_unit_test(an_answer_that_lacks_everything_is_printed),
		cmocka_unit_test(devices_that_are_not_online_come_first_and_the_rest_is_counted),
		cmocka_unit_test(a_line_in_its_safe_state_says_so),
		cmocka_unit_test(what_devices_refuse_is_told),
		cmocka_unit_test(what_a_device_said_does_not_reach_the_terminal_as_it_is),
	};

	return cmocka_run_group_tests_name("status_text", tests, NULL, NULL);
}

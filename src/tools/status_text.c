#include "tools/status_text.h"

#include <stdbool.h>
#include <string.h>

#include "tools/text.h"

/* ---- reading ---- */

static long long num(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void print_more(const json_t *list, const struct table *t, const char *what, FILE *to)
{
	size_t all = json_array_size(list);

	if (all > t->nrows)
		fprintf(to, "and %zu more %s; --json tells of all\n", all - t->nrows, what);
}

static void print_workers(const json_t *list, FILE *to)
{
	static const char *const titles[] = {">worker", ">connections", ">sessions", ">subscriptions", ">in",
					     ">out",    ">handed over", ">queued",   ">backlog"};
	static const char *const keys[] = {"connections",       "sessions",      "subscriptions",
					   "messages_received", "messages_sent", "handed_over",
					   "queued_messages"};
	struct table t;
	char buf[32];

	t.titles = titles;
	t.ncolumns = sizeof(titles) / sizeof(titles[0]);
	for (t.nrows = 0; t.nrows < json_array_size(list) && t.nrows < TABLE_ROWS_MAX; t.nrows++) {
		const json_t *w = json_array_get(list, t.nrows);

		table_set_num(&t, 0, (long long)t.nrows);
		for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
			table_set_num(&t, i + 1, num(w, keys[i]));
		table_set_text(&t, 8, text_bytes(num(w, "backlog_bytes"), buf, sizeof(buf)));
	}
	table_print(&t, to);
}

static void print_lines(const json_t *list, FILE *to)
{
	static const char *const titles[] = {"<line", "<state",     ">devices", ">online", ">used",
					     ">sent", ">time-outs", ">broken",  ">waiting"};
	struct table t;
	char used[32];

	t.titles = titles;
	t.ncolumns = sizeof(titles) / sizeof(titles[0]);
	for (t.nrows = 0; t.nrows < json_array_size(list) && t.nrows < TABLE_ROWS_MAX; t.nrows++) {
		const json_t *l = json_array_get(list, t.nrows);
		char state[64];

		table_set_text(&t, 0, str(l, "name"));
		snprintf(state, sizeof(state), "%s%s", str(l, "state"),
			 json_is_true(json_object_get(l, "safe_mode")) ? ", safe" : "");
		table_set_text(&t, 1, state);
		table_set_num(&t, 2, num(l, "devices"));
		table_set_num(&t, 3, num(l, "online"));
		snprintf(used, sizeof(used), "%.0f %%",
			 json_number_value(json_object_get(l, "utilisation_percent")));
		table_set_text(&t, 4, used);
		table_set_num(&t, 5, num(l, "sent"));
		table_set_num(&t, 6, num(l, "timeouts"));
		table_set_num(&t, 7, num(l, "crc"));
		table_set_num(&t, 8, num(l, "commands_waiting") + num(l, "passes_waiting"));
	}
	table_print(&t, to);
	print_more(list, &t, "lines", to);
}

static bool is_online(const json_t *device)
{
	return strcmp(str(device, "state"), "online") == 0;
}

/* How long it takes to answer, on average. */
static const char *answer_time(const json_t *device, char *buf, size_t size)
{
	const json_t *times = json_object_get(device, "response_ms");

	if (num(times, "count") == 0)
		return "";
	snprintf(buf, size, "%.1f ms", json_number_value(json_object_get(times, "mean")));
	return buf;
}

static void add_devices(struct table *t, const json_t *list, bool online)
{
	for (size_t i = 0; i < json_array_size(list) && t->nrows < STATUS_DEVICES_MAX; i++) {
		const json_t *d = json_array_get(list, i);
		char buf[32];

		if (is_online(d) != online)
			continue;
		table_set_text(t, 0, str(d, "name"));
		table_set_text(t, 1, str(d, "line"));
		table_set_text(t, 2, str(d, "state"));
		table_set_text(t, 3, text_time(num(d, "since_ms"), buf, sizeof(buf)));
		table_set_text(t, 4, answer_time(d, buf, sizeof(buf)));
		table_set_num(t, 5, num(d, "timeouts"));
		table_set_num(t, 6, num(d, "late"));
		table_set_text(t, 7, str(d, "last_error"));
		t->nrows++;
	}
}

/* "holding:10, holding:20-21 and 3 more" */
static void refused_text(const json_t *device, char *text, size_t size)
{
	const json_t *refused = json_object_get(device, "refused");
	size_t shown = json_array_size(refused), at = 0;
	long long all = num(device, "refused_total");

	for (size_t i = 0; i < shown && at < size; i++) {
		const char *range = json_string_value(json_array_get(refused, i));

		at += (size_t)snprintf(text + at, size - at, "%s%s", i ? ", " : "", range ? range : "");
	}
	if (all > (long long)shown && at < size)
		snprintf(text + at, size - at, " and %lld more", all - (long long)shown);
}

static void print_refused(const json_t *list, FILE *to)
{
	static const char *const titles[] = {"<device", "<does not let itself be read at"};
	struct table t;

	t.titles = titles;
	t.ncolumns = sizeof(titles) / sizeof(titles[0]);
	t.nrows = 0;
	for (size_t i = 0; i < json_array_size(list) && t.nrows < TABLE_ROWS_MAX; i++) {
		const json_t *d = json_array_get(list, i);
		char text[TABLE_CELL_BYTES];

		if (json_array_size(json_object_get(d, "refused")) == 0)
			continue;
		refused_text(d, text, sizeof(text));
		table_set_text(&t, 0, str(d, "name"));
		table_set_text(&t, 1, text);
		t.nrows++;
	}
	if (t.nrows > 0)
		table_print(&t, to);
}

static void print_devices(const json_t *list, FILE *to)
{
	static const char *const titles[] = {"<device", "<line",      "<state", "<since",
					     ">answer", ">time-outs", ">late",  "<last error"};
	struct table t;

	t.titles = titles;
	t.ncolumns = sizeof(titles) / sizeof(titles[0]);
	t.nrows = 0;
	add_devices(&t, list, false);
	add_devices(&t, list, true);
	table_print(&t, to);
	print_more(list, &t, "devices", to);
	print_refused(list, to);
}

/* ---- uplinks ---- */

static long long sum(json_t *numbers)
{
	const char *name;
	long long all = 0;
	json_t *n;

	json_object_foreach(numbers, name, n)
	{
		(void)name;
		all += (long long)json_integer_value(n);
	}
	return all;
}

static void print_uplinks(const json_t *list, FILE *to)
{
	static const char *const titles[] = {"<uplink",   "<state",  "<since",   ">sent",
					     ">received", ">queued", ">dropped", "<last error"};
	struct table t;
	char buf[32];

	t.titles = titles;
	t.ncolumns = sizeof(titles) / sizeof(titles[0]);
	for (t.nrows = 0; t.nrows < json_array_size(list) && t.nrows < TABLE_ROWS_MAX; t.nrows++) {
		const json_t *u = json_array_get(list, t.nrows);

		table_set_text(&t, 0, str(u, "name"));
		table_set_text(&t, 1, str(u, "state"));
		table_set_text(&t, 2, text_time(num(u, "since"), buf, sizeof(buf)));
		table_set_num(&t, 3, num(u, "acknowledged"));
		table_set_num(&t, 4, num(u, "received"));
		table_set_num(&t, 5, num(u, "queued"));
		table_set_num(&t, 6, sum(json_object_get(u, "dropped")));
		table_set_text(&t, 7, str(u, "last_error"));
	}
	table_print(&t, to);
	print_more(list, &t, "uplinks", to);
}

/* ---- the rest ---- */

static void print_head(const json_t *s, FILE *to)
{
	const json_t *r = json_object_get(s, "reloads");
	char buf[64];

	fprintf(to, "%-14s %s, %s for %s, lineside %s, pid %lld\n", "Gateway", str(s, "gateway"),
		str(s, "state"), text_duration(num(s, "uptime_s"), buf, sizeof(buf)), str(s, "version"),
		num(s, "pid"));
	fprintf(to, "%-14s %s", "Configuration", *str(s, "config") ? str(s, "config") : "the default");
	if (num(r, "last_ms"))
		fprintf(to, "; read again %s: %s", text_time(num(r, "last_ms"), buf, sizeof(buf)),
			strcmp(str(r, "last"), "refused") == 0
				? "refused, it runs on as it was; \"lineside check\" says why"
				: "taken");
	fputc('\n', to);
}

static void print_listeners(const json_t *list, FILE *to)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *l = json_array_get(list, i);
		bool is_v6 = strchr(str(l, "address"), ':') != NULL;

		fprintf(to, "%-14s %s: %s on %s%s%s:%lld\n", i ? "" : "Listeners", str(l, "name"),
			str(l, "protocol"), is_v6 ? "[" : "", str(l, "address"), is_v6 ? "]" : "",
			num(l, "port"));
	}
}

static void print_rate(const json_t *rates, const char *key, FILE *to)
{
	if (json_is_object(rates))
		fprintf(to, " (%.1f/s)", json_number_value(json_object_get(rates, key)));
}

static void print_traffic(const json_t *s, FILE *to)
{
	const json_t *c = json_object_get(s, "counters"), *rates = json_object_get(s, "rates");
	char in[32], out[32];

	fprintf(to, "%-14s %lld in", "Messages", num(c, "messages_received"));
	print_rate(rates, "received_per_s", to);
	fprintf(to, ", %lld out", num(c, "messages_sent"));
	print_rate(rates, "sent_per_s", to);
	fprintf(to, "\n%-14s %s in, %s out\n", "Bytes", text_bytes(num(c, "bytes_received"), in, sizeof(in)),
		text_bytes(num(c, "bytes_sent"), out, sizeof(out)));
}

static void print_drops(const json_t *s, FILE *to)
{
	const char *cause, *before = "";
	json_t *n;

	fprintf(to, "%-14s ", "Dropped");
	json_object_foreach(json_object_get(s, "dropped"), cause, n)
	{
		if (json_integer_value(n) == 0)
			continue;
		fprintf(to, "%s%s %lld", before, cause, (long long)json_integer_value(n));
		before = ", ";
	}
	if (*before)
		print_rate(json_object_get(s, "rates"), "dropped_per_s", to);
	fputs(*before ? "\n" : "none\n", to);
}

static void print_kept(const char *title, const json_t *kept, FILE *to)
{
	char buf[32];

	fprintf(to, "%-14s %lld messages, %s\n", title, num(kept, "messages"),
		text_bytes(num(kept, "payload_bytes"), buf, sizeof(buf)));
}

static void print_clients(const json_t *s, FILE *to)
{
	const json_t *c = json_object_get(s, "clients");

	fprintf(to, "%-14s %lld connected, at most %lld so far; %lld sessions; limit %lld\n", "Clients",
		num(c, "connected"), num(c, "maximum"), num(c, "sessions"), num(c, "connections_limit"));
	fprintf(to, "%-14s %lld, and %lld shared\n", "Subscriptions", num(s, "subscriptions"),
		num(s, "shared_subscriptions"));
}

static void print_memory(const json_t *m, FILE *to)
{
	char now[32], most[32], clients[32], limit[32];

	fprintf(to, "%-14s %s, at most %s so far; clients hold %s", "Memory",
		text_bytes(num(m, "resident_bytes"), now, sizeof(now)),
		text_bytes(num(m, "resident_maximum_bytes"), most, sizeof(most)),
		text_bytes(num(m, "clients_bytes"), clients, sizeof(clients)));
	if (num(m, "limit_bytes"))
		fprintf(to, " of %s\n", text_bytes(num(m, "limit_bytes"), limit, sizeof(limit)));
	else
		fputs(", no limit\n", to);
}

static double real(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

/* A rate is null in the first second. */
static void print_rate_of(const json_t *o, const char *key, FILE *to)
{
	if (json_is_number(json_object_get(o, key)))
		fprintf(to, " (%.1f/s)", real(o, key));
}

static const char *health_text(const char *word)
{
	static const char *const texts[][2] = {
		{"ok", "in order"},
		{"full", "FULL: what would have to be stored is refused; make room on the disk, or raise "
			 "storage.max_bytes"},
		{"failing",
		 "FAILING: what would have to be stored is refused; the log says why, and the disk is "
		 "tried again every second"},
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(texts[i][0], word) == 0)
			return texts[i][1];
	return word;
}

static void print_views(const json_t *list, FILE *to)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		bool is_v6 = strchr(str(v, "address"), ':') != NULL;

		fprintf(to, "%-14s %s%s%s:%lld, tags: %lld, masters: %lld; %lld requests, %lld exceptions, ",
			"Modbus view", is_v6 ? "[" : "", str(v, "address"), is_v6 ? "]" : "", num(v, "port"),
			num(v, "tags"), num(v, "connections"), num(v, "requests"), num(v, "exceptions"));
		fprintf(to, "%lld passed on; %lld too fast, %lld not allowed, %lld masters turned away\n",
			num(v, "passed"), num(v, "limited"), num(v, "forbidden"), num(v, "refused"));
	}
}

static void print_store(const json_t *s, FILE *to)
{
	char size[32], limit[32], waiting[32];

	if (!json_is_object(s)) {
		fprintf(to, "%-14s none: all is in memory and ends with the process\n", "Store");
		return;
	}
	fprintf(to, "%-14s %s, %s", "Store", str(s, "path"), text_bytes(num(s, "bytes"), size, sizeof(size)));
	if (num(s, "max_bytes"))
		fprintf(to, " of %s", text_bytes(num(s, "max_bytes"), limit, sizeof(limit)));
	fprintf(to, ", durability %s; %s\n", str(s, "durability"), health_text(str(s, "health")));
	fprintf(to, "%-14s %lld", "Commits", num(s, "commits"));
	print_rate_of(s, "commits_per_s", to);
	fprintf(to, ", %.2f ms each, lately at most %.2f ms; %lld failed; %lld waiting, %s\n",
		real(s, "commit_us_mean") / 1000, real(s, "commit_us_max") / 1000, num(s, "failures"),
		num(s, "waiting_batches"), text_bytes(num(s, "waiting_bytes"), waiting, sizeof(waiting)));
	fprintf(to, "%-14s %lld written", "Rows", num(s, "rows"));
	print_rate_of(s, "rows_per_s", to);
	fprintf(to, ", %.3f for each message; %lld not needed\n", real(s, "rows_per_message"),
		num(s, "elided"));
}

void status_print(const json_t *status, FILE *to)
{
	print_head(status, to);
	print_listeners(json_object_get(status, "listeners"), to);
	print_views(json_object_get(status, "views"), to);
	print_clients(status, to);
	print_kept("Retained", json_object_get(status, "retained"), to);
	print_kept("Queued", json_object_get(status, "queued"), to);
	print_traffic(status, to);
	print_drops(status, to);
	print_store(json_object_get(status, "store"), to);
	print_memory(json_object_get(status, "memory"), to);
	print_workers(json_object_get(status, "workers"), to);
	print_lines(json_object_get(status, "lines"), to);
	print_uplinks(json_object_get(status, "uplinks"), to);
	print_devices(json_object_get(status, "devices"), to);
}

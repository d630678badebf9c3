#include "tools/status_text.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

#define CELL_BYTES  104u
#define COLUMNS_MAX 10u
#define ROWS_MAX    (STATUS_DEVICES_MAX + 64u) /* as many workers as there can be fit, too */

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

/* ---- words ---- */

static const char *bytes_text(long long n, char *buf, size_t size)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double value = (double)n;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	snprintf(buf, size, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return buf;
}

static const char *duration_text(long long s, char *buf, size_t size)
{
	if (s >= 86400)
		snprintf(buf, size, "%lld d %02lld:%02lld:%02lld", s / 86400, s / 3600 % 24, s / 60 % 60,
			 s % 60);
	else
		snprintf(buf, size, "%02lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
	return buf;
}

static const char *time_text(long long ms, char *buf, size_t size)
{
	time_t s = (time_t)(ms / 1000);
	struct tm tm;

	if (ms <= 0 || !gmtime_r(&s, &tm) || strftime(buf, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(buf, size, "never");
	return buf;
}

/* ---- tables ---- */

struct table {
	const char *const *titles; /* "<" in front: to the left */
	size_t ncolumns, nrows;
	char cells[ROWS_MAX][COLUMNS_MAX][CELL_BYTES];
};

/* What a device told is shown, not obeyed by the terminal. */
static void set_text(struct table *t, size_t column, const char *text)
{
	char *cell = t->cells[t->nrows][column];

	snprintf(cell, CELL_BYTES, "%s", text);
	for (; *cell; cell++)
		if ((unsigned char)*cell < ' ' || *cell == 0x7F)
			*cell = '?';
}

static void set_num(struct table *t, size_t column, long long n)
{
	snprintf(t->cells[t->nrows][column], CELL_BYTES, "%lld", n);
}

/* Characters, as far as each takes one column. */
static size_t width_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xC0) != 0x80;
	return n;
}

static void print_cell(const char *text, size_t width, bool left, bool last, FILE *to)
{
	int pad = (int)(width - width_of(text));

	if (left)
		fprintf(to, "%s%*s", text, last ? 0 : pad, "");
	else
		fprintf(to, "%*s%s", pad, "", text);
	fputs(last ? "\n" : "  ", to);
}

static void table_print(const struct table *t, FILE *to)
{
	size_t width[COLUMNS_MAX];

	if (t->nrows == 0)
		return;
	fputc('\n', to);
	for (size_t c = 0; c < t->ncolumns; c++) {
		width[c] = width_of(t->titles[c] + 1);
		for (size_t r = 0; r < t->nrows; r++)
			if (width_of(t->cells[r][c]) > width[c])
				width[c] = width_of(t->cells[r][c]);
	}
	for (size_t c = 0; c < t->ncolumns; c++)
		print_cell(t->titles[c] + 1, width[c], t->titles[c][0] == '<', c + 1 == t->ncolumns, to);
	for (size_t r = 0; r < t->nrows; r++)
		for (size_t c = 0; c < t->ncolumns; c++)
			print_cell(t->cells[r][c], width[c], t->titles[c][0] == '<', c + 1 == t->ncolumns,
				   to);
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
	for (t.nrows = 0; t.nrows < json_array_size(list) && t.nrows < ROWS_MAX; t.nrows++) {
		const json_t *w = json_array_get(list, t.nrows);

		set_num(&t, 0, (long long)t.nrows);
		for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
			set_num(&t, i + 1, num(w, keys[i]));
		set_text(&t, 8, bytes_text(num(w, "backlog_bytes"), buf, sizeof(buf)));
	}
	table_print(&t, to);
}

static void print_lines(const json_t *list, FILE *to)
{
	static const char *const titles[] = {"<line", "<state", ">devices", ">online", ">commands waiting"};
	struct table t;

	t.titles = titles;
	t.ncolumns = sizeof(titles) / sizeof(titles[0]);
	for (t.nrows = 0; t.nrows < json_array_size(list) && t.nrows < ROWS_MAX; t.nrows++) {
		const json_t *l = json_array_get(list, t.nrows);

		set_text(&t, 0, str(l, "name"));
		set_text(&t, 1, str(l, "state"));
		set_num(&t, 2, num(l, "devices"));
		set_num(&t, 3, num(l, "online"));
		set_num(&t, 4, num(l, "commands_waiting"));
	}
	table_print(&t, to);
	print_more(list, &t, "lines", to);
}

static bool is_online(const json_t *device)
{
	return strcmp(str(device, "state"), "online") == 0;
}

static void add_devices(struct table *t, const json_t *list, bool online)
{
	for (size_t i = 0; i < json_array_size(list) && t->nrows < STATUS_DEVICES_MAX; i++) {
		const json_t *d = json_array_get(list, i);
		char buf[32];

		if (is_online(d) != online)
			continue;
		set_text(t, 0, str(d, "name"));
		set_text(t, 1, str(d, "line"));
		set_text(t, 2, str(d, "state"));
		set_text(t, 3, time_text(num(d, "since_ms"), buf, sizeof(buf)));
		set_text(t, 4, str(d, "last_error"));
		t->nrows++;
	}
}

static void print_devices(const json_t *list, FILE *to)
{
	static const char *const titles[] = {"<device", "<line", "<state", "<since", "<last error"};
	struct table t;

	t.titles = titles;
	t.ncolumns = sizeof(titles) / sizeof(titles[0]);
	t.nrows = 0;
	add_devices(&t, list, false);
	add_devices(&t, list, true);
	table_print(&t, to);
	print_more(list, &t, "devices", to);
}

/* ---- the rest ---- */

static void print_head(const json_t *s, FILE *to)
{
	const json_t *r = json_object_get(s, "reloads");
	char buf[64];

	fprintf(to, "%-14s %s, %s for %s, lineside %s, pid %lld\n", "Gateway", str(s, "gateway"),
		str(s, "state"), duration_text(num(s, "uptime_s"), buf, sizeof(buf)), str(s, "version"),
		num(s, "pid"));
	fprintf(to, "%-14s %s", "Configuration", *str(s, "config") ? str(s, "config") : "the default");
	if (num(r, "last_ms"))
		fprintf(to, "; read again %s: %s", time_text(num(r, "last_ms"), buf, sizeof(buf)),
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
	fprintf(to, "\n%-14s %s in, %s out\n", "Bytes", bytes_text(num(c, "bytes_received"), in, sizeof(in)),
		bytes_text(num(c, "bytes_sent"), out, sizeof(out)));
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
		bytes_text(num(kept, "payload_bytes"), buf, sizeof(buf)));
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
		bytes_text(num(m, "resident_bytes"), now, sizeof(now)),
		bytes_text(num(m, "resident_maximum_bytes"), most, sizeof(most)),
		bytes_text(num(m, "clients_bytes"), clients, sizeof(clients)));
	if (num(m, "limit_bytes"))
		fprintf(to, " of %s\n", bytes_text(num(m, "limit_bytes"), limit, sizeof(limit)));
	else
		fputs(", no limit\n", to);
}

void status_print(const json_t *status, FILE *to)
{
	print_head(status, to);
	print_listeners(json_object_get(status, "listeners"), to);
	print_clients(status, to);
	print_kept("Retained", json_object_get(status, "retained"), to);
	print_kept("Queued", json_object_get(status, "queued"), to);
	print_traffic(status, to);
	print_drops(status, to);
	print_memory(json_object_get(status, "memory"), to);
	print_workers(json_object_get(status, "workers"), to);
	print_lines(json_object_get(status, "lines"), to);
	print_devices(json_object_get(status, "devices"), to);
}

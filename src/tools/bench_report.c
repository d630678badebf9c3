#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "tools/bench_report.h"

void bench_tell(struct bench_report *r, const char *key, const char *label, double value, int decimals)
{
	if (r->nfacts < BENCH_FACTS)
		r->facts[r->nfacts++] =
			(struct bench_fact){key, label, isfinite(value) ? value : 0, decimals};
}

static const struct {
	double share;
	const char *keys[2], *labels[2];
} percentiles[] = {
	{0.5, {"latency_p50_us", "ack_p50_us"}, {"latency p50, us", "acknowledged p50, us"}},
	{0.9, {"latency_p90_us", "ack_p90_us"}, {"latency p90, us", "acknowledged p90, us"}},
	{0.99, {"latency_p99_us", "ack_p99_us"}, {"latency p99, us", "acknowledged p99, us"}},
	{0.999, {"latency_p999_us", "ack_p999_us"}, {"latency p99.9, us", "acknowledged p99.9, us"}},
	{1, {"latency_max_us", "ack_max_us"}, {"latency max, us", "acknowledged max, us"}},
};

void bench_tell_latency(struct bench_report *r, bool is_ack, const struct bench_hist *h)
{
	if (h->count == 0)
		return;
	for (size_t i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++)
		bench_tell(r, percentiles[i].keys[is_ack], percentiles[i].labels[is_ack],
			   (double)bench_hist_at(h, percentiles[i].share) / 1000, 1);
}

void bench_tell_faults(struct bench_report *r, const struct bench_load *l, const struct bench_totals *t)
{
	const struct {
		const char *key, *label;
		uint64_t count;
	} rows[] = {
		{"lost", "lost", t->expected > t->delivered ? t->expected - t->delivered : 0},
		{"duplicates", "repeated", t->duplicates},
		{"out_of_order", "out of order", t->reordered},
		{"wrong", "wrong or not ours", t->wrong},
		{"unacknowledged", "not acknowledged", l->o->qos > 0 ? t->sent - t->acked : 0},
		{"refused", "refused", t->refused},
		{"disconnects", "connections that broke", t->broken},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bench_tell(r, rows[i].key, rows[i].label, (double)rows[i].count, 0);
		r->is_bad |= rows[i].count > 0;
	}
	if (t->broken > 0)
		snprintf(r->note, sizeof(r->note), "%" PRIu64 " connections broke; the first: %s", t->broken,
			 l->fault);
}

static void print_json(const struct bench_report *r)
{
	printf("{\"mode\": \"%s\"", bench_mode_name(r->o->mode));
	for (unsigned i = 0; i < r->nfacts; i++)
		printf(", \"%s\": %.*f", r->facts[i].key, r->facts[i].decimals, r->facts[i].value);
	printf("}\n");
}

/* 1234567.8 as 1,234,567.8 */
static void group(char *to, size_t room, double value, int decimals)
{
	char plain[64];
	int len = snprintf(plain, sizeof(plain), "%.*f", decimals, value);
	int whole = len - (decimals > 0 ? decimals + 1 : 0);
	size_t at = 0;

	for (int i = 0; i < len && at + 2 < room; i++) {
		if (i > 0 && i < whole && (whole - i) % 3 == 0 && plain[i - 1] != '-')
			to[at++] = ',';
		to[at++] = plain[i];
	}
	to[at] = '\0';
}

static void print_text(const struct bench_report *r)
{
	char value[80];

	for (unsigned i = 0; i < r->nfacts; i++) {
		group(value, sizeof(value), r->facts[i].value, r->facts[i].decimals);
		printf("%-34s %18s\n", r->facts[i].label, value);
	}
}

bool bench_report_print(const struct bench_report *r)
{
	if (r->o->json)
		print_json(r);
	else
		print_text(r);
	if (*r->note)
		bench_fault("%s", r->note);
	return fflush(stdout) == 0 && !ferror(stdout);
}

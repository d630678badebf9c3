#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger.h"

#define SAY_MAX   20u
#define HEAD      16u /* magic, publisher, number */
#define MAGIC     0x6b696c6cu
#define SMALL_MAX 200u

static const struct {
	const char *key, *text;
} faults[] = {
#define AS_ROW(name, key, text) {key, text},
	LEDGER_FAULTS(AS_ROW)
#undef AS_ROW
};

static void *grown(void *p, size_t bytes)
{
	if (!(p = realloc(p, bytes))) {
		fprintf(stderr, "no memory\n");
		exit(2);
	}
	return p;
}

void ledger_init(struct ledger *g)
{
	memset(g, 0, sizeof(*g));
	for (unsigned p = 0; p < LEDGER_PUBLISHERS; p++)
		memset(g->publishers[p].newest, 0xff, sizeof(g->publishers[p].newest));
}

void ledger_fini(struct ledger *g)
{
	for (unsigned p = 0; p < LEDGER_PUBLISHERS; p++)
		free(g->publishers[p].acked);
}

uint64_t ledger_new(struct ledger *g, unsigned publisher)
{
	uint64_t number = g->publishers[publisher].next++;
	size_t room = g->publishers[publisher].room;

	if (number >= room) {
		size_t wanted = room * 2 + 4096;

		g->publishers[publisher].acked =
			grown(g->publishers[publisher].acked, wanted * sizeof(uint16_t));
		memset(g->publishers[publisher].acked + room, 0, (wanted - room) * sizeof(uint16_t));
		g->publishers[publisher].room = wanted;
	}
	return number;
}

void ledger_ack(struct ledger *g, unsigned publisher, uint64_t number)
{
	uint64_t *newest = &g->publishers[publisher].newest[ledger_topic_of(number)];

	g->acked += !g->publishers[publisher].acked[number];
	g->publishers[publisher].acked[number] = (uint16_t)g->life;
	if (*newest == LEDGER_NOTHING || *newest < number)
		*newest = number;
}

bool ledger_is_acked(const struct ledger *g, unsigned publisher, uint64_t number)
{
	return number < g->publishers[publisher].next && g->publishers[publisher].acked[number];
}

void ledger_fault(struct ledger *g, enum ledger_fault fault, const char *who, unsigned publisher,
		  uint64_t number)
{
	if (g->faults[fault]++ >= SAY_MAX)
		return;
	fprintf(stderr, "life %u: %s: %s (publisher %u, message %" PRIu64, g->life, who, faults[fault].text,
		publisher, number);
	if (ledger_is_acked(g, publisher, number))
		fprintf(stderr, ", acknowledged in life %u", g->publishers[publisher].acked[number]);
	fprintf(stderr, ")\n");
}

uint64_t ledger_faults(const struct ledger *g)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < LEDGER_NFAULTS; i++)
		sum += g->faults[i];
	return sum;
}

const char *ledger_fault_key(enum ledger_fault fault)
{
	return faults[fault].key;
}

/* ---- messages ---- */

void ledger_topic(char to[32], unsigned publisher, unsigned topic)
{
	snprintf(to, 32, "kill/%u/%s/%u", publisher, topic < LEDGER_RETAINED ? "r" : "v", topic);
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 31) * 0x9e3779b97f4a7c15u;
	return x ^ x >> 29;
}

/* Most are small, some do not fit a page of anything. */
static size_t size_of(unsigned publisher, uint64_t number)
{
	uint64_t h = mix(number * LEDGER_PUBLISHERS + publisher + 1);

	return HEAD + (h % 500 == 0 ? (h >> 16) % (LEDGER_PAYLOAD_MAX - HEAD) : (h >> 16) % SMALL_MAX);
}

size_t ledger_payload(uint8_t *payload, unsigned publisher, uint64_t number)
{
	size_t size = size_of(publisher, number);

	put_u32be(payload, MAGIC);
	put_u32be(payload + 4, publisher);
	put_u32be(payload + 8, (uint32_t)(number >> 32));
	put_u32be(payload + 12, (uint32_t)number);
	memset(payload + HEAD, (int)(uint8_t)number, size - HEAD);
	return size;
}

bool ledger_read(struct span topic, struct span payload, unsigned *publisher, uint64_t *number)
{
	static uint8_t expected[LEDGER_PAYLOAD_MAX];
	char name[32];

	*publisher = 0;
	*number = 0;
	if (payload.len < HEAD || get_u32be(payload.p) != MAGIC ||
	    get_u32be(payload.p + 4) >= LEDGER_PUBLISHERS)
		return false;
	*publisher = get_u32be(payload.p + 4);
	*number = (uint64_t)get_u32be(payload.p + 8) << 32 | get_u32be(payload.p + 12);
	ledger_topic(name, *publisher, ledger_topic_of(*number));
	return span_equal(topic, span_str(name)) &&
	       span_equal(payload, span_of(expected, ledger_payload(expected, *publisher, *number)));
}

/* ---- what arrived ---- */

bool ledger_seen_add(struct ledger_seen *s, uint64_t number)
{
	size_t word = number / 64, words = s->words;
	uint64_t bit = (uint64_t)1 << number % 64;

	if (word >= words) {
		s->words = word * 2 + 64;
		s->bits = grown(s->bits, s->words * sizeof(*s->bits));
		memset(s->bits + words, 0, (s->words - words) * sizeof(*s->bits));
	}
	if (s->bits[word] & bit)
		return false;
	s->bits[word] |= bit;
	return true;
}

static bool has(const struct ledger_seen *s, uint64_t number)
{
	return number / 64 < s->words && s->bits[number / 64] >> number % 64 & 1;
}

bool ledger_seen_complete(struct ledger *g, struct ledger_seen *s, unsigned publisher, const char *who,
			  bool report)
{
	if (s->from == LEDGER_NOTHING)
		return true;
	if (s->complete < s->from)
		s->complete = s->from;
	for (; s->complete < g->publishers[publisher].next; s->complete++) {
		if (has(s, s->complete) || !ledger_is_acked(g, publisher, s->complete))
			continue;
		if (!report)
			return false;
		ledger_fault(g, LEDGER_LOST, who, publisher, s->complete);
	}
	return true;
}

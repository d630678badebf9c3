#include "field/refused.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static int compare(const struct refused_range *a, unsigned area, uint32_t start, uint32_t end)
{
	if (a->area != area)
		return a->area < area ? -1 : 1;
	if (a->start != start)
		return a->start < start ? -1 : 1;
	return a->end == end ? 0 : a->end < end ? -1 : 1;
}

/* The first that is not before (area, start, end). */
static size_t find(const struct refused *r, unsigned area, uint32_t start, uint32_t end)
{
	size_t low = 0, high = r->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare(&r->ranges[middle], area, start, end) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct refused_range *find_exactly(const struct refused *r, unsigned area, uint32_t start,
					  uint32_t end)
{
	size_t at = find(r, area, start, end);

	return at < r->n && compare(&r->ranges[at], area, start, end) == 0 ? &r->ranges[at] : NULL;
}

static void changed(struct refused *r)
{
	for (size_t i = r->n; i-- > 0;) {
		struct refused_range *range = &r->ranges[i];

		range->reach = range->end;
		if (i + 1 < r->n && range[1].area == range->area && range[1].reach < range->reach)
			range->reach = range[1].reach;
	}
	r->version++;
}

void refused_fini(struct refused *r)
{
	free(r->ranges);
	*r = (struct refused){0};
}

bool refused_is_due(const struct refused_range *tag, uint64_t now_ms)
{
	return now_ms - tag->at_ms >= tag->wait_ms;
}

/* Refused when it was time to try it: wait longer. Sooner (a block that was planned before) says nothing new. */
static void known_again(struct refused *r, struct refused_range *known, enum refused_kind kind,
			uint64_t now_ms)
{
	if (refused_is_due(known, now_ms)) {
		known->at_ms = now_ms;
		known->wait_ms =
			known->wait_ms < REFUSED_WAIT_MAX_MS / 2 ? 2 * known->wait_ms : REFUSED_WAIT_MAX_MS;
	}
	if (known->kind != kind) {
		known->kind = (uint8_t)kind;
		changed(r);
	}
}

int refused_add(struct refused *r, unsigned area, uint32_t start, uint32_t end, enum refused_kind kind,
		uint64_t now_ms)
{
	struct refused_range *known = find_exactly(r, area, start, end);
	size_t at;

	assert(start < end && end <= REFUSED_NO_LIMIT);
	if (known) {
		known_again(r, known, kind, now_ms);
		return OK;
	}
	if (r->n == r->room) {
		size_t room = r->room ? 2 * r->room : 8;
		struct refused_range *ranges = realloc(r->ranges, room * sizeof(*ranges));

		if (!ranges)
			return ERR_NOMEM;
		r->ranges = ranges;
		r->room = room;
	}
	at = find(r, area, start, end);
	memmove(&r->ranges[at + 1], &r->ranges[at], (r->n - at) * sizeof(*r->ranges));
	r->ranges[at] = (struct refused_range){.area = (uint8_t)area,
					       .start = start,
					       .end = end,
					       .kind = (uint8_t)kind,
					       .at_ms = now_ms,
					       .wait_ms = REFUSED_WAIT_FIRST_MS};
	r->n++;
	changed(r);
	return OK;
}

void refused_remove(struct refused *r, unsigned area, uint32_t start, uint32_t end)
{
	struct refused_range *known = find_exactly(r, area, start, end);

	if (!known)
		return;
	memmove(known, known + 1, (size_t)(r->ranges + r->n - (known + 1)) * sizeof(*known));
	r->n--;
	changed(r);
}

void refused_expire(struct refused *r, uint64_t now_ms)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->n; i++)
		if (r->ranges[i].kind == REFUSED_TAG || now_ms - r->ranges[i].at_ms < REFUSED_WAIT_MAX_MS)
			r->ranges[kept++] = r->ranges[i];
	if (kept == r->n)
		return;
	r->n = kept;
	changed(r);
}

void refused_clear(struct refused *r)
{
	if (r->n == 0)
		return;
	r->n = 0;
	changed(r);
}

const struct refused_range *refused_tag(const struct refused *r, unsigned area, uint32_t start, uint32_t end)
{
	const struct refused_range *known = find_exactly(r, area, start, end);

	return known && known->kind == REFUSED_TAG ? known : NULL;
}

uint32_t refused_reach(const struct refused *r, unsigned area, uint32_t start)
{
	size_t at = find(r, area, start, 0);

	return at < r->n && r->ranges[at].area == area ? r->ranges[at].reach - 1 : REFUSED_NO_LIMIT;
}

#include "uplinks/historical.h"

#include <string.h>

#define TS_LEAST  INT64_C(100000000000) /* in 1973; as seconds, far from now */
#define TS_DIGITS 18

/* What the object's own members told. */
struct look {
	bool has_ts, has_historical;
	int64_t ts;
	const uint8_t *close; /* of the outermost brace */
};

enum member { MEMBER_OTHER, MEMBER_TS, MEMBER_HISTORICAL };

/*
 * A scanner of RFC 8259 that remembers one bit for each open bracket: is it an object? Errors stick, as in struct rd.
 */
struct scan {
	const uint8_t *p, *end;
	uint64_t objects; /* the lowest bit is the innermost */
	unsigned depth;
	bool bad;
};

static void skip_space(struct scan *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
		s->p++;
}

static uint8_t peek(struct scan *s)
{
	return s->p < s->end ? *s->p : 0;
}

static bool take(struct scan *s, uint8_t c)
{
	if (peek(s) != c || s->p == s->end)
		return false;
	s->p++;
	return true;
}

static bool is_hex(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static void take_escape(struct scan *s)
{
	uint8_t c = peek(s);

	s->p += s->p < s->end;
	if (c == 'u') {
		for (int i = 0; i < 4; i++, s->p += !s->bad)
			s->bad |= !is_hex(peek(s));
	} else if (!c || !strchr("\"\\/bfnrt", c)) {
		s->bad = true;
	}
}

/* The bytes between the quotes. */
static struct span take_string(struct scan *s)
{
	const uint8_t *from;

	s->bad |= !take(s, '"');
	from = s->p;
	while (!s->bad) {
		uint8_t c = peek(s);

		if (s->p == s->end || c < 0x20) {
			s->bad = true;
		} else if (c == '"') {
			s->p++;
			return span_of(from, (size_t)(s->p - from) - 1);
		} else {
			s->p++;
			if (c == '\\')
				take_escape(s);
		}
	}
	return span_of(from, 0);
}

static size_t take_digits(struct scan *s)
{
	const uint8_t *from = s->p;

	while (peek(s) >= '0' && peek(s) <= '9')
		s->p++;
	return (size_t)(s->p - from);
}

/* true: an integer that fits, in *n. */
static bool take_number(struct scan *s, int64_t *n)
{
	const uint8_t *from = s->p;
	bool negative = take(s, '-'), is_integer = true;
	const uint8_t *digits = s->p;
	size_t ndigits = take_digits(s);

	s->bad |= ndigits == 0 || (ndigits > 1 && *digits == '0');
	if (take(s, '.')) {
		is_integer = false;
		s->bad |= take_digits(s) == 0;
	}
	if (take(s, 'e') || take(s, 'E')) {
		is_integer = false;
		if (!take(s, '+'))
			(void)take(s, '-');
		s->bad |= take_digits(s) == 0;
	}
	if (s->bad || !is_integer || ndigits > TS_DIGITS || from == s->p)
		return false;
	*n = 0;
	for (size_t i = 0; i < ndigits; i++)
		*n = *n * 10 + (digits[i] - '0');
	*n = negative ? -*n : *n;
	return true;
}

static void take_word(struct scan *s)
{
	static const char *const words[] = {"true", "false", "null"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t n = strlen(words[i]);

		if ((size_t)(s->end - s->p) >= n && memcmp(s->p, words[i], n) == 0) {
			s->p += n;
			return;
		}
	}
	s->bad = true;
}

static void open_bracket(struct scan *s, bool is_object)
{
	s->p++;
	s->bad |= s->depth == HISTORICAL_DEPTH;
	s->objects = s->objects << 1 | is_object;
	s->depth++;
}

static bool in_object(const struct scan *s)
{
	return s->objects & 1;
}

/* The name of a member and its colon. */
static enum member take_name(struct scan *s)
{
	struct span name = take_string(s);

	skip_space(s);
	s->bad |= !take(s, ':');
	skip_space(s);
	if (s->bad || s->depth != 1)
		return MEMBER_OTHER;
	return span_equal(name, span_str("ts"))           ? MEMBER_TS
	       : span_equal(name, span_str("historical")) ? MEMBER_HISTORICAL
							  : MEMBER_OTHER;
}

/* A value, or the opening bracket of one. true: it is whole. */
static bool take_value(struct scan *s, enum member m, struct look *l)
{
	uint8_t c = peek(s);
	int64_t n;

	l->has_historical |= m == MEMBER_HISTORICAL;
	if (m == MEMBER_TS)
		l->has_ts = false;
	if (c == '{' || c == '[') {
		open_bracket(s, c == '{');
		return false;
	}
	if (c == '"') {
		(void)take_string(s);
	} else if (c == '-' || (c >= '0' && c <= '9')) {
		if (take_number(s, &n) && m == MEMBER_TS) {
			l->has_ts = true;
			l->ts = n;
		}
	} else {
		take_word(s);
	}
	return true;
}

/* Behind a whole value: closing brackets, then a comma if anything is open. */
static void close_brackets(struct scan *s, struct look *l)
{
	for (;;) {
		skip_space(s);
		if (s->depth == 0 || !take(s, in_object(s) ? '}' : ']'))
			break;
		l->close = s->p - 1;
		s->objects >>= 1;
		s->depth--;
	}
	if (s->depth > 0)
		s->bad |= !take(s, ',');
}

bool historical_look(struct span json, int64_t *ts, size_t *insert_at)
{
	struct scan s = {.p = json.p, .end = json.p + json.len};
	struct look l = {0};
	bool is_fresh = true; /* a bracket was opened and nothing stands in it */

	skip_space(&s);
	if (peek(&s) != '{')
		return false;
	open_bracket(&s, true);
	while (!s.bad && s.depth > 0) {
		enum member m = MEMBER_OTHER;

		skip_space(&s);
		if (is_fresh && peek(&s) == (in_object(&s) ? '}' : ']')) {
			is_fresh = false;
			close_brackets(&s, &l);
			continue;
		}
		if (in_object(&s))
			m = take_name(&s);
		if (s.bad)
			break;
		is_fresh = !take_value(&s, m, &l);
		if (!is_fresh)
			close_brackets(&s, &l);
	}
	if (s.bad || s.p != s.end || !l.has_ts || l.has_historical)
		return false;
	*ts = l.ts;
	*insert_at = (size_t)(l.close - json.p);
	return true;
}

bool historical_is_late(int64_t ts, int64_t now_ms)
{
	return ts >= TS_LEAST && now_ms - ts > HISTORICAL_AFTER_MS;
}

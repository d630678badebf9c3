/*
 * Expressions: recursive descent into a program for a stack machine. Whether the stack suffices is known when the program is made,
 * so evaluation checks nothing.
 */
#include "base/expr.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ANY_NUMBER_OF EXPR_DEPTH_MAX

/* FUNCTION(ID, name, least and most arguments) */
#define FUNCTION_TABLE(FUNCTION)               \
	FUNCTION(ABS, "abs", 1, 1)             \
	FUNCTION(ROUND, "round", 1, 2)         \
	FUNCTION(FLOOR, "floor", 1, 1)         \
	FUNCTION(CEIL, "ceil", 1, 1)           \
	FUNCTION(SQRT, "sqrt", 1, 1)           \
	FUNCTION(EXP, "exp", 1, 1)             \
	FUNCTION(LN, "ln", 1, 1)               \
	FUNCTION(LOG10, "log10", 1, 1)         \
	FUNCTION(MIN, "min", 1, ANY_NUMBER_OF) \
	FUNCTION(MAX, "max", 1, ANY_NUMBER_OF) \
	FUNCTION(AVG, "avg", 1, ANY_NUMBER_OF) \
	FUNCTION(IF, "if", 3, 3)

enum op {
	OP_NUMBER, /* n: which */
	OP_TAG,
	OP_WINDOW,
	OP_NEGATE,
	OP_NOT,
	OP_ADD,
	OP_SUBTRACT,
	OP_MULTIPLY,
	OP_DIVIDE,
	OP_MODULO,
	OP_POWER,
	OP_LESS,
	OP_LESS_EQUAL,
	OP_GREATER,
	OP_GREATER_EQUAL,
	OP_EQUAL,
	OP_NOT_EQUAL,
	OP_AND,
	OP_OR,
#define FUNCTION_AS_OP(id, name, least, most) OP_##id, /* n: arguments */
	FUNCTION_TABLE(FUNCTION_AS_OP)
#undef FUNCTION_AS_OP
};

struct parser {
	const char *begin, *at, *end;
	struct expr *e;
	unsigned depth;  /* of brackets and signs */
	unsigned nstack; /* values that the program has on its stack here */
	bool failed;
	char *fault;
};

static bool parse_or(struct parser *p);

/* Always false. The first fault stands. */
static PRINTF_LIKE(2, 3) bool fail(struct parser *p, const char *fmt, ...)
{
	va_list args;
	int n;

	if (p->failed)
		return false;
	p->failed = true;
	n = snprintf(p->fault, EXPR_FAULT_MAX, "column %zu: ", (size_t)(p->at - p->begin) + 1);
	va_start(args, fmt);
	vsnprintf(p->fault + n, EXPR_FAULT_MAX - (size_t)n, fmt, args);
	va_end(args);
	return false;
}

/* ---- characters ---- */

static void blanks(struct parser *p)
{
	while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r'))
		p->at++;
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t word_length(const struct parser *p, bool with_dots)
{
	const char *c = p->at;

	if (c == p->end || !is_letter(*c))
		return 0;
	while (c < p->end && (is_letter(*c) || is_digit(*c) || (with_dots && *c == '.')))
		c++;
	return (size_t)(c - p->at);
}

static bool take(struct parser *p, const char *symbol)
{
	size_t len = strlen(symbol);

	blanks(p);
	if ((size_t)(p->end - p->at) < len || memcmp(p->at, symbol, len) != 0)
		return false;
	p->at += len;
	return true;
}

/* A word that stands alone: "or", not "order". */
static bool take_word(struct parser *p, const char *word)
{
	size_t len;

	blanks(p);
	len = word_length(p, false);
	if (len != strlen(word) || memcmp(p->at, word, len) != 0 ||
	    (p->at + len < p->end && p->at[len] == '/'))
		return false;
	p->at += len;
	return true;
}

static bool unexpected(struct parser *p, const char *wanted)
{
	blanks(p);
	if (p->at == p->end)
		return fail(p, "it ends here; allowed: %s", wanted);
	return fail(p, "found \"%.*s\", allowed: %s", (int)(p->end - p->at < 20 ? p->end - p->at : 20), p->at,
		    wanted);
}

/* ---- steps ---- */

/* A step that takes so many values from the stack and leaves one. */
static bool emit(struct parser *p, enum op op, unsigned n, unsigned taken)
{
	struct expr *e = p->e;

	assert(p->nstack >= taken);
	p->nstack = p->nstack - taken + 1;
	if (p->nstack > EXPR_DEPTH_MAX)
		return fail(p, "too many values at once; allowed: %u", EXPR_DEPTH_MAX);
	if (e->nsteps == EXPR_STEPS_MAX)
		return fail(p, "too long; allowed: %u numbers, tags and operations", EXPR_STEPS_MAX);
	e->steps[e->nsteps++] = (struct expr_step){.op = (uint8_t)op, .n = (uint8_t)n};
	return true;
}

static bool emit_number(struct parser *p, double number)
{
	if (p->e->nnumbers == EXPR_NUMBERS_MAX)
		return fail(p, "too many numbers; allowed: %u", EXPR_NUMBERS_MAX);
	p->e->numbers[p->e->nnumbers] = number;
	return emit(p, OP_NUMBER, p->e->nnumbers++, 0);
}

/* ---- numbers ---- */

static bool scan_number(struct parser *p, double *number)
{
	char text[64];
	size_t len = (size_t)(p->end - p->at);
	char *end;

	len = len < sizeof(text) - 1 ? len : sizeof(text) - 1;
	memcpy(text, p->at, len);
	text[len] = 0;
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		return fail(p, "numbers are decimal");
	*number = strtod(text, &end);
	if (end == text || (size_t)(end - text) == sizeof(text) - 1 || !isfinite(*number))
		return fail(p, "this number cannot be read");
	p->at += end - text;
	return true;
}

static bool parse_number(struct parser *p)
{
	double number;

	if (!scan_number(p, &number))
		return false;
	if (word_length(p, false))
		return fail(p,
			    "a time is allowed only as the second argument of avg, min, max, rate and delta");
	return emit_number(p, number);
}

static bool parse_duration(struct parser *p, uint32_t *ms)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}};
	double number;

	blanks(p);
	if (p->at == p->end || !is_digit(*p->at))
		return unexpected(p, "a time such as 500ms, 10s, 5min, 1h");
	if (!scan_number(p, &number))
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!take_word(p, units[i].unit))
			continue;
		number *= units[i].ms;
		if (!(number >= 1 && number <= EXPR_WINDOW_MS))
			return fail(p, "a window is allowed from 1ms to 24h");
		*ms = (uint32_t)number;
		return true;
	}
	return unexpected(p, "the unit of a time: ms, s, min, h");
}

/* ---- tags ---- */

static bool find_tag(struct parser *p, struct span device, struct span name, unsigned *index)
{
	struct expr *e = p->e;

	for (*index = 0; *index < e->ntags; (*index)++)
		if (span_equal(e->tags[*index].device, device) && span_equal(e->tags[*index].name, name))
			return true;
	if (e->ntags == EXPR_TAGS_MAX)
		return fail(p, "too many tags; allowed: %u", EXPR_TAGS_MAX);
	e->tags[e->ntags++] = (struct expr_tag){.device = device, .name = name};
	return true;
}

/* {meter-1/voltage L1} */
static bool scan_quoted(struct parser *p, unsigned *index)
{
	const char *close = memchr(p->at, '}', (size_t)(p->end - p->at));
	const char *slash = close ? memchr(p->at, '/', (size_t)(close - p->at)) : NULL;
	struct span device, name;

	if (!close)
		return fail(p, "a { without its }");
	if (!slash || slash == p->at + 1 || slash + 1 == close)
		return fail(p, "a tag is {device/tag}");
	device = span_of(p->at + 1, (size_t)(slash - p->at) - 1);
	name = span_of(slash + 1, (size_t)(close - slash) - 1);
	p->at = close + 1;
	return find_tag(p, device, name, index);
}

static bool is_plain_tag(const struct parser *p)
{
	size_t len = word_length(p, false);

	return len && p->at + len + 1 < p->end && p->at[len] == '/' && is_letter(p->at[len + 1]);
}

static bool scan_plain(struct parser *p, unsigned *index)
{
	struct span device = span_of(p->at, word_length(p, false));
	struct span name;

	p->at += device.len + 1;
	name = span_of(p->at, word_length(p, true));
	p->at += name.len;
	return find_tag(p, device, name, index);
}

/* False without a fault: there is no tag here. */
static bool scan_tag(struct parser *p, unsigned *index)
{
	blanks(p);
	if (p->at < p->end && *p->at == '{')
		return scan_quoted(p, index);
	return is_plain_tag(p) && scan_plain(p, index);
}

/* ---- functions ---- */

struct function {
	const char *name;
	enum op op;
	unsigned least, most;
};

static const struct function functions[] = {
#define FUNCTION_AS_ROW(id, text, low, high) {.name = (text), .op = OP_##id, .least = (low), .most = (high)},
	FUNCTION_TABLE(FUNCTION_AS_ROW)
#undef FUNCTION_AS_ROW
};

static const char *const windows[] = {
	[EXPR_WINDOW_AVG] = "avg",   [EXPR_WINDOW_MIN] = "min",     [EXPR_WINDOW_MAX] = "max",
	[EXPR_WINDOW_RATE] = "rate", [EXPR_WINDOW_DELTA] = "delta",
};

static bool is_duration_ahead(struct parser *p)
{
	struct parser ahead = *p;
	char unheard[EXPR_FAULT_MAX];
	double number;

	ahead.fault = unheard;
	blanks(&ahead);
	return ahead.at < ahead.end && is_digit(*ahead.at) && scan_number(&ahead, &number) &&
	       word_length(&ahead, false) > 0;
}

/* "(tag, duration)" behind a word that may name a window; at its bracket. False without a fault: it is none. */
static bool parse_window(struct parser *p, unsigned kind)
{
	struct expr *e = p->e;
	struct parser before = *p;
	unsigned ntags = e->ntags, tag;
	bool is_only_window = kind == EXPR_WINDOW_RATE || kind == EXPR_WINDOW_DELTA;
	uint32_t ms = 0;

	if (!take(p, "("))
		return unexpected(p, "(");
	if (!scan_tag(p, &tag))
		return is_only_window ? unexpected(p, "a tag, and a time") : (*p = before, false);
	if (!take(p, ",") || !(is_only_window || is_duration_ahead(p))) {
		if (is_only_window)
			return unexpected(p, ", and a time such as 10s");
		*p = before;
		e->ntags = ntags;
		return false;
	}
	if (!parse_duration(p, &ms))
		return false;
	if (!take(p, ")"))
		return unexpected(p, ")");
	if (e->nwindows == EXPR_WINDOWS_MAX)
		return fail(p, "too many windows; allowed: %u", EXPR_WINDOWS_MAX);
	e->windows[e->nwindows] = (struct expr_window){.kind = (uint8_t)kind, .tag = (uint8_t)tag, .ms = ms};
	return emit(p, OP_WINDOW, e->nwindows++, 0);
}

static bool parse_arguments(struct parser *p, const struct function *f)
{
	unsigned n = 0;

	if (!take(p, "("))
		return unexpected(p, "(");
	do {
		if (!parse_or(p))
			return false;
		n++;
	} while (take(p, ","));
	if (n < f->least || n > f->most)
		return fail(p, "%s has %u arguments, allowed: %u%s", f->name, n, f->least,
			    f->most > f->least ? " or more" : "");
	if (!take(p, ")"))
		return unexpected(p, "\")\" or an operator");
	return emit(p, f->op, n, n);
}

static bool parse_call(struct parser *p)
{
	for (unsigned kind = 0; kind < sizeof(windows) / sizeof(windows[0]); kind++) {
		struct parser before = *p;

		if (!take_word(p, windows[kind]))
			continue;
		if (parse_window(p, kind))
			return true;
		if (p->failed)
			return false;
		*p = before;
	}
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		if (take_word(p, functions[i].name))
			return parse_arguments(p, &functions[i]);
	return unexpected(
		p, "a tag as device/tag or {device/tag}, or one of abs, round, floor, ceil, sqrt, exp, ln, "
		   "log10, min, max, avg, rate, delta, if");
}

/* ---- the grammar ---- */

static bool parse_bracket(struct parser *p)
{
	if (!parse_or(p))
		return false;
	return take(p, ")") || unexpected(p, "\")\" or an operator");
}

static bool parse_primary(struct parser *p)
{
	unsigned tag;

	if (take(p, "("))
		return parse_bracket(p);
	if (p->at < p->end && (is_digit(*p->at) || *p->at == '.'))
		return parse_number(p);
	if (take_word(p, "true"))
		return emit_number(p, 1);
	if (take_word(p, "false"))
		return emit_number(p, 0);
	if (scan_tag(p, &tag))
		return emit(p, OP_TAG, tag, 0);
	if (p->failed)
		return false;
	if (word_length(p, false))
		return parse_call(p);
	return unexpected(p, "a number, a tag as device/tag or {device/tag}, a function, - or (");
}

static bool parse_unary(struct parser *p);

static bool parse_power(struct parser *p)
{
	if (!parse_primary(p))
		return false;
	return !take(p, "^") || (parse_unary(p) && emit(p, OP_POWER, 0, 2));
}

/* Whatever nests goes through here or parse_not(), so this bounds the depth of the recursion. */
static bool deeper(struct parser *p, bool (*parse)(struct parser *p))
{
	bool done;

	if (p->depth == EXPR_DEPTH_MAX)
		return fail(p, "nested too deep; allowed: %u", EXPR_DEPTH_MAX);
	p->depth++;
	done = parse(p);
	p->depth--;
	return done;
}

static bool parse_unary(struct parser *p)
{
	if (take(p, "-"))
		return deeper(p, parse_unary) && emit(p, OP_NEGATE, 0, 1);
	return deeper(p, parse_power);
}

struct infix {
	const char *symbol;
	enum op op;
};

/* operand { symbol operand } */
static bool parse_chain(struct parser *p, bool (*operand)(struct parser *p), const struct infix *operators,
			size_t n)
{
	if (!operand(p))
		return false;
	for (size_t i = 0; i < n;) {
		if (!take(p, operators[i].symbol)) {
			i++;
			continue;
		}
		if (!operand(p) || !emit(p, operators[i].op, 0, 2))
			return false;
		i = 0;
	}
	return true;
}

static bool parse_term(struct parser *p)
{
	static const struct infix operators[] = {{"*", OP_MULTIPLY}, {"/", OP_DIVIDE}, {"%", OP_MODULO}};

	return parse_chain(p, parse_unary, operators, sizeof(operators) / sizeof(operators[0]));
}

static bool parse_sum(struct parser *p)
{
	static const struct infix operators[] = {{"+", OP_ADD}, {"-", OP_SUBTRACT}};

	return parse_chain(p, parse_term, operators, sizeof(operators) / sizeof(operators[0]));
}

static bool parse_compare(struct parser *p)
{
	static const struct infix operators[] = {
		{"<=", OP_LESS_EQUAL}, {">=", OP_GREATER_EQUAL}, {"==", OP_EQUAL},
		{"!=", OP_NOT_EQUAL},  {"<", OP_LESS},           {">", OP_GREATER},
	};

	if (!parse_sum(p))
		return false;
	for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++)
		if (take(p, operators[i].symbol))
			return parse_sum(p) && emit(p, operators[i].op, 0, 2);
	return true;
}

static bool parse_not(struct parser *p)
{
	if (take_word(p, "not"))
		return deeper(p, parse_not) && emit(p, OP_NOT, 0, 1);
	return parse_compare(p);
}

static bool parse_words(struct parser *p, bool (*operand)(struct parser *p), const char *word, enum op op)
{
	if (!operand(p))
		return false;
	while (take_word(p, word))
		if (!operand(p) || !emit(p, op, 0, 2))
			return false;
	return true;
}

static bool parse_and(struct parser *p)
{
	return parse_words(p, parse_not, "and", OP_AND);
}

static bool parse_or(struct parser *p)
{
	return parse_words(p, parse_and, "or", OP_OR);
}

int expr_parse(struct span text, struct expr *out, char fault[EXPR_FAULT_MAX])
{
	struct parser p = {.begin = (const char *)text.p, .e = out, .fault = fault};

	out->nsteps = out->nnumbers = out->ntags = out->nwindows = 0;
	p.at = p.begin;
	p.end = p.begin + text.len;
	if (text.len > EXPR_TEXT_MAX)
		(void)fail(&p, "%zu characters, allowed: %u", text.len, EXPR_TEXT_MAX);
	else if (memchr(text.p ? (const void *)text.p : "", 0, text.len))
		(void)fail(&p, "a character that is none");
	else if (parse_or(&p) && (blanks(&p), p.at < p.end))
		(void)unexpected(&p, "an operator, or nothing");
	return p.failed ? ERR_MALFORMED : OK;
}

/* ---- evaluation ---- */

static double least(const double *v, unsigned n)
{
	double x = v[0];

	for (unsigned i = 1; i < n; i++)
		x = v[i] < x ? v[i] : x;
	return x;
}

static double most(const double *v, unsigned n)
{
	double x = v[0];

	for (unsigned i = 1; i < n; i++)
		x = v[i] > x ? v[i] : x;
	return x;
}

static double mean(const double *v, unsigned n)
{
	double sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += v[i];
	return sum / n;
}

static double rounded(const double *v, unsigned n)
{
	double unit = pow(10, n > 1 ? trunc(v[1]) : 0);

	return round(v[0] * unit) / unit;
}

static bool has_nan(const double *v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (isnan(v[i]))
			return true;
	return false;
}

/* Only the value that "if" chooses counts: if(a/b == 0, 0, 1 / a/b) is for this. */
static double choose(const double *v)
{
	return isnan(v[0]) ? v[0] : v[0] != 0 ? v[1] : v[2];
}

static double call(enum op op, const double *v, unsigned n)
{
	if (op == OP_IF)
		return choose(v);
	if (has_nan(v, n))
		return NAN;
	switch (op) {
	case OP_ABS:
		return fabs(v[0]);
	case OP_ROUND:
		return rounded(v, n);
	case OP_FLOOR:
		return floor(v[0]);
	case OP_CEIL:
		return ceil(v[0]);
	case OP_SQRT:
		return sqrt(v[0]);
	case OP_EXP:
		return exp(v[0]);
	case OP_LN:
		return log(v[0]);
	case OP_LOG10:
		return log10(v[0]);
	case OP_MIN:
		return least(v, n);
	case OP_MAX:
		return most(v, n);
	default:
		return mean(v, n);
	}
}

static double combine(enum op op, double a, double b)
{
	if (isnan(a) || isnan(b))
		return NAN; /* a comparison would make a truth of it */
	switch (op) {
	case OP_ADD:
		return a + b;
	case OP_SUBTRACT:
		return a - b;
	case OP_MULTIPLY:
		return a * b;
	case OP_DIVIDE:
		return b == 0 ? NAN : a / b;
	case OP_MODULO:
		return fmod(a, b);
	case OP_POWER:
		return pow(a, b);
	case OP_LESS:
		return a < b;
	case OP_LESS_EQUAL:
		return a <= b;
	case OP_GREATER:
		return a > b;
	case OP_GREATER_EQUAL:
		return a >= b;
	case OP_EQUAL:
		return a == b;
	case OP_NOT_EQUAL:
		return a != b;
	case OP_AND:
		return a != 0 && b != 0;
	default:
		return a != 0 || b != 0;
	}
}

/* The values that a step takes from the stack. */
static unsigned taken_by(const struct expr_step *s)
{
	if (s->op <= OP_WINDOW)
		return 0;
	if (s->op <= OP_NOT)
		return 1;
	return s->op <= OP_OR ? 2 : s->n;
}

static double step(const struct expr *e, const struct expr_step *s, const double *v, const double *tag_values,
		   const double *window_values)
{
	switch ((enum op)s->op) {
	case OP_NUMBER:
		return e->numbers[s->n];
	case OP_TAG:
		return tag_values[s->n];
	case OP_WINDOW:
		return window_values[s->n];
	case OP_NEGATE:
		return -v[0];
	case OP_NOT:
		return isnan(v[0]) ? v[0] : v[0] == 0;
	default:
		return s->op <= OP_OR ? combine((enum op)s->op, v[0], v[1]) : call((enum op)s->op, v, s->n);
	}
}

int expr_evaluate(const struct expr *e, const double *tags, const double *window_values, double *out)
{
	double stack[EXPR_DEPTH_MAX + 1] = {NAN};
	unsigned n = 0;

	for (unsigned i = 0; i < e->nsteps; i++) {
		n -= taken_by(&e->steps[i]);
		stack[n] = step(e, &e->steps[i], stack + n, tags, window_values);
		if (!isfinite(stack[n]))
			stack[n] = NAN;
		n++;
	}
	if (isnan(stack[0]))
		return ERR_RANGE;
	*out = stack[0];
	return OK;
}

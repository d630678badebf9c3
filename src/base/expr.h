/*
 * Expressions of computed tags: text -> a compact program -> a number. Pure functions, no allocation: everything lies in struct expr,
 * whose size is fixed, and so are the depth of the stack and the number of steps of an evaluation.
 *
 *     expression  = or ;
 *     or          = and { "or" and } ;            and   = not { "and" not } ;
 *     not         = "not" not | compare ;         compare = sum [ ("<"|"<="|">"|">="|"=="|"!=") sum ] ;
 *     sum         = term { ("+"|"-") term } ;     term  = unary { ("*"|"/"|"%") unary } ;
 *     unary       = "-" unary | power ;           power = primary [ "^" unary ] ;
 *     primary     = number | "true" | "false" | tag | "(" or ")" | function "(" or { "," or } ")"
 *                 | window "(" tag "," duration ")" ;
 *     tag         = word "/" word | "{" any but "/" and "}" "/" any but "}" "}" ;     (no blanks around the slash of the first)
 *     window      = "avg" | "min" | "max" | "rate" | "delta" ;                        duration = number ("ms"|"s"|"min"|"h")
 *
 * A word begins with a letter or _, and goes on with letters, digits and _, that of a tag with dots as well. Truth is 1, untruth 0; every
 * number but 0 is true. All is double: integers are exact to 2^53.
 */
#ifndef BASE_EXPR_H
#define BASE_EXPR_H

#include "base/bytes.h"
#include "base/err.h"

#define EXPR_TEXT_MAX    1024u /* bytes */
#define EXPR_STEPS_MAX   128u
#define EXPR_NUMBERS_MAX 64u
#define EXPR_TAGS_MAX    32u
#define EXPR_WINDOWS_MAX 8u
#define EXPR_DEPTH_MAX   32u        /* of brackets, and of the stack */
#define EXPR_WINDOW_MS   86400000.0 /* longest */
#define EXPR_FAULT_MAX   256u

enum expr_window_kind {
	EXPR_WINDOW_AVG, /* mean of the samples */
	EXPR_WINDOW_MIN,
	EXPR_WINDOW_MAX,
	EXPR_WINDOW_RATE,  /* last - first, per second */
	EXPR_WINDOW_DELTA, /* last - first */
};

struct expr_tag {
	struct span device, name; /* borrowed from the text */
};

struct expr_window {
	uint8_t kind; /* enum expr_window_kind */
	uint8_t tag;
	uint32_t ms;
};

struct expr_step {
	uint8_t op, n;
};

struct expr {
	struct expr_step steps[EXPR_STEPS_MAX];
	double numbers[EXPR_NUMBERS_MAX];
	struct expr_tag tags[EXPR_TAGS_MAX]; /* each once */
	struct expr_window windows[EXPR_WINDOWS_MAX];
	unsigned nsteps, nnumbers, ntags, nwindows;
};

/*
 * OK, or ERR_MALFORMED with a sentence in `fault`: what was found at which column, and what is allowed. *out is of no use then.
 *   text  borrowed as long as out->tags is used
 */
MUST_USE int expr_parse(struct span text, struct expr *out, char fault[EXPR_FAULT_MAX]);

/*
 *   tags, windows  the values of e->tags and e->windows
 * OK, or ERR_RANGE: division by zero, the root of a negative number, or another result that is not a finite number.
 */
MUST_USE int expr_evaluate(const struct expr *e, const double *tags, const double *windows, double *out);

#endif

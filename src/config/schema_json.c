#include <string.h>

#include "config/schema.h"
#include "config/schema_scalar.h"

/* Where to write, and the depth for indenting. */
struct printer {
	FILE *out;
	unsigned depth;
	bool first; /* nothing stands in this object or list yet */
};

static void put_text(struct printer *p, const char *text)
{
	fputc('"', p->out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', p->out);
		fputc(*text, p->out);
	}
	fputc('"', p->out);
}

static void put_next(struct printer *p)
{
	fprintf(p->out, "%s\n%*s", p->first ? "" : ",", (int)(2 * p->depth), "");
	p->first = false;
}

static void put_key(struct printer *p, const char *key)
{
	put_next(p);
	put_text(p, key);
	fputs(": ", p->out);
}

static void put_member(struct printer *p, const char *key, const char *text)
{
	put_key(p, key);
	put_text(p, text);
}

static void put_number(struct printer *p, const char *key, double number)
{
	put_key(p, key);
	fprintf(p->out, "%.15g", number);
}

static void put_open(struct printer *p, char bracket)
{
	fputc(bracket, p->out);
	p->depth++;
	p->first = true;
}

static void put_close(struct printer *p, char bracket)
{
	p->depth--;
	fprintf(p->out, "\n%*s%c", (int)(2 * p->depth), "", bracket);
	p->first = false;
}

static void put_map(struct printer *p, const struct schema *s);

static void put_range(struct printer *p, const struct schema_field *f)
{
	if (f->min == 0 && f->max == 0 && f->kind == SCHEMA_NUMBER)
		return;
	put_number(p, "minimum", f->min);
	put_number(p, "maximum", f->max);
}

/* A number of the smallest unit, or text with a unit. */
static void put_suffixed(struct printer *p, const struct schema_field *f)
{
	bool zero_only = f->kind == SCHEMA_TIME || f->min == f->max;

	put_key(p, "anyOf");
	put_open(p, '[');
	if (!zero_only || f->min == 0) {
		put_next(p);
		put_open(p, '{');
		put_member(p, "type", "integer");
		put_number(p, "minimum", zero_only ? 0 : f->min);
		put_number(p, "maximum", zero_only ? 0 : f->max);
		put_close(p, '}');
	}
	put_next(p);
	put_open(p, '{');
	put_member(p, "type", "string");
	put_member(p, "pattern",
		   f->kind == SCHEMA_TIME ? "^(0|[0-9]+(ms|s|min|h|d))$" : "^[0-9]+(KiB|MiB|GiB)?$");
	put_close(p, '}');
	put_close(p, ']');
}

static void put_words(struct printer *p, const struct schema_word *words)
{
	put_key(p, "enum");
	put_open(p, '[');
	for (const struct schema_word *w = words; w->word; w++) {
		if (w->later)
			continue;
		put_next(p);
		put_text(p, w->word);
	}
	put_close(p, ']');
}

static void put_string(struct printer *p, const struct schema_field *f)
{
	if (f->rule && f->rule->takes_number) {
		put_key(p, "type");
		fputs(f->rule->takes_bool ? "[\"boolean\", \"number\", \"string\"]"
					  : "[\"number\", \"string\"]",
		      p->out);
	} else {
		put_member(p, "type", "string");
	}
	if (f->rule)
		put_member(p, "pattern", f->rule->pattern);
}

static void put_text_or_map(struct printer *p, const struct schema *s)
{
	const struct schema_field *f = schema_field_of(s, s->text_key);

	put_key(p, "anyOf");
	put_open(p, '[');
	put_next(p);
	put_open(p, '{');
	put_string(p, f);
	put_close(p, '}');
	put_next(p);
	put_open(p, '{');
	put_map(p, s);
	put_close(p, '}');
	put_close(p, ']');
}

static void put_list(struct printer *p, const struct schema_field *f)
{
	put_member(p, "type", "array");
	put_key(p, "items");
	put_open(p, '{');
	if (f->kind == SCHEMA_MAPS && f->sub->text_key)
		put_text_or_map(p, f->sub);
	else if (f->kind == SCHEMA_MAPS)
		put_map(p, f->sub);
	else
		put_string(p, f);
	put_close(p, '}');
}

static void put_kind(struct printer *p, const struct schema_field *f)
{
	switch (f->kind) {
	case SCHEMA_BOOL:
		put_member(p, "type", "boolean");
		break;
	case SCHEMA_INT:
	case SCHEMA_NUMBER:
		put_member(p, "type", f->kind == SCHEMA_INT ? "integer" : "number");
		put_range(p, f);
		break;
	case SCHEMA_TEXT:
	case SCHEMA_RULE:
	case SCHEMA_PATH:
		put_string(p, f);
		break;
	case SCHEMA_ENUM:
		put_words(p, f->words);
		break;
	case SCHEMA_SIZE:
	case SCHEMA_TIME:
		put_suffixed(p, f);
		break;
	case SCHEMA_TEXTS:
	case SCHEMA_MAPS:
		put_list(p, f);
		break;
	case SCHEMA_MAP:
	case SCHEMA_OPTION:
		put_map(p, f->sub);
		break;
	case SCHEMA_ANY_MAP:
		put_member(p, "type", "object");
		break;
	case SCHEMA_ANY_LIST:
		put_member(p, "type", "array");
		put_key(p, "items");
		fputs("{\"type\": \"object\"}", p->out);
		break;
	case SCHEMA_NUMBERS:
		put_member(p, "type", "array");
		put_number(p, "minItems", (double)(f->width / sizeof(double)));
		put_number(p, "maxItems", (double)(f->width / sizeof(double)));
		put_key(p, "items");
		fputs("{\"type\": \"number\"}", p->out);
		break;
	case SCHEMA_LABELS:
		put_member(p, "type", "object");
		put_key(p, "additionalProperties");
		fputs("false", p->out);
		put_key(p, "patternProperties");
		fputs("{\"^-?(0|[1-9][0-9]{0,18})$\": {\"type\": \"string\", \"minLength\": 1}}", p->out);
		break;
	case SCHEMA_KEYS:
		break;
	case SCHEMA_LATER:
		put_key(p, "not");
		fputs("{}", p->out);
		break;
	}
}

static void put_field(struct printer *p, const struct schema_field *f)
{
	bool is_bare = f->kind == SCHEMA_BOOL || f->kind == SCHEMA_INT || f->kind == SCHEMA_NUMBER;
	char text[512];

	put_key(p, f->key);
	put_open(p, '{');
	snprintf(text, sizeof(text), "%s%s%s%s", f->doc,
		 f->kind == SCHEMA_LATER ? " (not in this version)" : "", f->unset ? "; not set: " : "",
		 f->unset ? f->unset : "");
	put_member(p, "description", text);
	put_kind(p, f);
	if (f->preset && is_bare) {
		put_key(p, "default");
		fputs(f->preset, p->out);
	} else if (f->preset) {
		put_member(p, "default", f->preset);
	}
	put_close(p, '}');
}

/* The keys that are needed always (value < 0), or with this value of the selector. */
static void put_required(struct printer *p, const struct schema *s, int value)
{
	bool any = false;

	for (const struct schema_field *f = s->fields; f < s->fields + s->nfields; f++) {
		if (!f->required || (value < 0 ? f->only != 0 : !(f->only & 1u << value)))
			continue;
		if (!any) {
			put_key(p, "required");
			put_open(p, '[');
			any = true;
		}
		put_next(p);
		put_text(p, f->key);
	}
	if (any)
		put_close(p, ']');
}

/* "if type is this word, then these keys must not be there and those must". */
static void put_condition(struct printer *p, const struct schema *s, const struct schema_word *w)
{
	put_next(p);
	put_open(p, '{');
	put_key(p, "if");
	fputs("{\"properties\": {", p->out);
	put_text(p, s->selector);
	fputs(": {\"const\": ", p->out);
	put_text(p, w->word);
	fputs("}}}", p->out);
	put_key(p, "then");
	put_open(p, '{');
	put_key(p, "properties");
	put_open(p, '{');
	for (const struct schema_field *f = s->fields; f < s->fields + s->nfields; f++) {
		if (!f->only || f->only & 1u << w->value)
			continue;
		put_key(p, f->key);
		fputs("false", p->out);
	}
	put_close(p, '}');
	put_required(p, s, w->value);
	put_close(p, '}');
	put_close(p, '}');
}

static void put_conditions(struct printer *p, const struct schema *s)
{
	const struct schema_field *f = schema_field_of(s, s->selector);

	put_key(p, "allOf");
	put_open(p, '[');
	for (const struct schema_word *w = f->words; w->word; w++)
		if (!w->later)
			put_condition(p, s, w);
	put_close(p, ']');
}

static void put_map(struct printer *p, const struct schema *s)
{
	const struct schema_field *f;

	put_member(p, "type", "object");
	put_key(p, "additionalProperties");
	fputs("false", p->out);
	put_required(p, s, -1);
	put_key(p, "properties");
	put_open(p, '{');
	for (size_t i = 0; (f = schema_field_at(s, i)); i++)
		put_field(p, f);
	put_close(p, '}');
	if (s->selector)
		put_conditions(p, s);
}

int schema_print_json(const struct schema *s, const char *title, FILE *out)
{
	struct printer p = {.out = out};

	put_open(&p, '{');
	put_member(&p, "$schema", "https://json-schema.org/draft/2020-12/schema");
	put_member(&p, "title", title);
	put_map(&p, s);
	put_close(&p, '}');
	fputc('\n', out);
	return fflush(out) == 0 && !ferror(out) ? OK : ERR_IO;
}

#include <string.h>

#include <jansson.h>

#include "config/doc_build.h"

/* A walk over bytes that jansson accepted. */
struct walk {
	const char *p, *end;
	struct doc_place at; /* of p */
};

static int refuse_syntax(struct doc_builder *b, const json_error_t *e)
{
	if (json_error_code(e) == json_error_out_of_memory)
		return ERR_NOMEM;
	faults_add(b->faults, e->line > 0 ? (unsigned)e->line : 1, e->column > 0 ? (unsigned)e->column : 1,
		   "", "not JSON: %s", e->text);
	return ERR_CONFIG;
}

/* Columns count characters: continuation bytes of UTF-8 take no place. */
static void step(struct walk *w)
{
	if (*w->p == '\n')
		w->at = (struct doc_place){.line = w->at.line + 1, .column = 1};
	else if (((unsigned char)*w->p & 0xC0) != 0x80)
		w->at.column++;
	w->p++;
}

static int take_string(struct doc_builder *b, struct walk *w)
{
	const char *start = w->p;
	struct doc_place at = w->at;
	bool escaped = false;
	json_error_t error;
	json_t *value;
	int rc;

	for (step(w); w->p < w->end && *w->p != '"'; step(w)) {
		if (*w->p == '\\') {
			escaped = true;
			step(w);
		}
	}
	step(w);
	if (!escaped)
		return doc_build_scalar(b, start + 1, (size_t)(w->p - start) - 2, true, at);
	value = json_loadb(start, (size_t)(w->p - start), JSON_DECODE_ANY, &error);
	if (!value)
		return refuse_syntax(b, &error);
	rc = doc_build_scalar(b, json_string_value(value), json_string_length(value), true, at);
	json_decref(value);
	return rc;
}

/* A number, true, false or null: up to what may follow it. */
static int take_literal(struct doc_builder *b, struct walk *w)
{
	const char *start = w->p;
	struct doc_place at = w->at;

	while (w->p < w->end && !strchr(" \t\r\n,:]}", *w->p))
		step(w);
	return doc_build_scalar(b, start, (size_t)(w->p - start), false, at);
}

static int take_token(struct doc_builder *b, struct walk *w)
{
	struct doc_place at = w->at;
	char c = *w->p;

	switch (c) {
	case ' ':
	case '\t':
	case '\r':
	case '\n':
	case ',':
	case ':':
		step(w);
		return OK;
	case '{':
	case '[':
		step(w);
		return doc_build_start(b, c == '{' ? DOC_MAP : DOC_LIST, at);
	case '}':
	case ']':
		step(w);
		doc_build_end(b);
		return OK;
	case '"':
		return take_string(b, w);
	default:
		return take_literal(b, w);
	}
}

int doc_read_json(struct doc_builder *b, const void *bytes, size_t len)
{
	struct walk w = {.p = bytes, .end = (const char *)bytes + len, .at = {.line = 1, .column = 1}};
	json_error_t error;
	json_t *judged;
	int rc = OK;

	/* Repeated keys are left to the builder, which knows both places. */
	judged = json_loadb(bytes, len, 0, &error);
	if (!judged)
		return refuse_syntax(b, &error);
	json_decref(judged);
	while (rc == OK && w.p < w.end)
		rc = take_token(b, &w);
	return rc;
}

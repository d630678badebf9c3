#include <string.h>

#include <yaml.h>

#include "config/doc_build.h"

static struct doc_place place_of(const yaml_mark_t *m)
{
	return (struct doc_place){.line = (unsigned)m->line + 1, .column = (unsigned)m->column + 1};
}

/* libyaml counts bytes, not lines, where the text is not even UTF-8. */
static struct doc_place place_of_byte(const char *bytes, size_t offset)
{
	struct doc_place at = {.line = 1, .column = 1};

	for (size_t i = 0; i < offset; i++) {
		at.column = bytes[i] == '\n' ? 1 : at.column + 1;
		at.line += bytes[i] == '\n';
	}
	return at;
}

/* Does the line begin with blanks of which one is a tab? */
static bool has_tab(const char *bytes, size_t len, unsigned line)
{
	const char *p = bytes, *end = bytes + len;

	for (; line > 1 && (p = memchr(p, '\n', (size_t)(end - p))); line--)
		p++;
	while (p && p < end && *p == ' ')
		p++;
	return p && p < end && *p == '\t';
}

static int refuse_syntax(struct doc_builder *b, const yaml_parser_t *p, const char *bytes, size_t len)
{
	const char *problem = p->problem ? p->problem : "not YAML";
	struct doc_place at;

	if (p->error == YAML_MEMORY_ERROR)
		return ERR_NOMEM;
	if (p->error == YAML_READER_ERROR) {
		at = place_of_byte(bytes, p->problem_offset < len ? p->problem_offset : len);
		faults_add(b->faults, at.line, at.column, "", "not YAML: %s; give it as text in UTF-8",
			   problem);
		return ERR_CONFIG;
	}
	at = place_of(&p->problem_mark);
	if (has_tab(bytes, len, at.line)) {
		faults_add(b->faults, at.line, at.column, "",
			   "not YAML: a tab at the beginning of the line, allowed: spaces");
		return ERR_CONFIG;
	}
	if (p->context)
		faults_add(b->faults, at.line, at.column, "", "not YAML: %s (%s from line %zu)", problem,
			   p->context, p->context_mark.line + 1);
	else
		faults_add(b->faults, at.line, at.column, "", "not YAML: %s", problem);
	return ERR_CONFIG;
}

static void refuse_extras(struct doc_builder *b, struct doc_place at, const yaml_char_t *anchor,
			  const yaml_char_t *tag)
{
	if (anchor)
		doc_build_fault(b, at, "found the anchor &%s, but anchors and aliases are not taken", anchor);
	if (tag)
		doc_build_fault(b, at, "found the tag %s, but tags are not taken", tag);
}

/* A plain scalar that is not tagged resolves by its text; quotes and blocks make it text. */
static int take_scalar(struct doc_builder *b, const yaml_event_t *e, struct doc_place at)
{
	bool quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;

	refuse_extras(b, at, e->data.scalar.anchor, e->data.scalar.tag);
	return doc_build_scalar(b, (const char *)e->data.scalar.value, e->data.scalar.length, quoted, at);
}

static int take_document(struct doc_builder *b, const yaml_event_t *e, struct doc_place at)
{
	if (e->data.document_start.tag_directives.start != e->data.document_start.tag_directives.end)
		faults_add(b->faults, at.line, at.column, "",
			   "found a %%TAG directive, but tags are not taken");
	if (!b->doc->root)
		return OK;
	faults_add(b->faults, at.line, at.column, "", "a second document starts here, allowed: one");
	return ERR_CONFIG;
}

static int take_event(struct doc_builder *b, const yaml_event_t *e)
{
	struct doc_place at = place_of(&e->start_mark);

	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		return take_document(b, e, at);
	case YAML_ALIAS_EVENT:
		doc_build_fault(b, at, "found the alias *%s, but anchors and aliases are not taken",
				e->data.alias.anchor);
		return ERR_CONFIG;
	case YAML_SCALAR_EVENT:
		return take_scalar(b, e, at);
	case YAML_SEQUENCE_START_EVENT:
		refuse_extras(b, at, e->data.sequence_start.anchor, e->data.sequence_start.tag);
		return doc_build_start(b, DOC_LIST, at);
	case YAML_MAPPING_START_EVENT:
		refuse_extras(b, at, e->data.mapping_start.anchor, e->data.mapping_start.tag);
		return doc_build_start(b, DOC_MAP, at);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		doc_build_end(b);
		return OK;
	default:
		return OK;
	}
}

int doc_read_yaml(struct doc_builder *b, const void *bytes, size_t len)
{
	yaml_parser_t parser;
	yaml_event_t event;
	bool done = false;
	int rc = OK;

	if (!yaml_parser_initialize(&parser))
		return ERR_NOMEM;
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, bytes, len);
	while (rc == OK && !done) {
		if (!yaml_parser_parse(&parser, &event)) {
			rc = refuse_syntax(b, &parser, bytes, len);
			break;
		}
		rc = take_event(b, &event);
		done = event.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return rc;
}

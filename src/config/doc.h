/*
 * A configuration document as a tree, whatever it was written in: YAML (read by libyaml) or JSON (read by
 * jansson). Every node knows its line and column.
 *
 * Of YAML this takes maps, lists and scalars. Refused, each with its place: repeated keys, anchors and aliases,
 * tags, several documents, keys that are not scalars, and whatever passes the limits below. A scalar is not
 * interpreted here: `yes`, `1` and `1s` are text, and the schema says what they mean.
 *
 * JSON is judged by jansson, strictly. jansson gives no places for what is well-formed, so the accepted bytes
 * are then walked once for them: the walk relies on the bytes being valid, takes every text with an
 * escape from jansson again, and so decides nothing on its own.
 *
 * A document does not change after it was made, but that config/expand.h puts in what its devices take from elsewhere.
 * Nothing here keeps the bytes.
 */
#ifndef CONFIG_DOC_H
#define CONFIG_DOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"
#include "config/arena.h"
#include "config/faults.h"

#define DOC_MAX_BYTES (64u << 20) /* 100,000 tags are 8 MB */
#define DOC_MAX_DEPTH 64u
#define DOC_MAX_KEYS  256u     /* in one map */
#define DOC_MAX_NODES 8000000u /* in all */

enum doc_kind { DOC_MAP, DOC_LIST, DOC_SCALAR };
enum doc_format { DOC_YAML, DOC_JSON };

struct doc_node {
	enum doc_kind kind;
	bool quoted;           /* a scalar that can only be text: quoted, or a block scalar */
	unsigned line, column; /* from 1, in characters; where the value starts */
	const char *text;      /* DOC_SCALAR: NUL terminated, without NUL inside; else NULL */
	const char *file;      /* NULL: the document's own; else another that it was put in from */
	bool is_override;      /* stands in the place of another of its name: config/expand.h */
	bool loose; /* a scalar of a table or a template, which may be read as text or as anything else */
	const char *key; /* in a map: its key; else NULL */
	unsigned key_line, key_column;
	size_t index; /* among its siblings, from 0 */
	size_t count; /* children */
	struct doc_node *parent, *first, *last, *next;
};

struct doc {
	struct arena arena;
	enum doc_format format;
	struct doc_node *root; /* NULL: nothing in it */
	size_t nnodes;
};

/*
 * Parse `len` bytes. OK gives a tree in *out, complete but for what `faults` says, so that a reader can look
 * for more; ERR_CONFIG when there is no tree (faults say why), ERR_NOMEM. *out is untouched on failure.
 */
MUST_USE int doc_parse(const void *bytes, size_t len, enum doc_format format, struct faults *faults,
		       struct doc **out);
/* Accepts NULL. */
void doc_destroy(struct doc *doc);

/* Child of a map by key, or NULL. */
const struct doc_node *doc_get(const struct doc_node *map, const char *key);

/* A node as YAML on one line: {name: x, map: {raw: [0, 1]}}. Texts keep their quotes where they need them. */
void doc_print_flow(FILE *to, const struct doc_node *node);

/* The key path of a node, "devices[0].tags[2].type"; "" for the root. `key` (may be NULL) is put behind it. Returns buf. */
const char *doc_path(const struct doc_node *node, const char *key, char *buf, size_t size);

#endif

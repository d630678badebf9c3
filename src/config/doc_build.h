/*
 * For doc_yaml.c and doc_json.c: grow a document from a sequence of starts, scalars and ends. Duplicate keys and
 * limits are judged here, once for both. Each call returns OK, ERR_CONFIG (a fault was added, no use to go on) or ERR_NOMEM.
 */
#ifndef CONFIG_DOC_BUILD_H
#define CONFIG_DOC_BUILD_H

#include "config/doc.h"

struct doc_builder {
	struct doc *doc;
	struct faults *faults;
	struct doc_node *open; /* the innermost map or list that has not ended */
	unsigned depth;
	const char *key; /* of the value that comes next */
	unsigned key_line, key_column;
};

struct doc_place {
	unsigned line, column;
};

MUST_USE int doc_build_start(struct doc_builder *b, enum doc_kind kind, struct doc_place at);
/* Is the next scalar a key? */
bool doc_build_wants_key(const struct doc_builder *b);
/* `text` is copied. */
MUST_USE int doc_build_scalar(struct doc_builder *b, const char *text, size_t len, bool quoted,
			      struct doc_place at);
void doc_build_end(struct doc_builder *b);
/* A fault at what comes next; the path is that of the innermost open node with its key or index. */
void doc_build_fault(struct doc_builder *b, struct doc_place at, const char *fmt, ...) PRINTF_LIKE(3, 4);

/*
 * Another child behind those of `parent`, empty, with the place, key and text of `like`; its texts are copied into the
 * document's arena. NULL: no memory.
 */
struct doc_node *doc_node_add(struct doc *doc, struct doc_node *parent, const struct doc_node *like);
/* As doc_get(), to be changed. */
struct doc_node *doc_child(struct doc_node *map, const char *key);
/* Take its children away: the first of their row. */
struct doc_node *doc_children_take(struct doc_node *parent);
/* Put a node that is nobody's child behind those of `parent`. */
void doc_node_append(struct doc_node *parent, struct doc_node *n);

MUST_USE int doc_read_yaml(struct doc_builder *b, const void *bytes, size_t len);
MUST_USE int doc_read_json(struct doc_builder *b, const void *bytes, size_t len);

#endif

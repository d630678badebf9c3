/*
 * What devices take from elsewhere, put into the document before the schema reads it, so that one set of tables checks
 * everything:
 *
 *     templates:
 *       - name: pump
 *         parameters: {base: null, ct: 1}        null: has to be given
 *         max_gap: 16
 *         groups: [{name: fast, scan: 1s}]
 *         tags:
 *           - {name: speed, address: "holding:${base}", type: uint16}
 *           - {name: current, address: "holding:${base+1}", type: uint16, scale: "${ct}"}
 *     devices:
 *       - {name: pump1, line: press, template: pump, parameters: {base: 100}, tags_file: more.csv, tags: [...]}
 *
 * A device has the keys of its template, where it has none of its own. Its groups and tags are those of the template, then
 * those of its table, then its own; one of the same name stands in the place of the one before. A template of the
 * file goes before a built-in one of the same name.
 */
#ifndef CONFIG_EXPAND_H
#define CONFIG_EXPAND_H

#include "config/doc.h"

/* `base_dir` ("" or ending in '/') is where tables are looked for. Faults are added; OK or ERR_NOMEM. */
MUST_USE int doc_expand(struct doc *doc, const char *base_dir, struct faults *faults);

/* For expand.c: the groups, tags and keys that a device has from its template. OK or ERR_NOMEM. */
MUST_USE int expand_template(struct doc *doc, struct doc_node *device, struct faults *faults);
/*
 * Move `items`, a row of nobody's nodes, into `list`: each in the place of the one with the same name that stood there before,
 * or behind all.
 */
void expand_merge(struct doc_node *list, struct doc_node *items);

/* The library, made from templates/ by the build. The last has a NULL name. */
struct template_builtin {
	const char *name;
	const char *text; /* YAML, one map */
};
extern const struct template_builtin template_builtins[];

#endif

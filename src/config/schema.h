/*
 * Schema tables: what keys a map may have, what each holds, and where it goes in a C struct. One table drives
 * validation, defaults, conversion, the JSON Schema and with it the documentation: a new key is one line.
 *
 * Reading collects every fault, each with place, key path, what was found and what is allowed, and then
 * fills what it can; the struct is to be used only when there was no fault. Pure but for the arena.
 */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "config/doc.h"

/*
 * kind    written as                          stored in
 * BOOL    true, false                         bool
 * INT     5, -3                               any integer type; range min..max
 * NUMBER  2.5, 1e3                            double; finite, range min..max when one of them is not 0
 * TEXT    text, by `rule` when there is one   const char *, in the arena
 * ENUM    one of `words`                      int or an enum
 * SIZE    64MiB, 512KiB, 100 (bytes)          unsigned; range min..max bytes
 * TIME    5ms, 1s, 10min, 1h, 7d, 0           unsigned, milliseconds; range min..max
 * RULE    text that `rule` parses             what the rule says
 * PATH    a file name                         const char *, made relative to the configuration file
 * TEXTS   a list of TEXT                      const char **, and a size_t at count_offset
 * MAP     a map of `sub`                      its struct, embedded; absent: its defaults
 * MAPS    a list of such maps                 pointer to an array, and a size_t at count_offset
 *         (or texts, see schema.text_key)
 * KEYS    the keys of `sub`, in the same map  pointer to its struct, NULL when none of them is there
 * NUMBERS a list of so many NUMBERs           double [width / sizeof(double)]
 * LABELS  a map of whole numbers to texts     struct schema_label *, ordered by number, and a size_t at count_offset;
 *         neither a number nor a text twice
 * ANY_MAP, ANY_LIST  a map, a list of maps    -; judged by who deals with the document before (config/expand.h)
 * OPTION  a map of `sub`                      pointer to its struct; NULL when it is absent
 * LATER   nothing: known, but not built yet   -; refused as "not in this version"
 */
enum schema_kind {
	SCHEMA_BOOL,
	SCHEMA_INT,
	SCHEMA_NUMBER,
	SCHEMA_TEXT,
	SCHEMA_ENUM,
	SCHEMA_SIZE,
	SCHEMA_TIME,
	SCHEMA_RULE,
	SCHEMA_PATH,
	SCHEMA_TEXTS,
	SCHEMA_MAP,
	SCHEMA_MAPS,
	SCHEMA_KEYS,
	SCHEMA_NUMBERS,
	SCHEMA_LABELS,
	SCHEMA_OPTION,
	SCHEMA_ANY_MAP,
	SCHEMA_ANY_LIST,
	SCHEMA_LATER
};

struct schema_word {
	const char *word; /* NULL ends the list */
	int value;
	bool later; /* known, but not built yet */
};

struct schema_label {
	int64_t number;
	const char *text;
};

struct schema_rule {
	/* Does the text obey? Stores into `out` (the field of a RULE, untouched otherwise) unless it is NULL. */
	bool (*parse)(const char *text, void *out);
	const char *allowed; /* for people */
	const char *pattern; /* the same as a regular expression of JSON Schema, at least as wide */
	bool takes_number;   /* a number is taken as its text, in JSON too */
	bool takes_bool;     /* beside takes_number: true and false, too */
};

struct schema;

struct schema_field {
	const char *key;
	const char *doc; /* one sentence for people */
	enum schema_kind kind;
	size_t offset, width; /* in the struct: use SCHEMA_AT() */
	size_t count_offset;
	bool required;
	unsigned only; /* bits 1 << value of the schema's selector for which the key is allowed; 0: all */
	const char
		*preset;   /* the default, as it would be written; NULL: the member stays as init() left it */
	const char *unset; /* for people, where preset is NULL: what then holds */
	double min, max;
	const struct schema_word *words;
	const struct schema_rule *rule;
	const struct schema *sub;
};

struct schema {
	const char *name; /* "device": one of them, for people and as the name of a definition */
	size_t size;      /* of the struct */
	const struct schema_field *fields;
	size_t nfields;
	const char *
		text_key; /* in a list of these, text is the value of this key in a map without others; or NULL */
	const char *selector;     /* key of the ENUM that `only` speaks of, or NULL */
	void (*init)(void *item); /* after zeroing, before the presets; may be NULL */
};

#define SCHEMA_AT(type, member)             .offset = offsetof(type, member), .width = sizeof(((type *)0)->member)
#define SCHEMA_LIST_AT(type, member, count) SCHEMA_AT(type, member), .count_offset = offsetof(type, count)

struct schema_reader {
	struct arena *arena; /* owns what the struct points to */
	struct faults *faults;
	enum doc_format format;
	const char *base_dir; /* for PATH: "" or ending in '/' */
};

/*
 * Read `node` into `out` (s->size bytes, any contents). Faults are added to r->faults; returns OK also then, ERR_NOMEM
 * when memory ran out.
 */
MUST_USE int schema_read(const struct schema_reader *r, const struct schema *s, const struct doc_node *node,
			 void *out);

/*
 * Fill `out` (s->size bytes, any contents) as from a map without keys; what is required is left as init() left it.
 * ERR_NOMEM.
 */
MUST_USE int schema_defaults(const struct schema_reader *r, const struct schema *s, void *out);

/* A fault at a node, and at the value of `key` of a map, or at the map when it has no such key. */
void schema_fault(const struct schema_reader *r, const struct doc_node *node, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
void schema_fault_key(const struct schema_reader *r, const struct doc_node *map, const char *key,
		      const char *fmt, ...) PRINTF_LIKE(4, 5);

/* Field `i` of the keys that stand in a map of this kind, those of KEYS among them; NULL at the end. */
const struct schema_field *schema_field_at(const struct schema *s, size_t i);

/* What a field takes, for people: "a whole number, 0..255". Returns buf. */
const char *schema_allowed(const struct schema_field *f, char *buf, size_t size);

/* The nearest of the words to what somebody typed, or NULL when none is near. `next` gives word i, NULL at the end. */
const char *schema_nearest(const char *typed, const char *(*next)(const void *arg, size_t i),
			   const void *arg);

/* The JSON Schema (draft 2020-12) of a table. ERR_IO. */
MUST_USE int schema_print_json(const struct schema *s, const char *title, FILE *out);

#endif

/*
 * For schema.c: one scalar into one member.
 */
#ifndef CONFIG_SCHEMA_SCALAR_H
#define CONFIG_SCHEMA_SCALAR_H

#include <string.h>

#include "config/schema.h"

/*
 * Convert text for field `f` into the member at `at`. OK; ERR_RANGE when it is not what the field takes;
 * ERR_UNSUPPORTED for a word that is known but not built yet; ERR_NOMEM. `at` may be changed on failure.
 */
MUST_USE int schema_scalar(const struct schema_reader *r, const struct schema_field *f, const char *text,
			   void *at);

/* The fault "found this, allowed: that" at a value. */
void schema_fault_value(const struct schema_reader *r, const struct schema_field *f,
			const struct doc_node *n);

/* A LABELS field of `item`. Faults are added; OK or ERR_NOMEM. */
MUST_USE int schema_read_labels(const struct schema_reader *r, const struct schema_field *f,
				const struct doc_node *map, void *item);

/* May a scalar of this kind stand without quotes, and with them? */
bool schema_takes_plain(const struct schema_reader *r, const struct schema_field *f);
bool schema_takes_quoted(const struct schema_reader *r, const struct schema_field *f);

/* A size or a time as it would be written; returns buf. */
const char *schema_size_text(double bytes, char *buf, size_t size);
const char *schema_time_text(double ms, char *buf, size_t size);

/* The field of a key that the table names itself: it is there. */
static inline const struct schema_field *schema_field_of(const struct schema *s, const char *key)
{
	const struct schema_field *f = s->fields;

	while (strcmp(f->key, key) != 0)
		f++;
	return f;
}

#endif

#include <ctype.h>
#include <string.h>

#include "config/schema.h"

#define WORD_MAX 40

/* Capital letters are a matter of habit: REAL, Holding, RW. */
static int small(char c)
{
	return tolower((unsigned char)c);
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/*
 * How many characters must be added, dropped, changed or exchanged with their neighbour to make one word of the
 * other ("optimal string alignment"). Both are at most WORD_MAX long.
 */
static size_t distance(const char *a, size_t na, const char *b, size_t nb)
{
	size_t rows[3][WORD_MAX + 1];

	for (size_t j = 0; j <= nb; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= na; i++) {
		size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			row[j] = smaller(above[j], row[j - 1]) + 1;
			row[j] = smaller(row[j], above[j - 1] + (small(a[i - 1]) != small(b[j - 1])));
			if (i > 1 && j > 1 && small(a[i - 1]) == small(b[j - 2]) &&
			    small(a[i - 2]) == small(b[j - 1]))
				row[j] = smaller(row[j], before[j - 2] + 1);
		}
	}
	return rows[na % 3][nb];
}

const char *schema_nearest(const char *typed, const char *(*next)(const void *arg, size_t i), const void *arg)
{
	size_t n = strlen(typed), best = 3, d;
	const char *word, *nearest = NULL;

	if (n > WORD_MAX)
		return NULL;
	for (size_t i = 0; (word = next(arg, i)); i++) {
		if (strlen(word) > WORD_MAX)
			continue;
		d = distance(typed, n, word, strlen(word));
		/* A short word is near to everything: at least half of it must be right. */
		if (d < best && 2 * d <= strlen(word)) {
			best = d;
			nearest = word;
		}
	}
	return nearest;
}

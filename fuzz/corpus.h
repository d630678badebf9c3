/* For programs that write first inputs of text and a dictionary. */
#ifndef FUZZ_CORPUS_H
#define FUZZ_CORPUS_H

#include <stdio.h>

static inline int corpus_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return -1;
	fputs(text, f);
	return fclose(f);
}

/* argv: FOLDER DICTIONARY. Inputs are called `what`-0 and so on; returns what main() is to return. */
static inline int corpus_write(int argc, char **argv, const char *what, const char *const *inputs, size_t n,
			       const char *words)
{
	char path[4096];

	if (argc != 3)
		return 2;
	for (size_t i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s-%zu", argv[1], what, i);
		if (corpus_file(path, inputs[i]) != 0)
			return 1;
	}
	return corpus_file(argv[2], words) == 0 ? 0 : 1;
}

#endif

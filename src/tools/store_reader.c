#include "tools/store_reader.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

void store_reader_fini(struct store_reader *r)
{
	free(r->text);
	r->text = NULL;
}

int store_reader_problem(struct store_reader *r, const char *fmt, ...)
{
	va_list args;

	r->p->line = r->line;
	va_start(args, fmt);
	vsnprintf(r->p->why, sizeof(r->p->why), fmt, args);
	va_end(args);
	return ERR_MALFORMED;
}

int store_reader_next(struct store_reader *r, struct store_line *out, size_t *bytes)
{
	ssize_t n;

	errno = 0;
	n = getline(&r->text, &r->room, r->from);
	if (n < 0 && ferror(r->from))
		return ERR_IO;
	if (n < 0 && !feof(r->from))
		return errno == ENOMEM ? ERR_NOMEM : ERR_IO;
	r->line++;
	if (n < 0)
		return store_reader_problem(r, "the file ends here, without its last line: it was cut short");
	if (n > 0 && r->text[n - 1] == '\n')
		n--;
	if ((size_t)n > STORE_LINE_MAX)
		return store_reader_problem(r, "longer than a line can be");
	r->p->line = r->line;
	*bytes = (size_t)n;
	return store_line_read(span_of((const uint8_t *)r->text, (size_t)n), out, r->p->why,
			       sizeof(r->p->why));
}

#include "config/csv.h"

#include <string.h>

static char most_frequent(const char *line, const char *end)
{
	static const char candidates[] = {',', ';', '\t'};
	size_t counts[3] = {0}, best = 0;

	for (; line < end && *line != '\n'; line++)
		for (size_t i = 0; i < 3; i++)
			counts[i] += *line == candidates[i];
	for (size_t i = 1; i < 3; i++)
		if (counts[i] > counts[best])
			best = i;
	return candidates[best];
}

void csv_init(struct csv *c, char *bytes, size_t len)
{
	bytes[len] = '\0';
	*c = (struct csv){.at = bytes, .end = bytes + len, .line = 1};
	if (len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
		c->at += 3;
	c->delimiter = most_frequent(c->at, c->end);
}

/* Line ends: LF, CR LF, and the CR alone of old spreadsheets. */
static bool take_line_end(struct csv *c)
{
	if (c->at == c->end || (*c->at != '\n' && *c->at != '\r'))
		return false;
	c->at += *c->at == '\r' && c->at + 1 < c->end && c->at[1] == '\n' ? 2 : 1;
	c->line++;
	return true;
}

/* From the quote on; leaves c->at behind the closing one, and a NUL behind the text. */
static const char *take_quoted(struct csv *c, struct csv_cell *out)
{
	char *to = ++c->at;

	out->text = to;
	for (; c->at < c->end; c->at++) {
		if (*c->at == '\0')
			return "a NUL character";
		if (*c->at == '"' && (c->at + 1 == c->end || c->at[1] != '"')) {
			c->at++;
			*to = '\0';
			return NULL;
		}
		c->at += *c->at == '"';
		c->line += *c->at == '\n';
		*to++ = *c->at;
	}
	return "a quote that is never closed";
}

static const char *take_plain(struct csv *c, struct csv_cell *out)
{
	out->text = c->at;
	for (; c->at < c->end && *c->at != c->delimiter && *c->at != '\n' && *c->at != '\r'; c->at++) {
		if (*c->at == '"')
			return "a quote inside a cell: put the whole cell in quotes, and each quote twice";
		if (*c->at == '\0')
			return "a NUL character";
	}
	return NULL;
}

int csv_next(struct csv *c, struct csv_cell *out, const char **why)
{
	char *end;

	while (!c->is_row_open && take_line_end(c))
		;
	if (!c->is_row_open && c->at == c->end)
		return ERR_NOT_FOUND;
	*out = (struct csv_cell){.line = c->line, .column = ++c->column};
	*why = c->at < c->end && *c->at == '"' ? take_quoted(c, out) : take_plain(c, out);
	if (*why)
		return ERR_MALFORMED;
	end = c->at;
	c->is_row_open = c->at < c->end && *c->at == c->delimiter;
	if (c->is_row_open) {
		c->at++;
	} else if (c->at < c->end && !take_line_end(c)) {
		*why = "text behind the closing quote";
		return ERR_MALFORMED;
	}
	*end = '\0'; /* of a plain cell; a quoted one has its own */
	if (!c->is_row_open)
		c->column = 0;
	out->is_last = !c->is_row_open;
	return OK;
}

void csv_put(FILE *to, const char *text)
{
	if (!strpbrk(text, ",;\"\r\n\t")) {
		fputs(text, to);
		return;
	}
	fputc('"', to);
	for (; *text; text++) {
		if (*text == '"')
			fputc('"', to);
		fputc(*text, to);
	}
	fputc('"', to);
}

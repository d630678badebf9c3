#include "config/faults.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

void faults_init(struct faults *f, const char *file)
{
	*f = (struct faults){.file = file};
}

void faults_fini(struct faults *f)
{
	free(f->list);
	*f = (struct faults){.file = f->file};
}

bool faults_any(const struct faults *f)
{
	return f->count || f->left_out || f->nomem;
}

/* Bytes of the character at `s` when a terminal can show it, else 0. */
static size_t printable_length(const char *s)
{
	uint32_t point;
	size_t n = utf8_char((const uint8_t *)s, strnlen(s, 4), &point);

	return n && point >= 0x20 && !(point >= 0x7F && point < 0xA0) ? n : 0;
}

/* Copy what a terminal can show; a text that does not fit ends with "...". */
static void copy_printable(char *to, size_t size, const char *from)
{
	size_t at = 0, keep = 0, n;

	while (*from) {
		n = printable_length(from);
		if (at + (n ? n : 1) + 1 > size) {
			memcpy(to + keep, "...", 4);
			return;
		}
		if (n)
			memcpy(to + at, from, n);
		else
			to[at] = '?';
		at += n ? n : 1;
		from += n ? n : 1;
		if (at + 4 <= size)
			keep = at;
	}
	to[at] = '\0';
}

static struct fault *next_fault(struct faults *f)
{
	size_t room = f->room ? f->room * 2 : 8;
	struct fault *list;

	if (f->count == FAULTS_MAX) {
		f->left_out++;
		return NULL;
	}
	if (f->count == f->room) {
		list = realloc(f->list, room * sizeof(*list));
		if (!list) {
			f->nomem = true;
			return NULL;
		}
		f->list = list;
		f->room = room;
	}
	return &f->list[f->count++];
}

PRINTF_LIKE(6, 0)
static void add(struct faults *f, const char *file, unsigned line, unsigned column, const char *path,
		const char *fmt, va_list args)
{
	struct fault *fault = next_fault(f);
	char text[2 * FAULT_TEXT_BYTES];

	if (!fault)
		return;
	vsnprintf(text, sizeof(text), fmt, args);
	fault->line = line;
	fault->column = column;
	copy_printable(fault->path, sizeof(fault->path), path);
	copy_printable(fault->file, sizeof(fault->file), file ? file : "");
	copy_printable(fault->text, sizeof(fault->text), text);
}

void faults_add(struct faults *f, unsigned line, unsigned column, const char *path, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add(f, NULL, line, column, path, fmt, args);
	va_end(args);
}

void faults_add_in(struct faults *f, const char *file, unsigned line, unsigned column, const char *path,
		   const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add(f, file, line, column, path, fmt, args);
	va_end(args);
}

static bool comes_after(const struct fault *a, const struct fault *b)
{
	int file = strcmp(a->file, b->file);

	if (file)
		return file > 0;
	return a->line != b->line ? a->line > b->line : a->column > b->column;
}

/* By insertion: at most FAULTS_MAX, nearly in order, and equal places keep their order. */
void faults_sort(struct faults *f)
{
	struct fault moved;

	for (size_t i = 1; i < f->count; i++) {
		size_t at = i;

		moved = f->list[i];
		for (; at > 0 && comes_after(&f->list[at - 1], &moved); at--)
			f->list[at] = f->list[at - 1];
		f->list[at] = moved;
	}
}

const char *fault_format(const struct faults *f, size_t i, char *buf, size_t size)
{
	const struct fault *fault = &f->list[i];
	char place[32] = "";

	if (fault->line)
		snprintf(place, sizeof(place), ":%u:%u", fault->line, fault->column);
	snprintf(buf, size, "%s%s: %s%s%s", fault->file[0] ? fault->file : f->file, place, fault->path,
		 fault->path[0] ? ": " : "", fault->text);
	return buf;
}

void faults_print(const struct faults *f, FILE *out)
{
	char line[FAULT_PATH_BYTES + FAULT_TEXT_BYTES + 4096 + 64];

	for (size_t i = 0; i < f->count; i++)
		fprintf(out, "%s\n", fault_format(f, i, line, sizeof(line)));
	if (f->left_out)
		fprintf(out, "%s: %zu more faults\n", f->file, f->left_out);
}

#include "tools/text.h"

#include <string.h>
#include <time.h>

/* ---- words ---- */

const char *text_bytes(long long n, char *buf, size_t size)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double value = (double)n;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	snprintf(buf, size, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return buf;
}

const char *text_duration(long long s, char *buf, size_t size)
{
	if (s >= 86400)
		snprintf(buf, size, "%lld d %02lld:%02lld:%02lld", s / 86400, s / 3600 % 24, s / 60 % 60,
			 s % 60);
	else
		snprintf(buf, size, "%02lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
	return buf;
}

const char *text_time(long long ms, char *buf, size_t size)
{
	time_t s = (time_t)(ms / 1000);
	struct tm tm;

	if (ms <= 0 || !gmtime_r(&s, &tm) || strftime(buf, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(buf, size, "never");
	return buf;
}

/* ---- tables ---- */

/* What a device told is shown, not obeyed by the terminal. */
void table_set_text(struct table *t, size_t column, const char *text)
{
	char *cell = t->cells[t->nrows][column];

	snprintf(cell, TABLE_CELL_BYTES, "%s", text);
	for (; *cell; cell++)
		if ((unsigned char)*cell < ' ' || *cell == 0x7F)
			*cell = '?';
}

void table_set_num(struct table *t, size_t column, long long n)
{
	snprintf(t->cells[t->nrows][column], TABLE_CELL_BYTES, "%lld", n);
}

/* Characters, as far as each takes one column. */
static size_t width_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xC0) != 0x80;
	return n;
}

static void print_cell(const char *text, size_t width, bool left, bool last, FILE *to)
{
	int pad = (int)(width - width_of(text));

	if (left)
		fprintf(to, "%s%*s", text, last ? 0 : pad, "");
	else
		fprintf(to, "%*s%s", pad, "", text);
	fputs(last ? "\n" : "  ", to);
}

void table_print(const struct table *t, FILE *to)
{
	size_t width[TABLE_COLUMNS_MAX];

	if (t->nrows == 0)
		return;
	fputc('\n', to);
	for (size_t c = 0; c < t->ncolumns; c++) {
		width[c] = width_of(t->titles[c] + 1);
		for (size_t r = 0; r < t->nrows; r++)
			if (width_of(t->cells[r][c]) > width[c])
				width[c] = width_of(t->cells[r][c]);
	}
	for (size_t c = 0; c < t->ncolumns; c++)
		print_cell(t->titles[c] + 1, width[c], t->titles[c][0] == '<', c + 1 == t->ncolumns, to);
	for (size_t r = 0; r < t->nrows; r++)
		for (size_t c = 0; c < t->ncolumns; c++)
			print_cell(t->cells[r][c], width[c], t->titles[c][0] == '<', c + 1 == t->ncolumns,
				   to);
}

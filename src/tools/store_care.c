/*
 * lineside store check, compact, export and import.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/care.h"
#include "tools/store_copy.h"
#include "tools/store_tool.h"
#include "tools/text.h"

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int64_t wall_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- check ---- */

static void print_fault(void *arg, const char *fault)
{
	(void)arg;
	printf("%s\n", fault);
}

int store_tool_check(const struct store_tool *t)
{
	char why[512] = "";
	double begin = seconds();
	int rc = care_check(t->folder, print_fault, NULL, why, sizeof(why));

	if (rc == OK)
		printf("%s: in order (%.1f s)\n", t->folder, seconds() - begin);
	else if (rc == ERR_MALFORMED)
		fprintf(stderr,
			"lineside store check: %s: %s. Stop the gateway, keep a copy of the folder, and "
			"start the "
			"gateway again: it sets a damaged database aside and takes over what can be read. "
			"Then "
			"look for the cause: the disk, its cable, memory\n",
			t->folder, why);
	else
		store_tool_complain(t, t->folder, why);
	return rc == OK && fflush(stdout) == 0 ? 0 : 1;
}

/* ---- compact ---- */

int store_tool_compact(const struct store_tool *t)
{
	struct care_sizes before, after;
	char why[512] = "", a[32], b[32];
	double begin = seconds();
	int rc;

	/* What is written on the side belongs where room was made for it, not into memory. */
	setenv("SQLITE_TMPDIR", t->folder, 1);
	rc = care_sizes(t->folder, &before, why, sizeof(why));
	if (rc == OK) {
		fprintf(stderr, "lineside store compact: %s: %s, of which %s are free\n", t->folder,
			text_bytes((long long)before.bytes, a, sizeof(a)),
			text_bytes((long long)before.free_bytes, b, sizeof(b)));
		rc = care_compact(t->folder, why, sizeof(why));
	}
	if (rc == OK)
		rc = care_sizes(t->folder, &after, why, sizeof(why));
	if (rc < 0) {
		store_tool_complain(t, t->folder, why);
		return 1;
	}
	printf("%s: %s, before %s (%.1f s)\n", t->folder, text_bytes((long long)after.bytes, a, sizeof(a)),
	       text_bytes((long long)before.bytes, b, sizeof(b)), seconds() - begin);
	return fflush(stdout) == 0 ? 0 : 1;
}

/* ---- export ---- */

static void print_counts(const struct store_tool *t, const char *done, const struct store_counts *n)
{
	fprintf(stderr,
		"lineside store %s: %s: sessions: %llu, subscriptions: %llu, messages: %llu, packet ids: "
		"%llu, "
		"retained: %llu\n",
		t->command, done, (unsigned long long)n->sessions, (unsigned long long)n->subs,
		(unsigned long long)n->messages, (unsigned long long)n->received,
		(unsigned long long)n->retained);
}

static int export_to(const struct store_tool *t, FILE *to)
{
	struct store_backend *b = NULL;
	struct store_counts n;
	int rc = store_tool_open(t, &b);

	if (rc < 0)
		return rc;
	rc = store_export(b, to, &n);
	b->ops->close(b);
	if (rc < 0 && ferror(to))
		store_tool_complain(t, t->file ? t->file : "standard output", strerror(errno));
	else if (rc < 0)
		store_tool_complain(t, t->folder, err_text(rc));
	else
		print_counts(t, "written", &n);
	return rc;
}

/* Beside it first: nobody sees a half, and what was there before stays when it fails. */
static int export_to_file(const struct store_tool *t)
{
	char *beside = NULL;
	FILE *to = NULL;
	int fd, rc = ERR_IO;

	if (asprintf(&beside, "%s.new", t->file) < 0)
		return ERR_NOMEM;
	fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600); /* as secret as the store */
	to = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (!to) {
		store_tool_complain(t, beside, strerror(errno));
		if (fd >= 0)
			close(fd);
		goto done;
	}
	rc = export_to(t, to);
	if ((fsync(fd) < 0 || fclose(to) != 0 || (rc == OK && rename(beside, t->file) < 0)) && rc == OK) {
		store_tool_complain(t, t->file, strerror(errno));
		rc = ERR_IO;
	}
	if (rc < 0)
		unlink(beside);
done:
	free(beside);
	return rc;
}

int store_tool_export(const struct store_tool *t)
{
	return (t->file ? export_to_file(t) : export_to(t, stdout)) == OK ? 0 : 1;
}

/* ---- import ---- */

static int say_problem(const struct store_tool *t, int rc, const struct store_problem *p)
{
	const char *name = t->file ? t->file : "standard input";

	if (rc == ERR_MALFORMED)
		fprintf(stderr, "lineside store import: %s:%llu: %s; nothing was taken\n", name,
			(unsigned long long)p->line, p->why);
	else if (rc < 0)
		store_tool_complain(t, name, rc == ERR_IO && errno ? strerror(errno) : err_text(rc));
	return rc;
}

/* What comes once only is kept, for it is read twice. */
static FILE *open_input(const struct store_tool *t)
{
	FILE *from = t->file ? fopen(t->file, "re") : stdin, *copy;
	char buf[65536];
	size_t n;

	if (!from || fseek(from, 0, SEEK_CUR) == 0)
		return from;
	copy = tmpfile();
	while (copy && (n = fread(buf, 1, sizeof(buf), from)) > 0)
		if (fwrite(buf, 1, n, copy) != n)
			break;
	if (copy && (ferror(from) || ferror(copy) || fseek(copy, 0, SEEK_SET) != 0)) {
		fclose(copy);
		copy = NULL;
	}
	if (from != stdin)
		fclose(from);
	return copy;
}

static int fill_draft(const struct store_tool *t, struct care_draft *d, FILE *from,
		      struct store_import_result *result)
{
	/* synced as a whole when it is taken */
	struct store_sqlite_options o = {.folder = care_draft_folder(d), .durability = STORE_OS};
	struct store_backend *b = NULL;
	struct store_problem p;
	char why[512] = "";
	int rc = store_sqlite_open(&o, &b, why, sizeof(why));

	if (rc < 0) {
		store_tool_complain(t, t->folder, *why ? why : err_text(rc));
		return rc;
	}
	errno = 0;
	rc = store_import(b, from, t->replace, wall_ms(), result, &p);
	b->ops->close(b);
	return say_problem(t, rc, &p);
}

void store_tool_print_result(const struct store_tool *t, const struct store_import_result *result)
{
	print_counts(t, "taken", &result->taken);
	if (result->kept || result->kept_retained)
		fprintf(stderr,
			"lineside store import: there already, and left as they are: sessions: %llu, "
			"retained: %llu%s\n",
			(unsigned long long)result->kept, (unsigned long long)result->kept_retained,
			t->replace ? "" : "; --replace takes those of the file");
}

static int import_from(const struct store_tool *t, FILE *from)
{
	struct store_import_result result;
	struct care_draft *d = NULL;
	struct store_counts counts;
	struct store_problem p;
	char why[512] = "";
	int rc;

	errno = 0;
	if ((rc = say_problem(t, store_import_check(from, &counts, &p), &p)) < 0)
		return rc;
	if (fseek(from, 0, SEEK_SET) != 0)
		return say_problem(t, ERR_IO, &p);
	rc = care_draft_begin(t->folder, &d, why, sizeof(why));
	if (rc == ERR_BUSY && t->control[0])
		return store_tool_import_running(t, fileno(from));
	if (rc == ERR_BUSY)
		snprintf(why, sizeof(why),
			 "a gateway uses it: name its configuration with -c to import while it runs");
	if (rc < 0) {
		store_tool_complain(t, t->folder, why);
		return rc;
	}
	rc = fill_draft(t, d, from, &result);
	if (rc == OK && (rc = care_draft_take(d, why, sizeof(why))) < 0)
		store_tool_complain(t, t->folder, why);
	care_draft_end(d);
	if (rc == OK)
		store_tool_print_result(t, &result);
	return rc;
}

int store_tool_import(const struct store_tool *t)
{
	FILE *from = open_input(t);
	int rc;

	if (!from) {
		store_tool_complain(t, t->file ? t->file : "standard input", strerror(errno));
		return 1;
	}
	rc = import_from(t, from);
	if (from != stdin)
		fclose(from);
	return rc == OK ? 0 : 1;
}

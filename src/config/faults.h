/*
 * What is wrong with a file, each fault with its place: `plant.yaml:12:7: devices[0].tags[2].type: found
 * "flot32", allowed: bool, int8, ...`. All faults are collected up to FAULTS_MAX, the rest is counted.
 */
#ifndef CONFIG_FAULTS_H
#define CONFIG_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"

#define FAULTS_MAX       100
#define FAULT_PATH_BYTES 192
#define FAULT_TEXT_BYTES 512
#define FAULT_FILE_BYTES 128

struct fault {
	unsigned line, column; /* from 1; 0: the fault has no place of its own */
	char path
		[FAULT_PATH_BYTES]; /* key path, "" for the file as a whole; a longer one is cut with "..." */
	char file[FAULT_FILE_BYTES]; /* "": that of the list */
	char text[FAULT_TEXT_BYTES]; /* printable UTF-8; a longer one is cut */
};

struct faults {
	const char *file;   /* for printing; borrowed from who called faults_init() */
	struct fault *list; /* sorted by place after faults_sort() */
	size_t count;
	size_t room;
	size_t left_out; /* beyond FAULTS_MAX */
	bool nomem;      /* a fault could not be kept */
};

/* `file` stays valid until faults_fini(). */
void faults_init(struct faults *f, const char *file);
void faults_fini(struct faults *f);

/* Any fault, kept or not? */
bool faults_any(const struct faults *f);

/* `path` is copied. Control characters and bytes that are not UTF-8 become '?'. Never fails: see nomem. */
void faults_add(struct faults *f, unsigned line, unsigned column, const char *path, const char *fmt, ...)
	PRINTF_LIKE(5, 6);

/* The same in another file than the list's; NULL: the list's. */
void faults_add_in(struct faults *f, const char *file, unsigned line, unsigned column, const char *path,
		   const char *fmt, ...) PRINTF_LIKE(6, 7);

/* By line and column, what is in other files behind. */
void faults_sort(struct faults *f);

/* One line of text without a newline, cut to fit; returns buf. */
const char *fault_format(const struct faults *f, size_t i, char *buf, size_t size);
/* Every fault on a line of its own, then how many were left out. */
void faults_print(const struct faults *f, FILE *out);

#endif

/*
 * For tests: make allocations fail. Unit tests are linked with malloc, calloc, realloc and strdup wrapped.
 *
 *   for (long n = 1;; n++) {
 *           alloc_fail_at(n);               // the n-th allocation from now returns NULL, only that one
 *           rc = thing_create(&t);
 *           bool hit = alloc_fail_end();    // was there an n-th one?
 *           ...check rc and that nothing leaks...
 *           if (!hit) break;
 *   }
 */
#ifndef BASE_ALLOC_FAIL_H
#define BASE_ALLOC_FAIL_H

#include <stdbool.h>

void alloc_fail_at(long nth);
bool alloc_fail_end(void);

#endif

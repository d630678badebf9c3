#include "base/alloc_fail.h"

#include <stdatomic.h>
#include <stddef.h>

static atomic_long countdown;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
char *__wrap_strdup(const char *s);

void alloc_fail_at(long nth)
{
	atomic_store(&countdown, nth);
}

bool alloc_fail_end(void)
{
	return atomic_exchange(&countdown, 0) < 0;
}

static bool fails_now(void)
{
	long left = atomic_load(&countdown);

	while (left > 0) {
		if (!atomic_compare_exchange_weak(&countdown, &left, left - 1))
			continue;
		if (left > 1)
			return false;
		atomic_store(&countdown, -1);
		return true;
	}
	return false;
}

void *__wrap_malloc(size_t size)
{
	return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails_now() ? NULL : __real_realloc(p, size);
}

char *__wrap_strdup(const char *s)
{
	return fails_now() ? NULL : __real_strdup(s);
}

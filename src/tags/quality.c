#include "tags/quality.h"

#include <assert.h>

const char *quality_name(enum quality q)
{
	static const char *const names[QUALITY_COUNT] = {"good", "uncertain", "bad"};

	assert((unsigned)q < QUALITY_COUNT);
	return names[q];
}

const char *reason_name(enum reason r)
{
	static const char *const names[REASON_COUNT] = {[REASON_NONE] = "",
#define REASON_AS_NAME(name, word) [REASON_##name] = (word),
							REASON_TABLE(REASON_AS_NAME)
#undef REASON_AS_NAME
	};

	assert((unsigned)r < REASON_COUNT);
	return names[r];
}

#include "base/err.h"

const char *err_text(int err)
{
	static const char *const texts[ERR_INDEX_COUNT] = {[ERR_INDEX_OK] = "ok",
#define ERR_AS_TEXT(name, text) [ERR_INDEX_##name] = (text),
							   ERR_TABLE(ERR_AS_TEXT)
#undef ERR_AS_TEXT
	};

	if (err > 0 || err <= -(int)ERR_INDEX_COUNT)
		return "unknown error";
	return texts[-err];
}

/*
 * Any bytes as an expression: what is accepted can be evaluated, and its tags lie inside the text.
 */
#include <math.h>
#include <stdlib.h>

#include "base/expr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	double tags[EXPR_TAGS_MAX] = {0, 1, -1, 1e300, 0.5}, windows[EXPR_WINDOWS_MAX] = {3};
	char fault[EXPR_FAULT_MAX];
	struct expr e;
	double value = 0;

	if (expr_parse(span_of(data, size), &e, fault) < 0)
		return 0;
	for (unsigned i = 0; i < e.ntags; i++)
		if (e.tags[i].device.len == 0 || e.tags[i].name.len == 0 || e.tags[i].device.p < data ||
		    e.tags[i].name.p + e.tags[i].name.len > data + size)
			abort();
	for (unsigned i = 0; i < e.nwindows; i++)
		if (e.windows[i].tag >= e.ntags || e.windows[i].ms == 0)
			abort();
	if (expr_evaluate(&e, tags, windows, &value) == OK && !isfinite(value))
		abort();
	return 0;
}

/* Numbers in the files of chips: no text is taken for a number that is none, and what is taken is finite. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "south/io_sysfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[SYSFS_TEXT_MAX];
	double value = 0.5;

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (sysfs_parse(text, &value) < 0)
		assert(value == 0.5);
	else
		assert(isfinite(value) && strpbrk(text, "0123456789"));
	return 0;
}

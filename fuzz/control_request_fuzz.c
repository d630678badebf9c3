#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "admin/control_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any line gives a command that fits, or an error and an empty one. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_request r;
	int rc;

	if (size >= CONTROL_REQUEST_MAX)
		return 0;
	memset(&r, 'x', sizeof(r));
	rc = control_request_read(span_of(data, size), &r);
	if (!memchr(r.command, '\0', sizeof(r.command)) || (rc < 0 && r.command[0]) ||
	    !memchr(r.line, '\0', sizeof(r.line)) || r.flags & ~(CONTROL_REPLACE | CONTROL_LINE))
		abort();
	return 0;
}

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "admin/control_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any line gives a command that fits, or an error and an empty one. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char command[CONTROL_COMMAND_MAX];
	int rc;

	if (size >= CONTROL_REQUEST_MAX)
		return 0;
	memset(command, 'x', sizeof(command));
	rc = control_request_read(span_of(data, size), command);
	if (!memchr(command, '\0', sizeof(command)) || (rc < 0 && command[0]))
		abort();
	return 0;
}

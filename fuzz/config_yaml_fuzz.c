#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "config/gateway_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any bytes give a configuration or at least one fault, and never both. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gateway_config *cfg = NULL;
	struct faults faults;
	int rc;

	faults_init(&faults, "fuzz.yaml");
	rc = gateway_config_parse("fuzz.yaml", data, size, &cfg, &faults);
	if ((rc == OK) != (cfg != NULL) || (rc == OK) == faults_any(&faults))
		abort();
	gateway_config_destroy(cfg);
	faults_fini(&faults);
	return 0;
}

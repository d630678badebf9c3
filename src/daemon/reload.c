#include "daemon/reload.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"

/* A log line each, up to what a log takes of one cause at once. */
static void log_faults(const struct faults *faults)
{
	char line[FAULT_PATH_BYTES + FAULT_TEXT_BYTES + 512];
	size_t n = faults->count < LOG_BURST ? faults->count : LOG_BURST;

	for (size_t i = 0; i < n; i++)
		log_error("config", "%s", fault_format(faults, i, line, sizeof(line)));
	log_error("config", "%s: %zu faults, the gateway runs on as it was; \"lineside check\" prints all",
		  faults->file, faults->count + faults->left_out);
}

static int load(const char *path, struct gateway_config **out)
{
	struct faults faults;
	int rc;

	faults_init(&faults, path);
	rc = gateway_config_load(path, out, &faults);
	if (rc == ERR_CONFIG)
		log_faults(&faults);
	else if (rc == ERR_IO)
		log_error("config", "%s: %s, the gateway runs on as it was", path, strerror(errno));
	else if (rc < 0)
		log_error("config", "%s: %s, the gateway runs on as it was", path, err_text(rc));
	faults_fini(&faults);
	return rc;
}

static bool listeners_equal(const struct gateway_config *a, const struct gateway_config *b)
{
	if (a->nlisteners != b->nlisteners)
		return false;
	for (size_t i = 0; i < a->nlisteners; i++)
		if (!config_listener_equal(&a->listeners[i], &b->listeners[i]))
			return false;
	return true;
}

static void log_later(const char *what)
{
	log_warning("config", "%s changed: that takes effect when the gateway is started again", what);
}

int reload_config(const char *path, const struct gateway_config *running, struct gateway_config **out)
{
	struct gateway_config *next = NULL;
	int rc = load(path, &next);

	if (rc < 0)
		return rc;
	if (strcmp(next->gateway.name, running->gateway.name) != 0 ||
	    strcmp(next->gateway.root, running->gateway.root) != 0)
		log_later("gateway");
	if (!config_broker_equal(&next->broker, &running->broker))
		log_later("broker");
	if (!config_storage_equal(&next->storage, &running->storage))
		log_later("storage");
	if (!listeners_equal(next, running))
		log_later("listeners");
	next->gateway.name = running->gateway.name;
	next->gateway.root = running->gateway.root;
	*out = next;
	return OK;
}

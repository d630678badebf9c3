#include "tools/control_find.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/control_path.h"

static void complain(const struct control_place *at, const char *what, const char *why)
{
	fprintf(stderr, "%s: %s: %s\n", at->tool, what, why);
}

static int path_of_config(struct control_place *at)
{
	struct gateway_config *cfg = NULL;
	struct faults faults;
	int rc;

	faults_init(&faults, at->config ? at->config : "default");
	rc = at->config ? gateway_config_load(at->config, &cfg, &faults) : gateway_config_default(&cfg);
	if (rc == ERR_CONFIG) {
		faults_print(&faults, stderr);
		complain(at, at->config,
			 "has faults, so where its gateway answers is not known; --socket names it");
	} else if (rc < 0) {
		complain(at, faults.file, rc == ERR_IO ? strerror(errno) : err_text(rc));
	} else if ((rc = control_path(cfg, at->path, sizeof(at->path))) < 0) {
		complain(at, at->path, "is longer than the path of a Unix socket can be");
	}
	gateway_config_destroy(cfg);
	faults_fini(&faults);
	return rc;
}

int control_find(struct control_place *at)
{
	if (!at->socket)
		return path_of_config(at);
	snprintf(at->path, sizeof(at->path), "%s", at->socket);
	if (strlen(at->socket) < CONTROL_PATH_BYTES)
		return OK;
	complain(at, at->socket, "is longer than the path of a Unix socket can be");
	return ERR_TOO_LARGE;
}

static void say_why_not(const struct control_place *at, int error)
{
	if (error == ENOENT || error == ECONNREFUSED)
		fprintf(stderr,
			"%s: no gateway answers at %s; start one with \"lineside "
			"serve%s%s\"%s\n",
			at->tool, at->path, at->config ? " -c " : "", at->config ? at->config : "",
			at->config || at->socket ? "" : ", or name the file of the one that runs with -c");
	else if (error == EACCES || error == EPERM)
		complain(at, at->path, "only the user who started the gateway, and root, may ask it");
	else
		complain(at, at->path,
			 error == EAGAIN ? "the gateway there does not answer" : strerror(error));
}

json_t *control_answer_of(const struct control_place *at, const char *text)
{
	json_t *answer = text ? json_loads(text, 0, NULL) : NULL;
	const char *error = json_string_value(json_object_get(answer, "error"));

	if (json_is_object(answer) && !error)
		return answer;
	if (text)
		complain(at, at->path,
			 error ? error : "what answers there is no gateway, or it stopped meanwhile");
	else
		say_why_not(at, errno);
	json_decref(answer);
	return NULL;
}

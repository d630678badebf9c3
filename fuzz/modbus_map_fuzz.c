/* Any bytes as the map of a Modbus view: a configuration or faults; and what was read can be printed and read again, the same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/gateway_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char head[] = "device,tag,area,address,type,order,registers,unit\n";

/* The configuration with this map, or NULL: it has faults. */
static struct gateway_config *read_map(const void *map, size_t size)
{
	static const char text[] =
		"gateway: {name: p}\n"
		"listeners: [{name: l, protocol: mqtt, address: 127.0.0.1, port: 1, allow_anonymous: true}]\n"
		"lines: [{name: s, type: modbus-tcp, host: h}]\n"
		"devices: [{name: d, line: s, tags: [{name: a, address: 'holding:0', type: int16, access: "
		"rw}, "
		"{name: b, address: 'coil:0', access: rw}, {name: c, address: 'input:1', type: float32}, "
		"{name: e, address: 'holding:9', type: string, length: 8}]}]\n"
		"views: {modbus: {port: 1502, map: /proc/self/fd/%d}}\n";
	struct gateway_config *cfg = NULL;
	int fd = memfd_create("map", MFD_CLOEXEC), rc;
	char yaml[sizeof(text) + 16];
	struct faults faults;

	if (fd < 0 || write(fd, map, size) != (ssize_t)size)
		abort();
	snprintf(yaml, sizeof(yaml), text, fd);
	faults_init(&faults, "fuzz.yaml");
	rc = gateway_config_parse("fuzz.yaml", yaml, strlen(yaml), &cfg, &faults);
	if ((rc == OK) == faults_any(&faults))
		abort();
	faults_fini(&faults);
	close(fd);
	return cfg;
}

static char *print_map(const struct gateway_config *cfg, size_t *size)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, size);

	if (!to || gateway_config_map_print(cfg, to) < 0 || fclose(to) != 0)
		abort();
	return text;
}

static void look(const void *map, size_t size)
{
	struct gateway_config *cfg = read_map(map, size), *again;
	char *text, *text_again;
	size_t len, len_again;

	if (!cfg)
		return;
	text = print_map(cfg, &len);
	again = read_map(text, len);
	if (!again)
		abort();
	text_again = print_map(again, &len_again);
	if (len != len_again || memcmp(text, text_again, len) != 0)
		abort();
	free(text);
	free(text_again);
	gateway_config_destroy(cfg);
	gateway_config_destroy(again);
}

/* With a whole first line too, which the fuzzer would have to find. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *rows = malloc(sizeof(head) + size);

	if (!rows)
		abort();
	memcpy(rows, head, sizeof(head) - 1);
	if (size)
		memcpy(rows + sizeof(head) - 1, data, size);
	look(data, size);
	look(rows, sizeof(head) - 1 + size);
	free(rows);
	return 0;
}

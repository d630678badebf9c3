/*
 * Writes the first corpus of the MQTT fuzzers into a folder, one file for each packet of mqtt_samples.h, and a dictionary:
 * protocol names, words of topics, and the property identifiers.
 */
#include <stdio.h>

#include "wire/mqtt_samples.h"

static int save(const char *folder, const char *name, const uint8_t *bytes, size_t len)
{
	char path[4096];
	FILE *f;
	int rc;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", folder, name) >= sizeof(path))
		return ERR_RANGE;
	if (!(f = fopen(path, "wb")))
		return ERR_IO;
	rc = fwrite(bytes, 1, len, f) == len ? OK : ERR_IO;
	if (fclose(f) != 0)
		rc = ERR_IO;
	return rc;
}

static int save_sample(const char *folder, unsigned type, unsigned v, unsigned variant, unsigned mix)
{
	uint8_t room[4096];
	struct wr w = wr_of(room, sizeof(room));
	char name[64];
	int rc = mqtt_sample((enum mqtt_type)type, (enum mqtt_version)v, variant, mix, &w);

	if (rc == ERR_NOT_FOUND)
		return OK;
	if (rc < 0)
		return rc;
	snprintf(name, sizeof(name), "t%02u-v%u-%u-%02u", type, v, variant, mix);
	return save(folder, name, room, (size_t)(w.p - room));
}

static int save_samples(const char *folder)
{
	for (unsigned type = MQTT_CONNECT; type <= MQTT_AUTH; type++)
		for (unsigned v = MQTT_V31; v <= MQTT_V5; v++)
			for (unsigned variant = 0; variant < MQTT_SAMPLE_VARIANTS; variant++)
				for (unsigned mix = 0; mix < MQTT_SAMPLE_MIXES; mix++) {
					int rc = save_sample(folder, type, v, variant, mix);

					if (rc < 0) {
						fprintf(stderr, "%s: packet type %u, version %u: %s\n",
							folder, type, v, err_text(rc));
						return rc;
					}
				}
	return OK;
}

static int save_words(const char *path)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return ERR_IO;
	fputs("\"\\x00\\x04MQTT\"\n\"\\x00\\x06MQIsdp\"\n\"$share/\"\n\"$SYS/\"\n\"/+/\"\n\"/#\"\n", f);
#define PROP_AS_WORD(name, id, kind, in) fprintf(f, "%s=\"\\x%02x\"\n", #name, (unsigned)(id));
	MQTT_PROP_TABLE(PROP_AS_WORD)
#undef PROP_AS_WORD
	return fclose(f) == 0 ? OK : ERR_IO;
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "Usage: %s FOLDER DICTIONARY\n", argv[0]);
		return 2;
	}
	if (save_samples(argv[1]) < 0)
		return 1;
	if (save_words(argv[2]) < 0) {
		perror(argv[2]);
		return 1;
	}
	return 0;
}

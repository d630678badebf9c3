/*
 * Writes first inputs for config_yaml_fuzz and config_json_fuzz into the folder given, and every key and word of the schema tables into the
 * dictionary given.
 */
#include <stdio.h>

#include "config/gateway_schema.h"

static const char *const inputs[] = {
	"gateway: {name: a, root: b/c}\nbroker: {max_packet_size: 1MiB, connect_timeout: 10s}\n"
	"listeners:\n  - {name: l, protocol: mqtt, address: 127.0.0.1, port: 1883, allow_anonymous: true}\n"
	"lines:\n  - {name: p, type: modbus-tcp, host: h, backoff: {first: 1s, max: 2s}}\n  - {name: r, "
	"type: sim}\n"
	"devices:\n  - {name: rack, line: r}\n  - name: d\n    line: p\n    groups: [{name: g, publish: "
	"period, period: "
	"1s}]\n    tags:\n      - {name: t, address: \"holding:7.3\", type: bool, access: rw}\n"
	"      - {name: s, address: \"input:7\", type: string, length: 16, order: BA}\n"
	"      - {name: f, address: \"input:7\", type: float64, order: CDAB, scale: 1e-3, unit: V}\n",
	"{\"lines\":[{\"name\":\"p\",\"type\":\"modbus-tcp\",\"host\":\"\\u0068\",\"retries\":3}],"
	"\n\"devices\":[{\"name\":"
	"\"d\",\"line\":\"p\",\"tags\":[{\"name\":\"t\",\"address\":\"coil:1\"},{\"name\":\"u\",\"address\":"
	"\"holding:1\","
	"\"type\":\"int16\",\"access\":\"rw\",\"min\":-1.5,\"max\":2}]}]}",
	"a: &x [1, 'two', \"\\u263a\", |\n   text\n ]\n? b\n: *x\n--- !!map\n",
};

/* What has no name, such as a map's own keys, is no word. */
static void put_word(FILE *dict, const char *word)
{
	if (word && *word)
		fprintf(dict, "\"%s\"\n", word);
}

static void put_words(FILE *dict, const struct schema *s)
{
	for (const struct schema_field *f = s->fields; f < s->fields + s->nfields; f++) {
		put_word(dict, f->key);
		for (const struct schema_word *w = f->words; w && w->word; w++)
			put_word(dict, w->word);
		if (f->sub)
			put_words(dict, f->sub);
	}
}

static int save_inputs(const char *folder)
{
	char path[4096];
	FILE *file;

	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		snprintf(path, sizeof(path), "%s/%zu", folder, i);
		file = fopen(path, "wb");
		if (!file)
			return ERR_IO;
		fputs(inputs[i], file);
		if (fclose(file) != 0)
			return ERR_IO;
	}
	return OK;
}

int main(int argc, char **argv)
{
	FILE *dict;

	if (argc != 3) {
		fprintf(stderr, "Usage: %s FOLDER DICTIONARY\n", argv[0]);
		return 2;
	}
	dict = fopen(argv[2], "w");
	if (!dict || save_inputs(argv[1]) < 0) {
		perror(argv[0]);
		return 1;
	}
	put_words(dict, &gateway_schema);
	return fclose(dict) == 0 ? 0 : 1;
}

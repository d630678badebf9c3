/* First inputs of control_request_fuzz: FOLDER DICTIONARY. */
#include <stdio.h>

static const char *const requests[] = {
	"{\"command\":\"status\"}",
	" { \"command\" : \"a\\u0062\" } ",
	"{\"command\":\"status\",\"more\":[1,null,true]}",
	"{\"command\":\"import\",\"replace\":true}",
	"{\"command\":{}}",
	"[]",
};

static int write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return -1;
	fputs(text, f);
	return fclose(f);
}

int main(int argc, char **argv)
{
	char path[1024];

	if (argc != 3)
		return 2;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		snprintf(path, sizeof(path), "%s/request-%zu", argv[1], i);
		if (write_text(path, requests[i]) != 0)
			return 1;
	}
	return write_text(argv[2], "\"{\\\"command\\\":\\\"\"\n\"status\"\n\"\\\\u0000\"\n") == 0 ? 0 : 1;
}

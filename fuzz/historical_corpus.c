/*
 * Writes the first corpus of historical_fuzz into a folder, and a dictionary.
 */
#include <stdio.h>

static const char *const payloads[] = {
	"{\"value\":23.4,\"ts\":1732272000123,\"quality\":\"good\",\"unit\":\"C\"}",
	" { \"ts\" : -1 , \"values\" : { \"a\" : [ 1 , { } , null ] } } ",
	"{\"ts\":1,\"historical\":true}",
	"{\"s\":\"\\u00e9\\n\\\"\",\"n\":-1.5e+3,\"ts\":0}",
	"[{\"ts\":1}]",
};

static const char words[] = "\"\\\"ts\\\":\"\n\"\\\"historical\\\":\"\ntrue=\"true\"\nfalse=\"false\"\nnull="
			    "\"null\"\n\"\\\\u00\"\n";

static int save(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return 1;
	fputs(text, f);
	return fclose(f) != 0;
}

int main(int argc, char **argv)
{
	char path[4096];
	int rc = argc == 3 ? save(argv[2], words) : 2;

	for (size_t i = 0; rc == 0 && i < sizeof(payloads) / sizeof(payloads[0]); i++) {
		snprintf(path, sizeof(path), "%s/payload-%zu", argv[1], i);
		rc = save(path, payloads[i]);
	}
	return rc;
}

/*
 * Writes the first corpus of historical_fuzz into a folder, and a dictionary.
 */
#include "corpus.h"

static const char *const payloads[] = {
	"{\"value\":23.4,\"ts\":1732272000123,\"quality\":\"good\",\"unit\":\"C\"}",
	" { \"ts\" : -1 , \"values\" : { \"a\" : [ 1 , { } , null ] } } ",
	"{\"ts\":1,\"historical\":true}",
	"{\"s\":\"\\u00e9\\n\\\"\",\"n\":-1.5e+3,\"ts\":0}",
	"[{\"ts\":1}]",
};

static const char words[] = "\"\\\"ts\\\":\"\n\"\\\"historical\\\":\"\ntrue=\"true\"\nfalse=\"false\"\nnull="
			    "\"null\"\n\"\\\\u00\"\n";

int main(int argc, char **argv)
{
	return corpus_write(argc, argv, "payload", payloads, sizeof(payloads) / sizeof(payloads[0]), words);
}

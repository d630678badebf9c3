/* First inputs of control_request_fuzz: FOLDER DICTIONARY. */
#include "corpus.h"

static const char *const requests[] = {
	"{\"command\":\"status\"}",
	" { \"command\" : \"a\\u0062\" } ",
	"{\"command\":\"status\",\"more\":[1,null,true]}",
	"{\"command\":\"import\",\"replace\":true}",
	"{\"command\":{}}",
	"[]",
};

int main(int argc, char **argv)
{
	return corpus_write(argc, argv, "request", requests, sizeof(requests) / sizeof(requests[0]),
			    "\"{\\\"command\\\":\\\"\"\n\"status\"\n\"\\\\u0000\"\n");
}

/* First inputs of store_line_fuzz: FOLDER DICTIONARY. */
#include "corpus.h"

static const char *const lines[] = {
	"{\"type\":\"lineside-store\",\"version\":1}",
	"{\"type\":\"end\",\"lines\":5}",
	"{\"type\":\"session\",\"client\":\"a\",\"expiry_s\":60,\"away_ms\":1763800000000,\"will\":{\"delay_"
	"s\":1,"
	"\"expiry_s\":2,\"message\":{\"topic\":\"t\",\"payload\":\"p\",\"qos\":1,\"retain\":true}}}",
	"{\"type\":\"subscription\",\"client\":\"a\",\"filter\":\"$share/g/#\",\"qos\":2,\"no_local\":true,"
	"\"retain_as_published\":true,\"retain_handling\":2,\"subscription_id\":7}",
	"{\"type\":\"received\",\"client\":\"a\",\"packet_id\":7}",
	"{\"type\":\"message\",\"client\":\"a\",\"qos\":2,\"retain\":true,\"state\":\"sent\",\"packet_id\":9,"
	"\"subscription_ids\":[1,2],\"message\":{\"topic\":\"t\",\"payload_base64\":\"AP8=\",\"qos\":2,"
	"\"expires_ms\":1763800000000,\"properties_base64\":\"AQE=\"}}",
	"{\"type\":\"retained\",\"message\":{\"topic\":\"t\",\"payload\":\"p\",\"qos\":0,\"retain\":true}}",
};

static const char words[] =
	"\"\\\"type\\\":\"\n\"\\\"client\\\":\"\n\"\\\"message\\\":{\"\n\"\\\"state\\\":\\\"released\\\"\"\n"
	"\"\\\"state\\\":\\\"waits\\\"\"\n\"\\\"payload_base64\\\":\\\"\"\n\"true\"\n";

int main(int argc, char **argv)
{
	return corpus_write(argc, argv, "line", lines, sizeof(lines) / sizeof(lines[0]), words);
}

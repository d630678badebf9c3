/*
 * A libmodbus server as a device: 200 of each on stdin (coils, discrete inputs, input registers, holding registers, as
 * numbers), its port on stdout, one client at a time, until it is killed. With the path of a serial port as argument it is unit 1 there.
 */
#include <arpa/inet.h>
#include <modbus.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define N 200

static int fill8(uint8_t *to)
{
	unsigned v;

	for (int i = 0; i < N; i++) {
		if (scanf("%u", &v) != 1)
			return -1;
		to[i] = (uint8_t)v;
	}
	return 0;
}

static int fill16(uint16_t *to)
{
	unsigned v;

	for (int i = 0; i < N; i++) {
		if (scanf("%u", &v) != 1)
			return -1;
		to[i] = (uint16_t)v;
	}
	return 0;
}

static int serve_port(const char *path, modbus_mapping_t *map)
{
	modbus_t *ctx = modbus_new_rtu(path, 9600, 'N', 8, 1);
	uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];

	if (!ctx || modbus_set_slave(ctx, 1) < 0 || modbus_connect(ctx) < 0)
		return 1;
	printf("0\n");
	fflush(stdout);
	for (;;) {
		int n = modbus_receive(ctx, query);

		if (n > 0 && modbus_reply(ctx, query, n, map) < 0)
			return 1;
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	modbus_mapping_t *map = modbus_mapping_new(N, N, N, N);
	modbus_t *ctx = modbus_new_tcp("127.0.0.1", 0);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];

	if (!map || !ctx || fd < 0 || fill8(map->tab_bits) || fill8(map->tab_input_bits) ||
	    fill16(map->tab_input_registers) || fill16(map->tab_registers))
		return 1;
	if (argc > 1)
		return serve_port(argv[1], map);
	if (bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, 8) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &len) < 0)
		return 1;
	printf("%u\n", ntohs(address.sin_port));
	fflush(stdout);
	while (modbus_tcp_accept(ctx, &fd) >= 0) {
		int n;

		while ((n = modbus_receive(ctx, query)) >= 0)
			if (n > 0 && modbus_reply(ctx, query, n, map) < 0)
				break;
		modbus_close(ctx);
	}
	return 1;
}

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "net/tcp_impl.h"

/* The index of the interface after the '%' of a link-local address. */
static int parse_scope(const char *scope, uint32_t *index)
{
	*index = if_nametoindex(scope);
	return *index ? OK : ERR_NOT_FOUND;
}

int tcp_addr_parse(const char *text, uint16_t port, union tcp_addr *out)
{
	const char *percent = strchr(text, '%');
	size_t len = percent ? (size_t)(percent - text) : strlen(text);
	char host[INET6_ADDRSTRLEN];

	if (len >= sizeof(host))
		return ERR_MALFORMED;
	memcpy(host, text, len);
	host[len] = '\0';
	*out = (union tcp_addr){.in = {.sin_family = AF_INET, .sin_port = htons(port)}};
	if (!percent && inet_pton(AF_INET, host, &out->in.sin_addr) == 1)
		return OK;
	*out = (union tcp_addr){.in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)}};
	if (inet_pton(AF_INET6, host, &out->in6.sin6_addr) != 1)
		return ERR_MALFORMED;
	return percent ? parse_scope(percent + 1, &out->in6.sin6_scope_id) : OK;
}

void tcp_addr_text(const union tcp_addr *a, char *buf, size_t size)
{
	char host[INET6_ADDRSTRLEN] = "";

	switch (a->sa.sa_family) {
	case AF_INET:
		inet_ntop(AF_INET, &a->in.sin_addr, host, sizeof(host));
		snprintf(buf, size, "%s:%u", host, (unsigned)ntohs(a->in.sin_port));
		break;
	case AF_INET6:
		/* A dual-stack listener shows IPv4 peers as ::ffff:a.b.c.d. */
		if (IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr)) {
			inet_ntop(AF_INET, &a->in6.sin6_addr.s6_addr[12], host, sizeof(host));
			snprintf(buf, size, "%s:%u", host, (unsigned)ntohs(a->in6.sin6_port));
		} else {
			inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof(host));
			snprintf(buf, size, "[%s]:%u", host, (unsigned)ntohs(a->in6.sin6_port));
		}
		break;
	case AF_UNIX:
		snprintf(buf, size, "local");
		break;
	default:
		snprintf(buf, size, "unknown");
	}
}

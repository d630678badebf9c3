/*
 * Look a host name up without blocking a loop: getaddrinfo() on a helper thread, one per look-up, that may
 * well outlive the one who asked.  For net/ only.
 *
 * Thread: all functions are for the loop's thread.
 */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include "net/tcp_impl.h"

#define RESOLVE_ADDRS_MAX 8

struct resolve;

/*
 * Start; nothing is reported before resolve_attach().
 *   host  copied
 *   done  called once on the loop it is attached to, with 0..RESOLVE_ADDRS_MAX addresses in the order in which
 *         to try them (0: not found); may call resolve_cancel()
 * ERR_NOMEM. A thread that cannot be started is reported as "not found".
 */
MUST_USE int resolve_start(const char *host, uint16_t port,
			   void (*done)(void *arg, const union tcp_addr *addrs, unsigned naddrs), void *arg,
			   struct resolve **out);

void resolve_attach(struct resolve *r, struct loop *loop);
void resolve_detach(struct resolve *r);

/* Done is not called any more; what is left is freed when the thread ends. Detaches. Accepts NULL. */
void resolve_cancel(struct resolve *r);

#endif

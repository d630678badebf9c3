/*
 * A question to a running gateway, over its control socket (admin/control_socket.h).
 */
#ifndef TOOLS_CONTROL_ASK_H
#define TOOLS_CONTROL_ASK_H

/*
 * Ask; blocks.
 *   path     of the socket, below CONTROL_PATH_BYTES
 *   request  with its line feed
 *   fd       goes along, and stays open here; -1: none
 *   wait_s   for the next bytes of the answer; 0: as long as it takes
 * The answer, to free(); empty when the gateway ended meanwhile. NULL: errno says why: ENOENT, ECONNREFUSED: none runs there; EAGAIN: it does not answer.
 */
char *control_ask(const char *path, const char *request, int fd, unsigned wait_s);

#endif

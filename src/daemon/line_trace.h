/*
 * Frames of a line, told to somebody who looks (lineside modbus trace): each goes as one record, a line of JSON, through a socket that keeps records
 * apart (SOCK_SEQPACKET). The line never waits: what the socket does not take is lost, and the next record says how many were.
 *
 *     {"at_us": 1763857811123456, "sent": true, "note": null, "lost": 0, "hex": "010300000001840a"}
 *     {"ended": "the line is no more"}       the last one
 *
 * at_us is UTC, when the first byte was written or read. On the field thread only.
 */
#ifndef DAEMON_LINE_TRACE_H
#define DAEMON_LINE_TRACE_H

#include "field/field.h"

/*
 * Tell the frames of `line` to `fd`, which becomes the trace's own whatever happens. It ends by itself when the line goes, or
 * who looks. What is wrong is told to fd.
 */
void line_trace_begin(struct loop *loop, struct field *f, const char *line, int fd);

#endif

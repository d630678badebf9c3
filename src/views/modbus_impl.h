/*
 * Inside the Modbus view.
 */
#ifndef VIEWS_MODBUS_IMPL_H
#define VIEWS_MODBUS_IMPL_H

#include "base/hmap.h"
#include "field/access.h"
#include "field/pass.h"
#include "views/modbus_view.h"
#include "wire/modbus.h"
#include "wire/modbus_value.h"

#define VIEW_ADDRESSES 65536u

/* What a tag had when it was good last; with bad: hold. */
struct held {
	struct hmap_node by_tag;
	struct tag *tag;
	bool is_known;
};

/* A place of the configuration with its tag. */
struct modbus_map {
	const struct gateway_config *cfg;
	const struct config_modbus_view *view;
	struct tag **tags; /* of view->places */
	size_t nbits;      /* places of bits; those of registers follow */

	/* with bad: hold, else NULL */
	struct held *held;
	struct hmap by_tag;
	uint16_t *regs; /* VIEW_ADDRESSES of them */
	uint8_t *bits;
};

/* modbus_map.c: ERR_NOMEM. The tags are found by modbus_map_bind(). */
MUST_USE int modbus_map_create(const struct gateway_config *cfg, struct modbus_map **out);
/* With bad: hold, what tags that stay where they are had; before modbus_map_bind(). `old`: of the configuration before, or NULL. */
void modbus_map_inherit(struct modbus_map *m, const struct modbus_map *old);
void modbus_map_bind(struct modbus_map *m, struct field *f);
void modbus_map_sample(struct modbus_map *m, struct tag *t, const struct tag_sample *s);
/* The place that has this address, or SIZE_MAX. */
size_t modbus_map_find(const struct modbus_map *m, bool is_bits, uint32_t address);
/* Fills bits or registers of data, which is zeroed. */
enum modbus_exception modbus_map_read(const struct modbus_map *m, bool is_bits, uint16_t address,
				      uint16_t count, union modbus_data *data);
/* ERR_RANGE, ERR_MALFORMED: the registers hold no such value. *out borrows from scratch. */
MUST_USE int modbus_map_value(const struct config_place *p, const uint16_t *regs,
			      struct modbus_value *scratch, struct tag_value *out);
void modbus_map_destroy(struct modbus_map *m);

/* modbus_allow.c: `peer` as in struct modbus_peer */
enum config_access modbus_allow_access(const struct config_modbus_view *view, const char *peer);

/* modbus_identity.c */
void modbus_identify_answer(struct modbus_view *v, struct modbus_server_request *r,
			    const struct modbus_req *req);

/* modbus_write.c: answers, at once or later. */
void modbus_write_begin(struct modbus_view *v, struct modbus_server_request *r, const struct modbus_req *req);
void modbus_write_cancel(struct modbus_server_request *r);

/* modbus_pass.c */
struct bucket {
	uint64_t at_ms;
	uint64_t tokens; /* thousandths of a request */
};

struct modbus_routes {
	const struct config_modbus_view *view;
	struct bucket *buckets; /* of view->pass */
};

MUST_USE int modbus_routes_create(const struct config_modbus_view *view, struct modbus_routes **out);
void modbus_routes_destroy(struct modbus_routes *r);
/* True: it is a unit of a route, and the request is answered, now or later. */
bool modbus_pass_begin(struct modbus_view *v, struct modbus_server_request *r);
void modbus_pass_cancel(struct modbus_server_request *r);

/* What r->owner points to first, to tell who has the request. */
struct modbus_task {
	void (*cancel)(struct modbus_server_request *r);
};

struct modbus_view {
	struct acceptor acceptor;
	struct loop *loop;
	struct field *field;
	struct modbus_server *server, *next_server;
	struct modbus_map *map, *next_map;
	struct modbus_routes *routes, *next_routes;
	unsigned generation; /* of the map */
	struct field_watcher watcher;
	bool is_watching;
	struct modbus_view_stats stats;
};

/* "done" of a request for the map, sent with exception or data. */
void modbus_view_answer(struct modbus_server_request *r, const struct modbus_req *req,
			enum modbus_exception exception, const union modbus_data *data);

#endif

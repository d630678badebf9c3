#include <string.h>

#include "config/gateway_check.h"
#include "config/io_config.h"

#define IPV4_BITS 96u

/* PRODUCT "Security": nothing listens beyond this machine unless it is said who may come. */
static void check_reach(struct checker *c, const struct doc_node *node, const struct config_modbus_view *v)
{
	if (!v->address || gateway_is_loopback(v->address))
		return;
	if (v->nallow == 0)
		schema_fault_key(
			c->r, node, "address",
			"found \"%s\" without allow, allowed: 127.0.0.1 or ::1; Modbus has no accounts, so "
			"add allow with the networks of the masters",
			v->address);
	if (v->default_access != CONFIG_ACCESS_NONE)
		schema_fault_key(c->r, node, "default_access",
				 "found access for everybody at \"%s\", allowed: none; list the networks of "
				 "the masters under allow",
				 v->address);
}

static void check_net(struct checker *c, const struct doc_node *node, const struct config_modbus_view *v,
		      size_t i)
{
	const struct config_allow *a = &v->allow[i];
	bool is_all = a->net.bits == 0 || (a->net.bits == IPV4_BITS && a->net.address[10] == 0xFF);

	if (is_all && a->access != CONFIG_ACCESS_NONE && v->address && !gateway_is_loopback(v->address) &&
	    doc_get(node, "net"))
		schema_fault_key(c->r, node, "net",
				 "found every address, allowed: the networks of the masters; Modbus has no "
				 "accounts");
	for (size_t k = 0; k < i; k++)
		if (memcmp(&v->allow[k].net, &a->net, sizeof(a->net)) == 0) {
			schema_fault_key(c->r, node, "net",
					 "found the network of allow[%zu], allowed: each once", k);
			return;
		}
}

static void check_allow(struct checker *c, const struct doc_node *view, const struct config_modbus_view *v)
{
	const struct doc_node *list = doc_get(view, "allow");

	for (const struct doc_node *n = v->nallow ? list->first : NULL; n; n = n->next)
		if (n->kind == DOC_MAP)
			check_net(c, n, v, n->index);
}

static const char *next_line(const void *arg, size_t i)
{
	const struct gateway_config *cfg = arg;

	if (i >= cfg->nlines)
		return NULL;
	return cfg->lines[i].name ? cfg->lines[i].name : "";
}

static void check_route_line(struct checker *c, const struct doc_node *node, struct config_pass *p)
{
	const char *near;

	if (!p->line_name)
		return;
	if (name_set_find(&c->lines, p->line_name, &p->line) < 0) {
		near = schema_nearest(p->line_name, next_line, c->cfg);
		schema_fault_key(c->r, node, "line",
				 "found \"%s\", allowed: the name of one of the lines%s%s%s", p->line_name,
				 near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	} else if (config_line_is_rack(&c->cfg->lines[p->line]) ||
		   c->cfg->lines[p->line].type == CONFIG_LINE_INTERNAL) {
		schema_fault_key(c->r, node, "line",
				 "found \"%s\", which has no units, allowed: a line that speaks Modbus",
				 p->line_name);
	}
}

static void check_route_units(struct checker *c, const struct doc_node *node,
			      const struct config_modbus_view *v, size_t i)
{
	for (size_t k = 0; k < i; k++)
		for (unsigned u = 0; u < 256; u++)
			if (v->pass[i].units.bits[u / 8] & v->pass[k].units.bits[u / 8] & 1u << u % 8) {
				schema_fault_key(c->r, node, "units",
						 "found %u, a unit of pass[%zu], allowed: each unit once", u,
						 k);
				return;
			}
	if (v->pass[i].units.bits[v->unit / 8] >> v->unit % 8 & 1)
		schema_fault_key(
			c->r, node, "units",
			"found %u, the unit of the map, allowed: others; or give the map another one "
			"with the key unit",
			v->unit);
}

static void check_pass(struct checker *c, const struct doc_node *view, struct config_modbus_view *v)
{
	const struct doc_node *list = doc_get(view, "pass");

	for (const struct doc_node *n = v->npass ? list->first : NULL; n; n = n->next) {
		if (n->kind != DOC_MAP)
			continue;
		check_route_line(c, n, &v->pass[n->index]);
		check_route_units(c, n, v, n->index);
	}
}

/* The listeners are at loopback addresses, which "every address" has among them. */
static void check_view_port(struct checker *c, const struct doc_node *view,
			    const struct config_modbus_view *v)
{
	const struct config_listener *l;

	for (size_t i = 0; v->address && i < c->cfg->nlisteners; i++) {
		l = &c->cfg->listeners[i];
		if (l->port != v->port || !l->address ||
		    (strcmp(l->address, v->address) != 0 && strcmp(v->address, "0.0.0.0") != 0 &&
		     strcmp(v->address, "::") != 0))
			continue;
		schema_fault_key(
			c->r, view, "port",
			"found %u, the port of listeners[%zu] at the same address, allowed: another one",
			v->port, i);
		return;
	}
}

int gateway_check_views(struct checker *c, const struct doc_node *views)
{
	struct config_modbus_view *v = &c->cfg->views.modbus;
	const struct doc_node *view = views && views->kind == DOC_MAP ? doc_get(views, "modbus") : NULL;
	const struct doc_node *map;

	if (!view || view->kind != DOC_MAP)
		return OK;
	c->cfg->views.has_modbus = true;
	if (!doc_get(view, "default_access"))
		v->default_access = v->nallow ? CONFIG_ACCESS_NONE : CONFIG_ACCESS_WRITE;
	check_reach(c, view, v);
	check_view_port(c, view, v);
	check_allow(c, view, v);
	check_pass(c, view, v);
	if (faults_any(c->r->faults))
		return OK; /* the map is made of what may be wrong */
	map = doc_get(view, "map");
	if (!map || (map->text && strcmp(map->text, "auto") == 0)) {
		v->path = NULL;
		return gateway_map_make(c, view);
	}
	return gateway_map_load(c, view);
}

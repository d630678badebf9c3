#include "config/gateway_check.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DATABASE_LEAST     (1024u * 1024)      /* its tables, and what one commit writes */
#define MEMORY_LIMIT_LEAST (16u * 1024 * 1024) /* with less, the first few clients could not do a thing */

void gateway_check_unique(struct checker *c, struct name_set *set, const struct doc_node *node,
			  const char *name, size_t index, const char *what)
{
	const struct doc_node *first;
	size_t there;

	if (!name || name_set_add(set, name, index, &there) == OK)
		return;
	first = node->parent->first;
	while (first->index != there)
		first = first->next;
	schema_fault_key(c->r, node, "name",
			 "found \"%s\", the name of another %s at line %u, allowed: a name of its own", name,
			 what, doc_get(first, "name")->line);
}

bool gateway_is_loopback(const char *address)
{
	struct in6_addr ipv6;
	struct in_addr ipv4;

	if (inet_pton(AF_INET, address, &ipv4) == 1)
		return ntohl(ipv4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, address, &ipv6) == 1 && IN6_IS_ADDR_LOOPBACK(&ipv6);
}

/* PRODUCT "Security": nothing listens beyond this machine without accounts or certificates. */
static void check_access(struct checker *c, const struct doc_node *node, const struct config_listener *l)
{
	const struct doc_node *anonymous = doc_get(node, "allow_anonymous");

	if (l->address && !gateway_is_loopback(l->address))
		schema_fault_key(
			c->r, node, "address",
			"found \"%s\", allowed: 127.0.0.1 or ::1; accounts and certificates are not in this "
			"version, and nothing listens beyond this machine without them",
			l->address);
	if (!l->allow_anonymous &&
	    (!anonymous || strcmp(anonymous->text ? anonymous->text : "", "false") == 0))
		schema_fault_key(
			c->r, node, "allow_anonymous",
			"found %s, allowed: true; accounts are not in this version, so nobody could connect",
			anonymous ? "false" : "nothing");
}

static void check_port(struct checker *c, const struct doc_node *node, size_t i)
{
	const struct config_listener *l = &c->cfg->listeners[i], *o;

	for (size_t k = 0; k < i && l->port && l->address; k++) {
		o = &c->cfg->listeners[k];
		if (o->port != l->port || !o->address || strcmp(o->address, l->address) != 0)
			continue;
		schema_fault_key(c->r, node, "port",
				 "found %u, the port of listeners[%zu] at the same address", l->port, k);
		return;
	}
}

static int check_listeners(struct checker *c, const struct doc_node *list)
{
	struct name_set names;
	int rc = name_set_init(&names, c->r->arena, c->cfg->nlisteners);

	if (rc < 0)
		return rc;
	if (c->cfg->nlisteners > 64) {
		schema_fault(c->r, list, "found %zu listeners, allowed: at most 64", c->cfg->nlisteners);
		return OK;
	}
	for (const struct doc_node *n = c->cfg->nlisteners ? list->first : NULL; n; n = n->next) {
		if (n->kind != DOC_MAP)
			continue;
		gateway_check_unique(c, &names, n, c->cfg->listeners[n->index].name, n->index, "listener");
		check_access(c, n, &c->cfg->listeners[n->index]);
		check_port(c, n, n->index);
	}
	return OK;
}

static const char *next_line(const void *arg, size_t i)
{
	const struct gateway_config *cfg = arg;

	if (i >= cfg->nlines)
		return NULL;
	return cfg->lines[i].name ? cfg->lines[i].name : "";
}

static const struct config_line *find_line(struct checker *c, const struct doc_node *node,
					   struct config_device *dev)
{
	const char *near;

	if (!dev->line_name)
		return NULL;
	if (name_set_find(&c->lines, dev->line_name, &dev->line) == OK)
		return &c->cfg->lines[dev->line];
	near = schema_nearest(dev->line_name, next_line, c->cfg);
	schema_fault_key(c->r, node, "line", "found \"%s\", allowed: the name of one of the lines%s%s%s",
			 dev->line_name, near ? "; did you mean \"" : "", near ? near : "",
			 near ? "\"?" : "");
	return NULL;
}

static int check_devices(struct checker *c, const struct doc_node *file, const struct doc_node *list)
{
	const struct config_line *line;
	struct config_device *dev;
	struct name_set names;
	int rc = name_set_init(&names, c->r->arena, c->cfg->ndevices);

	if (rc < 0)
		return rc;
	for (const struct doc_node *n = c->cfg->ndevices ? list->first : NULL; n; n = n->next) {
		if (n->kind != DOC_MAP)
			continue;
		dev = &c->cfg->devices[n->index];
		gateway_check_unique(c, &names, n, dev->name, n->index, "device");
		line = find_line(c, n, dev);
		if ((rc = gateway_check_tags(c, n, dev, line)) < 0 ||
		    (rc = gateway_check_policies(c, file, n, dev)) < 0)
			return rc;
		gateway_check_writes(c, n, dev, line);
	}
	return gateway_check_topics(c, list);
}

static void check_broker(struct checker *c, const struct doc_node *node)
{
	const struct config_broker *b = &c->cfg->broker;

	if (!node || node->kind != DOC_MAP)
		return;
	if (b->max_keep_alive_ms % 1000 != 0)
		schema_fault_key(c->r, node, "max_keep_alive", "found %u ms, allowed: whole seconds",
				 b->max_keep_alive_ms);
	if (b->memory_limit > 0 && b->memory_limit < MEMORY_LIMIT_LEAST)
		schema_fault_key(c->r, node, "memory_limit",
				 "found %" PRIu64 " bytes, allowed: 0 or at least 16MiB", b->memory_limit);
	if (b->move_permanently && !b->move_to)
		schema_fault_key(c->r, node, "move_permanently", "found true, allowed: only beside move_to");
}

static void check_storage(struct checker *c, const struct doc_node *node)
{
	static const char *const of_path[] = {"durability", "linger", "will_grace", "max_bytes"};
	const struct config_storage *s = &c->cfg->storage;

	if (!node || node->kind != DOC_MAP)
		return;
	for (size_t i = 0; !doc_get(node, "path") && i < sizeof(of_path) / sizeof(of_path[0]); i++)
		if (doc_get(node, of_path[i]))
			schema_fault_key(c->r, node, of_path[i],
					 "applies only beside path, the folder of the database");
	if (s->max_bytes > 0 && s->max_bytes < DATABASE_LEAST)
		schema_fault_key(c->r, node, "max_bytes",
				 "found %" PRIu64 " bytes, allowed: 0 or at least 1MiB", s->max_bytes);
}

int gateway_check(struct checker *c, const struct doc_node *file)
{
	int rc;

	if (!c->cfg->gateway.root)
		c->cfg->gateway.root = c->cfg->gateway.name;
	check_broker(c, doc_get(file, "broker"));
	check_storage(c, doc_get(file, "storage"));
	if ((rc = check_listeners(c, doc_get(file, "listeners"))) < 0)
		return rc;
	if ((rc = gateway_check_lines(c, doc_get(file, "lines"))) < 0)
		return rc;
	if ((rc = check_devices(c, file, doc_get(file, "devices"))) < 0)
		return rc;
	gateway_check_internal(c, doc_get(file, "devices"));
	if ((rc = gateway_check_alarms(c, doc_get(file, "alarms"))) < 0)
		return rc;
	if ((rc = gateway_check_uplinks(c, doc_get(file, "uplinks"))) < 0)
		return rc;
	return gateway_check_views(c, doc_get(file, "views"));
}

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/gateway_check.h"

#define UPLINKS_MAX  16
#define DEFAULT_PORT 1883

/* A URL that obeys its rule, taken apart. */
static int split_url(struct checker *c, const struct doc_node *node, struct config_uplink *u)
{
	const char *colon = strchr(u->url, ':'), *host = colon + 3, *end, *port;
	long number;

	u->scheme = arena_text(c->r->arena, u->url, (size_t)(colon - u->url));
	end = host[0] == '[' ? strchr(host, ']') : host + strcspn(host, ":");
	port = strchr(end, ':');
	host += host[0] == '[';
	u->host = arena_text(c->r->arena, host, (size_t)(end - host));
	if (!u->scheme || !u->host)
		return ERR_NOMEM;
	number = port ? strtol(port + 1, NULL, 10) : DEFAULT_PORT;
	if (number < 1 || number > 65535)
		schema_fault_key(c->r, node, "url", "found port %ld, allowed: 1..65535", number);
	if (strcmp(u->scheme, "mqtt") != 0)
		schema_fault_key(c->r, node, "url",
				 "%s:// is not in this version: found \"%s\", allowed: mqtt://HOST:PORT",
				 u->scheme, u->url);
	u->port = (uint16_t)number;
	return OK;
}

static void check_maps(struct checker *c, const struct doc_node *list, const struct config_uplink_map *maps,
		       size_t n)
{
	for (const struct doc_node *m = n ? list->first : NULL; m; m = m->next) {
		const struct config_uplink_map *map = &maps[m->index];

		if (m->kind == DOC_MAP && map->template && (map->strip || map->prefix))
			schema_fault_key(c->r, m, "template",
					 "found beside %s, allowed: either template, or strip and prefix",
					 map->strip ? "strip" : "prefix");
	}
}

static int set_client_id(struct checker *c, struct config_uplink *u)
{
	const char *gateway = c->cfg->gateway.name ? c->cfg->gateway.name : "";
	size_t room = strlen(gateway) + strlen(u->name) + 2;
	char *id;

	if (u->client_id)
		return OK;
	id = arena_alloc(c->r->arena, room);
	if (!id)
		return ERR_NOMEM;
	snprintf(id, room, "%s-%s", gateway, u->name);
	u->client_id = id;
	return OK;
}

static int check_uplink(struct checker *c, const struct doc_node *n, struct config_uplink *u)
{
	const struct doc_node *reconnect = doc_get(n, "reconnect");
	int rc;

	if (u->url && (rc = split_url(c, n, u)) < 0)
		return rc;
	if (u->name && (rc = set_client_id(c, u)) < 0)
		return rc;
	check_maps(c, doc_get(n, "publish"), u->publish, u->npublish);
	check_maps(c, doc_get(n, "subscribe"), u->subscribe, u->nsubscribe);
	if (!u->npublish && !u->nsubscribe && !doc_get(n, "publish") && !doc_get(n, "subscribe"))
		schema_fault(c->r, n, "found neither publish nor subscribe, allowed: at least one of them");
	if (u->keep_alive_ms % 1000 != 0)
		schema_fault_key(c->r, n, "keep_alive", "found %u ms, allowed: whole seconds",
				 u->keep_alive_ms);
	if (u->password_file && !u->username && u->version < 5)
		schema_fault_key(c->r, n, "password_file",
				 "found no username beside it, which MQTT 3.1.1 needs with a password");
	if (reconnect && reconnect->kind == DOC_MAP && u->reconnect.max_ms < u->reconnect.first_ms)
		schema_fault_key(c->r, reconnect, "max", "found %u ms, allowed: no less than first, %u ms",
				 u->reconnect.max_ms, u->reconnect.first_ms);
	return OK;
}

int gateway_check_uplinks(struct checker *c, const struct doc_node *list)
{
	struct name_set names;
	int rc = name_set_init(&names, c->r->arena, c->cfg->nuplinks);

	if (rc < 0)
		return rc;
	if (c->cfg->nuplinks > UPLINKS_MAX) {
		schema_fault(c->r, list, "found %zu uplinks, allowed: at most %d", c->cfg->nuplinks,
			     UPLINKS_MAX);
		return OK;
	}
	for (const struct doc_node *n = c->cfg->nuplinks ? list->first : NULL; n; n = n->next) {
		if (n->kind != DOC_MAP)
			continue;
		gateway_check_unique(c, &names, n, c->cfg->uplinks[n->index].name, n->index, "uplink");
		if ((rc = check_uplink(c, n, &c->cfg->uplinks[n->index])) < 0)
			return rc;
	}
	return OK;
}

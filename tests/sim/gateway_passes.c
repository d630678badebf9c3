#include "gateway_world.h"

#include <inttypes.h>
#include <stdio.h>

#define PASS_MS  30u  /* what one takes at most on a calm line, with a connection */
#define SLACK_MS 250u /* for the network's delays */

/* ---- answers ---- */

/* The count of a unit, as it was at some time since the request. */
static void check_answer(struct gw *g, const struct gw_pass *p)
{
	const struct plc_unit *u = &p->line->plc.units[p->pass.unit - 1];
	const uint8_t *pdu = p->pass.pdu;
	char text[32];

	if (pdu[0] & 0x80)
		return; /* a gateway's, for a unit that is absent */
	if (p->pass.pdu_len != 6 || pdu[0] != 3 || pdu[1] != 4) {
		gw_broken(g, "foreign master %u: an answer to another question", (unsigned)(p - g->passes));
		return;
	}
	snprintf(text, sizeof(text), "%" PRIu32,
		 (uint32_t)pdu[2] << 24 | (uint32_t)pdu[3] << 16 | (uint32_t)pdu[4] << 8 | pdu[5]);
	if (!plc_held(u, CELL_COUNT, text, p->asked_us, sim_now_us(g->world)))
		gw_broken(g, "foreign master %u: %s was not in unit %u", (unsigned)(p - g->passes), text,
			  p->pass.unit);
}

static void pass_done(struct field_pass *fp)
{
	struct gw_pass *p = container_of(fp, struct gw_pass, pass);
	struct gw *g = p->gw;

	if (p->outcomes++ || p->is_cancelled)
		gw_broken(g, "foreign master %u: outcome %u%s", (unsigned)(p - g->passes), p->outcomes,
			  p->is_cancelled ? ", and it had left" : "");
	if (fp->rc == OK)
		check_answer(g, p);
	else if (fp->rc == ERR_NOT_FOUND && !g->is_ending)
		gw_broken(g, "foreign master %u: its line went, and is there", (unsigned)(p - g->passes));
	else if (p->line->plc.mode == PLC_ALIVE && fp->rc == ERR_RANGE)
		gw_broken(g, "foreign master %u: not sent", (unsigned)(p - g->passes));
}

/* ---- asking ---- */

static void ask(struct gw *g)
{
	struct gw_pass *p = &g->passes[g->npasses];
	struct gw_line *l = &g->lines[gw_any(g, g->nlines)];
	uint64_t now_us = sim_now_us(g->world);

	*p = (struct gw_pass){
		.gw = g,
		.line = l,
		.asked_us = now_us,
		.pass = {.unit = (uint8_t)(1 + gw_any(g, PLC_UNITS)),
			 .pdu = {3, 0, (uint8_t)cell_infos[CELL_COUNT].start, 0, 2},
			 .pdu_len = 5,
			 .timeout_ms = sim_one_in(g->world, 2) ? 50 + (uint32_t)gw_any(g, 500) : 0,
			 .done = pass_done,
			 .owner = &g->peers[gw_any(g, GW_PEERS)]},
	};
	if (field_pass(g->field, l->name, &p->pass) < 0)
		return;
	g->npasses++;
	if (l->busy_until_us < now_us) /* as with commands */
		l->busy_until_us = now_us;
	l->busy_until_us += MS(PASS_MS);
}

/* One leaves. */
static void leave(struct gw *g)
{
	struct gw_pass *p = &g->passes[gw_any(g, g->npasses)];

	p->is_cancelled = p->is_cancelled || !p->outcomes;
	field_pass_cancel(&p->pass);
}

void gw_asking(struct loop_source *s)
{
	struct gw *g = container_of(s, struct gw, asking);

	for (uint64_t n = 1 + gw_any(g, 3); n > 0 && g->field && g->npasses < GW_PASSES; n--)
		ask(g);
	if (g->field && g->npasses && sim_one_in(g->world, 4))
		leave(g);
}

void gw_ask_pass(struct gw *g)
{
	loop_notify(&g->asking);
}

/* ---- outcomes ---- */

/* It waits for its time, and has its unit's on the wire: with a connection that is made first. */
static uint64_t latest_us(const struct gw_pass *p)
{
	uint32_t timeout_ms = p->line->timeout_ms, wait_ms = p->pass.timeout_ms;

	return p->asked_us + MS((wait_ms ? wait_ms : PASS_WAIT_MS + timeout_ms) + 2 * timeout_ms + SLACK_MS);
}

void gw_watch_passes(struct gw *g)
{
	for (unsigned i = 0; i < g->npasses; i++) {
		const struct gw_pass *p = &g->passes[i];

		if (!p->outcomes && !p->is_cancelled && sim_now_us(g->world) > latest_us(p))
			gw_broken(g, "foreign master %u: no outcome in time", i);
	}
}

void gw_settle_passes(struct gw *g)
{
	for (unsigned i = 0; i < g->npasses; i++)
		if (g->passes[i].outcomes != !g->passes[i].is_cancelled)
			gw_broken(g, "foreign master %u: %u outcomes", i, g->passes[i].outcomes);
}

/*
 * A client of the simulation: it speaks MQTT with the codec over a simulated stream, keeps its own side of the protocol to
 * the letter, and tells the ledger. Its session state survives its crashes, unless it starts anew.
 *
 * It is not the client engine of the product: that one shall not grade its own work.
 */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include "ledger.h"
#include "loop/loop_sim.h"
#include "net/stream_sim.h"
#include "wire/mqtt.h"

#define SIM_INFLIGHT 32u
#define SIM_FILTERS  24u
#define SIM_INPUT    65536u

struct sim_sent { /* of a message of QoS 1 or 2 that is not acknowledged in full */
	uint32_t id;
	uint16_t packet_id;
	bool released; /* PUBREC came */
};

/* What the broker has said of the session, or what was asked of it and not answered. */
enum sim_session {
	SIM_SESSION_NONE, /* there is none: not yet, or the broker closed after a DISCONNECT that ended it */
	SIM_SESSION_MAY,  /* not known */
	SIM_SESSION_MUST  /* CONNACK came */
};

struct sim_client {
	struct sim_world *world;
	struct loop *loop;
	struct dialer *dialer;
	struct ledger *ledger;
	unsigned index;
	enum mqtt_version version;
	uint16_t receive_maximum;
	uint16_t last_packet_id; /* of those that it uses: they wrap after it */
	bool durable;   /* its broker is to remember it: a session that is not there is a broken promise */
	bool transient; /* its session ends with the connection */
	bool may_be_refused; /* the broker's disk is in trouble, or was a moment ago */

	/* the connection */
	struct stream *stream;
	bool greeted;           /* CONNECT is sent; WRITABLE may come again before its answer */
	bool connected;         /* CONNACK came */
	bool want_clean;        /* the next CONNECT starts anew */
	bool leaving;           /* DISCONNECT is sent: what comes is the end */
	bool deaf;              /* does not read for now */
	uint64_t away_until_us; /* it does not come back before */
	uint8_t input[SIM_INPUT];
	size_t input_len;
	uint8_t output[SIM_INPUT];
	size_t output_len;

	/* the session */
	enum sim_session session;
	uint16_t last_id;
	uint16_t broker_window;
	struct sim_sent sent[SIM_INFLIGHT]; /* in order */
	unsigned nsent;
	uint64_t received[65536 / 64]; /* QoS 2 ids whose PUBREL has not come */
	struct sim_filter {
		char filter[LEDGER_FILTER];
		uint8_t qos;
		uint16_t waits; /* packet id of the SUBSCRIBE in hand; 0: none */
		bool wanted, acked;
		bool going; /* UNSUBSCRIBE is in hand, or has to be sent again */
	} filters[SIM_FILTERS];
	uint64_t refused; /* messages, subscriptions and connections that the broker did not take */
};

/* It connects by itself from now on. */
void sim_client_init(struct sim_client *c, struct sim_world *w, struct loop *loop, struct dialer *dialer,
		     struct ledger *ledger, unsigned index);
void sim_client_fini(struct sim_client *c);

/* Connect anew; the old connection stays open at the broker (a takeover) or is cut (a crash). */
void sim_client_reconnect(struct sim_client *c, bool crash);
/* Publish; false: not now (not connected, window full, ledger full). */
bool sim_client_publish(struct sim_client *c, const char *topic, uint8_t qos, bool retain);
/* Subscribe, again if it is there; false: not now. */
bool sim_client_subscribe(struct sim_client *c, const char *filter, uint8_t qos);
/* Unsubscribe; false: not now, or not subscribed. */
bool sim_client_unsubscribe(struct sim_client *c, const char *filter);
/* Go and stay away for so long; politely with DISCONNECT, v5 with this expiry of the session (UINT32_MAX: as it was), or by a crash. */
void sim_client_leave(struct sim_client *c, uint64_t for_us, bool crash, uint32_t expiry_s);
/* Come back now. */
void sim_client_return(struct sim_client *c);
/* Its broker crashed: an end that comes now says nothing. */
void sim_client_broker_crashed(struct sim_client *c);
/* Do not read for a while; reading again is sim_client_listen(). */
void sim_client_deafen(struct sim_client *c);
void sim_client_listen(struct sim_client *c);
/* Nothing is in flight from it, and it is connected. */
bool sim_client_is_quiet(const struct sim_client *c);

/* A filter that some of the topics "t/{client}/{0..2}" match. */
void sim_draw_filter(struct sim_world *w, unsigned nclients, char *filter, size_t size);

#endif

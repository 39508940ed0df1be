/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Judges a connection: the egress policy of the pod that opens it and the
 * ingress policy of the pod that it is opened to, each where it is a pod of
 * this node. Called for the first packet, and again when the revision that the
 * connection was judged by is no longer the newest.
 */
#ifndef AXONEME_JUDGE_H
#define AXONEME_JUDGE_H

#include "conntrack.h"
#include "event.h"
#include "identity.h"
#include "policy.h"
#include "translation.h"

/* A connection, written from its opener to its responder. */
struct connection {
	struct tuple tuple;
	__be16 policy_port; /* the responder's port; an ICMP message's type */
	bool from_host; /* opened by a process of this node, not merely from its address */
	__u8 pad;
};

/*
 * Whether an answer ends the connection. A denial that is only recorded does not; of
 * two such, the first is told: it is the one that would have dropped the packet.
 */
static __always_inline bool blocks(const struct policy_answer *answer,
				   enum traffic_direction direction, struct outcome *outcome)
{
	if (answer->reason == DROP_NONE)
		return false;
	if (!(answer->flags & POLICY_AUDIT)) {
		outcome->reason = answer->reason;
		outcome->direction = direction;
		return true;
	}
	if (!outcome->audit)
		outcome->audit = direction | (answer->flags & POLICY_BY_DEFAULT) *
						     (AUDIT_BY_DEFAULT / POLICY_BY_DEFAULT);
	return false;
}

/*
 * Joins what the two ends' policies want judged: the opener's first. Two kinds of proxy
 * can not sit on one connection: rules that are only tried out give way, and where there
 * are none nobody may speak on it.
 */
static __always_inline void judge_proxy(const struct policy_answer *answer, enum flow_direction end,
					bool first_is_tried, struct outcome *outcome)
{
	if (answer->proxy == PROXY_NONE)
		return;
	if (outcome->proxy != PROXY_NONE && outcome->proxy != answer->proxy) {
		if (answer->flags & POLICY_AUDIT)
			return;
		if (!first_is_tried) {
			outcome->reason = DROP_PROXY_CONFLICT;
			outcome->direction = DIRECTION_INGRESS;
			return;
		}
		outcome->l7[FLOW_ORIGINAL] = 0;
	}
	outcome->proxy = answer->proxy;
	outcome->l7[end] = answer->l7;
}

/* Fills in the outcome's reason, audit, direction, rules, proxy, identities and endpoints. */
static __noinline int judge(const struct connection *connection, struct outcome *outcome)
{
	const struct tuple *tuple = &connection->tuple;
	struct endpoint *responder = endpoint_lookup(&tuple->destination);
	bool to_itself = is_loopback(&tuple->source);
	struct endpoint *opener = to_itself ? responder : endpoint_lookup(&tuple->source);
	struct policy_question question = {
		.port = connection->policy_port,
		.protocol = tuple->protocol,
	};
	struct policy_answer answer = {};
	bool is_tried = false; /* what the opener's policy wants judged */

	outcome->identity[0] = sender_identity(&tuple->source, opener, connection->from_host);
	outcome->identity[1] = identity_of(&tuple->destination, responder);
	outcome->endpoint[0] = opener ? opener->id : 0;
	outcome->endpoint[1] = responder ? responder->id : 0;
	outcome->egress_rule = 0;
	outcome->ingress_rule = 0;
	outcome->reason = DROP_NONE;
	outcome->audit = 0;
	outcome->proxy = PROXY_NONE;
	outcome->l7[FLOW_ORIGINAL] = 0;
	outcome->l7[FLOW_REPLY] = 0;

	/* A pod that was given itself by a service: no policy stands between it and itself. */
	if (to_itself && responder)
		return 0;
	if (opener) {
		question.policy = opener->policy;
		question.identity = outcome->identity[1];
		question.direction = DIRECTION_EGRESS;
		policy_decide(&question, &answer);
		outcome->egress_rule = answer.rule;
		if (blocks(&answer, DIRECTION_EGRESS, outcome))
			return 0;
		judge_proxy(&answer, FLOW_ORIGINAL, false, outcome);
		is_tried = answer.flags & POLICY_AUDIT;
	}
	if (responder && !connection->from_host) {
		question.policy = responder->policy;
		question.identity = outcome->identity[0];
		question.direction = DIRECTION_INGRESS;
		policy_decide(&question, &answer);
		outcome->ingress_rule = answer.rule;
		if (!blocks(&answer, DIRECTION_INGRESS, outcome))
			judge_proxy(&answer, FLOW_REPLY, is_tried, outcome);
	}
	return 0;
}

#endif

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Whose an address is: a pod's of this node, or what the ipcache says. */
#ifndef AXONEME_IDENTITY_H
#define AXONEME_IDENTITY_H

#include "endpoint.h"
#include "ipcache.h"

static __always_inline __u32 identity_of(const struct address *address,
					 const struct endpoint *endpoint)
{
	struct ipcache_entry *entry;

	if (endpoint)
		return endpoint->identity;
	entry = ipcache_lookup(address);
	return entry ? entry->identity : IDENTITY_UNKNOWN;
}

/*
 * Who sent a packet. This node's address on a packet that the node did not send is
 * a translation of somebody outside: it counts as the outside world.
 */
static __always_inline __u32 sender_identity(const struct address *address,
					     const struct endpoint *endpoint, bool from_host)
{
	struct ipcache_entry *entry;

	if (endpoint)
		return endpoint->identity;
	entry = ipcache_lookup(address);
	if (!entry)
		return IDENTITY_UNKNOWN;
	if ((entry->flags & IPCACHE_HOST) && !from_host)
		return world_identity(address);
	return entry->identity;
}

#endif

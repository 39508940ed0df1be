/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Who judges what is said on a connection. Policy entries, flows and events name the
 * kind; where its listening sockets are, only the steering needs to know.
 */
#ifndef AXONEME_PROXY_KIND_H
#define AXONEME_PROXY_KIND_H

#include "bpf.h"

enum proxy_kind {
	PROXY_NONE = 0,
	PROXY_HTTP = 1, /* HTTP/1, HTTP/2, gRPC, WebSocket, in plain text */
	PROXY_TLS = 2, /* TLS that is passed on unopened, judged by the name of the server */
	PROXY_HTTPS = 3, /* HTTP inside of TLS that ends at the proxy, or begins there */
	PROXY_DNS = 4,
	PROXY_KAFKA = 5,
};

const enum proxy_kind *anchor_proxy_kind __attribute__((unused));

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the load programs have in common. */
#ifndef AXONEME_NETLOAD_H
#define AXONEME_NETLOAD_H

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX 4000000

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static inline double now_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static inline struct addrinfo *resolve(const char *host, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
	struct addrinfo *found;
	int error = getaddrinfo(host, port, &hints, &found);

	if (error) {
		fprintf(stderr, "load: %s port %s: %s\n", host, port, gai_strerror(error));
		exit(1);
	}
	return found;
}

/* -1 where nobody takes the connection. */
static inline int dial(const struct addrinfo *to)
{
	int one = 1, fd = socket(to->ai_family, SOCK_STREAM, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (!connect(fd, to->ai_addr, to->ai_addrlen))
		return fd;
	close(fd);
	return -1;
}

static inline int dial_or_die(const struct addrinfo *to)
{
	int fd = dial(to);

	if (fd < 0)
		die("connect");
	return fd;
}

/* For both families, and never waited for. */
static inline int listen_on(int type, int port)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6,
				    .sin6_port = htons(port),
				    .sin6_addr = in6addr_any };
	int one = 1, zero = 0, fd = socket(AF_INET6, type | SOCK_NONBLOCK, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)))
		die("bind");
	if (type == SOCK_STREAM && listen(fd, 4096))
		die("listen");
	return fd;
}

static inline int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static inline void print_samples(float *micros, int count, double seconds)
{
	qsort(micros, count, sizeof(*micros), by_value);
	printf("{\"count\":%d,\"seconds\":%.6f,\"p50_us\":%.3f,\"p99_us\":%.3f}\n", count, seconds,
	       micros[count / 2], micros[(int)(count * 0.99)]);
}

#endif

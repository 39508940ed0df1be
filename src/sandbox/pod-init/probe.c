// SPDX-License-Identifier: Apache-2.0
/*
 * `probe`: real connections from inside one pod's network namespace. Reads lines
 * "ID tcp|udp|sctp ADDRESS PORT" until end of file, then writes one line
 * "ID OUTCOME" each, as they become known. At most `--limit` sockets are open at
 * once; a try that hears nothing is repeated, so one lost packet decides nothing.
 * What an outcome means for a policy is the daemon's business.
 */
#define _GNU_SOURCE
#include "pod-init.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ADDRESS_TEXT_MAX 46
#define PAYLOAD "axoneme probe\n"

struct target {
	int id;
	int protocol; /* IPPROTO_… */
	struct sockaddr_storage address;
	socklen_t address_length;
	int fd;
	int tries_left;
	long deadline; /* milliseconds of the monotonic clock */
};

static long timeout_ms = 500;
static int tries = 2;

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int protocol_number(const char *name)
{
	if (!strcmp(name, "tcp"))
		return IPPROTO_TCP;
	if (!strcmp(name, "udp"))
		return IPPROTO_UDP;
	if (!strcmp(name, "sctp"))
		return IPPROTO_SCTP;
	fail("probe: unknown protocol %s", name);
}

static void set_address(struct target *target, const char *text, unsigned int port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&target->address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&target->address;

	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		target->address_length = sizeof(*v4);
	} else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		target->address_length = sizeof(*v6);
	} else {
		fail("probe: not an address: %s", text);
	}
}

static struct target *read_targets(size_t *count)
{
	char protocol[8], address[ADDRESS_TEXT_MAX];
	struct target *targets = NULL;
	unsigned int port;
	size_t room = 0;
	int id;

	*count = 0;
	while (scanf("%d %7s %45s %u", &id, protocol, address, &port) == 4) {
		if (*count == room) {
			room = room ? room * 2 : 64;
			targets = reallocarray(targets, room, sizeof(*targets));
			if (!targets)
				fail("probe: out of memory");
		}
		struct target *target = &targets[(*count)++];
		*target = (struct target){ .id = id,
					   .protocol = protocol_number(protocol),
					   .fd = -1,
					   .tries_left = tries };
		set_address(target, address, port);
	}
	if (!feof(stdin))
		fail("probe: target %zu is not of the form ID PROTOCOL ADDRESS PORT", *count + 1);
	return targets;
}

static void finish(struct target *target, const char *outcome)
{
	const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	if (target->fd >= 0) {
		/* No TIME-WAIT: thousands of probes must not use up the ports. */
		setsockopt(target->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(target->fd);
	}
	target->fd = -1;
	target->tries_left = -1;
	printf("%d %s\n", target->id, outcome);
	fflush(stdout);
}

static void finish_with_error(struct target *target, int error)
{
	char text[64];

	switch (error) {
	case ECONNREFUSED:
		finish(target, "refused");
		break;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EACCES:
	case EPERM:
		finish(target, "unreachable");
		break;
	case ETIMEDOUT:
		finish(target, "silent");
		break;
	case EPROTONOSUPPORT:
	case ESOCKTNOSUPPORT:
		finish(target, "unsupported");
		break;
	default:
		snprintf(text, sizeof(text), "error %s", strerrorname_np(error));
		finish(target, text);
	}
}

/* Opens a fresh socket for TCP and SCTP; UDP keeps its socket and sends once more. */
static void start_try(struct target *target)
{
	bool datagrams = target->protocol == IPPROTO_UDP;

	target->tries_left--;
	target->deadline = now_ms() + timeout_ms;
	if (target->fd >= 0 && !datagrams) {
		close(target->fd);
		target->fd = -1;
	}
	if (target->fd < 0) {
		int type = (datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
		target->fd = socket(target->address.ss_family, type, target->protocol);
		if (target->fd < 0) {
			finish_with_error(target, errno);
			return;
		}
		if (connect(target->fd, (struct sockaddr *)&target->address,
			    target->address_length) &&
		    errno != EINPROGRESS) {
			finish_with_error(target, errno);
			return;
		}
	}
	/* An error that waits on the socket is reported by the send: it is the answer to the try before. */
	if (datagrams && send(target->fd, PAYLOAD, strlen(PAYLOAD), MSG_NOSIGNAL) < 0 &&
	    errno != EAGAIN)
		finish_with_error(target, errno);
}

static void look(struct target *target)
{
	char answer[64];
	int error = 0;
	socklen_t size = sizeof(error);

	if (target->protocol == IPPROTO_UDP) {
		if (recv(target->fd, answer, sizeof(answer), MSG_DONTWAIT) >= 0)
			finish(target, "answered");
		else if (errno != EAGAIN && errno != EINTR)
			finish_with_error(target, errno);
		return;
	}
	if (getsockopt(target->fd, SOL_SOCKET, SO_ERROR, &error, &size))
		error = errno;
	if (error)
		finish_with_error(target, error);
	else
		finish(target, "connected");
}

static void check_deadline(struct target *target)
{
	if (target->tries_left < 0 || now_ms() < target->deadline)
		return;
	if (target->tries_left == 0)
		finish(target, "silent");
	else
		start_try(target);
}

/* One window of targets after the other, each filled up as targets are finished. */
static void probe_all(struct target *targets, size_t count, size_t limit)
{
	struct target **open = calloc(limit, sizeof(struct target *));
	struct pollfd *watched = calloc(limit, sizeof(*watched));
	size_t next = 0, used = 0;

	if (!open || !watched)
		fail("probe: out of memory");
	while (next < count || used > 0) {
		while (used < limit && next < count) {
			start_try(&targets[next]);
			open[used++] = &targets[next++];
		}
		long wait = timeout_ms;
		for (size_t i = 0; i < used; i++) {
			long left = open[i]->deadline - now_ms();
			wait = left < wait ? left : wait;
			watched[i] = (struct pollfd){
				.fd = open[i]->fd,
				.events = open[i]->protocol == IPPROTO_UDP ? POLLIN : POLLOUT,
			};
		}
		poll(watched, used, wait < 0 ? 0 : (int)wait + 1);
		size_t kept = 0;
		for (size_t i = 0; i < used; i++) {
			if (open[i]->fd >= 0 && watched[i].revents)
				look(open[i]);
			if (open[i]->tries_left >= 0)
				check_deadline(open[i]);
			if (open[i]->tries_left >= 0)
				open[kept++] = open[i];
		}
		used = kept;
	}
	free(open);
	free(watched);
}

static void raise_open_files(size_t limit)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < limit + 16) {
		files.rlim_cur = files.rlim_max < limit + 16 ? files.rlim_max : limit + 16;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

/* probe --netns PATH [--cgroup DIR] [--timeout MS] [--tries N] [--limit N] */
int probe(int argc, char **argv)
{
	static const struct option options[] = {
		{ "netns", required_argument, NULL, 'n' },
		{ "cgroup", required_argument, NULL, 'c' },
		{ "timeout", required_argument, NULL, 't' },
		{ "tries", required_argument, NULL, 'T' },
		{ "limit", required_argument, NULL, 'l' },
		{ 0 },
	};
	size_t limit = 256, count;
	int option;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (option) {
		case 'n':
			join_network(optarg);
			break;
		case 'c':
			join_cgroup(optarg);
			break;
		case 't':
			timeout_ms = atol(optarg);
			break;
		case 'T':
			tries = atoi(optarg);
			break;
		case 'l':
			limit = (size_t)atol(optarg);
			break;
		default:
			return EXIT_OWN_FAILURE;
		}
	}
	if (tries < 1 || timeout_ms < 1 || limit < 1)
		fail("probe: --timeout, --tries and --limit must be at least 1");
	raise_open_files(limit);
	struct target *targets = read_targets(&count);
	probe_all(targets, count, limit);
	free(targets);
	return 0;
}

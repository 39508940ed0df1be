// SPDX-License-Identifier: Apache-2.0
/*
 * Watches from when on packets are let through, and from when on they are not.
 *
 *   pulse NETNS-FROM NETNS-TO ADDRESS PORT MICROSECONDS
 *
 * Sends a numbered UDP packet from the first network namespace to ADDRESS in the
 * second, again and again with that pause, and prints a line of JSON for every
 * packet whose fate differs from the one before: `arrives`, when it was sent and
 * when its predecessor was (CLOCK_MONOTONIC, nanoseconds). Ends with its standard
 * input. A packet between two pods of a node is nearly always there when send()
 * returns; on a busy machine it may come some packets later.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WINDOW 128 /* packets whose fate is remembered; a power of two */
#define PATIENCE 32 /* packets later, one that is not there is lost */

struct packet {
	uint64_t sent_ns;
	int arrived;
};

static void die(const char *what)
{
	fprintf(stderr, "pulse: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int socket_in(const char *netns, int family)
{
	int ns = open(netns, O_RDONLY | O_CLOEXEC), fd;

	if (ns < 0 || setns(ns, CLONE_NEWNET))
		die(netns);
	close(ns);
	fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	if (fd < 0)
		die("socket");
	return fd;
}

static struct addrinfo *resolve(const char *address, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM,
				  .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
	struct addrinfo *found;

	if (getaddrinfo(address, port, &hints, &found)) {
		fprintf(stderr, "pulse: %s port %s is no address\n", address, port);
		exit(2);
	}
	return found;
}

static void take_arrived(int sink, struct packet *packets)
{
	uint64_t number;

	while (recv(sink, &number, sizeof(number), 0) == sizeof(number))
		packets[number % WINDOW].arrived = 1;
}

/* An ICMP error of an earlier packet comes back from send(); the packet itself is sent again. */
static void send_packet(int source, uint64_t number)
{
	while (send(source, &number, sizeof(number), 0) < 0)
		if (errno != ECONNREFUSED && errno != EPERM && errno != ENOBUFS && errno != EAGAIN)
			die("send");
}

static int input_ended(void)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	char byte;

	return poll(&input, 1, 0) > 0 && read(STDIN_FILENO, &byte, 1) <= 0;
}

static void pause_until(uint64_t at_ns)
{
	struct timespec at = { .tv_sec = at_ns / 1000000000, .tv_nsec = at_ns % 1000000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
}

int main(int argc, char **argv)
{
	struct packet packets[WINDOW] = {};
	struct addrinfo *to;
	int source, sink, arrives = -1;
	uint64_t pause_ns;

	if (argc != 6) {
		fprintf(stderr, "usage: pulse NETNS-FROM NETNS-TO ADDRESS PORT MICROSECONDS\n");
		return 2;
	}
	to = resolve(argv[3], argv[4]);
	pause_ns = strtoull(argv[5], NULL, 10) * 1000;
	prctl(PR_SET_TIMERSLACK, 1000UL);
	sink = socket_in(argv[2], to->ai_family);
	if (bind(sink, to->ai_addr, to->ai_addrlen))
		die("bind");
	source = socket_in(argv[1], to->ai_family);
	if (connect(source, to->ai_addr, to->ai_addrlen))
		die("connect");

	for (uint64_t number = 0;; number++) {
		struct packet *packet = &packets[number % WINDOW];

		packet->arrived = 0;
		packet->sent_ns = now_ns();
		send_packet(source, number);
		take_arrived(sink, packets);
		if (number > PATIENCE) {
			struct packet *judged = &packets[(number - PATIENCE) % WINDOW];
			struct packet *before = &packets[(number - PATIENCE - 1) % WINDOW];

			if (judged->arrived != arrives) {
				arrives = judged->arrived;
				printf("{\"arrives\":%s,\"sent_ns\":\"%llu\",\"before_ns\":\"%"
				       "llu\"}\n",
				       arrives ? "true" : "false",
				       (unsigned long long)judged->sent_ns,
				       (unsigned long long)before->sent_ns);
				fflush(stdout);
			}
		}
		if (number % 256 == 0 && input_ended())
			return 0;
		pause_until(packet->sent_ns + pause_ns);
	}
}

// SPDX-License-Identifier: Apache-2.0
/*
 * Load for the network benchmarks: one small program, so that what is measured
 * is the network path and not a language runtime.
 *
 *   netload serve PORT                            discards on PORT, echoes on PORT+1, echoes once and closes on PORT+2
 *   netload stream HOST PORT SECONDS              one TCP stream
 *   netload rr HOST PORT SECONDS                  request/response of one byte on one connection
 *   netload crr HOST PORT SECONDS PROCESSES       connect, one request/response, the server closes
 *
 * Clients print one line of JSON. HOST is an address, IPv4 or IPv6.
 */
#define _GNU_SOURCE
#include "netload.h"
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum service { DISCARD, ECHO, ECHO_ONCE, SERVICES };

#define BUFFER_BYTES (256 * 1024)

static char buffer[BUFFER_BYTES];

static void watch(int epoll, int fd, enum service service, int listening)
{
	struct epoll_event event = { .events = EPOLLIN,
				     .data.u64 = (uint64_t)fd << 8 | service << 1 | listening };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		die("epoll_ctl");
}

static void accept_all(int epoll, int listener, enum service service)
{
	int one = 1, fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		watch(epoll, fd, service, 0);
	}
}

static void serve_one(int fd, enum service service)
{
	ssize_t got = read(fd, buffer, sizeof(buffer));

	if (got < 0 && errno == EAGAIN)
		return;
	if (got > 0 && service != DISCARD && write(fd, buffer, got) != got)
		got = 0;
	if (got <= 0 || service == ECHO_ONCE)
		close(fd);
}

static _Noreturn void serve(int port)
{
	struct epoll_event events[256];
	int epoll = epoll_create1(0);

	signal(SIGPIPE, SIG_IGN);
	for (int service = DISCARD; service < SERVICES; service++)
		watch(epoll, listen_on(SOCK_STREAM, port + service), service, 1);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		int count = epoll_wait(epoll, events, 256, -1);

		for (int i = 0; i < count; i++) {
			int fd = events[i].data.u64 >> 8;
			enum service service = (events[i].data.u64 >> 1) & 127;

			if (events[i].data.u64 & 1)
				accept_all(epoll, fd, service);
			else
				serve_one(fd, service);
		}
	}
}

static int stream(const struct addrinfo *to, double seconds)
{
	double start, end;
	uint64_t bytes = 0;
	int fd = dial_or_die(to);

	start = now_seconds();
	do {
		for (int i = 0; i < 64; i++) {
			ssize_t sent = write(fd, buffer, sizeof(buffer));

			if (sent < 0)
				die("write");
			bytes += sent;
		}
		end = now_seconds();
	} while (end - start < seconds);
	printf("{\"bytes\":%llu,\"seconds\":%.6f}\n", (unsigned long long)bytes, end - start);
	return 0;
}

static int request_response(const struct addrinfo *to, double seconds)
{
	float *micros = malloc(SAMPLES_MAX * sizeof(*micros));
	double start = now_seconds(), before = start, after;
	int count = 0, fd = dial_or_die(to);
	char byte = 'x';

	if (!micros)
		die("malloc");
	do {
		if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
			die("request");
		after = now_seconds();
		micros[count++] = (after - before) * 1e6;
		before = after;
	} while (after - start < seconds && count < SAMPLES_MAX);
	print_samples(micros, count, after - start);
	return 0;
}

static uint64_t connect_loop(const struct addrinfo *to, double seconds)
{
	double start = now_seconds();
	uint64_t count = 0;
	char byte = 'x';

	do {
		int fd = dial_or_die(to);

		if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 0)
			die("connection");
		close(fd);
		count++;
	} while (now_seconds() - start < seconds);
	return count;
}

static int connections(const struct addrinfo *to, double seconds, int processes)
{
	double start = now_seconds();
	uint64_t total = 0, count;
	int results[2], failed = 0, status;

	if (pipe(results))
		die("pipe");
	for (int i = 0; i < processes; i++)
		if (fork() == 0) {
			count = connect_loop(to, seconds);
			_exit(write(results[1], &count, sizeof(count)) != sizeof(count));
		}
	for (int i = 0; i < processes; i++) {
		wait(&status);
		failed |= status;
	}
	close(results[1]);
	while (read(results[0], &count, sizeof(count)) == sizeof(count))
		total += count;
	printf("{\"count\":%llu,\"seconds\":%.6f}\n", (unsigned long long)total,
	       now_seconds() - start);
	return failed != 0;
}

int main(int argc, char **argv)
{
	/* However the benchmark ends. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc == 3 && !strcmp(argv[1], "serve"))
		serve(atoi(argv[2]));
	if (argc == 5 && !strcmp(argv[1], "stream"))
		return stream(resolve(argv[2], argv[3]), atof(argv[4]));
	if (argc == 5 && !strcmp(argv[1], "rr"))
		return request_response(resolve(argv[2], argv[3]), atof(argv[4]));
	if (argc == 6 && !strcmp(argv[1], "crr"))
		return connections(resolve(argv[2], argv[3]), atof(argv[4]), atoi(argv[5]));
	fprintf(stderr, "usage: netload serve PORT | stream|rr HOST PORT SECONDS | crr HOST PORT "
			"SECONDS PROCESSES\n");
	return 2;
}

// SPDX-License-Identifier: Apache-2.0
/*
 * Load for the benchmarks of services: what their clients do, and backends that
 * say who they are.
 *
 *   svcload serve PORT LETTER                        TCP on PORT: sends LETTER, closes; UDP on PORT: answers LETTER
 *   svcload connect HOST PORT SECONDS CGROUP         times of connect(), one after the other
 *   svcload crr HOST PORT SECONDS CGROUP PROCESSES   connections a second: connect, LETTER, closed by the server
 *   svcload rr HOST PORT SECONDS CGROUP              request/response of one byte on one TCP connection (a netload echo)
 *   svcload udp HOST PORT SECONDS CGROUP             request/response on one UDP socket
 *   svcload udp-new HOST PORT SECONDS CGROUP PROCESSES  the same with a new socket each time, as for DNS
 *   svcload letters HOST PORT COUNT CGROUP tcp|udp   who answers so many flows, as one word
 *   svcload follow HOST PORT MICROS CGROUP           connects every so often, prints a line when another LETTER answers
 *   svcload compute-checksums DEVICE                 leaves none to others: on XDP a packet has no other checksum
 *
 * CGROUP is the folder of a control group that the client joins, or `-`.
 */
#define _GNU_SOURCE
#include "netload.h"
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* Of a datagram or a connection that is lost; a retransmission of TCP comes before. */
static const struct timeval PATIENCE = { .tv_sec = 2 };

/* Moves this process into a control group, whose programs then act on its sockets. */
static void join_cgroup(const char *folder)
{
	int directory = open(folder, O_RDONLY | O_DIRECTORY), file;

	file = directory < 0 ? -1 : openat(directory, "cgroup.procs", O_WRONLY);
	if (file < 0 || write(file, "0", 1) != 1)
		die(folder);
	close(file);
	close(directory);
}

static int reach(const struct addrinfo *to, int type)
{
	int one = 1, syns = 2, fd = socket(to->ai_family, type, 0);

	if (fd < 0)
		die("socket");
	if (type == SOCK_STREAM) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &syns, sizeof(syns));
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &PATIENCE, sizeof(PATIENCE));
	if (connect(fd, to->ai_addr, to->ai_addrlen))
		die("connect");
	return fd;
}

static _Noreturn void serve(int port, char letter)
{
	struct pollfd sockets[] = { { .fd = listen_on(SOCK_STREAM, port), .events = POLLIN },
				    { .fd = listen_on(SOCK_DGRAM, port), .events = POLLIN } };
	struct sockaddr_storage from;
	socklen_t length;
	char byte;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		poll(sockets, 2, -1);
		while ((fd = accept(sockets[0].fd, NULL, NULL)) >= 0) {
			if (write(fd, &letter, 1) != 1)
				fprintf(stderr, "load: a client went away\n");
			close(fd);
		}
		while (length = sizeof(from),
		       recvfrom(sockets[1].fd, &byte, 1, 0, (struct sockaddr *)&from, &length) >= 0)
			sendto(sockets[1].fd, &letter, 1, 0, (struct sockaddr *)&from, length);
	}
}

/* @return what the backend says, with the connection closed by both sides */
static char hear(int fd)
{
	char letter, end;

	if (read(fd, &letter, 1) != 1 || read(fd, &end, 1) != 0)
		die("connection");
	close(fd);
	return letter;
}

static char ask(int fd)
{
	char letter = '?';

	if (write(fd, &letter, 1) != 1 || read(fd, &letter, 1) != 1)
		die("request");
	return letter;
}

enum timed { CONNECT, TCP_REQUEST, UDP_REQUEST };

static int latency(const struct addrinfo *to, double seconds, enum timed timed)
{
	float *micros = malloc(SAMPLES_MAX * sizeof(*micros));
	double start = now_seconds(), before, after = start;
	int count = 0, fd = -1;

	if (!micros)
		die("malloc");
	if (timed != CONNECT)
		fd = reach(to, timed == TCP_REQUEST ? SOCK_STREAM : SOCK_DGRAM);
	do {
		before = now_seconds();
		if (timed == CONNECT)
			fd = reach(to, SOCK_STREAM);
		else
			ask(fd);
		after = now_seconds();
		micros[count++] = (after - before) * 1e6;
		if (timed == CONNECT)
			hear(fd);
	} while (after - start < seconds && count < SAMPLES_MAX);
	print_samples(micros, count, after - start);
	return 0;
}

/* @return flows a second */
static double new_flows(const struct addrinfo *to, double seconds, int type)
{
	double start = now_seconds(), end;
	uint64_t count = 0;

	do {
		int fd = reach(to, type);

		if (type == SOCK_STREAM) {
			hear(fd);
		} else {
			ask(fd);
			close(fd);
		}
		count++;
		end = now_seconds();
	} while (end - start < seconds);
	return count / (end - start);
}

/*
 * What the processes reach is added up, each by its own time: a lost SYN, which
 * is said again after a second, costs the process that waits and not all.
 */
static int rate(const struct addrinfo *to, double seconds, int type, int processes)
{
	double total = 0, reached;
	int results[2], failed = 0, status;

	if (pipe(results))
		die("pipe");
	for (int i = 0; i < processes; i++)
		if (fork() == 0) {
			reached = new_flows(to, seconds, type);
			_exit(write(results[1], &reached, sizeof(reached)) != sizeof(reached));
		}
	for (int i = 0; i < processes; i++) {
		wait(&status);
		failed |= status;
	}
	close(results[1]);
	while (read(results[0], &reached, sizeof(reached)) == sizeof(reached))
		total += reached;
	printf("{\"per_second\":%.3f}\n", total);
	return failed != 0;
}

static int letters(const struct addrinfo *to, int count, int type)
{
	for (int i = 0; i < count; i++) {
		int fd = reach(to, type);

		if (type == SOCK_STREAM) {
			putchar(hear(fd));
		} else {
			putchar(ask(fd));
			close(fd);
		}
	}
	return 0;
}

/* Ends with its standard input. */
static int follow(const struct addrinfo *to, int micros)
{
	struct pollfd end = { .fd = STDIN_FILENO, .events = POLLIN };
	char last = 0;

	while (poll(&end, 1, 0) == 0) {
		struct timespec t;
		char letter;

		clock_gettime(CLOCK_MONOTONIC, &t);
		letter = hear(reach(to, SOCK_STREAM));
		if (letter != last) {
			printf("{\"letter\":\"%c\",\"asked_ns\":\"%lld\"}\n", letter,
			       t.tv_sec * 1000000000LL + t.tv_nsec);
			fflush(stdout);
		}
		last = letter;
		usleep(micros);
	}
	return 0;
}

static int compute_checksums(const char *device)
{
	struct ethtool_value off = { .cmd = ETHTOOL_STXCSUM };
	struct ifreq request = { .ifr_data = (char *)&off };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device);
	if (fd < 0 || ioctl(fd, SIOCETHTOOL, &request))
		die(device);
	return 0;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	const struct addrinfo *to;

	/* However the benchmark ends. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc == 4 && !strcmp(mode, "serve"))
		serve(atoi(argv[2]), argv[3][0]);
	if (argc == 3 && !strcmp(mode, "compute-checksums"))
		return compute_checksums(argv[2]);
	if (argc < 6) {
		fprintf(stderr, "usage: see svcload.c\n");
		return 2;
	}
	if (strcmp(argv[5], "-"))
		join_cgroup(argv[5]);
	to = resolve(argv[2], argv[3]);
	if (!strcmp(mode, "connect"))
		return latency(to, atof(argv[4]), CONNECT);
	if (!strcmp(mode, "rr"))
		return latency(to, atof(argv[4]), TCP_REQUEST);
	if (!strcmp(mode, "udp"))
		return latency(to, atof(argv[4]), UDP_REQUEST);
	if (!strcmp(mode, "follow"))
		return follow(to, atoi(argv[4]));
	if (argc == 7 && !strcmp(mode, "letters"))
		return letters(to, atoi(argv[4]),
			       strcmp(argv[6], "udp") ? SOCK_STREAM : SOCK_DGRAM);
	if (argc == 7 && !strcmp(mode, "crr"))
		return rate(to, atof(argv[4]), SOCK_STREAM, atoi(argv[6]));
	if (argc == 7 && !strcmp(mode, "udp-new"))
		return rate(to, atof(argv[4]), SOCK_DGRAM, atoi(argv[6]));
	fprintf(stderr, "load: there is no mode %s\n", mode);
	return 2;
}

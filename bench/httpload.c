// SPDX-License-Identifier: Apache-2.0
/*
 * What is asked of HTTP/1.1 beside the load of wrk:
 *
 *   httpload watch HOST PORT PATH MICROS         one connection, a request every so often; a line whenever the status changes
 *   httpload new HOST PORT PATH SECONDS PROCESSES  a connection for each request, one after the other
 *   httpload idle HOST PORT PATH COUNT           up to so many connections with one request each, kept until standard input ends
 *   httpload up|down HOST PORT BYTES             a body of so many bytes
 *
 * Results are lines of JSON. Times of `watch` are those of CLOCK_MONOTONIC.
 */
#define _GNU_SOURCE
#include "netload.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

#define PROCESSES_MAX 16
#define PART_BYTES (256 * 1024)

static char request[1024], answer[4096], part[PART_BYTES];

static void make_request(const char *path, const char *more)
{
	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: bench\r\n%s\r\n", path, more);
}

/* Reads the head and as much of the body as comes with it, and no more. */
static int read_head(int fd, char **body, size_t *body_bytes)
{
	size_t have = 0;
	char *end = NULL;

	while (!end) {
		ssize_t got = read(fd, answer + have, sizeof(answer) - 1 - have);

		if (got <= 0)
			return 0;
		have += got;
		answer[have] = 0;
		end = memmem(answer, have, "\r\n\r\n", 4);
	}
	*body = end + 4;
	*body_bytes = have - (end + 4 - answer);
	return atoi(answer + strlen("HTTP/1.1 "));
}

static uint64_t length_of(void)
{
	const char *length = strcasestr(answer, "\r\ncontent-length:");

	return length ? strtoull(length + strlen("\r\ncontent-length:"), NULL, 10) : 0;
}

/* The status, or 0 where the connection ended before the answer did. */
static int ask(int fd)
{
	size_t count = strlen(request), body_bytes;
	uint64_t rest;
	char *body;
	int status;

	if (write(fd, request, count) != (ssize_t)count)
		return 0;
	status = read_head(fd, &body, &body_bytes);
	if (!status)
		return 0;
	for (rest = length_of() - body_bytes; rest;) {
		ssize_t got = read(fd, part, rest < PART_BYTES ? rest : PART_BYTES);

		if (got <= 0)
			return 0;
		rest -= got;
	}
	return status;
}

static int64_t nanoseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int watch(const struct addrinfo *to, int micros)
{
	int fd = -1, before = -1, status;
	int64_t sent, last = 0;

	for (;;) {
		if (fd < 0)
			fd = dial(to);
		sent = nanoseconds();
		status = fd < 0 ? 0 : ask(fd);
		if (status != before) {
			printf("{\"status\":%d,\"sent_ns\":\"%lld\",\"before_ns\":\"%lld\"}\n",
			       status, (long long)sent, (long long)last);
			fflush(stdout);
		}
		if (!status && fd >= 0) {
			close(fd);
			fd = -1;
		}
		before = status;
		last = sent;
		usleep(micros);
	}
}

struct connected {
	uint64_t answered, refused, cut, others;
	double longest;
};

static void connect_loop(const struct addrinfo *to, double seconds, struct connected *result)
{
	double start = now_seconds(), before = start, after;

	do {
		int fd = dial(to), status = fd < 0 ? -1 : ask(fd);

		after = now_seconds();
		result->answered += status == 200;
		result->refused += status == -1;
		result->cut += status == 0;
		result->others += status > 0 && status != 200;
		if (after - before > result->longest)
			result->longest = after - before;
		if (fd >= 0)
			close(fd);
		before = after;
	} while (after - start < seconds);
}

static int new_connections(const struct addrinfo *to, double seconds, int processes)
{
	struct connected all = { 0 };
	struct connected *each = mmap(NULL, sizeof(*each) * PROCESSES_MAX, PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (each == MAP_FAILED || processes > PROCESSES_MAX)
		die("processes");
	for (int i = 0; i < processes; i++)
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			connect_loop(to, seconds, &each[i]);
			_exit(0);
		}
	for (int i = 0; i < processes; i++)
		wait(NULL);
	for (int i = 0; i < processes; i++) {
		all.answered += each[i].answered;
		all.refused += each[i].refused;
		all.cut += each[i].cut;
		all.others += each[i].others;
		if (each[i].longest > all.longest)
			all.longest = each[i].longest;
	}
	printf("{\"answered\":%llu,\"refused\":%llu,\"cut\":%llu,\"others\":%llu,\"longest_ms\":%."
	       "3f}\n",
	       (unsigned long long)all.answered, (unsigned long long)all.refused,
	       (unsigned long long)all.cut, (unsigned long long)all.others, all.longest * 1e3);
	return 0;
}

static int idle(const struct addrinfo *to, int count)
{
	struct timeval patience = { .tv_sec = 2 };
	struct rlimit all;
	int answered = 0;

	getrlimit(RLIMIT_NOFILE, &all);
	all.rlim_cur = all.rlim_max;
	setrlimit(RLIMIT_NOFILE, &all);
	for (int i = 0; i < count; i++) {
		int fd = dial(to);

		if (fd < 0)
			break;
		/* One that is not taken waits, and so would all after it. */
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		if (ask(fd) != 200)
			break;
		answered++;
	}
	printf("{\"answered\":%d}\n", answered);
	fflush(stdout);
	while (read(0, part, sizeof(part)) > 0)
		;
	return 0;
}

static int transfer(const struct addrinfo *to, int is_up, uint64_t bytes)
{
	double start = now_seconds();
	int fd = dial(to), status;

	if (fd < 0)
		die("connect");
	if (is_up) {
		size_t count = snprintf(
			request, sizeof(request),
			"POST /body HTTP/1.1\r\nHost: bench\r\nContent-Length: %llu\r\n\r\n",
			(unsigned long long)bytes);
		if (write(fd, request, count) != (ssize_t)count)
			die("write");
		for (uint64_t rest = bytes; rest;) {
			ssize_t sent = write(fd, part, rest < PART_BYTES ? rest : PART_BYTES);

			if (sent <= 0)
				die("write");
			rest -= sent;
		}
		request[0] = 0;
	} else {
		snprintf(answer, sizeof(answer), "/bytes/%llu", (unsigned long long)bytes);
		make_request(answer, "");
	}
	status = ask(fd);
	printf("{\"status\":%d,\"seconds\":%.6f}\n", status, now_seconds() - start);
	return status != 200;
}

int main(int argc, char **argv)
{
	const struct addrinfo *to = argc > 3 ? resolve(argv[2], argv[3]) : NULL;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	if (argc == 5 && (!strcmp(argv[1], "up") || !strcmp(argv[1], "down")))
		return transfer(to, argv[1][0] == 'u', strtoull(argv[4], NULL, 10));
	if (argc == 7 && !strcmp(argv[1], "new")) {
		make_request(argv[4], "Connection: close\r\n");
		return new_connections(to, atof(argv[5]), atoi(argv[6]));
	}
	if (argc == 6) {
		make_request(argv[4], "");
		if (!strcmp(argv[1], "watch"))
			return watch(to, atoi(argv[5]));
		if (!strcmp(argv[1], "idle"))
			return idle(to, atoi(argv[5]));
	}
	fprintf(stderr, "usage: httpload watch|idle HOST PORT PATH N | new HOST PORT PATH SECONDS "
			"PROCESSES | up|down HOST PORT BYTES\n");
	return 2;
}

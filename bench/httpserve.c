// SPDX-License-Identifier: Apache-2.0
/*
 * A small server of HTTP/1.1, so that what is measured is the way to it:
 *
 *   httpserve PORT      prints "ready"
 *
 * Every request is answered with 200 and thirteen bytes, GET /bytes/N with N
 * bytes. Bodies of requests are read and forgotten. It reads no more of HTTP
 * than its clients in these benchmarks need.
 */
#define _GNU_SOURCE
#include "netload.h"
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define DESCRIPTORS 65536
#define INPUT_BYTES (64 * 1024)
#define OUTPUT_BYTES (512 * 1024)
#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world\n"
#define LAST_ANSWER \
	"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 13\r\n\r\nHello, world\n"

struct connection {
	/* Of the request's body, still to come. */
	uint64_t body;
	/* What came of a request that is not complete. */
	char *kept;
	size_t kept_bytes;
};

static struct connection connections[DESCRIPTORS];
static char input[2 * INPUT_BYTES + 1], output[OUTPUT_BYTES];
static size_t output_bytes;

static int send_all(int fd, const char *bytes, size_t count)
{
	while (count) {
		ssize_t sent = write(fd, bytes, count);
		struct pollfd writable = { .fd = fd, .events = POLLOUT };

		if (sent < 0 && errno == EAGAIN) {
			poll(&writable, 1, -1);
			continue;
		}
		if (sent <= 0)
			return -1;
		bytes += sent;
		count -= sent;
	}
	return 0;
}

static int flush(int fd)
{
	int result = send_all(fd, output, output_bytes);

	output_bytes = 0;
	return result;
}

static void put(const void *bytes, size_t count)
{
	memcpy(output + output_bytes, bytes, count);
	output_bytes += count;
}

static int send_bytes(int fd, uint64_t count)
{
	static char zeros[256 * 1024];

	output_bytes +=
		sprintf(output + output_bytes, "HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n\r\n",
			(unsigned long long)count);
	if (flush(fd))
		return -1;
	for (uint64_t part; count; count -= part) {
		part = count < sizeof(zeros) ? count : sizeof(zeros);
		if (send_all(fd, zeros, part))
			return -1;
	}
	return 0;
}

static int answer(int fd, struct connection *to, char *head)
{
	const char *length = strcasestr(head, "\r\ncontent-length:");
	int is_last = strcasestr(head, "\r\nconnection: close") != NULL;

	if (length)
		to->body = strtoull(length + strlen("\r\ncontent-length:"), NULL, 10);
	if (!strncmp(head, "GET /bytes/", 11))
		return send_bytes(fd, strtoull(head + 11, NULL, 10));
	if (is_last)
		put(LAST_ANSWER, sizeof(LAST_ANSWER) - 1);
	else
		put(ANSWER, sizeof(ANSWER) - 1);
	return is_last ? -1 : 0;
}

/* How many bytes were understood, or -1 for the end of the connection. */
static ssize_t take_requests(int fd, struct connection *of, char *bytes, size_t count)
{
	size_t at = 0;
	char *end;

	for (;;) {
		if (of->body) {
			size_t part = of->body < count - at ? of->body : count - at;

			of->body -= part;
			at += part;
		}
		if (of->body || at == count)
			return at;
		end = memmem(bytes + at, count - at, "\r\n\r\n", 4);
		if (!end)
			return at;
		/* Strings of the head end with it. */
		end[3] = 0;
		if (answer(fd, of, bytes + at))
			return -1;
		at = end + 4 - bytes;
	}
}

static void keep(struct connection *of, const char *bytes, size_t count)
{
	free(of->kept);
	of->kept = NULL;
	of->kept_bytes = count;
	if (!count)
		return;
	of->kept = malloc(count);
	if (!of->kept)
		die("malloc");
	memcpy(of->kept, bytes, count);
}

static void finish(int fd)
{
	keep(&connections[fd], NULL, 0);
	connections[fd] = (struct connection){ 0 };
	close(fd);
}

static void serve_one(int fd)
{
	struct connection *of = &connections[fd];
	ssize_t got = read(fd, input + of->kept_bytes, INPUT_BYTES), taken;
	size_t count;

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		finish(fd);
		return;
	}
	memcpy(input, of->kept, of->kept_bytes);
	count = of->kept_bytes + got;
	taken = take_requests(fd, of, input, count);
	if (flush(fd) || taken < 0 || count - taken > INPUT_BYTES)
		finish(fd);
	else
		keep(of, input + taken, count - taken);
}

static void watch(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		die("epoll_ctl");
}

int main(int argc, char **argv)
{
	struct rlimit all;
	struct epoll_event events[256];
	int one = 1, epoll = epoll_create1(0), listener, fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	if (argc != 2) {
		fprintf(stderr, "usage: httpserve PORT\n");
		return 2;
	}
	getrlimit(RLIMIT_NOFILE, &all);
	all.rlim_cur = all.rlim_max < DESCRIPTORS ? all.rlim_max : DESCRIPTORS;
	setrlimit(RLIMIT_NOFILE, &all);
	listener = listen_on(SOCK_STREAM, atoi(argv[1]));
	watch(epoll, listener);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		int count = epoll_wait(epoll, events, 256, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.fd != listener) {
				serve_one(events[i].data.fd);
				continue;
			}
			while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
				setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
				watch(epoll, fd);
			}
		}
	}
}

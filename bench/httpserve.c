// SPDX-License-Identifier: Apache-2.0
/*
 * A small server of HTTP/1.1 and HTTP/2 without TLS, so that what is measured
 * is the way to it:
 *
 *   httpserve PORT      prints "ready"
 *
 * Every request is answered with 200 and thirteen bytes, GET /bytes/N with N
 * bytes. Bodies of requests of HTTP/1.1 are read and forgotten. It reads no more
 * of HTTP than its clients in these benchmarks need.
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
#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define PREFACE_BYTES 24
#define FRAME_HEAD_BYTES 9
#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world\n"
#define LAST_ANSWER \
	"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 13\r\n\r\nHello, world\n"

enum frame { DATA, HEADERS, SETTINGS = 4, PING = 6 };
enum flag { ACK = 1, END_STREAM = 1, END_HEADERS = 4 };

struct connection {
	/* Of the request's body, still to come. */
	uint64_t body;
	/* What came of a request or a frame that is not complete. */
	char *kept;
	size_t kept_bytes;
	int is_http2;
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

static void put_frame(enum frame type, int flags, uint32_t stream, const void *content,
		      size_t count)
{
	unsigned char head[FRAME_HEAD_BYTES] = { count >> 16,  count >> 8,  count,
						 type,	       flags,	    stream >> 24,
						 stream >> 16, stream >> 8, stream };

	put(head, sizeof(head));
	put(content, count);
}

static ssize_t take_frames(char *bytes, size_t count)
{
	size_t at = 0;

	while (count - at >= FRAME_HEAD_BYTES) {
		const unsigned char *frame = (unsigned char *)bytes + at;
		size_t length = frame[0] << 16 | frame[1] << 8 | frame[2];
		uint32_t stream = frame[5] << 24 | frame[6] << 16 | frame[7] << 8 | frame[8];

		if (length > INPUT_BYTES - FRAME_HEAD_BYTES)
			return -1;
		if (count - at < FRAME_HEAD_BYTES + length)
			break;
		if (frame[3] == HEADERS) {
			put_frame(HEADERS, END_HEADERS, stream, "\x88", 1);
			put_frame(DATA, END_STREAM, stream, "Hello, world\n", 13);
		}
		if (frame[3] == SETTINGS && !(frame[4] & ACK))
			put_frame(SETTINGS, ACK, 0, "", 0);
		if (frame[3] == PING && !(frame[4] & ACK))
			put_frame(PING, ACK, 0, frame + FRAME_HEAD_BYTES, length);
		at += FRAME_HEAD_BYTES + length;
	}
	return at;
}

static ssize_t take(int fd, struct connection *of, char *bytes, size_t count)
{
	ssize_t taken;

	if (of->is_http2)
		return take_frames(bytes, count);
	if (count < PREFACE_BYTES || memcmp(bytes, PREFACE, PREFACE_BYTES))
		return take_requests(fd, of, bytes, count);
	of->is_http2 = 1;
	put_frame(SETTINGS, 0, 0, "", 0);
	taken = take_frames(bytes + PREFACE_BYTES, count - PREFACE_BYTES);
	return taken < 0 ? taken : taken + PREFACE_BYTES;
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
	taken = take(fd, of, input, count);
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

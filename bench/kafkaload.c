// SPDX-License-Identifier: Apache-2.0
/*
 * Requests of Kafka, and somebody who answers them:
 *
 *   kafkaload serve PORT                                says to every Produce that it is done; keeps nothing
 *   kafkaload produce HOST PORT SECONDS CONNECTIONS TOPIC  a Produce at a time on each connection
 *
 * Requests and answers are those of version 3 of Produce, with one batch of a
 * kibibyte. Results are lines of JSON.
 */
#define _GNU_SOURCE
#include "netload.h"
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

#define CONNECTIONS_MAX 1024
#define MESSAGE_BYTES 4096
#define BATCH_BYTES 1024
#define PRODUCE_VERSION 3
/* Of a request: its length, kind, version and the number of the request. */
#define LENGTH_BYTES 4
#define ID_AT 8
#define CLIENT_AT 12
/* Where an answer has its topic's error: after length, number, one topic, its name, one partition, its number. */
#define ERROR_AT(name) (LENGTH_BYTES + 4 + 4 + 2 + (name) + 4 + 4)

struct message {
	size_t bytes;
	unsigned char at[MESSAGE_BYTES];
};

struct connection {
	int fd;
	double asked;
	/* As much of it as is there. */
	struct message got;
};

static struct connection connections[CONNECTIONS_MAX];
static float micros[SAMPLES_MAX];

static void put(struct message *to, const void *bytes, size_t count)
{
	if (to->bytes + count > sizeof(to->at))
		die("message");
	memcpy(to->at + to->bytes, bytes, count);
	to->bytes += count;
}

static void put16(struct message *to, uint16_t value)
{
	value = htons(value);
	put(to, &value, sizeof(value));
}

static void put32(struct message *to, uint32_t value)
{
	value = htonl(value);
	put(to, &value, sizeof(value));
}

static void put_text(struct message *to, const char *text, size_t count)
{
	put16(to, count);
	put(to, text, count);
}

static uint32_t read32(const unsigned char *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return ntohl(value);
}

/* Of a message whose fields are all there. */
static void finish(struct message *of)
{
	uint32_t length = htonl(of->bytes - LENGTH_BYTES);

	memcpy(of->at, &length, sizeof(length));
}

static void send_whole(int fd, const struct message *message)
{
	if (write(fd, message->at, message->bytes) != (ssize_t)message->bytes)
		die("write");
}

/* How long the message is at which the connection stands, or 0 before all of it is there. */
static size_t receive(struct connection *from)
{
	struct message *got = &from->got;
	ssize_t more = read(from->fd, got->at + got->bytes, sizeof(got->at) - got->bytes);
	size_t length;

	if (more <= 0)
		return SIZE_MAX;
	got->bytes += more;
	if (got->bytes < LENGTH_BYTES)
		return 0;
	length = LENGTH_BYTES + read32(got->at);
	return got->bytes < length ? 0 : length;
}

static struct message produce_request(const char *topic)
{
	struct message request = { 0 };
	char batch[BATCH_BYTES] = { 0 };

	put32(&request, 0);
	put16(&request, 0);
	put16(&request, PRODUCE_VERSION);
	put32(&request, 0);
	put_text(&request, "bench", strlen("bench"));
	/* No transaction, acknowledged by one broker, within a second. */
	put16(&request, -1);
	put16(&request, 1);
	put32(&request, 1000);
	put32(&request, 1);
	put_text(&request, topic, strlen(topic));
	put32(&request, 1);
	put32(&request, 0);
	put32(&request, sizeof(batch));
	put(&request, batch, sizeof(batch));
	finish(&request);
	return request;
}

/* Of a request with one topic and one partition, without looking at more of it than is said back. */
static struct message produce_answer(const struct message *request)
{
	struct message answer = { 0 };
	size_t client = request->at[CLIENT_AT] << 8 | request->at[CLIENT_AT + 1];
	/* Over the client's name, transaction, acknowledgements, time and the number of topics. */
	const unsigned char *name = request->at + CLIENT_AT + 2 + client + 2 + 2 + 4 + 4;

	put32(&answer, 0);
	put(&answer, request->at + ID_AT, 4);
	put32(&answer, 1);
	put_text(&answer, (const char *)name + 2, name[0] << 8 | name[1]);
	put32(&answer, 1);
	put32(&answer, 0);
	/* No error, offset 0, no time, not throttled. */
	put(&answer, (char[2 + 8]){ 0 }, 2 + 8);
	put32(&answer, -1);
	put32(&answer, -1);
	put32(&answer, 0);
	finish(&answer);
	return answer;
}

static void watch(int epoll, int fd, struct connection *connection)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = connection };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		die("epoll_ctl");
}

static void serve_one(struct connection *of)
{
	size_t length = receive(of);
	struct message answer;

	if (length == SIZE_MAX) {
		close(of->fd);
		free(of);
		return;
	}
	/* Clients have one request on its way. */
	if (!length)
		return;
	answer = produce_answer(&of->got);
	of->got.bytes = 0;
	if (write(of->fd, answer.at, answer.bytes) < 0)
		shutdown(of->fd, SHUT_RDWR);
}

static _Noreturn void serve(int port)
{
	struct epoll_event events[256];
	int one = 1, epoll = epoll_create1(0), listener = listen_on(SOCK_STREAM, port), fd;

	signal(SIGPIPE, SIG_IGN);
	watch(epoll, listener, NULL);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		int count = epoll_wait(epoll, events, 256, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr) {
				serve_one(events[i].data.ptr);
				continue;
			}
			while ((fd = accept4(listener, NULL, NULL, 0)) >= 0) {
				struct connection *connection = calloc(1, sizeof(*connection));

				if (!connection)
					die("calloc");
				connection->fd = fd;
				setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
				watch(epoll, fd, connection);
			}
		}
	}
}

static void ask(struct connection *on, struct message *request, uint32_t id)
{
	id = htonl(id);
	memcpy(request->at + ID_AT, &id, sizeof(id));
	on->asked = now_seconds();
	send_whole(on->fd, request);
}

static void check_answer(const struct message *answer, size_t length, const char *topic)
{
	size_t error = ERROR_AT(strlen(topic));

	if (length < error + 2 || answer->at[error] || answer->at[error + 1]) {
		fprintf(stderr, "load: a Produce was answered with an error\n");
		exit(1);
	}
}

static int produce(const struct addrinfo *to, double seconds, int count, const char *topic)
{
	struct message request = produce_request(topic);
	struct epoll_event events[CONNECTIONS_MAX];
	int epoll = epoll_create1(0), samples = 0;
	double start, now;

	if (count < 1 || count > CONNECTIONS_MAX)
		die("connections");
	for (int i = 0; i < count; i++) {
		connections[i].fd = dial_or_die(to);
		watch(epoll, connections[i].fd, &connections[i]);
	}
	start = now_seconds();
	for (int i = 0; i < count; i++)
		ask(&connections[i], &request, i);
	do {
		int ready = epoll_wait(epoll, events, count, -1);

		for (int i = 0; i < ready; i++) {
			struct connection *on = events[i].data.ptr;
			size_t length = receive(on);

			if (length == SIZE_MAX)
				die("connection");
			if (!length)
				continue;
			check_answer(&on->got, length, topic);
			on->got.bytes = 0;
			if (samples < SAMPLES_MAX)
				micros[samples++] = (now_seconds() - on->asked) * 1e6;
			ask(on, &request, count + samples);
		}
		now = now_seconds();
	} while (now - start < seconds && samples < SAMPLES_MAX);
	print_samples(micros, samples, now - start);
	return 0;
}

int main(int argc, char **argv)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc == 3 && !strcmp(argv[1], "serve"))
		serve(atoi(argv[2]));
	if (argc == 7 && !strcmp(argv[1], "produce"))
		return produce(resolve(argv[2], argv[3]), atof(argv[4]), atoi(argv[5]), argv[6]);
	fprintf(stderr,
		"usage: kafkaload serve PORT | produce HOST PORT SECONDS CONNECTIONS TOPIC\n");
	return 2;
}

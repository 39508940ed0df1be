// SPDX-License-Identifier: Apache-2.0
/*
 * DNS over UDP, IPv4:
 *
 *   dnsload serve ADDRESS COUNT                answers every question with the next of so many addresses, which hold a second
 *   dnsload ask HOST SECONDS ON_THEIR_WAY NAME  so many questions at a time, each for another label before NAME
 *   dnsload connect HOST SECONDS RATE PORT NAME  so many names a second: asked for, and their address connected to at once
 *
 * Results are lines of JSON.
 */
#define _GNU_SOURCE
#include "netload.h"
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>

#define DNS_PORT 53
#define HEAD_BYTES 12
#define MESSAGE_BYTES 512
#define LOST_SECONDS 1.0
/* Before a SYN that was lost is sent again. */
#define CONNECT_MS 900
/* In which it is sent a second time. */
#define LATE_MS 500
#define TTL_SECONDS 1

static double asked_at[65536];
static float micros[SAMPLES_MAX];

static struct sockaddr_in address_of(const char *host, int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
		die(host);
	return address;
}

static int answer_to(unsigned char *message, size_t count, uint32_t address)
{
	unsigned char record[16] = { 0xc0, HEAD_BYTES, 0, 1, 0, 1, 0, 0, 0, TTL_SECONDS, 0, 4 };
	size_t end = HEAD_BYTES;

	while (end < count && message[end])
		end += message[end] + 1;
	/* The name's end, type and class; what follows (EDNS) is left out. */
	end += 5;
	if (end > count || end + sizeof(record) > MESSAGE_BYTES)
		return 0;
	message[2] = 0x85;
	message[3] = 0x80;
	memset(message + 6, 0, 6);
	message[7] = 1;
	address = htonl(address);
	memcpy(record + 12, &address, sizeof(address));
	memcpy(message + end, record, sizeof(record));
	return end + sizeof(record);
}

static _Noreturn void serve(uint32_t first, uint32_t count)
{
	struct sockaddr_in any = address_of("0.0.0.0", DNS_PORT), client;
	unsigned char message[MESSAGE_BYTES];
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	uint32_t next = 0;

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)))
		die("bind");
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		socklen_t length = sizeof(client);
		ssize_t got = recvfrom(fd, message, sizeof(message), 0, (struct sockaddr *)&client,
				       &length);
		int bytes = got < HEAD_BYTES ? 0 : answer_to(message, got, first + next++ % count);

		if (bytes)
			sendto(fd, message, bytes, 0, (struct sockaddr *)&client, length);
	}
}

/* A question for the address of a name that nobody asked for before. */
static void ask(int fd, uint16_t id, uint32_t number, const char *name)
{
	unsigned char message[MESSAGE_BYTES] = { id >> 8, id, 1, 0, 0, 1 };
	unsigned char *at = message + HEAD_BYTES;
	char label[16];

	*at = sprintf(label, "a%u", number);
	memcpy(at + 1, label, *at);
	at += *at + 1;
	for (const char *end; *name; name = *end ? end + 1 : end) {
		end = strchrnul(name, '.');
		*at = end - name;
		memcpy(at + 1, name, *at);
		at += *at + 1;
	}
	memcpy(at, "\0\0\1\0\1", 5);
	asked_at[id] = now_seconds();
	if (send(fd, message, at + 5 - message, 0) < 0)
		die("send");
}

static int dial_udp(const char *host)
{
	struct sockaddr_in to = address_of(host, DNS_PORT);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die("connect");
	return fd;
}

static int ask_many(const char *host, double seconds, int on_their_way, const char *name)
{
	double start = now_seconds(), now = start;
	struct pollfd readable = { .fd = dial_udp(host), .events = POLLIN };
	unsigned char message[MESSAGE_BYTES];
	uint32_t number = 0;
	int count = 0, lost = 0;

	while (number < (uint32_t)on_their_way) {
		ask(readable.fd, number, number, name);
		number++;
	}
	do {
		uint16_t id;

		if (!poll(&readable, 1, LOST_SECONDS * 1000)) {
			/* All that were on their way are lost. */
			lost += on_their_way;
			for (int i = 0; i < on_their_way; i++, number++)
				ask(readable.fd, number, number, name);
			continue;
		}
		if (recv(readable.fd, message, sizeof(message), 0) < HEAD_BYTES)
			die("recv");
		now = now_seconds();
		id = message[0] << 8 | message[1];
		if (!asked_at[id])
			continue;
		/* A refusal is no answer. */
		lost += (message[3] & 15) != 0;
		micros[count++] = (now - asked_at[id]) * 1e6;
		asked_at[id] = 0;
		ask(readable.fd, number, number, name);
		number++;
	} while (now - start < seconds && count < SAMPLES_MAX);
	if (!count)
		die("no answer");
	printf("{\"lost\":%d}\n", lost);
	print_samples(micros, count, now - start);
	return 0;
}

enum connected { AT_ONCE, LATE, NEVER };

static enum connected connect_to(const unsigned char *address, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), error = 0;
	struct pollfd writable = { .fd = fd, .events = POLLOUT };
	enum connected result = NEVER;
	socklen_t length = sizeof(error);

	memcpy(&to.sin_addr, address, sizeof(to.sin_addr));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) && errno != EINPROGRESS)
		die("connect");
	if (poll(&writable, 1, CONNECT_MS) == 1)
		result = AT_ONCE;
	else if (poll(&writable, 1, LATE_MS) == 1)
		result = LATE;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
	close(fd);
	return error ? NEVER : result;
}

struct names {
	double seconds, rate;
	int port;
	const char *name;
};

static int connect_names(const char *host, const struct names *names)
{
	struct pollfd readable = { .fd = dial_udp(host), .events = POLLIN };
	unsigned char message[MESSAGE_BYTES];
	int count = 0, unanswered = 0, connected[3] = { 0 };
	int total = names->seconds * names->rate;
	double start = now_seconds();

	for (int i = 0; i < total; i++) {
		double wait = start + i / names->rate - now_seconds();
		ssize_t got;

		if (wait > 0)
			usleep(wait * 1e6);
		ask(readable.fd, i, i, names->name);
		if (poll(&readable, 1, 3000) != 1) {
			unanswered++;
			continue;
		}
		got = recv(readable.fd, message, sizeof(message), 0);
		micros[count++] = (now_seconds() - asked_at[(uint16_t)i]) * 1e6;
		if (got < HEAD_BYTES + 4 || (message[3] & 15))
			unanswered++;
		else
			connected[connect_to(message + got - 4, names->port)]++;
	}
	printf("{\"names\":%d,\"unanswered\":%d,\"at_once\":%d,\"late\":%d}\n", total, unanswered,
	       connected[AT_ONCE], connected[LATE]);
	if (count)
		print_samples(micros, count, now_seconds() - start);
	return 0;
}

int main(int argc, char **argv)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc == 4 && !strcmp(argv[1], "serve"))
		serve(ntohl(address_of(argv[2], 0).sin_addr.s_addr), atoi(argv[3]));
	if (argc == 6 && !strcmp(argv[1], "ask"))
		return ask_many(argv[2], atof(argv[3]), atoi(argv[4]), argv[5]);
	if (argc == 7 && !strcmp(argv[1], "connect")) {
		struct names names = { atof(argv[3]), atof(argv[4]), atoi(argv[5]), argv[6] };

		return connect_names(argv[2], &names);
	}
	fprintf(stderr, "usage: dnsload serve ADDRESS COUNT | ask HOST SECONDS ON_THEIR_WAY NAME | "
			"connect HOST SECONDS RATE PORT NAME\n");
	return 2;
}

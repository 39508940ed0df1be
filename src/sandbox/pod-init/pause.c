// SPDX-License-Identifier: Apache-2.0
/*
 * `pause`: the namespaces of one pod and the process 1 that holds them. Containers
 * are started later by `run`. The daemon's end of descriptor 3 is the pod's life
 * line: when it closes, for whatever reason, the pod ends with all its processes.
 */
#define _GNU_SOURCE
#include "pod-init.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define DAEMON_FD 3

/* Settings of a pod's network namespace; a kernel that lacks one is left as it is. */
static const struct {
	const char *path;
	const char *value;
} network_settings[] = {
	/* ping without CAP_NET_RAW, as container runtimes allow it */
	{ "/proc/sys/net/ipv4/ping_group_range", "0 2147483647" },
	/*
	 * A closed UDP port answers every datagram: a probe of many ports must not run into the limits
	 * on ICMP errors, of which one is for the whole machine. "Port unreachable" is exempt from both.
	 */
	{ "/proc/sys/net/ipv4/icmp_ratemask", "0" },
	{ "/proc/sys/net/ipv6/icmp/ratemask", "3-127" },
	/* Addresses come from the agent only. */
	{ "/proc/sys/net/ipv6/conf/all/accept_ra", "0" },
	{ "/proc/sys/net/ipv6/conf/default/accept_ra", "0" },
	{ "/proc/sys/net/ipv6/conf/default/accept_dad", "0" },
};

static void set_network(void)
{
	for (size_t i = 0; i < sizeof(network_settings) / sizeof(network_settings[0]); i++) {
		int fd = open(network_settings[i].path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (write(fd, network_settings[i].value, strlen(network_settings[i].value)) < 0)
			fail("set %s: %s", network_settings[i].path, strerror(errno));
		close(fd);
	}
}

static void close_standard_streams(void)
{
	int null = open("/dev/null", O_RDWR);

	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	close_range(3, ~0U, 0);
}

/* What ps(1) shows in the pod: nothing of the host's paths. The program's own name stands before the sub-command's. */
static void hide_arguments(char **argv)
{
	char *begin = argv[-1], *end = begin;

	for (char **argument = argv; *argument; argument++)
		end = *argument + strlen(*argument);
	memset(begin, 0, (size_t)(end - begin));
	strncpy(begin, "pause", (size_t)(end - begin));
}

/* Process 1 of the pod: adopts and buries orphans until it is killed. */
static void be_first_process(const struct pod_root *root, char **argv)
{
	sigset_t children;
	int signal_number;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "pause");
	setsid();
	if (root->own_network)
		set_network();
	prepare_root(root);
	hide_arguments(argv);
	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	sigprocmask(SIG_BLOCK, &children, NULL);
	confine(0, 0);
	if (write(DAEMON_FD, "ready\n", 6) != 6)
		exit(EXIT_OWN_FAILURE);
	close_standard_streams();
	for (;;) {
		sigwait(&children, &signal_number);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}

static pid_t start_first_process(const struct pod_root *root, char **argv)
{
	struct clone_args arguments = {
		.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS |
			 CLONE_NEWCGROUP | (root->own_network ? CLONE_NEWNET : 0),
		.exit_signal = SIGCHLD,
	};
	pid_t pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));

	if (pid < 0)
		fail("make the pod's namespaces: %s", strerror(errno));
	if (pid == 0)
		be_first_process(root, argv);
	return pid;
}

/* Waits until the pod's first process has ended or the daemon has let go. */
static int guard(pid_t first)
{
	int signals = signal_fd(true);
	struct pollfd watched[] = { { .fd = DAEMON_FD, .events = POLLRDHUP },
				    { .fd = signals, .events = POLLIN } };
	int status;

	for (;;) {
		if (waitpid(first, &status, WNOHANG) == first)
			return wait_code(status);
		poll(watched, 2, -1);
		if (watched[0].revents) {
			kill(first, SIGKILL);
			waitpid(first, &status, 0);
			return wait_code(status);
		}
		char drained[1024];
		while (read(signals, drained, sizeof(drained)) > 0)
			;
	}
}

static void add_bind(struct pod_root *root, const char *argument)
{
	char *text = strdup(argument);
	char *separator = text ? strchr(text, ':') : NULL;

	if (!separator || root->bind_count == BINDS_MAX)
		fail("pause: --bind takes SOURCE:TARGET, at most %d times", BINDS_MAX);
	*separator = '\0';
	root->binds[root->bind_count++] = (struct bind){ .source = text, .target = separator + 1 };
}

/* pause --cgroup DIR --hostname NAME [--netns PATH] [--bind SOURCE:TARGET]…; says "pid N" and then "ready" on descriptor 3 */
int pause_pod(int argc, char **argv)
{
	static const struct option options[] = {
		{ "cgroup", required_argument, NULL, 'c' },
		{ "hostname", required_argument, NULL, 'h' },
		{ "bind", required_argument, NULL, 'b' },
		{ "netns", required_argument, NULL, 'N' },
		{ 0 },
	};
	struct pod_root root = { .hostname = "pod", .own_network = true };
	int option;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			join_cgroup(optarg);
			break;
		case 'h':
			root.hostname = optarg;
			break;
		case 'b':
			add_bind(&root, optarg);
			break;
		case 'N':
			join_network(optarg);
			root.own_network = false;
			break;
		default:
			return EXIT_OWN_FAILURE;
		}
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pid_t first = start_first_process(&root, argv);
	dprintf(DAEMON_FD, "pid %d\n", first);
	return guard(first);
}

// SPDX-License-Identifier: Apache-2.0
/*
 * `run`: one process inside a pod's namespaces, confined like every process of
 * that pod. This program stays outside as its parent: it passes signals on, keeps
 * the bounded log or the terminal, and ends with the child's exit code.
 */
#define _GNU_SOURCE
#include "pod-init.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

struct request {
	pid_t target; /* the pod's first process */
	uid_t uid;
	gid_t gid;
	const char *directory;
	const char *log; /* path on the host, or NULL: the caller's own streams */
	long log_limit; /* bytes */
	bool terminal;
	char **command;
};

struct log {
	const char *path;
	long limit, size;
	int fd;
};

static void open_log(struct log *log)
{
	struct stat status;

	log->fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (log->fd < 0 || fstat(log->fd, &status))
		fail("open log %s: %s", log->path, strerror(errno));
	log->size = status.st_size;
}

/* Keeps the current file and one older one. */
static void write_log(struct log *log, const char *text, ssize_t length)
{
	char older[4096];

	if (log->size + length > log->limit && log->size > 0) {
		snprintf(older, sizeof(older), "%s.1", log->path);
		rename(log->path, older);
		close(log->fd);
		open_log(log);
	}
	/* A full disk must not stop the pod: what cannot be written is lost. */
	if (write(log->fd, text, (size_t)length) > 0)
		log->size += length;
}

/* @return true when there is nothing more to read for good */
static bool pump_log(struct log *log, int output)
{
	char text[16384];
	ssize_t length;

	while ((length = read(output, text, sizeof(text))) > 0)
		write_log(log, text, length);
	return length == 0 || (errno != EAGAIN && errno != EINTR);
}

static void forward_signals(int signals, pid_t child)
{
	struct signalfd_siginfo signal_info;

	while (read(signals, &signal_info, sizeof(signal_info)) == sizeof(signal_info))
		if (signal_info.ssi_signo != SIGCHLD && signal_info.ssi_signo != SIGWINCH)
			kill(child, (int)signal_info.ssi_signo);
}

/*
 * Until the child has ended. Its own children may keep the log's pipe open: what
 * they write after that is not waited for.
 */
static int supervise(pid_t child, const struct request *request, int signals, int output)
{
	struct log log = { .path = request->log, .limit = request->log_limit, .fd = -1 };
	struct pollfd watched[] = { { .fd = signals, .events = POLLIN },
				    { .fd = output, .events = POLLIN } };
	int status;

	if (request->log)
		open_log(&log);
	while (waitpid(child, &status, WNOHANG) == 0) {
		poll(watched, 2, -1);
		forward_signals(signals, child);
		if (watched[1].revents && pump_log(&log, output))
			watched[1].fd = -1;
	}
	if (watched[1].fd >= 0)
		pump_log(&log, output);
	return wait_code(status);
}

/* The child: joins, lets go of everything, and becomes the command. */
static void become(const struct request *request, int pidfd, int streams[3])
{
	sigset_t none;

	if (setns(pidfd,
		  CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP))
		fail("join the pod: %s", strerror(errno));
	setsid();
	for (int fd = 0; fd < 3; fd++)
		if (streams[fd] >= 0 && dup2(streams[fd], fd) < 0)
			fail("set up the standard streams: %s", strerror(errno));
	if (request->terminal && ioctl(0, TIOCSCTTY, 0))
		fail("take the terminal: %s", strerror(errno));
	close_range(3, ~0U, 0);
	if (chdir(request->directory))
		fail("enter %s: %s", request->directory, strerror(errno));
	umask(022);
	confine(request->uid, request->gid);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execute(request->command);
}

/* The controlling end of a new terminal of the pod, and its other end for the child. */
static int open_terminal(pid_t target, int *other_end)
{
	struct winsize size;
	char path[64];
	int unlock = 0;

	/* The file system of terminals cannot be replaced by the pod: it may not mount, and this is a mount point. */
	snprintf(path, sizeof(path), "/proc/%d/root/dev/pts/ptmx", target);
	int controller = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (controller < 0 || ioctl(controller, TIOCSPTLCK, &unlock))
		fail("open a terminal of the pod: %s", strerror(errno));
	if (ioctl(0, TIOCGWINSZ, &size) == 0)
		ioctl(controller, TIOCSWINSZ, &size);
	*other_end = ioctl(controller, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*other_end < 0)
		fail("open a terminal of the pod: %s", strerror(errno));
	return controller;
}

static int run(const struct request *request)
{
	int streams[3] = { -1, -1, -1 }, output[2] = { -1, -1 }, controller = -1;
	int pidfd = open_pidfd(request->target);

	if (request->terminal) {
		controller = open_terminal(request->target, &streams[0]);
		streams[1] = streams[2] = streams[0];
	} else if (request->log) {
		if (pipe2(output, O_CLOEXEC) || fcntl(output[0], F_SETFL, O_NONBLOCK))
			fail("pipe: %s", strerror(errno));
		streams[1] = streams[2] = output[1];
	}
	/* Only children enter a process namespace. */
	if (setns(pidfd, CLONE_NEWPID))
		fail("join the pod's process namespace: %s", strerror(errno));
	int signals = signal_fd(false);
	pid_t child = fork();
	if (child < 0)
		fail("fork: %s", strerror(errno));
	if (child == 0)
		become(request, pidfd, streams);
	close(pidfd);
	if (streams[1] >= 0)
		close(streams[1]);
	if (request->terminal)
		return wait_code(relay_terminal(child, signals, controller));
	return supervise(child, request, signals, output[0]);
}

/*
 * run --target PID --cgroup DIR [--user UID:GID] [--directory DIR] [--log FILE --log-limit BYTES | --terminal]
 *     [--die-with-parent] -- COMMAND…
 */
int run_in_pod(int argc, char **argv)
{
	static const struct option options[] = {
		{ "target", required_argument, NULL, 't' },
		{ "cgroup", required_argument, NULL, 'c' },
		{ "user", required_argument, NULL, 'u' },
		{ "directory", required_argument, NULL, 'd' },
		{ "log", required_argument, NULL, 'l' },
		{ "log-limit", required_argument, NULL, 'L' },
		{ "terminal", no_argument, NULL, 'T' },
		{ "die-with-parent", no_argument, NULL, 'D' },
		{ 0 },
	};
	struct request request = { .directory = "/", .log_limit = 1 << 20 };
	int option;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (option) {
		case 't':
			request.target = atoi(optarg);
			break;
		case 'c':
			join_cgroup(optarg);
			break;
		case 'u':
			if (sscanf(optarg, "%u:%u", &request.uid, &request.gid) != 2)
				fail("run: --user takes UID:GID");
			break;
		case 'd':
			request.directory = optarg;
			break;
		case 'l':
			request.log = optarg;
			break;
		case 'L':
			request.log_limit = atol(optarg);
			break;
		case 'T':
			request.terminal = true;
			break;
		case 'D':
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			break;
		default:
			return EXIT_OWN_FAILURE;
		}
	}
	request.command = argv + optind;
	if (request.target <= 0 || !*request.command)
		fail("run: --target and a command are needed");
	return run(&request);
}

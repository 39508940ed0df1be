// SPDX-License-Identifier: Apache-2.0
/*
 * Joins the caller's terminal to a terminal of the pod's own. The pod never holds
 * the caller's terminal itself, so it cannot put words into the caller's shell
 * (TIOCSTI). The caller's terminal is as before when this returns.
 */
#define _GNU_SOURCE
#include "pod-init.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* @return false when the source has ended */
static bool copy(int from, int to)
{
	char text[4096];
	ssize_t length = read(from, text, sizeof(text));

	for (ssize_t done = 0; done < length;) {
		ssize_t written = write(to, text + done, (size_t)(length - done));
		if (written < 0 && errno != EINTR && errno != EAGAIN)
			return false;
		done += written > 0 ? written : 0;
	}
	return length > 0 || (length < 0 && (errno == EAGAIN || errno == EINTR));
}

static void handle_signals(int signals, pid_t child, int controller)
{
	struct signalfd_siginfo signal_info;
	struct winsize size;

	while (read(signals, &signal_info, sizeof(signal_info)) == sizeof(signal_info)) {
		if (signal_info.ssi_signo == SIGWINCH && ioctl(0, TIOCGWINSZ, &size) == 0)
			ioctl(controller, TIOCSWINSZ, &size);
		else if (signal_info.ssi_signo != SIGCHLD)
			kill(child, (int)signal_info.ssi_signo);
	}
}

int relay_terminal(pid_t child, int signals, int controller)
{
	int status;
	struct pollfd watched[] = { { .fd = signals, .events = POLLIN },
				    { .fd = controller, .events = POLLIN },
				    { .fd = 0, .events = POLLIN } };
	struct termios before, raw;
	bool is_terminal = tcgetattr(0, &before) == 0;

	if (is_terminal) {
		raw = before;
		cfmakeraw(&raw);
		tcsetattr(0, TCSADRAIN, &raw);
	}
	while (waitpid(child, &status, WNOHANG) == 0) {
		poll(watched, 3, -1);
		handle_signals(signals, child, controller);
		if (watched[1].revents && !copy(controller, 1))
			watched[1].fd = -1;
		if (watched[2].revents && !copy(0, controller))
			watched[2].fd = -1;
	}
	/* What the child wrote last is still in the terminal. */
	while (poll(&watched[1], 1, 0) > 0 && copy(controller, 1))
		;
	if (is_terminal)
		tcsetattr(0, TCSADRAIN, &before);
	return status;
}

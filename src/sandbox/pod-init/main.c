// SPDX-License-Identifier: Apache-2.0
/*
 * Picks the sub-command and holds what they share. Promises that whatever runs
 * inside a pod's namespaces was started from a sealed copy in memory: a process
 * of the pod that opens /proc/PID/exe of ours can never reach, let alone rewrite,
 * this program's file on the host (the flaw known as CVE-2019-5736).
 */
#define _GNU_SOURCE
#include "pod-init.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U
#endif

extern char **environ;

static void run_from_sealed_copy(char **argv)
{
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct stat status;
	off_t copied = 0;

	if (self < 0)
		fail("open /proc/self/exe: %s", strerror(errno));
	if (fcntl(self, F_GET_SEALS) == seals) {
		close(self);
		return;
	}
	/* Kernels before 6.3 do not know MFD_EXEC and need no asking. */
	int copy = memfd_create("pod-init", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	if (copy < 0 && errno == EINVAL)
		copy = memfd_create("pod-init", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (copy < 0 || fstat(self, &status))
		fail("copy pod-init to memory: %s", strerror(errno));
	while (copied < status.st_size)
		if (sendfile(copy, self, &copied, (size_t)(status.st_size - copied)) <= 0)
			fail("copy pod-init to memory: %s", strerror(errno));
	if (fcntl(copy, F_ADD_SEALS, seals))
		fail("seal pod-init in memory: %s", strerror(errno));
	fexecve(copy, argv, environ);
	fail("run pod-init from memory: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	if (!strcmp(command, "enter"))
		return enter(argc - 1, argv + 1);
	if (!strcmp(command, "probe"))
		return probe(argc - 1, argv + 1);
	if (!strcmp(command, "pause")) {
		run_from_sealed_copy(argv);
		return pause_pod(argc - 1, argv + 1);
	}
	if (!strcmp(command, "run")) {
		run_from_sealed_copy(argv);
		return run_in_pod(argc - 1, argv + 1);
	}
	fail("usage: pod-init enter|pause|run|probe …");
}

void fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("pod-init: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(EXIT_OWN_FAILURE);
}

int wait_code(int status)
{
	return WIFSIGNALED(status) ? EXIT_SIGNAL_BASE + WTERMSIG(status) : WEXITSTATUS(status);
}

void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fail("write '%s' to %s: %s", text, path, strerror(errno));
	close(fd);
}

void join_cgroup(const char *directory)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/cgroup.procs", directory);
	write_text(path, "0");
}

void join_network(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET))
		fail("join network namespace %s: %s", path, strerror(errno));
	close(fd);
}

void execute(char **argv)
{
	int code;

	execvp(argv[0], argv);
	code = errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE;
	fprintf(stderr, "pod-init: cannot run %s: %s\n", argv[0], strerror(errno));
	exit(code);
}

int open_pidfd(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		fail("find process %d: %s", pid, strerror(errno));
	return fd;
}

/* Blocks the signals that a process on behalf of another has to handle, and gives a descriptor to read them from. */
int signal_fd(bool only_child)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	if (!only_child) {
		const int forwarded[] = { SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
					  SIGUSR1, SIGUSR2, SIGWINCH };
		for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
			sigaddset(&set, forwarded[i]);
	}
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		fail("block signals: %s", strerror(errno));
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		fail("signalfd: %s", strerror(errno));
	return fd;
}

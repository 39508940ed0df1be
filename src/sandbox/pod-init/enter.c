// SPDX-License-Identifier: Apache-2.0
/*
 * `enter`: starts a process of the sandbox itself (daemon, agent) in its control
 * group and namespaces. The process is in its place before its first instruction,
 * so there is no moment at which it could outlive the sandbox.
 */
#define _GNU_SOURCE
#include "pod-init.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

/*
 * Ours do not show outside. What the host unmounts disappears here too (hence
 * slave, not private): the sandbox must not keep a disk or a namespace in use.
 */
static void unshare_mounts(void)
{
	if (unshare(CLONE_NEWNS))
		fail("make a mount namespace: %s", strerror(errno));
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL))
		fail("separate mounts: %s", strerror(errno));
}

/* enter [--cgroup DIR] [--private-mounts] [--private-network] [--netns PATH] [--die-with-parent] -- COMMAND… */
int enter(int argc, char **argv)
{
	static const struct option options[] = {
		{ "cgroup", required_argument, NULL, 'c' },
		{ "private-mounts", no_argument, NULL, 'm' },
		{ "private-network", no_argument, NULL, 'n' },
		{ "netns", required_argument, NULL, 'N' },
		{ "die-with-parent", no_argument, NULL, 'd' },
		{ 0 },
	};
	pid_t parent = getppid();
	int option;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			join_cgroup(optarg);
			break;
		case 'm':
			unshare_mounts();
			break;
		case 'n':
			if (unshare(CLONE_NEWNET))
				fail("make a network namespace: %s", strerror(errno));
			break;
		case 'N':
			join_network(optarg);
			break;
		case 'd':
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (getppid() != parent)
				return EXIT_OWN_FAILURE;
			break;
		default:
			return EXIT_OWN_FAILURE;
		}
	}
	if (optind == argc)
		fail("enter: a command is missing");
	execute(argv + optind);
}

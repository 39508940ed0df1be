/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod-init: the one native program of the sandbox. It does what Node cannot do
 * from its own threads: create and join namespaces, arrange a pod's file system,
 * give up privileges, and open many sockets inside a pod's network namespace.
 * It decides nothing; the daemon says what to do on the command line.
 */
#ifndef POD_INIT_H
#define POD_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Exit codes of pod-init itself, as container runtimes use them. */
enum exit_code {
	EXIT_OWN_FAILURE = 125,
	EXIT_CANNOT_EXECUTE = 126,
	EXIT_NOT_FOUND = 127,
	EXIT_SIGNAL_BASE = 128,
};

#define BINDS_MAX 16

/* A file of the sandbox shown inside the pod. Both paths are absolute. */
struct bind {
	const char *source;
	const char *target;
};

/* What prepare_root() builds around a pod. */
struct pod_root {
	const char *hostname;
	struct bind binds[BINDS_MAX];
	size_t bind_count;
	/* False: it shares the network of whoever makes it. */
	bool own_network;
};

/* One sub-command each. argv[0] is the sub-command's name. @return exit code */
int enter(int argc, char **argv);
int pause_pod(int argc, char **argv);
int run_in_pod(int argc, char **argv);
int probe(int argc, char **argv);

/* Builds the pod's file system in the caller's new mount namespace. Exits on failure. */
void prepare_root(const struct pod_root *root);

/* Gives up for good what a pod may not have: capabilities, new privileges, dangerous system calls. */
void confine(uid_t uid, gid_t gid);

/* Copies between the caller's terminal and a pseudo-terminal until the child ends. @return wait status */
int relay_terminal(pid_t child, int signals, int controller);

/* Common ground. */
__attribute__((format(printf, 1, 2), noreturn)) void fail(const char *format, ...);
int wait_code(int status);
void join_cgroup(const char *directory);
void join_network(const char *path);
void write_text(const char *path, const char *text);
void execute(char **argv) __attribute__((noreturn));
int open_pidfd(pid_t pid);
int signal_fd(bool only_child);

#endif

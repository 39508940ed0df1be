// SPDX-License-Identifier: Apache-2.0
/*
 * Tries everything that a process of a pod must not be able to do, and prints one
 * line each: the attempt and 0 or the errno. It is run twice, in a pod and outside
 * of one in private namespaces, where the attempts do succeed: so an attempt that
 * fails for a wrong reason cannot pass for a protection.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* argv: a writable folder of the host, its control group root, a host process, a socket of the sandbox */
static char **arguments;

static int result(long value)
{
	return value < 0 ? errno : 0;
}

static int try_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);
	int error = result(fd);

	if (fd >= 0)
		close(fd);
	return error;
}

static int mount_something(void)
{
	return result(mount("escape", "/mnt", "tmpfs", 0, NULL));
}

static int make_root_writable(void)
{
	return result(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
}

static int write_host_file(void)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/escaped", arguments[1]);
	int error = try_open(path, O_CREAT | O_WRONLY);
	unlink(path);
	return error;
}

static int uncover_proc(void)
{
	return result(umount2("/proc", MNT_DETACH));
}

static int new_mount_api(void)
{
	return result(syscall(SYS_fsopen, "tmpfs", 0));
}

static int clone_mount_tree(void)
{
	return result(syscall(SYS_open_tree, AT_FDCWD, "/", 1 /* OPEN_TREE_CLONE */));
}

static int change_mount_attributes(void)
{
	uint64_t attributes[4] = { 0, 1 /* MOUNT_ATTR_RDONLY */, 0, 0 };

	return result(syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, attributes, sizeof(attributes)));
}

static int join_namespace(void)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? errno : result(setns(fd, 0));
}

static int in_child(int (*attempt)(void))
{
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit(attempt());
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
}

static int unshare_user(void)
{
	return result(unshare(CLONE_NEWUSER));
}

static int unshare_network(void)
{
	return result(unshare(CLONE_NEWNET));
}

static int new_user_namespace(void)
{
	return in_child(unshare_user);
}

static int new_network_namespace(void)
{
	return in_child(unshare_network);
}

static int clone_into_user_namespace(void)
{
	long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, 0);

	if (pid == 0)
		_exit(0);
	return result(pid);
}

static int clone3_into_user_namespace(void)
{
	struct clone_args clone = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };
	long pid = syscall(SYS_clone3, &clone, sizeof(clone));

	if (pid == 0)
		_exit(0);
	return result(pid);
}

static int create_bpf_map(void)
{
	union bpf_attr attr = { .map_type = BPF_MAP_TYPE_ARRAY,
				.key_size = 4,
				.value_size = 4,
				.max_entries = 1 };

	return result(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)));
}

static int change_address(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;

	address->sin_family = AF_INET;
	address->sin_addr.s_addr = htonl(0x0a0a0a0a);
	return result(ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFADDR, &request));
}

static int take_device_down(void)
{
	struct ifreq request = { .ifr_name = "lo" };

	return result(ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, &request));
}

static int join_host_cgroup(void)
{
	char path[4096];

	/* Opening it is enough to know. */
	snprintf(path, sizeof(path), "%s/cgroup.procs", arguments[2]);
	return try_open(path, O_WRONLY);
}

static int signal_host_process(void)
{
	return result(kill(atoi(arguments[3]), 0));
}

static int trace_host_process(void)
{
	return result(ptrace(PTRACE_SEIZE, atoi(arguments[3]), NULL, NULL));
}

static int see_host_process(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%s/status", arguments[3]);
	return try_open(path, O_RDONLY);
}

static int open_sandbox_socket(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strncpy(address.sun_path, arguments[4], sizeof(address.sun_path) - 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return result(connect(fd, (struct sockaddr *)&address, sizeof(address)));
}

static int make_device(void)
{
	int error = result(mknod("/tmp/escape-device", S_IFBLK | 0600, makedev(1, 0)));

	unlink("/tmp/escape-device");
	return error;
}

static int open_host_device(void)
{
	return try_open("/dev/kmsg", O_RDONLY);
}

static int set_kernel_setting(void)
{
	return try_open("/proc/sys/kernel/core_pattern", O_WRONLY);
}

static int use_magic_keys(void)
{
	return try_open("/proc/sysrq-trigger", O_WRONLY);
}

static int write_sysfs(void)
{
	return try_open("/sys/kernel/mm/ksm/run", O_WRONLY);
}

static int load_module(void)
{
	return result(syscall(SYS_init_module, NULL, 0, NULL));
}

static int read_kernel_log(void)
{
	return result(syscall(SYS_syslog, 10 /* size of the buffer */, NULL, 0));
}

static int open_by_handle(void)
{
	/* With the capability a wrong handle is EINVAL or ESTALE. */
	struct {
		unsigned int bytes;
		int type;
		char handle[8];
	} handle = { .bytes = 8, .type = 1 };

	return result(syscall(SYS_open_by_handle_at, AT_FDCWD, &handle, O_RDONLY));
}

static int use_io_uring(void)
{
	char parameters[120] = { 0 };

	return result(syscall(SYS_io_uring_setup, 1, parameters));
}

static int use_keys(void)
{
	return result(syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -2, 1));
}

static int rename_host(void)
{
	return result(sethostname("escaped", 7));
}

static int gain_capability(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[2];

	syscall(SYS_capget, &header, sets);
	sets[0].permitted |= 1U << CAP_NET_ADMIN;
	sets[0].effective |= 1U << CAP_NET_ADMIN;
	return result(syscall(SYS_capset, &header, sets));
}

/* Sockets of this family lead to the hypervisor, whatever the network namespace. */
static int leave_through_hypervisor(void)
{
	return result(socket(AF_VSOCK, SOCK_STREAM, 0));
}

#define ATTEMPT(function)           \
	{                           \
#function, function \
	}

static const struct {
	const char *name;
	int (*attempt)(void);
} attempts[] = {
	ATTEMPT(write_host_file),
	ATTEMPT(see_host_process),
	ATTEMPT(signal_host_process),
	ATTEMPT(trace_host_process),
	ATTEMPT(join_host_cgroup),
	ATTEMPT(open_sandbox_socket),
	ATTEMPT(open_host_device),
	ATTEMPT(set_kernel_setting),
	ATTEMPT(use_magic_keys),
	ATTEMPT(write_sysfs),
	ATTEMPT(mount_something),
	ATTEMPT(make_root_writable),
	ATTEMPT(new_mount_api),
	ATTEMPT(clone_mount_tree),
	ATTEMPT(change_mount_attributes),
	ATTEMPT(join_namespace),
	ATTEMPT(new_user_namespace),
	ATTEMPT(new_network_namespace),
	ATTEMPT(clone_into_user_namespace),
	ATTEMPT(clone3_into_user_namespace),
	ATTEMPT(create_bpf_map),
	ATTEMPT(change_address),
	ATTEMPT(take_device_down),
	ATTEMPT(make_device),
	ATTEMPT(load_module),
	ATTEMPT(read_kernel_log),
	ATTEMPT(open_by_handle),
	ATTEMPT(use_io_uring),
	ATTEMPT(use_keys),
	ATTEMPT(rename_host),
	ATTEMPT(gain_capability),
	ATTEMPT(leave_through_hypervisor),
	ATTEMPT(uncover_proc),
};

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	arguments = argv;
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
		errno = 0;
		int error = attempts[i].attempt();
		printf("%s %s\n", attempts[i].name, error ? strerrorname_np(error) : "0");
		fflush(stdout);
	}
	return 0;
}

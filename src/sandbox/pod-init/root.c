// SPDX-License-Identifier: Apache-2.0
/*
 * A pod's file system: the host's, read-only and without devices, with private
 * /tmp, /var/tmp, /run, /dev, /proc and /sys. Control groups, BPF file systems and
 * the sandbox's own sockets are not in it. Leaves to the caller a new mount
 * namespace; nothing here is visible outside of it.
 */
#define _GNU_SOURCE
#include "pod-init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* <sys/mount.h> and <linux/mount.h> cannot both be included before glibc 2.37. */
int mount(const char *source, const char *target, const char *type, unsigned long flags,
	  const void *options);
int umount2(const char *target, int flags);
#define MNT_DETACH 2

/* File systems through which a pod could reach the kernel or the host, wherever they are mounted. */
static const char *const forbidden_types[] = {
	"bpf",	      "cgroup",	    "cgroup2",	 "configfs", "debugfs", "efivarfs",
	"fusectl",    "hugetlbfs",  "mqueue",	 "nfsd",     "nsfs",	"pstore",
	"rpc_pipefs", "securityfs", "selinuxfs", "tracefs",
};

/* Folders that a pod has of its own; whatever the host has mounted in them goes. */
static const char *const private_folders[] = {
	"/sys", "/dev", "/run", "/tmp", "/var/tmp", "/proc"
};

static const char *const masked_paths[] = {
	"/proc/acpi",	       "/proc/kcore",	    "/proc/keys",
	"/proc/latency_stats", "/proc/sched_debug", "/proc/scsi",
	"/proc/timer_list",    "/proc/timer_stats", "/proc/kmsg",
	"/proc/kallsyms",      "/proc/kpagecgroup", "/proc/kpagecount",
	"/proc/kpageflags",    "/sys/firmware",	    "/sys/devices/virtual/powercap",
};

static const char *const read_only_paths[] = {
	"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

static const struct {
	const char *name;
	mode_t mode;
	unsigned int major, minor;
} devices[] = {
	{ "/dev/null", 0666, 1, 3 },   { "/dev/zero", 0666, 1, 5 },    { "/dev/full", 0666, 1, 7 },
	{ "/dev/random", 0666, 1, 8 }, { "/dev/urandom", 0666, 1, 9 }, { "/dev/tty", 0666, 5, 0 },
};

static const char *const device_links[][2] = {
	{ "pts/ptmx", "/dev/ptmx" },	      { "/proc/self/fd", "/dev/fd" },
	{ "/proc/self/fd/0", "/dev/stdin" },  { "/proc/self/fd/1", "/dev/stdout" },
	{ "/proc/self/fd/2", "/dev/stderr" },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void mount_or_fail(const char *source, const char *target, const char *type,
			  unsigned long flags, const char *options)
{
	if (mount(source, target, type, flags, options))
		fail("mount %s on %s: %s", source, target, strerror(errno));
}

static void detach(const char *path)
{
	/* EINVAL: not a mount point. Several mounts may be stacked. */
	while (umount2(path, MNT_DETACH) == 0)
		;
	if (errno != EINVAL && errno != ENOENT)
		fail("unmount %s: %s", path, strerror(errno));
}

static bool is_forbidden(const char *target, const char *type)
{
	for (size_t i = 0; i < COUNT(forbidden_types); i++)
		if (!strcmp(type, forbidden_types[i]))
			return true;
	for (size_t i = 0; i < COUNT(private_folders); i++) {
		size_t length = strlen(private_folders[i]);
		if (!strncmp(target, private_folders[i], length) &&
		    (!target[length] || target[length] == '/'))
			return true;
	}
	return false;
}

/* Blanks in mount points are written as octal escapes in mountinfo. */
static void unescape(char *text)
{
	char *out = text;

	for (char *in = text; *in; in++) {
		if (in[0] == '\\' && in[1] && in[2] && in[3]) {
			*out++ = (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 + (in[3] - '0'));
			in += 3;
		} else {
			*out++ = *in;
		}
	}
	*out = '\0';
}

/*
 * Detaches what a pod may not have. A copy of a network namespace's mount (nsfs)
 * would also keep that namespace alive after the host has deleted it.
 * Field 5 of mountinfo is the mount point, the one after " - " the type.
 */
static void detach_forbidden(void)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t size = 0;

	if (!file)
		fail("read /proc/self/mountinfo: %s", strerror(errno));
	while (getline(&line, &size, file) > 0) {
		char target[4096], type[64];
		const char *separator = strstr(line, " - ");
		if (!separator || sscanf(line, "%*s %*s %*s %*s %4095s", target) != 1 ||
		    sscanf(separator, " - %63s", type) != 1)
			continue;
		unescape(target);
		if (is_forbidden(target, type))
			detach(target);
	}
	free(line);
	fclose(file);
}

static void make_read_only(void)
{
	struct mount_attr attributes = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV |
						     MOUNT_ATTR_NOSUID };

	if (syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &attributes,
		    sizeof(attributes)))
		fail("make the root read-only: %s", strerror(errno));
}

static void mount_temporary(const char *path, const char *options, bool required)
{
	struct stat status;

	if (lstat(path, &status) || !S_ISDIR(status.st_mode)) {
		if (required)
			fail("%s is not a folder", path);
		return;
	}
	mount_or_fail("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options);
}

static void make_devices(void)
{
	mount_or_fail("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC,
		      "mode=755,size=64k,nr_inodes=64");
	for (size_t i = 0; i < COUNT(devices); i++) {
		if (mknod(devices[i].name, S_IFCHR, makedev(devices[i].major, devices[i].minor)) ||
		    chmod(devices[i].name, devices[i].mode))
			fail("make %s: %s", devices[i].name, strerror(errno));
	}
	for (size_t i = 0; i < COUNT(device_links); i++)
		if (symlink(device_links[i][0], device_links[i][1]))
			fail("make %s: %s", device_links[i][1], strerror(errno));
	if (mkdir("/dev/pts", 0755) || mkdir("/dev/shm", 01777))
		fail("make folders in /dev: %s", strerror(errno));
	mount_or_fail("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		      "newinstance,ptmxmode=0666,mode=0620");
	mount_or_fail("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		      "mode=1777,size=16m");
}

static void mask_kernel(void)
{
	struct stat status;

	for (size_t i = 0; i < COUNT(read_only_paths); i++) {
		const char *path = read_only_paths[i];
		if (stat(path, &status))
			continue;
		mount_or_fail(path, path, NULL, MS_BIND | MS_REC, NULL);
		mount_or_fail(path, path, NULL,
			      MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
			      NULL);
	}
	for (size_t i = 0; i < COUNT(masked_paths); i++) {
		const char *path = masked_paths[i];
		if (stat(path, &status))
			continue;
		if (S_ISDIR(status.st_mode))
			mount_or_fail("tmpfs", path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV,
				      "size=4k,nr_inodes=2");
		else
			mount_or_fail("/dev/null", path, NULL, MS_BIND, NULL);
	}
}

/* The file's mount, taken before the folder that holds it is hidden. */
static int take(const char *source)
{
	int fd = (int)syscall(SYS_open_tree, AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	struct mount_attr attributes = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV |
						     MOUNT_ATTR_NOSUID };

	if (fd < 0 ||
	    syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)))
		fail("take %s into the pod: %s", source, strerror(errno));
	return fd;
}

/* Makes an empty file and the folders above it; only ever succeeds in the private folders. */
static void make_file(const char *path)
{
	char folder[4096];
	int fd;

	snprintf(folder, sizeof(folder), "%s", path);
	for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(folder, 0755);
		*slash = '/';
	}
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	if (fd >= 0)
		close(fd);
}

/*
 * Shows a file at its target. A target that is a dangling link (/etc/resolv.conf
 * often points below /run, which is empty now) is completed first. A host that
 * has no such file at all gets none.
 */
static void show(int tree, const char *target)
{
	char link[4096] = "", resolved[8192];
	struct stat status;

	if (stat(target, &status)) {
		ssize_t length = readlink(target, link, sizeof(link) - 1);
		if (length > 0 && link[0] != '/')
			snprintf(resolved, sizeof(resolved), "/etc/%s", link);
		else
			snprintf(resolved, sizeof(resolved), "%s", length > 0 ? link : target);
		make_file(resolved);
		if (stat(target, &status))
			return;
	}
	if (syscall(SYS_move_mount, tree, "", AT_FDCWD, target,
		    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS))
		fail("show %s in the pod: %s", target, strerror(errno));
	close(tree);
}

void prepare_root(const struct pod_root *root)
{
	int trees[BINDS_MAX];

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		fail("make mounts private: %s", strerror(errno));
	for (size_t i = 0; i < root->bind_count; i++)
		trees[i] = take(root->binds[i].source);

	detach_forbidden();
	make_read_only();

	mount_or_fail("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_or_fail("sysfs", "/sys", "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	make_devices();
	mask_kernel();
	mount_temporary("/run", "mode=755,size=16m,nr_inodes=4k", true);
	mount_temporary("/tmp", "mode=1777,size=64m,nr_inodes=16k", true);
	mount_temporary("/var/tmp", "mode=1777,size=64m,nr_inodes=16k", false);
	mount_temporary("/var/run", "mode=755,size=16m,nr_inodes=4k", false);
	for (size_t i = 0; i < root->bind_count; i++) {
		make_file(root->binds[i].target);
		show(trees[i], root->binds[i].target);
	}
	if (sethostname(root->hostname, strlen(root->hostname)))
		fail("set the host name: %s", strerror(errno));
	if (chdir("/"))
		fail("enter the root: %s", strerror(errno));
}

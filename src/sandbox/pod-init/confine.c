// SPDX-License-Identifier: Apache-2.0
/*
 * What a process of a pod may not do, given up for good: capabilities outside of
 * a short list, gaining new privileges, and system calls that would make new
 * namespaces, mounts, BPF programs or sockets of families that are not confined
 * by a network namespace (AF_VSOCK reaches the hypervisor).
 */
#define _GNU_SOURCE
#include "pod-init.h"

#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What containers have by default (containerd, Docker), less what the sandbox has no use for: MKNOD, SETFCAP, AUDIT_WRITE. */
#define KEPT_CAPABILITIES                                                                 \
	(1U << CAP_CHOWN | 1U << CAP_DAC_OVERRIDE | 1U << CAP_FOWNER | 1U << CAP_FSETID | \
	 1U << CAP_KILL | 1U << CAP_SETGID | 1U << CAP_SETUID | 1U << CAP_SETPCAP |       \
	 1U << CAP_NET_BIND_SERVICE | 1U << CAP_NET_RAW | 1U << CAP_SYS_CHROOT)

#if defined(__x86_64__)
#define NATIVE_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the system call filter is written for x86-64 and arm64"
#endif

#define NAMESPACE_FLAGS                                                                \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
	 CLONE_NEWPID | CLONE_NEWNET)
#define CLONE_NEWTIME_FLAG 0x80
#define X32_BIT 0x40000000

/* Numbers newer than the build machine's headers are the same on every architecture. */
#define NR_OPEN_TREE_ATTR 467

static const unsigned int denied_calls[] = {
	SYS_acct,
	SYS_add_key,
	SYS_adjtimex,
	SYS_bpf,
	SYS_clock_adjtime,
	SYS_clock_settime,
	SYS_delete_module,
	SYS_fanotify_init,
	SYS_finit_module,
	SYS_fsconfig,
	SYS_fsmount,
	SYS_fsopen,
	SYS_fspick,
	SYS_init_module,
	SYS_io_uring_enter,
	SYS_io_uring_register,
	SYS_io_uring_setup,
	SYS_kexec_file_load,
	SYS_kexec_load,
	SYS_keyctl,
	SYS_mount,
	SYS_mount_setattr,
	SYS_move_mount,
	SYS_name_to_handle_at,
	SYS_open_by_handle_at,
	SYS_open_tree,
	SYS_perf_event_open,
	SYS_pivot_root,
	SYS_quotactl,
	SYS_reboot,
	SYS_request_key,
	SYS_setdomainname,
	SYS_sethostname,
	SYS_setns,
	SYS_settimeofday,
	SYS_swapoff,
	SYS_swapon,
	SYS_syslog,
	SYS_umount2,
	SYS_userfaultfd,
	SYS_vhangup,
	NR_OPEN_TREE_ATTR,
#if defined(__x86_64__)
	SYS_ioperm,
	SYS_iopl,
#endif
};

static const unsigned int allowed_families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK,
						 AF_PACKET };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
/* Arguments are 64 bits, little-endian on both architectures: the first word is the low one. */
#define LOAD_ARGUMENT(n) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + (n)*8)
#define WHEN_EQUAL(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))
#define WHEN_ANY_BIT(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (value), (yes), (no))
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, (action))
#define REFUSE(error) RETURN(SECCOMP_RET_ERRNO | (error))

static void filter_system_calls(void)
{
	struct sock_filter program[256];
	unsigned short length = 0;
	struct sock_fprog description = { .filter = program };

#define ADD(...) program[length++] = (struct sock_filter)__VA_ARGS__
	ADD(LOAD(arch));
	ADD(WHEN_EQUAL(NATIVE_ARCHITECTURE, 1, 0));
	ADD(RETURN(SECCOMP_RET_KILL_PROCESS));
	ADD(LOAD(nr));
	ADD(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1));
	ADD(REFUSE(ENOSYS));
	for (size_t i = 0; i < COUNT(denied_calls); i++) {
		ADD(WHEN_EQUAL(denied_calls[i], 0, 1));
		ADD(REFUSE(EPERM));
	}
	/* Its flags stand in memory, where a filter cannot look; the C library falls back to clone. */
	ADD(WHEN_EQUAL(SYS_clone3, 0, 1));
	ADD(REFUSE(ENOSYS));
	ADD(WHEN_EQUAL(SYS_clone, 0, 4));
	ADD(LOAD_ARGUMENT(0));
	ADD(WHEN_ANY_BIT(NAMESPACE_FLAGS, 0, 1));
	ADD(REFUSE(EPERM));
	ADD(RETURN(SECCOMP_RET_ALLOW));
	ADD(WHEN_EQUAL(SYS_unshare, 0, 4));
	ADD(LOAD_ARGUMENT(0));
	ADD(WHEN_ANY_BIT(NAMESPACE_FLAGS | CLONE_NEWTIME_FLAG, 0, 1));
	ADD(REFUSE(EPERM));
	ADD(RETURN(SECCOMP_RET_ALLOW));
	ADD(WHEN_EQUAL(SYS_socket, 1, 0));
	ADD(RETURN(SECCOMP_RET_ALLOW));
	ADD(LOAD_ARGUMENT(0));
	for (size_t i = 0; i < COUNT(allowed_families); i++) {
		ADD(WHEN_EQUAL(allowed_families[i], 0, 1));
		ADD(RETURN(SECCOMP_RET_ALLOW));
	}
	ADD(REFUSE(EAFNOSUPPORT));
#undef ADD

	description.len = length;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &description))
		fail("filter system calls: %s", strerror(errno));
}

static void drop_bounding_set(void)
{
	for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++) {
		if (capability < 32 && (KEPT_CAPABILITIES & (1U << capability)))
			continue;
		if (prctl(PR_CAPBSET_DROP, capability))
			fail("drop capability %lu: %s", capability, strerror(errno));
	}
}

static void set_capabilities(unsigned int kept)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[2] = { 0 }, current[2];

	/* What this machine does not give us cannot be kept. */
	if (syscall(SYS_capget, &header, current))
		fail("read capabilities: %s", strerror(errno));
	sets[0].effective = sets[0].permitted = kept & current[0].permitted;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) ||
	    syscall(SYS_capset, &header, sets))
		fail("set capabilities: %s", strerror(errno));
}

void confine(uid_t uid, gid_t gid)
{
	/* Keys of the session that started the sandbox are not for pods. A kernel without keys has none. */
	syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		fail("set no_new_privs: %s", strerror(errno));
	drop_bounding_set();
	if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		fail("become user %u:%u: %s", uid, gid, strerror(errno));
	set_capabilities(uid == 0 ? KEPT_CAPABILITIES : 0);
	filter_system_calls();
}

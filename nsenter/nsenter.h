/* The frames between package call and the bootstrap; internal/wire holds the same layouts, nsenter.go compares them. */
#ifndef NSOPS_NSENTER_H
#define NSOPS_NSENTER_H
#include <stdint.h>

#define NSOPS_ENV "NSOPS_CHANNEL"
#define NSOPS_MAGIC 0x31736e6fu /* "ons1": changes with every change of a layout */
#define NSOPS_FDS 8

enum nsops_flag { NSOPS_SPAWN = 1, NSOPS_BY_FD = 2, NSOPS_DROP_PRIVS = 4, NSOPS_REMOUNT_SYS = 8, NSOPS_FLAGS = 15 };
enum nsops_kind { NSOPS_FORKED = 1, NSOPS_JOINED, NSOPS_FAILED };
enum nsops_stage { STAGE_SPAWN = 2, STAGE_JOIN, STAGE_MOUNTS, STAGE_PRIVILEGES, STAGE_PROTOCOL = 7 };

struct nsops_request {
	uint32_t magic;
	uint32_t flags;
	uint32_t types;             /* CLONE_NEW* to join */
	uint32_t uid, gid;          /* for NSOPS_DROP_PRIVS */
	int32_t lifeline;           /* descriptor, -1 without NSOPS_SPAWN */
	uint32_t fds;               /* descriptors sent along: a pidfd, or with NSOPS_BY_FD the namespaces */
	uint32_t order[NSOPS_FDS];  /* the same, one by one; with NSOPS_BY_FD as the descriptors come */
};

struct nsops_record {
	uint32_t magic;
	uint16_t kind, stage;
	uint32_t type;              /* CLONE_NEW* of the failure, 0 if none is to blame */
	int32_t error;              /* errno */
	int32_t pid;                /* NSOPS_FORKED: the worker as the caller sees it */
	char step[12];              /* what failed, not NUL-terminated if full */
	uint64_t size;              /* bytes that follow; the bootstrap sends none */
};

/* What package nsenter reads once the Go runtime runs. */
struct nsops_worker {
	int channel;                /* -1: this process is no worker */
	int spawned;                /* 0: it was switched */
	uint32_t types;             /* what was joined */
};
extern struct nsops_worker nsops_worker;

/* Of the kernel's ABI, the same on all architectures that Go knows; older libc headers lack them. */
enum {
	NEWTIME = 0x80, NEWNS = 0x20000, NEWUSER = 0x10000000, NEWPID = 0x20000000,
	MOVE_MOUNT = 429, FSOPEN = 430, FSCONFIG = 431, FSMOUNT = 432, CLOSE_RANGE = 436,
	FSCONFIG_CREATE = 6, FD_CLOSES_ON_EXEC = 1, EMPTY_PATHS = 0x4 | 0x40,
	ATTR_RDONLY = 1, ATTR_NOSUID = 2, ATTR_NODEV = 4, ATTR_NOEXEC = 8,
	AMBIENT = 47, AMBIENT_CLEAR_ALL = 4, JOIN_SESSION_KEYRING = 1, CAPABILITY_V3 = 0x20080522
};

#ifdef __s390x__
#define NSOPS_CLONE(flags) syscall(SYS_clone, 0, flags, 0, 0, 0)
#else
#define NSOPS_CLONE(flags) syscall(SYS_clone, flags, 0, 0, 0, 0)
#endif
#endif

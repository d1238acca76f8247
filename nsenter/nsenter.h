/* The frames between package call and the bootstrap. internal/wire has the same layouts; nsenter_linux.go compares them. */
#ifndef NSOPS_NSENTER_H
#define NSOPS_NSENTER_H
#include <stdint.h>

#define NSOPS_ENV "NSOPS_CHANNEL"
#define NSOPS_MAGIC 0x32736e6fu /* "ons2": changes with every change of a layout */
#define NSOPS_TYPES 8

enum nsops_flag {
	NSOPS_SPAWN = 1, NSOPS_BY_FD = 2, NSOPS_DROP_PRIVS = 4, NSOPS_REMOUNT_SYS = 8, NSOPS_USER = 16, NSOPS_ROOT = 32,
	NSOPS_FLAGS = 63
};
enum nsops_kind { NSOPS_FORKED = 1, NSOPS_JOINED, NSOPS_FAILED };
enum nsops_stage { STAGE_SPAWN = 2, STAGE_JOIN, STAGE_MOUNTS, STAGE_PRIVILEGES, STAGE_PROTOCOL = 7 };

struct nsops_request {
	uint32_t magic;
	uint32_t flags;
	uint32_t types;             /* CLONE_NEW* to join */
	uint32_t uid, gid;          /* for NSOPS_USER and NSOPS_DROP_PRIVS */
	int32_t lifeline;           /* descriptor, -1 without NSOPS_SPAWN */
	uint32_t fds;               /* number of descriptors sent with it: a pidfd, or with NSOPS_BY_FD the namespaces; then the root */
	uint32_t order[NSOPS_TYPES]; /* the types, one by one; with NSOPS_BY_FD in the order of the descriptors */
	uint32_t securebits;        /* to set; 0: none */
	uint64_t lose, unbound;     /* capabilities to remove from the permitted and from the bounding set, as bits */
};

struct nsops_record {
	uint32_t magic;
	uint16_t kind, stage;
	uint32_t type;              /* CLONE_NEW* that failed, 0 if it was none */
	int32_t error;              /* errno */
	int32_t pid;                /* NSOPS_FORKED: the worker as the caller sees it; NSOPS_FAILED: the UID or GID that failed */
	char step[12];              /* what failed, not NUL-terminated if full */
	uint64_t size;              /* of what follows, in bytes; the bootstrap sends 0 */
};

/* What package nsenter reads when the Go runtime runs. */
struct nsops_worker {
	int channel;                /* -1: this process is no worker */
	int spawned;                /* 0: it was switched, by execve(2) */
	int lifeline;               /* -1: none */
	int foreign;                /* the root directory, and /proc below it, is the target's */
};
extern struct nsops_worker nsops_worker;

/* What the files of the bootstrap share. */
#define NSOPS_INTERNAL __attribute__((visibility("hidden")))
#define request nsops_request
#define files nsops_files
extern NSOPS_INTERNAL struct nsops_request nsops_request;
extern NSOPS_INTERNAL int nsops_files[NSOPS_TYPES + 1]; /* a pidfd or namespaces, then the root if it is sent */
NSOPS_INTERNAL void nsops_fail(int stage, uint32_t type, int id, const char *step);
NSOPS_INTERNAL int nsops_number(const char *text);
NSOPS_INTERNAL void nsops_harden(void);
NSOPS_INTERNAL void nsops_find_inherited(void);
NSOPS_INTERNAL void nsops_change_files(void);
NSOPS_INTERNAL void nsops_become(void);

static inline int has(uint32_t flag) { return (request.flags & flag) != 0; }
static inline int joins(uint32_t type) { return (request.types & type) != 0; }

static inline void check(long result, int stage, const char *step)
{
	if (result < 0)
		nsops_fail(stage, 0, 0, step);
}

#ifdef __mips__
#error "system calls have other numbers on MIPS"
#endif

/* Numbers of the kernel, the same on all other architectures of Go. Older libc headers lack them. */
enum {
	NEWNS = 0x20000, NEWUSER = 0x10000000, NEWPID = 0x20000000, ALL_TYPES = 0x7e020080,
	OPEN_TREE = 428, MOVE_MOUNT = 429, FSOPEN = 430, FSCONFIG = 431, FSMOUNT = 432, CLOSE_RANGE = 436,
	TREE_CLONE = 1, FSCONFIG_CREATE = 6, FD_CLOSES_ON_EXEC = 1, EMPTY_PATHS = 0x4 | 0x40,
	ATTR_RDONLY = 1, ATTR_NOSUID = 2, ATTR_NODEV = 4, ATTR_NOEXEC = 8,
	JOIN_SESSION_KEYRING = 1, CAPABILITY_V3 = 0x20080522, NO_ID = 65534
};

#ifdef __s390x__
#define NSOPS_CLONE(flags) syscall(SYS_clone, 0, flags, 0, 0, 0)
#else
#define NSOPS_CLONE(flags) syscall(SYS_clone, flags, 0, 0, 0, 0)
#endif
#endif

/* The frames between package call and the bootstrap; internal/wire holds the same layouts, nsenter.go compares them. */
#ifndef NSOPS_NSENTER_H
#define NSOPS_NSENTER_H
#include <stdint.h>

#define NSOPS_ENV "NSOPS_CHANNEL"
#define NSOPS_MAGIC 0x31736e6fu /* "ons1": changes with every change of a layout */
#define NSOPS_FDS 8

enum nsops_flag { NSOPS_SPAWN = 1, NSOPS_BY_FD = 2, NSOPS_DROP_PRIVS = 4, NSOPS_REMOUNT_SYS = 8 };
enum nsops_kind { NSOPS_FORKED = 1, NSOPS_JOINED, NSOPS_FAILED };
enum nsops_stage { NSOPS_STAGE_SPAWN = 2, NSOPS_STAGE_JOIN, NSOPS_STAGE_MOUNTS, NSOPS_STAGE_PRIVILEGES, NSOPS_STAGE_PROTOCOL = 7 };

struct nsops_request {
	uint32_t magic;
	uint32_t flags;
	uint32_t types;             /* CLONE_NEW* to join through the pidfd, or those of fd_types together */
	uint32_t uid, gid;          /* for NSOPS_DROP_PRIVS */
	int32_t lifeline;           /* descriptor, -1 without NSOPS_SPAWN */
	uint32_t fds;               /* descriptors sent along: a pidfd, or with NSOPS_BY_FD the namespaces */
	uint32_t fd_types[NSOPS_FDS];
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
#endif

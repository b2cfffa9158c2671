/* What the addon needs from Linux, including what headers of old systems do not declare yet. */
#ifndef SAMSA_KERNEL_H
#define SAMSA_KERNEL_H

#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <sys/syscall.h>

/* The numbers of these calls are the same on every architecture. */
#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#endif
#ifndef SYS_io_uring_enter
#define SYS_io_uring_enter 426
#endif
#ifndef SYS_io_uring_register
#define SYS_io_uring_register 427
#endif
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif
#if !defined SYS_statx || !defined SYS_preadv2
#error "the kernel headers are older than Linux 4.11"
#endif

#ifndef IORING_FEAT_NODROP
#define IORING_FEAT_NODROP (1U << 1)
#endif
#ifndef IORING_FEAT_RW_CUR_POS
#define IORING_FEAT_RW_CUR_POS (1U << 3)
#endif
#ifndef IORING_SETUP_COOP_TASKRUN
#define IORING_SETUP_COOP_TASKRUN (1U << 8)
#endif
#ifndef IORING_SQ_CQ_OVERFLOW
#define IORING_SQ_CQ_OVERFLOW (1U << 1)
#endif

#ifndef F_OFD_GETLK
#define F_OFD_GETLK 36
#define F_OFD_SETLK 37
#endif

#ifndef RWF_DSYNC
#define RWF_DSYNC 0x00000002
#endif
#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif

struct samsa_cachestat_range {
  uint64_t off;
  uint64_t len;
};

struct samsa_cachestat {
  uint64_t nr_cache;
  uint64_t nr_dirty;
  uint64_t nr_writeback;
  uint64_t nr_evicted;
  uint64_t nr_recently_evicted;
};

#define SAMSA_STATX_DIOALIGN 0x00002000U

/* struct statx up to the alignments; its size is fixed at 256 bytes. */
struct samsa_statx {
  uint32_t mask;
  uint8_t skipped[148];
  uint32_t dio_mem_align;
  uint32_t dio_offset_align;
  uint8_t rest[96];
};
_Static_assert(sizeof(struct samsa_statx) == 256, "struct statx");

#endif

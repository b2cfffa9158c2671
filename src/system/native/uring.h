#ifndef SAMSA_URING_H
#define SAMSA_URING_H

#include "kernel.h"

#include <stddef.h>

/* An io_uring over the bare system calls: one thread submits and reaps. Functions give 0 or more, or -errno. */
struct uring {
  int fd;
  unsigned sq_entries;
  unsigned cq_entries;
  /* Shared with the kernel. */
  unsigned *sq_head;
  unsigned *sq_tail;
  unsigned *sq_flags;
  unsigned *cq_head;
  unsigned *cq_tail;
  unsigned sq_mask;
  unsigned cq_mask;
  struct io_uring_sqe *sqes;
  struct io_uring_cqe *cqes;
  void *rings;
  size_t rings_bytes;
  size_t sqes_bytes;
};

int uring_open(struct uring *ring, unsigned entries);
void uring_close(struct uring *ring);
int uring_register_eventfd(struct uring *ring, int eventfd);

/* The next free entry, zeroed, or NULL when all are taken. The kernel sees it with the next submit. */
struct io_uring_sqe *uring_next(struct uring *ring);
/* Entries that the kernel has not taken yet, and the n-th of them. */
unsigned uring_queued(const struct uring *ring);
struct io_uring_sqe *uring_queued_at(struct uring *ring, unsigned n);
/* Takes back what is queued. */
void uring_drop_queued(struct uring *ring);
/* Hands over what is queued: how many entries the kernel took, or -errno when it took none. */
int uring_submit(struct uring *ring);

/* Makes the kernel post completions that found no room in the queue. */
void uring_flush(struct uring *ring);
/* Waits for at least one completion. */
int uring_wait(struct uring *ring);
/* Takes the oldest completion: 1, or 0 when there is none. */
int uring_reap(struct uring *ring, uint64_t *user_data, int32_t *result);

#endif

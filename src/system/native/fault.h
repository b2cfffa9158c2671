/*
 * Faults on demand, for tests of what a broker does when its device fails: SAMSA_RING_FAULT=<operation>:<error>:after=<n>,
 * where the operation is write, read, fsync or setup. The first n of them pass, the next one fails with the error
 * (EIO, ENOSPC ...) and does nothing, or with SHORT moves half of its bytes; all later ones pass again. After a fault
 * of `setup` no ring can be made at all.
 */
#ifndef SAMSA_FAULT_H
#define SAMSA_FAULT_H

enum fault_operation { FAULT_NONE, FAULT_WRITE, FAULT_READ, FAULT_FSYNC, FAULT_SETUP };
#define FAULT_SHORT 1000000

struct fault {
  enum fault_operation operation;
  /* An errno or FAULT_SHORT. */
  int error;
  unsigned long passes;
};

/* Reads the environment; 0 when what stands there cannot be understood. */
int fault_init(struct fault *fault);
/* What this operation fails with, 0 when it passes. */
int fault_next(struct fault *fault, enum fault_operation operation);

#endif

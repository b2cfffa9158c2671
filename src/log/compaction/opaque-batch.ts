/** A batch whose records cannot be looked at, and why: it stays as it is. */
export class OpaqueBatch extends Error {}

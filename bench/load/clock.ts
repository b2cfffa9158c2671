/** Microseconds on the machine's monotonic clock: the same in every thread and process, unlike performance.now(). */
export function nowUs(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1e6 + nanoseconds / 1e3
}

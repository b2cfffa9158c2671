/**
 * Loaded into the broker under attack before anything else: fresh buffers are not zero and not random but full of a
 * pattern, so that a byte which was never written can be told from one that was.
 */
import { POISON } from './poison-pattern.ts'

const allocUnsafe = Buffer.allocUnsafe.bind(Buffer)
const allocUnsafeSlow = Buffer.allocUnsafeSlow.bind(Buffer)

Buffer.allocUnsafe = (size) => allocUnsafe(size).fill(POISON)
Buffer.allocUnsafeSlow = (size) => allocUnsafeSlow(size).fill(POISON)

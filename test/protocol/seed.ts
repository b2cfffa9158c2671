/**
 * The seed of this run's random tests: SAMSA_SEED, else a fresh one. It is printed, so that any run can be had again.
 */
export const seed = Number(process.env['SAMSA_SEED'] ?? Math.floor(Math.random() * 0x7fff_ffff))

console.log(`# SAMSA_SEED=${seed}`)

#ifndef SAMSA_CRC32C_H
#define SAMSA_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Picks what suits the processor. Called once per process, before any checksum. */
void crc32c_init(void);

/* CRC-32C of the bytes; `crc` is that of what came before, 0 at the beginning. */
uint32_t crc32c(uint32_t crc, const uint8_t *data, size_t length);

/* What this processor can do, the quickest first: "vpclmulqdq", "sse4.2", "armv8", "table". NULL behind the last. */
const char *crc32c_method(unsigned n);
/* As crc32c, by one of them. */
uint32_t crc32c_by(unsigned method, uint32_t crc, const uint8_t *data, size_t length);

/*
 * The methods work on the bare register, without the inversion at both ends. Each `_available` tells whether this
 * processor has what its function needs, and prepares its constants.
 */
typedef uint32_t (*crc32c_update)(uint32_t state, const uint8_t *data, size_t length);

uint32_t crc32c_table(uint32_t state, const uint8_t *data, size_t length);
void crc32c_table_init(void);

/* x^n mod P, bit-reflected: bit 31 is x^0. */
uint32_t crc32c_power(uint32_t n);

#if defined(__x86_64__)
int crc32c_sse42_available(void);
uint32_t crc32c_sse42(uint32_t state, const uint8_t *data, size_t length);
int crc32c_vpclmul_available(void);
uint32_t crc32c_vpclmul(uint32_t state, const uint8_t *data, size_t length);
#elif defined(__aarch64__)
int crc32c_arm_available(void);
uint32_t crc32c_arm(uint32_t state, const uint8_t *data, size_t length);
#endif

#endif

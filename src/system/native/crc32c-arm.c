/*
 * CRC-32C on 64-bit ARM: three streams of the crc32c instruction, joined by a carry-less multiplication with a power
 * of x (see crc32c-x86.c for the powers).
 */
#if defined(__aarch64__)

#include "crc32c.h"

#include <arm_neon.h>
#include <string.h>
#include <sys/auxv.h>

#if defined(__clang__)
#define ARM __attribute__((target("crc,aes")))
#else
#define ARM __attribute__((target("+crc+crypto")))
#endif

/* Bits of AT_HWCAP. */
#define HAS_PMULL (1ul << 4)
#define HAS_CRC32 (1ul << 7)

/* Bytes per stream. */
#define LONG 1024
#define SHORT 128

static uint32_t long_1, long_2, short_1, short_2;

int crc32c_arm_available(void) {
  long_1 = crc32c_power(8 * LONG - 33);
  long_2 = crc32c_power(16 * LONG - 33);
  short_1 = crc32c_power(8 * SHORT - 33);
  short_2 = crc32c_power(16 * SHORT - 33);
  unsigned long needed = HAS_PMULL | HAS_CRC32;
  return (getauxval(AT_HWCAP) & needed) == needed;
}

ARM static inline uint32_t crc_8(uint32_t state, const uint8_t *data) {
  uint64_t word;
  memcpy(&word, data, 8);
  __asm__("crc32cx %w0, %w0, %x1" : "+r"(state) : "r"(word));
  return state;
}

ARM static inline uint32_t crc_word(uint64_t word) {
  uint32_t state = 0;
  __asm__("crc32cx %w0, %w0, %x1" : "+r"(state) : "r"(word));
  return state;
}

ARM static inline uint32_t crc_1(uint32_t state, uint8_t byte) {
  __asm__("crc32cb %w0, %w0, %w1" : "+r"(state) : "r"((uint32_t)byte));
  return state;
}

ARM static inline uint64_t times(uint32_t state, uint32_t power) {
  poly128_t product = vmull_p64((poly64_t)state, (poly64_t)power);
  return vgetq_lane_u64(vreinterpretq_u64_p128(product), 0);
}

ARM static inline uint32_t three_streams(uint32_t state, const uint8_t *data, size_t bytes, uint32_t power_1,
                                         uint32_t power_2) {
  uint32_t a = state, b = 0, c = 0;
  for (size_t i = 0; i < bytes; i += 8) {
    a = crc_8(a, data + i);
    b = crc_8(b, data + i + bytes);
    c = crc_8(c, data + i + 2 * bytes);
  }
  return crc_word(times(a, power_2) ^ times(b, power_1)) ^ c;
}

ARM uint32_t crc32c_arm(uint32_t state, const uint8_t *data, size_t length) {
  for (; length >= 3 * LONG; data += 3 * LONG, length -= 3 * LONG) {
    state = three_streams(state, data, LONG, long_1, long_2);
  }
  for (; length >= 3 * SHORT; data += 3 * SHORT, length -= 3 * SHORT) {
    state = three_streams(state, data, SHORT, short_1, short_2);
  }
  for (; length >= 8; data += 8, length -= 8) state = crc_8(state, data);
  while (length-- > 0) state = crc_1(state, *data++);
  return state;
}

#endif

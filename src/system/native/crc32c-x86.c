/*
 * CRC-32C on x86-64.
 *
 * The crc32 instruction takes 8 bytes and has its result three cycles later, so three streams keep it busy. What a
 * stream found is moved behind the next one's bytes by a multiplication with a power of x: with `a` and `b`
 * bit-reflected, the register of clmul(a, b) holds a*b*x, and crc32 over it multiplies by x^32 and reduces, hence
 * the power 8n - 33 for n bytes.
 */
#if defined(__x86_64__)

#include "crc32c.h"

#include <cpuid.h>
#include <immintrin.h>
#include <string.h>

#if defined(__clang__) && __clang_major__ >= 14
#define SSE42_FEATURES "sse4.2,crc32,pclmul"
#else
#define SSE42_FEATURES "sse4.2,pclmul"
#endif
#define SSE42 __attribute__((target(SSE42_FEATURES)))
#define VPCLMUL __attribute__((target("avx2,vpclmulqdq," SSE42_FEATURES)))

/* Bytes per stream. */
#define LONG 1024
#define SHORT 128

static uint32_t long_1, long_2, short_1, short_2;

static int has(unsigned leaf, int in_ecx_or_ebx, unsigned bits) {
  unsigned eax, ebx, ecx, edx;
  if (!__get_cpuid_count(leaf, 0, &eax, &ebx, &ecx, &edx)) return 0;
  return ((in_ecx_or_ebx == 'c' ? ecx : ebx) & bits) == bits;
}

int crc32c_sse42_available(void) {
  long_1 = crc32c_power(8 * LONG - 33);
  long_2 = crc32c_power(16 * LONG - 33);
  short_1 = crc32c_power(8 * SHORT - 33);
  short_2 = crc32c_power(16 * SHORT - 33);
  return has(1, 'c', bit_SSE4_2 | bit_PCLMUL);
}

SSE42 static inline uint64_t load(const uint8_t *data) {
  uint64_t word;
  memcpy(&word, data, 8);
  return word;
}

/* The product of a register and a power of x, yet to be reduced by crc32. */
SSE42 static inline uint64_t times(uint32_t state, uint32_t power) {
  __m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128((int)state), _mm_cvtsi32_si128((int)power), 0);
  return (uint64_t)_mm_cvtsi128_si64(product);
}

SSE42 static inline uint32_t three_streams(uint32_t state, const uint8_t *data, size_t bytes, uint32_t power_1,
                                           uint32_t power_2) {
  uint64_t a = state, b = 0, c = 0;
  for (size_t i = 0; i < bytes; i += 8) {
    a = _mm_crc32_u64(a, load(data + i));
    b = _mm_crc32_u64(b, load(data + i + bytes));
    c = _mm_crc32_u64(c, load(data + i + 2 * bytes));
  }
  uint64_t moved = times((uint32_t)a, power_2) ^ times((uint32_t)b, power_1);
  return (uint32_t)_mm_crc32_u64(0, moved) ^ (uint32_t)c;
}

SSE42 static inline uint32_t one_stream(uint32_t state, const uint8_t *data, size_t length) {
  uint64_t wide = state;
  for (; length >= 8; data += 8, length -= 8) wide = _mm_crc32_u64(wide, load(data));
  state = (uint32_t)wide;
  while (length-- > 0) state = _mm_crc32_u8(state, *data++);
  return state;
}

SSE42 uint32_t crc32c_sse42(uint32_t state, const uint8_t *data, size_t length) {
  for (; length >= 3 * LONG; data += 3 * LONG, length -= 3 * LONG) {
    state = three_streams(state, data, LONG, long_1, long_2);
  }
  for (; length >= 3 * SHORT; data += 3 * SHORT, length -= 3 * SHORT) {
    state = three_streams(state, data, SHORT, short_1, short_2);
  }
  return one_stream(state, data, length);
}

/*
 * Folding: a 128-bit lane is moved over the next D bits by two multiplications, its halves by x^(D+31) and x^(D-33)
 * (the register of a product holds a*b*x^33 when `b` has 32 bits), and added to the lane it lands on. The crc32
 * instruction does not share a port with the multiplication, so both work at once: of each stretch of the data, the
 * first part is folded while three streams work through the rest.
 */
#define ACCUMULATORS 4
#define FOLDED (32 * ACCUMULATORS)
/* Bytes that each stream does beside one round of folding. */
#define STREAMED 40
#define ROUND (FOLDED + 3 * STREAMED)
#define MIN_ROUNDS 3
#define MAX_ROUNDS 128

static uint32_t fold_powers[3][2];
/* Distances in bits: over all accumulators, over one of them, over one lane. */
static const uint32_t fold_distances[3] = {8 * FOLDED, 256, 128};
/* For n rounds: over one stream, two and three. */
static uint32_t stream_powers[MAX_ROUNDS + 1][3];

SSE42 static void prepare_stream_powers(void) {
  for (uint32_t streams = 1; streams <= 3; streams++) {
    uint32_t one_round = crc32c_power(8 * STREAMED * streams - 33);
    uint32_t power = one_round;
    for (int rounds = 1; rounds <= MAX_ROUNDS; rounds++) {
      stream_powers[rounds][streams - 1] = power;
      power = (uint32_t)_mm_crc32_u64(0, times(power, one_round));
    }
  }
}

int crc32c_vpclmul_available(void) {
  if (!has(1, 'c', bit_SSE4_2 | bit_PCLMUL | bit_OSXSAVE | bit_AVX)) return 0;
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & 6) != 6 || !has(7, 'b', bit_AVX2) || !has(7, 'c', 1u << 10)) return 0;
  for (int i = 0; i < 3; i++) {
    fold_powers[i][0] = crc32c_power(fold_distances[i] + 31);
    fold_powers[i][1] = crc32c_power(fold_distances[i] - 33);
  }
  prepare_stream_powers();
  return 1;
}

VPCLMUL static inline __m256i load_256(const uint8_t *data) { return _mm256_loadu_si256((const __m256i *)data); }

VPCLMUL static inline __m256i powers_256(int which) {
  return _mm256_set_epi64x(fold_powers[which][1], fold_powers[which][0], fold_powers[which][1],
                           fold_powers[which][0]);
}

VPCLMUL static inline __m256i fold_256(__m256i lanes, __m256i powers, __m256i onto) {
  __m256i low = _mm256_clmulepi64_epi128(lanes, powers, 0x00);
  __m256i high = _mm256_clmulepi64_epi128(lanes, powers, 0x11);
  return _mm256_xor_si256(_mm256_xor_si256(low, high), onto);
}

/* All accumulators to one register. */
VPCLMUL static inline uint32_t reduce(__m256i *lanes) {
  __m256i powers = powers_256(1);
  for (int i = 1; i < ACCUMULATORS; i++) lanes[i] = fold_256(lanes[i - 1], powers, lanes[i]);
  __m256i last = lanes[ACCUMULATORS - 1];
  __m128i first = _mm256_castsi256_si128(last);
  __m128i power = _mm_set_epi64x(fold_powers[2][1], fold_powers[2][0]);
  __m128i lane = _mm_xor_si128(_mm_clmulepi64_si128(first, power, 0x00), _mm_clmulepi64_si128(first, power, 0x11));
  lane = _mm_xor_si128(lane, _mm256_extracti128_si256(last, 1));
  uint64_t reduced = _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(lane));
  return (uint32_t)_mm_crc32_u64(reduced, (uint64_t)_mm_extract_epi64(lane, 1));
}

/* FOLDED bytes and `rounds` times ROUND. */
VPCLMUL static inline uint32_t fold_and_stream(uint32_t state, const uint8_t *data, size_t rounds) {
  const uint8_t *streamed = data + FOLDED * (rounds + 1);
  size_t bytes = STREAMED * rounds;
  uint64_t a = 0, b = 0, c = 0;
  __m256i lanes[ACCUMULATORS];
  for (int i = 0; i < ACCUMULATORS; i++) lanes[i] = load_256(data + 32 * i);
  lanes[0] = _mm256_xor_si256(lanes[0], _mm256_set_epi32(0, 0, 0, 0, 0, 0, 0, (int)state));
  __m256i powers = powers_256(0);
  for (size_t round = 0; round < rounds; round++) {
    data += FOLDED;
    for (int i = 0; i < ACCUMULATORS; i++) lanes[i] = fold_256(lanes[i], powers, load_256(data + 32 * i));
    for (int i = 0; i < STREAMED; i += 8) {
      a = _mm_crc32_u64(a, load(streamed + i));
      b = _mm_crc32_u64(b, load(streamed + i + bytes));
      c = _mm_crc32_u64(c, load(streamed + i + 2 * bytes));
    }
    streamed += STREAMED;
  }
  const uint32_t *power = stream_powers[rounds];
  uint64_t moved = times(reduce(lanes), power[2]) ^ times((uint32_t)a, power[1]) ^ times((uint32_t)b, power[0]);
  return (uint32_t)_mm_crc32_u64(0, moved) ^ (uint32_t)c;
}

VPCLMUL uint32_t crc32c_vpclmul(uint32_t state, const uint8_t *data, size_t length) {
  while (length >= FOLDED + MIN_ROUNDS * ROUND) {
    size_t rounds = (length - FOLDED) / ROUND;
    if (rounds > MAX_ROUNDS) rounds = MAX_ROUNDS;
    state = fold_and_stream(state, data, rounds);
    data += FOLDED + rounds * ROUND, length -= FOLDED + rounds * ROUND;
  }
  return crc32c_sse42(state, data, length);
}

#endif

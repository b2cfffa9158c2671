#include "decode.h"

#include <string.h>

#define BAD (-1)
/* What is copied at once where there is room for it. */
#define STRIDE 16

static inline uint32_t read_le16(const uint8_t *at) { return (uint32_t)at[0] | (uint32_t)at[1] << 8; }
static inline uint32_t read_le32(const uint8_t *at) { return read_le16(at) | read_le16(at + 2) << 16; }
static inline uint32_t read_be32(const uint8_t *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* There are `left` bytes to read, `length` of them at least. May write up to STRIDE - 1 bytes too many. */
static inline void copy_literals(uint8_t *out, const uint8_t *in, size_t length, size_t left) {
  if (left < length + STRIDE) {
    memcpy(out, in, length);
    return;
  }
  for (size_t at = 0; at < length; at += STRIDE) memcpy(out + at, in + at, STRIDE);
}

/* What was written `distance` bytes before, which may be what this writes. May write up to STRIDE - 1 bytes too many. */
static inline void copy_match(uint8_t *out, size_t distance, size_t length) {
  const uint8_t *from = out - distance;
  if (distance >= STRIDE) {
    for (size_t at = 0; at < length; at += STRIDE) memcpy(out + at, from + at, STRIDE);
    return;
  }
  /* The stretch that repeats doubles each time. */
  while (length > distance) {
    memcpy(out, from, distance);
    out += distance;
    length -= distance;
    distance *= 2;
  }
  memcpy(out, from, length);
}

/* A length that goes on in further bytes. 0 where they are not there. */
static inline int lz4_length(const uint8_t **in, const uint8_t *end, size_t *length) {
  uint8_t more;
  do {
    if (*in == end) return 0;
    more = *(*in)++;
    *length += more;
  } while (more == 255);
  return 1;
}

int64_t lz4_block(const uint8_t *in, size_t length, uint8_t *out, size_t room) {
  const uint8_t *const end = in + length;
  uint8_t *const start = out, *const out_end = out + room;
  while (in < end) {
    const unsigned token = *in++;
    size_t literals = token >> 4, match = (token & 15) + 4;
    if (literals == 15 && !lz4_length(&in, end, &literals)) return BAD;
    if (literals > (size_t)(end - in) || literals > (size_t)(out_end - out)) return BAD;
    copy_literals(out, in, literals, (size_t)(end - in));
    in += literals;
    out += literals;
    if (in == end) return out - start;
    if (end - in < 2) return BAD;
    const size_t distance = read_le16(in);
    in += 2;
    if (match == 19 && !lz4_length(&in, end, &match)) return BAD;
    if (distance == 0 || distance > (size_t)(out - start) || match > (size_t)(out_end - out)) return BAD;
    copy_match(out, distance, match);
    out += match;
  }
  /* Nothing, or a match at the end, where there are literals always. */
  return BAD;
}

int64_t snappy_block(const uint8_t *in, size_t length, uint8_t *out, size_t room) {
  const uint8_t *const end = in + length;
  uint8_t *const start = out;
  size_t claimed = 0;
  for (unsigned shift = 0;; shift += 7) {
    if (in == end || shift > 21) return BAD;
    claimed |= (size_t)(*in & 0x7f) << shift;
    if (*in++ < 0x80) break;
  }
  if (claimed > room) return BAD;
  uint8_t *const out_end = out + claimed;
  while (in < end) {
    const unsigned tag = *in++;
    const size_t left = (size_t)(end - in);
    size_t bytes = (tag >> 2) + 1, distance;
    if ((tag & 3) == 0) {
      if (bytes > 60) {
        const size_t more = bytes - 60;
        if (more > left) return BAD;
        bytes = 0;
        for (size_t i = 0; i < more; i++) bytes |= (size_t)in[i] << 8 * i;
        bytes += 1;
        in += more;
      }
      if (bytes > (size_t)(end - in) || bytes > (size_t)(out_end - out)) return BAD;
      copy_literals(out, in, bytes, (size_t)(end - in));
      in += bytes;
      out += bytes;
      continue;
    }
    const size_t head = (tag & 3) == 3 ? 4 : tag & 3;
    if (head > left) return BAD;
    if (head == 1) {
      bytes = 4 + (tag >> 2 & 7);
      distance = (size_t)(tag >> 5) << 8 | *in;
    } else {
      distance = head == 2 ? read_le16(in) : read_le32(in);
    }
    in += head;
    if (distance == 0 || distance > (size_t)(out - start) || bytes > (size_t)(out_end - out)) return BAD;
    copy_match(out, distance, bytes);
    out += bytes;
  }
  return out == out_end ? (int64_t)claimed : BAD;
}

#define ROTATE(value, by) ((value) << (by) | (value) >> (32 - (by)))
#define PRIME_2 0x85ebca77u
#define PRIME_3 0xc2b2ae3du
#define PRIME_4 0x27d4eb2fu
#define PRIME_5 0x165667b1u
#define PRIME_1 0x9e3779b1u

/* xxHash-32 of fewer than 16 bytes, seed 0. */
static uint32_t short_xxhash(const uint8_t *data, size_t length) {
  uint32_t hash = PRIME_5 + (uint32_t)length;
  for (; length >= 4; data += 4, length -= 4) {
    hash += read_le32(data) * PRIME_3;
    hash = ROTATE(hash, 17) * PRIME_4;
  }
  for (; length > 0; data++, length--) {
    hash += *data * PRIME_5;
    hash = ROTATE(hash, 11) * PRIME_1;
  }
  hash = (hash ^ hash >> 15) * PRIME_2;
  hash = (hash ^ hash >> 13) * PRIME_3;
  return hash ^ hash >> 16;
}

#define LZ4_MAGIC 0x184d2204u
#define LZ4_PLAIN 0x80000000u

int64_t lz4_frame(const uint8_t *in, size_t length, uint8_t *out, size_t room) {
  if (length < 7 || read_le32(in) != LZ4_MAGIC) return BAD;
  const uint8_t *const end = in + length;
  const unsigned flags = in[4], sizes = in[5];
  /* Version 1, blocks that do not depend on each other, without checksums of their own. What ends the frame is not looked at. */
  if ((flags & 0xf3) != 0x60 || (sizes & 0x8f) != 0 || sizes >> 4 < 4) return BAD;
  const size_t most = (size_t)1 << (8 + 2 * (sizes >> 4));
  const size_t header = flags & 0x08 ? 10 : 2;
  if (length < 4 + header + 1 || in[4 + header] != (short_xxhash(in + 4, header) >> 8 & 0xff)) return BAD;
  in += 4 + header + 1;
  uint8_t *const start = out;
  for (;;) {
    if (end - in < 4) return BAD;
    const uint32_t word = read_le32(in);
    const size_t bytes = word & ~LZ4_PLAIN, left = room - (size_t)(out - start);
    in += 4;
    if (word == 0) return out - start;
    if (bytes > most || bytes > (size_t)(end - in)) return BAD;
    if (word & LZ4_PLAIN) {
      if (bytes > left) return BAD;
      memcpy(out, in, bytes);
      out += bytes;
    } else {
      const int64_t decoded = lz4_block(in, bytes, out, left < most ? left : most);
      if (decoded < 0) return BAD;
      out += decoded;
    }
    in += bytes;
  }
}

static const uint8_t xerial_magic[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};
#define XERIAL_HEADER 16

int64_t snappy_stream(const uint8_t *in, size_t length, uint8_t *out, size_t room) {
  if (length < XERIAL_HEADER || memcmp(in, xerial_magic, sizeof xerial_magic) != 0)
    return snappy_block(in, length, out, room);
  const uint8_t *const end = in + length;
  uint8_t *const start = out;
  for (in += XERIAL_HEADER; in < end;) {
    if (end - in < 4) return BAD;
    const uint32_t bytes = read_be32(in);
    in += 4;
    if (bytes == 0 || bytes > (size_t)(end - in)) return BAD;
    const int64_t decoded = snappy_block(in, bytes, out, room - (size_t)(out - start));
    if (decoded < 0) return BAD;
    in += bytes;
    out += decoded;
  }
  return out - start;
}

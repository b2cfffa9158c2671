/*
 * Blocks of lz4 and of snappy, decoded into memory that is there: libraries for Node.js give memory of their own for
 * each, which costs more than the decoding. Stricter than they are where formats leave room: what these refuse is for others
 * to decode or to refuse.
 */
#ifndef SAMSA_DECODE_H
#define SAMSA_DECODE_H

#include <stddef.h>
#include <stdint.h>

/* So many bytes behind the room may be written over. */
#define DECODE_SLACK 64

/* Bytes of output, at most `room`; -1 for a block that is not good, or becomes longer. */
int64_t lz4_block(const uint8_t *in, size_t length, uint8_t *out, size_t room);
int64_t snappy_block(const uint8_t *in, size_t length, uint8_t *out, size_t room);

/* All blocks of an lz4 frame; of what clients send as snappy, with or without snappy-java's framing. */
int64_t lz4_frame(const uint8_t *in, size_t length, uint8_t *out, size_t room);
int64_t snappy_stream(const uint8_t *in, size_t length, uint8_t *out, size_t room);

#endif

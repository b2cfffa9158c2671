/*
 * What the records of a batch have in common, when all of them are as they should be; nothing of any that are not, for
 * JavaScript finds out what is wrong with them. So this may be stricter than that, and never laxer.
 */
#include "summary.h"

#include "decode.h"

#include <stdlib.h>

/* The codecs' numbers in a batch's attributes. */
enum codec { PLAIN = 0, GZIP = 1, SNAPPY = 2, LZ4 = 3, ZSTD = 4 };

/* What is longer is looked at in pieces. Touched, and so in memory, only as far as something was decoded. */
#define SCRATCH_BYTES (8 << 20)

/* zlib's, which has not changed since 1995; it checks the size. */
struct z_stream {
  const uint8_t *next_in;
  unsigned avail_in;
  unsigned long total_in;
  uint8_t *next_out;
  unsigned avail_out;
  unsigned long total_out;
  const char *msg;
  void *state;
  void *(*allocate)(void *, unsigned, unsigned);
  void (*release)(void *, void *);
  void *opaque;
  int data_type;
  unsigned long adler, reserved;
};
#define Z_FINISH 4
#define Z_STREAM_END 1
#define WITH_GZIP_HEADER (15 + 16)

/* Node.js has them inside and shows them to addons: zlib always, zstd since 22.15. NULL where they are not. */
#define FROM_NODE __attribute__((weak, visibility("default"))) extern
FROM_NODE int inflateInit2_(struct z_stream *stream, int bits, const char *version, int size);
FROM_NODE int inflate(struct z_stream *stream, int flush);
FROM_NODE int inflateReset(struct z_stream *stream);
FROM_NODE int inflateEnd(struct z_stream *stream);
FROM_NODE const char *zlibVersion(void);
FROM_NODE void *ZSTD_createDCtx(void);
FROM_NODE size_t ZSTD_freeDCtx(void *context);
FROM_NODE size_t ZSTD_decompressDCtx(void *context, void *out, size_t room, const void *in, size_t length);
FROM_NODE unsigned ZSTD_isError(size_t code);

/* Of one environment. */
struct decoders {
  uint8_t *scratch;
  struct z_stream gzip;
  int has_gzip;
  void *zstd;
};

static void release(napi_env env, void *data, void *hint) {
  (void)env, (void)hint;
  struct decoders *decoders = data;
  if (decoders->has_gzip) inflateEnd(&decoders->gzip);
  if (decoders->zstd != NULL) ZSTD_freeDCtx(decoders->zstd);
  free(decoders->scratch);
  free(decoders);
}

int summary_prepare(napi_env env) {
  struct decoders *decoders = calloc(1, sizeof *decoders);
  if (decoders == NULL) return 0;
  if (napi_set_instance_data(env, decoders, release, NULL) == napi_ok) return 1;
  free(decoders);
  return 0;
}

#define HAS_GZIP \
  (inflateInit2_ != NULL && inflate != NULL && inflateReset != NULL && inflateEnd != NULL && zlibVersion != NULL)
#define HAS_ZSTD \
  (ZSTD_createDCtx != NULL && ZSTD_freeDCtx != NULL && ZSTD_decompressDCtx != NULL && ZSTD_isError != NULL)

static int can_decode(uint32_t codec) {
  if (codec == GZIP) return HAS_GZIP;
  return codec == ZSTD ? HAS_ZSTD : codec <= LZ4;
}

/* Each decodes into the scratch memory, and gives -1 for what it cannot. */
static int64_t gunzip(struct decoders *decoders, const struct bytes *in, size_t room) {
  struct z_stream *stream = &decoders->gzip;
  if (!decoders->has_gzip) {
    if (inflateInit2_(stream, WITH_GZIP_HEADER, zlibVersion(), (int)sizeof *stream) != 0) return -1;
    decoders->has_gzip = 1;
  }
  if (inflateReset(stream) != 0) return -1;
  stream->next_in = in->data;
  stream->avail_in = (unsigned)in->length;
  stream->next_out = decoders->scratch;
  stream->avail_out = (unsigned)room;
  if (inflate(stream, Z_FINISH) != Z_STREAM_END || stream->avail_in != 0) return -1;
  return (int64_t)(room - stream->avail_out);
}

/* Of one frame, whose header was looked at. */
static int64_t unzstd(struct decoders *decoders, const struct bytes *in, size_t room) {
  if (decoders->zstd == NULL) decoders->zstd = ZSTD_createDCtx();
  if (decoders->zstd == NULL) return -1;
  const size_t bytes = ZSTD_decompressDCtx(decoders->zstd, decoders->scratch, room, in->data, in->length);
  return ZSTD_isError(bytes) ? -1 : (int64_t)bytes;
}

static int64_t decode(struct decoders *decoders, uint32_t codec, const struct bytes *in, size_t room) {
  if (decoders->scratch == NULL) decoders->scratch = malloc(SCRATCH_BYTES + DECODE_SLACK);
  if (decoders->scratch == NULL) return -1;
  switch (codec) {
    case GZIP:
      return gunzip(decoders, in, room);
    case SNAPPY:
      return snappy_stream(in->data, in->length, decoders->scratch, room);
    case LZ4:
      return lz4_frame(in->data, in->length, decoders->scratch, room);
    case ZSTD:
      return unzstd(decoders, in, room);
    default:
      return -1;
  }
}

/* 0 where the bytes end before the number, or it has more than 32 bits. */
static inline int read_varint(const uint8_t **at, const uint8_t *end, int32_t *into) {
  uint32_t raw = 0;
  for (unsigned shift = 0; shift < 35; shift += 7) {
    if (*at == end) return 0;
    const uint8_t byte = *(*at)++;
    if (shift == 28 && byte > 0x0f) return 0;
    raw |= (uint32_t)(byte & 0x7f) << shift;
    if (byte < 0x80) {
      *into = (int32_t)(raw >> 1 ^ -(raw & 1));
      return 1;
    }
  }
  return 0;
}

/* Up to 7 bytes, which a number of JavaScript's holds exactly. */
static inline int read_exact_varlong(const uint8_t **at, const uint8_t *end, int64_t *into) {
  uint64_t raw = 0;
  for (unsigned shift = 0; shift < 49; shift += 7) {
    if (*at == end) return 0;
    const uint8_t byte = *(*at)++;
    raw |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) {
      *into = (int64_t)(raw >> 1 ^ -(raw & 1));
      return 1;
    }
  }
  return 0;
}

/* Steps over so many bytes; what is below 0 stands for null, and is of none. */
static inline int skip(const uint8_t **at, const uint8_t *end, int32_t length) {
  if (length <= 0) return 1;
  if (length > end - *at) return 0;
  *at += length;
  return 1;
}

struct summary {
  int64_t min_delta;
  int64_t max_delta;
  int has_keyless;
};

static inline int read_record(const uint8_t *at, const uint8_t *end, int32_t index, struct summary *found) {
  int32_t offset_delta, key, value, headers;
  int64_t delta;
  if (at == end) return 0;
  at++;
  if (!read_exact_varlong(&at, end, &delta) || !read_varint(&at, end, &offset_delta) || offset_delta != index) return 0;
  if (delta < found->min_delta) found->min_delta = delta;
  if (delta > found->max_delta) found->max_delta = delta;
  if (!read_varint(&at, end, &key) || !skip(&at, end, key)) return 0;
  found->has_keyless |= key < 0;
  if (!read_varint(&at, end, &value) || !skip(&at, end, value)) return 0;
  if (!read_varint(&at, end, &headers) || headers < 0) return 0;
  for (; headers > 0; headers--) {
    if (!read_varint(&at, end, &key) || key < 0 || !skip(&at, end, key)) return 0;
    if (!read_varint(&at, end, &value) || !skip(&at, end, value)) return 0;
  }
  return at == end;
}

static int read_records(const uint8_t *at, const uint8_t *end, int32_t count, struct summary *found) {
  for (int32_t index = 0; index < count; index++) {
    int32_t length;
    if (!read_varint(&at, end, &length) || length < 0 || length > end - at) return 0;
    if (!read_record(at, at + length, index, found)) return 0;
    at += length;
  }
  return at == end;
}

static int get_summary(napi_env env, napi_value value, double **into) {
  napi_typedarray_type type;
  size_t length;
  void *data;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, NULL, NULL) != napi_ok || type != napi_float64_array ||
      length < 3) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "a Float64Array of 3 is expected");
    return 0;
  }
  *into = data;
  return 1;
}

napi_value summarize(napi_env env, napi_callback_info info) {
  napi_value arguments[5], result = NULL;
  uint32_t codec, most;
  int32_t count;
  struct bytes in;
  double *into;
  void *decoders;
  if (!get_arguments(env, info, 5, arguments, NULL) || !get_uint32(env, arguments[0], &codec) ||
      !get_bytes(env, arguments[1], &in) || !get_int32(env, arguments[2], &count) ||
      !get_uint32(env, arguments[3], &most) || !get_summary(env, arguments[4], &into) ||
      napi_get_instance_data(env, &decoders) != napi_ok) {
    return NULL;
  }
  if (!can_decode(codec)) {
    napi_get_null(env, &result);
    return result;
  }
  struct summary found = {INT64_MAX, INT64_MIN, 0};
  const uint8_t *body = in.data;
  int64_t bytes = (int64_t)in.length;
  if (codec != PLAIN) {
    bytes = in.length > UINT32_MAX ? -1 : decode(decoders, codec, &in, most < SCRATCH_BYTES ? most : SCRATCH_BYTES);
    body = ((struct decoders *)decoders)->scratch;
  }
  const int good = bytes >= 0 && count > 0 && read_records(body, body + bytes, count, &found);
  if (good) {
    into[0] = (double)found.min_delta;
    into[1] = (double)found.max_delta;
    into[2] = found.has_keyless;
  }
  napi_get_boolean(env, good, &result);
  return result;
}

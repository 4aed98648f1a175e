/** Reads and writes integers in file formats, least significant byte first, at any address. */
#ifndef RN_DATA_FILE_LITTLE_ENDIAN_H
#define RN_DATA_FILE_LITTLE_ENDIAN_H

#include <stdint.h>

/** Writes `count` bytes, 1 to 8, of a value. */
static inline void rn_put_bytes(unsigned char *to, uint64_t value, int count) {
  for (int i = 0; i < count; i++) to[i] = (unsigned char)(value >> 8 * i);
}

/** Reads a value of `count` bytes, 1 to 8. */
static inline uint64_t rn_get_bytes(const unsigned char *from, int count) {
  uint64_t value = 0;
  for (int i = 0; i < count; i++) value |= (uint64_t)from[i] << 8 * i;
  return value;
}

/** Writes a value of 4 bytes. */
static inline void rn_put_u32(unsigned char *to, uint32_t value) {
  rn_put_bytes(to, value, 4);
}

/** Writes a value of 8 bytes. */
static inline void rn_put_u64(unsigned char *to, uint64_t value) {
  rn_put_bytes(to, value, 8);
}

/** Reads a value of 4 bytes. */
static inline uint32_t rn_get_u32(const unsigned char *from) {
  return (uint32_t)rn_get_bytes(from, 4);
}

/** Reads a value of 8 bytes. */
static inline uint64_t rn_get_u64(const unsigned char *from) {
  return rn_get_bytes(from, 8);
}

#endif

#include "data/file/crc32c.h"

/* CRC remainders of the 16 values of four bits. */
static const uint32_t remainder_of[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};

uint32_t rn_crc32c(const void *data, size_t bytes) {
  const unsigned char *at = data;
  uint32_t crc = ~UINT32_C(0);
  for (size_t i = 0; i < bytes; i++) {
    crc ^= at[i];
    for (int half = 0; half < 2; half++) crc = crc >> 4 ^ remainder_of[crc & 15];
  }
  return ~crc;
}

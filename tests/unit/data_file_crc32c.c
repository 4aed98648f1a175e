/* Checks CRC-32C against the values of RFC 3720, appendix B.4, and the check value of CRC
 * catalogues. */
#include "data/file/crc32c.h"

#include <string.h>

#include "tests/support/check.h"

int main(void) {
  unsigned char bytes[32];
  memset(bytes, 0x00, sizeof bytes);
  CHECK_EQUAL(rn_crc32c(bytes, sizeof bytes), 0x8a9136aa);
  memset(bytes, 0xff, sizeof bytes);
  CHECK_EQUAL(rn_crc32c(bytes, sizeof bytes), 0x62a8ab43);
  for (int i = 0; i < 32; i++) bytes[i] = (unsigned char)i;
  CHECK_EQUAL(rn_crc32c(bytes, sizeof bytes), 0x46dd794e);
  for (int i = 0; i < 32; i++) bytes[i] = (unsigned char)(31 - i);
  CHECK_EQUAL(rn_crc32c(bytes, sizeof bytes), 0x113fdb5c);
  CHECK_EQUAL(rn_crc32c("123456789", 9), 0xe3069283);
  CHECK_EQUAL(rn_crc32c("", 0), 0);
  return check_result();
}

/** CRC-32C (Castagnoli), which the formats of other programs use. Our formats use XXH3. */
#ifndef RN_DATA_FILE_CRC32C_H
#define RN_DATA_FILE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/**
 * Returns the checksum of `bytes` bytes: reflected polynomial 0x82f63b78, initial and final values
 * inverted.
 *
 * Source: RFC 3720, appendix B.4, which has test vectors.
 */
uint32_t rn_crc32c(const void *data, size_t bytes);

#endif

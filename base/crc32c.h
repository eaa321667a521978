#ifndef ZK_BASE_CRC32C_H
#define ZK_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * CRC-32C (Castagnoli; RFC 3720, appendix B.4).  Start with crc = 0; feed the
 * result back in to continue.  Any thread.
 */
uint32_t zk_crc32c(uint32_t crc, const void *data, size_t len);

/* Its twins, for the test that compares them: a table's, and three lanes'. */
uint32_t zk_crc32c_portable(uint32_t crc, const void *data, size_t len);
uint32_t zk_crc32c_narrow(uint32_t crc, const void *data, size_t len);

#endif

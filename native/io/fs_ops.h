// File-system calls that Node does not offer.
#pragma once

#include <cstdint>
#include <string>

#include "status.h"

namespace ckpt {

enum class RenameHow { noreplace, exchange };

// renameat2(2) (renamex_np on macOS). Fails with EINVAL, ENOSYS or ENOTSUP where the file system lacks the
// flag.
Status rename_with(const std::string& from, const std::string& to, RenameHow how);

// The type of the file system that holds `path`: 'ext4', 'nfs', ... or its number in hexadecimal.
Status file_system_type(const std::string& path, std::string* type);

// Flushes a file and drops its pages from the page cache.
Status evict(const std::string& path);

// CRC32C of `length` bytes from `offset`.
Status crc32c_file(const std::string& path, std::uint64_t offset, std::uint64_t length, std::uint32_t* crc);

}  // namespace ckpt

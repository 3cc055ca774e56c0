#include "fs_ops.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#if defined(__linux__)
#include <sys/syscall.h>
#include <sys/vfs.h>
#else
#include <sys/mount.h>
#include <sys/param.h>
#endif

#include "buffer.h"
#include "crc32c.h"
#include "input.h"

namespace ckpt {

Status rename_with(const std::string& from, const std::string& to, RenameHow how) {
#if defined(__linux__)
  // By number: older libcs have the flags but not the function.
  constexpr unsigned kNoReplace = 1;
  constexpr unsigned kExchange = 2;
  const unsigned flags = how == RenameHow::noreplace ? kNoReplace : kExchange;
  const long result = syscall(SYS_renameat2, AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags);
#elif defined(__APPLE__)
  const int result = renamex_np(from.c_str(), to.c_str(), how == RenameHow::noreplace ? RENAME_EXCL : RENAME_SWAP);
#else
  long result = -1;
  errno = ENOSYS;
#endif
  if (result != 0) return system_failure("rename", errno, "cannot rename");
  return {};
}

#if defined(__linux__)

namespace {

struct TypeName {
  std::uint32_t number;
  const char* name;
};

// From linux/magic.h and the file systems' own sources.
constexpr TypeName kTypes[] = {
    {0xef53, "ext4"},       {0x58465342, "xfs"},    {0x9123683e, "btrfs"},  {0x01021994, "tmpfs"},   {0x858458f6, "ramfs"},
    {0x794c7630, "overlay"}, {0x6969, "nfs"},        {0x0bd00bd0, "lustre"}, {0x47504653, "gpfs"},    {0xff534d42, "cifs"},
    {0xfe534d42, "smb2"},   {0x517b, "smb"},        {0x00c36400, "ceph"},   {0x19830326, "beegfs"},  {0x65735546, "fuse"},
    {0x01021997, "9p"},     {0xf2f52010, "f2fs"},   {0x2fc12fc1, "zfs"},    {0x4d44, "vfat"},        {0x2011bab0, "exfat"},
    {0x5346544e, "ntfs"},   {0x7366746e, "ntfs3"},  {0x73717368, "squashfs"}, {0xca451a4e, "bcachefs"}, {0x5346414f, "afs"},
    {0x6a656a63, "virtiofs"}, {0x7461636f, "ocfs2"}, {0x01161970, "gfs2"},
};

}  // namespace

Status file_system_type(const std::string& path, std::string* type) {
  struct statfs found;
  if (statfs(path.c_str(), &found) != 0) return system_failure("statfs", errno, "cannot stat the file system");
  const auto number = static_cast<std::uint32_t>(found.f_type);
  for (const TypeName& known : kTypes) {
    if (known.number == number) {
      *type = known.name;
      return {};
    }
  }
  char text[16];
  snprintf(text, sizeof text, "0x%x", number);
  *type = text;
  return {};
}

#else

Status file_system_type(const std::string& path, std::string* type) {
  struct statfs found;
  if (statfs(path.c_str(), &found) != 0) return system_failure("statfs", errno, "cannot stat the file system");
  *type = found.f_fstypename;
  return {};
}

#endif

Status evict(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return system_failure("open", errno, "cannot open the file");
  Status status;
  if (fsync(fd) != 0 && errno != EINVAL && errno != EROFS) status = system_failure("fsync", errno, "cannot flush the file");
#if defined(POSIX_FADV_DONTNEED)
  if (status.ok()) {
    const int error = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    if (error != 0) status = system_failure("posix_fadvise", error, "cannot drop the file's pages");
  }
#endif
  close(fd);
  return status;
}

Status crc32c_file(const std::string& path, std::uint64_t offset, std::uint64_t length, std::uint32_t* crc) {
  constexpr std::size_t kPiece = std::size_t{1} << 20;
  std::shared_ptr<Input> input;
  Status status = Input::open(path, InputMode::read, &input);
  if (!status.ok()) return status;
  Buffer buffer;
  if (!buffer.reserve(kPiece)) return failure(Code::no_memory, "no memory to read the file");
  std::uint32_t sum = 0;
  while (length != 0) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, length));
    status = input->read(offset, buffer.data(), size);
    if (!status.ok()) return status;
    sum = crc32c(sum, buffer.data(), size);
    offset += size;
    length -= size;
  }
  *crc = sum;
  return {};
}

}  // namespace ckpt

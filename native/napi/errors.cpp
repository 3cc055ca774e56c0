#include "errors.h"

#include <cstring>
#include <string>

namespace ckpt {
namespace {

// In the order of enum class Code.
constexpr const char* kCodes[] = {"", "E_IO", "E_NO_SPACE", "E_NO_MEMORY", "E_INPUT_CHANGED", "E_TOO_MANY_FILES", "E_CANCELLED", "E_INVALID_ARG",
                                  "E_INTERNAL"};

struct ErrnoName {
  int number;
  const char* name;
};

#define CKPT_ERRNO(name) \
  { name, #name }
constexpr ErrnoName kErrnoNames[] = {
    CKPT_ERRNO(EACCES),  CKPT_ERRNO(EAGAIN), CKPT_ERRNO(EBADF),   CKPT_ERRNO(EBUSY),        CKPT_ERRNO(EDQUOT),  CKPT_ERRNO(EEXIST),
    CKPT_ERRNO(EFAULT),  CKPT_ERRNO(EFBIG),  CKPT_ERRNO(EINTR),   CKPT_ERRNO(EINVAL),       CKPT_ERRNO(EIO),     CKPT_ERRNO(EISDIR),
    CKPT_ERRNO(ELOOP),   CKPT_ERRNO(EMFILE), CKPT_ERRNO(EMLINK),  CKPT_ERRNO(ENAMETOOLONG), CKPT_ERRNO(ENFILE),  CKPT_ERRNO(ENODEV),
    CKPT_ERRNO(ENOENT),  CKPT_ERRNO(ENOMEM), CKPT_ERRNO(ENOSPC),  CKPT_ERRNO(ENOSYS),       CKPT_ERRNO(ENOTDIR), CKPT_ERRNO(ENOTEMPTY),
    CKPT_ERRNO(ENOTSUP), CKPT_ERRNO(ENXIO),  CKPT_ERRNO(EPERM),   CKPT_ERRNO(EPIPE),        CKPT_ERRNO(EROFS),   CKPT_ERRNO(ESPIPE),
    CKPT_ERRNO(ESTALE),  CKPT_ERRNO(ETXTBSY), CKPT_ERRNO(EXDEV),  CKPT_ERRNO(ETIMEDOUT),    CKPT_ERRNO(ENOLCK),
};
#undef CKPT_ERRNO

std::string errno_name(int number) {
  for (const ErrnoName& known : kErrnoNames) {
    if (known.number == number) return known.name;
  }
  return "E" + std::to_string(number);
}

}  // namespace

Napi::Error to_error(Napi::Env env, const Status& status) {
  std::string message = status.message;
  if (status.error != 0) message += ": " + errno_name(status.error) + " (" + std::strerror(status.error) + ")";
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", kCodes[static_cast<int>(status.code)]);
  if (status.error != 0) error.Set("errno", errno_name(status.error));
  if (status.syscall != nullptr) error.Set("syscall", status.syscall);
  if (status.file >= 0) error.Set("fileIndex", Napi::Number::New(env, status.file));
  if (status.output >= 0) error.Set("outputIndex", Napi::Number::New(env, status.output));
  if (status.segment >= 0) error.Set("segment", Napi::Number::New(env, status.segment));
  return error;
}

void check(Napi::Env env, const Status& status) {
  if (!status.ok()) throw to_error(env, status);
}

void refuse(Napi::Env env, const char* message) { throw to_error(env, failure(Code::invalid_arg, message)); }

}  // namespace ckpt

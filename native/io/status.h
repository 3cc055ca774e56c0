// How the core reports failure: a reason and where, no strings built on worker threads, no exceptions between
// layers.
#pragma once

#include <cerrno>

namespace ckpt {

// In the order of the code names in native/napi/errors.cpp.
enum class Code { ok, io, no_space, no_memory, input_changed, too_many_files, cancelled, invalid_arg, internal };

struct Status {
  Code code = Code::ok;
  const char* message = "";        // static
  int error = 0;                   // errno, 0 where the system is not at fault
  const char* syscall = nullptr;   // static
  int file = -1;                   // index of the input at fault in the job
  int output = -1;                 // index of the output at fault in the job
  int segment = -1;

  bool ok() const { return code == Code::ok; }
};

inline Status failure(Code code, const char* message) {
  Status status;
  status.code = code;
  status.message = message;
  return status;
}

// A failed system call; errno decides the code.
inline Status system_failure(const char* syscall, int error, const char* message) {
  Code code = Code::io;
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) code = Code::no_space;
  if (error == EMFILE || error == ENFILE) code = Code::too_many_files;
  if (error == ENOMEM) code = Code::no_memory;
  Status status = failure(code, message);
  status.error = error;
  status.syscall = syscall;
  return status;
}

}  // namespace ckpt

// The whole test framework: CHECK counts failures and says where, `finish` turns them into an exit code.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

namespace ckpt_test {

inline int failures = 0;

inline void fail(const char* file, int line, const char* what, const std::string& detail = "") {
  std::printf("%s:%d: %s %s\n", file, line, what, detail.c_str());
  if (++failures >= 20) std::exit(1);
}

inline int finish(const char* name) {
  std::printf("%s: %s\n", name, failures == 0 ? "ok" : "FAILED");
  return failures == 0 ? 0 : 1;
}

}  // namespace ckpt_test

#define CHECK(condition) \
  do { \
    if (!(condition)) ckpt_test::fail(__FILE__, __LINE__, #condition); \
  } while (false)
#define CHECK_THAT(condition, detail) \
  do { \
    if (!(condition)) ckpt_test::fail(__FILE__, __LINE__, #condition, detail); \
  } while (false)

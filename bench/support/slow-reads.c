/*
 * Loaded before libc (LD_PRELOAD): each positioned read of a file waits as long as one from a server that is
 * SLOW_READS_MICROS away, and file systems say that they have room for anything, so that checkpoints of
 * terabytes that are nothing but holes can be planned with.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

static void wait_for_server(void) {
  static long micros = -1;
  if (micros < 0) {
    const char *text = getenv("SLOW_READS_MICROS");
    micros = text == NULL ? 0 : atol(text);
  }
  if (micros > 0) usleep((useconds_t)micros);
}

#define REAL(name) \
  static __typeof__(name) *real; \
  if (real == NULL) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t pread(int fd, void *to, size_t bytes, off_t at) {
  REAL(pread);
  wait_for_server();
  return real(fd, to, bytes, at);
}

ssize_t pread64(int fd, void *to, size_t bytes, off64_t at) {
  REAL(pread64);
  wait_for_server();
  return real(fd, to, bytes, at);
}

ssize_t preadv(int fd, const struct iovec *to, int count, off_t at) {
  REAL(preadv);
  wait_for_server();
  return real(fd, to, count, at);
}

ssize_t preadv64(int fd, const struct iovec *to, int count, off64_t at) {
  REAL(preadv64);
  wait_for_server();
  return real(fd, to, count, at);
}

int statfs(const char *path, struct statfs *found) {
  REAL(statfs);
  const int result = real(path, found);
  if (result == 0) found->f_bavail = found->f_bfree = found->f_blocks = (fsblkcnt_t)1 << 40;
  return result;
}

int statfs64(const char *path, struct statfs64 *found) {
  REAL(statfs64);
  const int result = real(path, found);
  if (result == 0) found->f_bavail = found->f_bfree = found->f_blocks = (fsblkcnt64_t)1 << 40;
  return result;
}

// Reads pieces of files with many requests in flight: what is far away takes no longer for many than for one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "input.h"
#include "status.h"

namespace ckpt {

struct PiecesFile {
  std::string path;  // to be opened and closed here, unless there is a descriptor
  int fd = -1;
  FileStat stat;     // found
};

struct FilePiece {
  std::size_t file = 0;
  std::uint64_t offset = 0;
  std::size_t length = 0;
  std::uint8_t* to = nullptr;
  std::size_t count = 0;  // found: bytes read, fewer than `length` only where the file ends
};

struct PiecesJob {
  std::vector<PiecesFile> files;
  std::vector<FilePiece> pieces;  // those of a file stand together
  std::size_t in_flight = 1;
  const std::int32_t* cancel = nullptr;
};

// Reads all pieces; each file is open only while its own are read. The calling thread works alone as long as
// the page cache answers: others are started once something took as long as only a device or a network does.
// They wait rather than compute, so that their number has nothing to do with that of the processors.
// Code::cancelled where `*cancel` became other than 0; of a failure, `Status::file` is the file. Of several
// the first in the order of the job that was met.
Status read_pieces(PiecesJob& job);

}  // namespace ckpt

#include "pieces_values.h"

#include <algorithm>
#include <limits>
#include <memory>

#include "../io/pieces.h"
#include "task.h"
#include "values.h"

namespace ckpt {
namespace {

std::vector<PiecesFile> to_files(const Napi::Object& from) {
  const Napi::Value value = from.Get("files");
  if (!value.IsArray()) refuse(from.Env(), "files is not an array");
  const auto array = value.As<Napi::Array>();
  std::vector<PiecesFile> files(array.Length());
  for (std::uint32_t f = 0; f < array.Length(); ++f) {
    const Napi::Value file = array.Get(f);
    if (file.IsNumber()) {
      const std::uint64_t fd = to_uint(file, "a descriptor");
      if (fd > static_cast<std::uint64_t>(std::numeric_limits<int>::max())) refuse(from.Env(), "a descriptor is too large");
      files[f].fd = static_cast<int>(fd);
    } else {
      files[f].path = to_string(file, "a path");
    }
  }
  return files;
}

std::vector<FilePiece> to_pieces(const Napi::Object& from, std::size_t files) {
  const Napi::Env env = from.Env();
  const auto of = copy_array<std::int32_t>(from, "of", napi_int32_array);
  const auto offsets = copy_uints(from, "offsets");
  const auto lengths = copy_uints(from, "lengths");
  const Napi::Value into = from.Get("into");
  if (!into.IsTypedArray() || into.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) refuse(env, "into is not a Uint8Array");
  auto target = into.As<Napi::Uint8Array>();
  if (offsets.size() != of.size() || lengths.size() != of.size()) refuse(env, "the columns of the pieces differ in length");
  std::vector<FilePiece> pieces(of.size());
  std::size_t at = 0;
  for (std::size_t i = 0; i < of.size(); ++i) {
    if (of[i] < 0 || static_cast<std::size_t>(of[i]) >= files) refuse(env, "a piece is of no file");
    if (lengths[i] > target.ByteLength() - at) refuse(env, "the pieces are longer than what they go into");
    pieces[i].file = static_cast<std::size_t>(of[i]);
    pieces[i].offset = offsets[i];
    pieces[i].length = static_cast<std::size_t>(lengths[i]);
    pieces[i].to = target.Data() + at;
    at += pieces[i].length;
  }
  if (at != target.ByteLength()) refuse(env, "the pieces are shorter than what they go into");
  return pieces;
}

Napi::Value to_object(Napi::Env env, const PiecesJob& job) {
  Napi::Float64Array counts = Napi::Float64Array::New(env, job.pieces.size());
  for (std::size_t i = 0; i < job.pieces.size(); ++i) counts[i] = static_cast<double>(job.pieces[i].count);
  Napi::BigInt64Array stats = Napi::BigInt64Array::New(env, 4 * job.files.size());
  for (std::size_t f = 0; f < job.files.size(); ++f) {
    const FileStat& stat = job.files[f].stat;
    stats[4 * f] = static_cast<std::int64_t>(stat.dev);
    stats[4 * f + 1] = static_cast<std::int64_t>(stat.ino);
    stats[4 * f + 2] = stat.mtime_ns;
    stats[4 * f + 3] = static_cast<std::int64_t>(stat.size);
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("counts", counts);
  result.Set("stats", stats);
  return result;
}

}  // namespace

Napi::Value pieces_of_files(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsObject()) refuse(env, "the job is not an object");
  const auto from = info[0].As<Napi::Object>();
  auto job = std::make_shared<PiecesJob>();
  job->files = to_files(from);
  job->pieces = to_pieces(from, job->files.size());
  job->in_flight = std::max<std::uint64_t>(1, to_uint(from.Get("inFlight"), "inFlight"));
  job->cancel = cancel_flag(from);
  // What is written to and looked at meanwhile, whatever becomes of the job.
  Napi::Object held = Napi::Object::New(env);
  held.Set("into", from.Get("into"));
  held.Set("cancel", from.Get("cancel"));
  return Task<bool>::start(
      env, [job](bool*) { return read_pieces(*job); }, [job](Napi::Env of, bool&) { return to_object(of, *job); }, Napi::Persistent(held));
}

}  // namespace ckpt

#include "job_values.h"

#include "input_wrap.h"
#include "output_wrap.h"
#include "values.h"

namespace ckpt {

namespace {

void read_boxes(const Napi::Object& from, Boxes* boxes) {
  boxes->first = copy_array<std::int32_t>(from, "first", napi_int32_array);
  boxes->columns = copy_uints(from, "columns");
  boxes->start = copy_uints(from, "start");
  boxes->row = copy_uints(from, "row");
  boxes->rows = copy_uints(from, "rows");
  boxes->column = copy_uints(from, "column");
  boxes->width = copy_uints(from, "width");
  boxes->file = copy_array<std::int32_t>(from, "file", napi_int32_array);
  boxes->offset = copy_uints(from, "offset");
  boxes->row_stride = copy_uints(from, "rowStride");
}

}  // namespace

void read_inputs(const Napi::Object& from, Job* job) {
  job->files = unwrap_all<Input>(from, "files", InputWrap::unwrap);
  job->count = copy_uints(from, "count");
  job->segments = job->count.size();
  job->file = copy_array<std::int32_t>(from, "file", napi_int32_array);
  job->inputs = job->segments == 0 ? 0 : job->file.size() / job->segments;
  job->offset = copy_uints(from, "offset");
  job->dtype = copy_array<std::uint8_t>(from, "dtype", napi_uint8_array);
  if (const Napi::Value boxes = from.Get("boxes"); !boxes.IsUndefined()) {
    if (!boxes.IsObject()) refuse(from.Env(), "boxes is not an object");
    read_boxes(boxes.As<Napi::Object>(), &job->boxes);
  }
  job->cancel = cancel_flag(from);
}

void read_outputs(const Napi::Object& from, Job* job) {
  job->outputs = unwrap_all<Output>(from, "outputs", OutputWrap::unwrap);
  job->out_offset = copy_uints(from, "outOffset");
  job->out_dtype = copy_array<std::uint8_t>(from, "outDtype", napi_uint8_array);
}

void set_read(Napi::Object result, const CallResult& from) {
  const Napi::Env env = result.Env();
  result.Set("bytesRead", Napi::Number::New(env, static_cast<double>(from.bytes_read)));
  result.Set("readSeconds", Napi::Number::New(env, from.read_seconds));
  result.Set("computeSeconds", Napi::Number::New(env, from.compute_seconds));
}

void set_written(Napi::Object result, const CallResult& from) {
  const Napi::Env env = result.Env();
  const std::size_t count = from.written.crc.size();
  Napi::Uint32Array crc = Napi::Uint32Array::New(env, count);
  Napi::Float64Array offset = Napi::Float64Array::New(env, count);
  Napi::Float64Array length = Napi::Float64Array::New(env, count);
  for (std::size_t i = 0; i < count; ++i) {
    crc[i] = from.written.crc[i];
    offset[i] = static_cast<double>(from.written.offset[i]);
    length[i] = static_cast<double>(from.written.length[i]);
  }
  result.Set("bytesWritten", Napi::Number::New(env, static_cast<double>(from.bytes_written)));
  result.Set("writeSeconds", Napi::Number::New(env, from.write_seconds));
  result.Set("crc", crc);
  result.Set("crcOffset", offset);
  result.Set("crcLength", length);
}

}  // namespace ckpt

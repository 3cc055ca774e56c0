#include "requantise_values.h"

#include "input_wrap.h"
#include "output_wrap.h"
#include "values.h"

namespace ckpt {
namespace {

// A column of figures, [S x K].
template <typename Array, typename Get>
Array column(Napi::Env env, const std::vector<QuantFigures>& figures, Get get) {
  Array array = Array::New(env, figures.size());
  for (std::size_t i = 0; i < figures.size(); ++i) array[i] = get(figures[i]);
  return array;
}

}  // namespace

std::shared_ptr<QuantJob> RequantiseValues::job(const Napi::Object& from) {
  if (!from.Get("boxes").IsUndefined()) refuse(from.Env(), "strips do not lie in boxes");
  auto job = std::make_shared<QuantJob>();
  job->files = unwrap_all<Input>(from, "files", InputWrap::unwrap);
  job->outputs = unwrap_all<Output>(from, "outputs", OutputWrap::unwrap);
  job->rows = copy_uints(from, "rows");
  job->strips = job->rows.size();
  job->cols = copy_uints(from, "cols");
  job->block_rows = copy_uints(from, "blockRows");
  job->block_cols = copy_uints(from, "blockCols");
  job->file = copy_array<std::int32_t>(from, "file", napi_int32_array);
  job->inputs = job->strips == 0 ? 1 : job->file.size() / job->strips;
  job->offset = copy_uints(from, "offset");
  job->encoding = copy_array<std::uint8_t>(from, "encoding", napi_uint8_array);
  job->scale_file = copy_array<std::int32_t>(from, "scaleFile", napi_int32_array);
  job->scale_offset = copy_uints(from, "scaleOffset");
  job->scale_dtype = copy_array<std::uint8_t>(from, "scaleDtype", napi_uint8_array);
  job->out_offset = copy_offsets(from, "outOffset");
  job->out_encoding = copy_array<std::uint8_t>(from, "outEncoding", napi_uint8_array);
  job->out_scale_offset = copy_offsets(from, "outScaleOffset");
  job->out_scale_dtype = copy_array<std::uint8_t>(from, "outScaleDtype", napi_uint8_array);
  job->power_of_two = copy_array<std::uint8_t>(from, "powerOfTwo", napi_uint8_array);
  job->transpose = copy_uints(from, "transpose");
  job->amax = copy_array<double>(from, "amax", napi_float64_array);
  job->table = copy_array<std::int32_t>(from, "table", napi_int32_array);
  job->weights = copy_array<double>(from, "weights", napi_float64_array);
  job->newest = copy_array<std::int32_t>(from, "newest", napi_int32_array);
  job->cancel = cancel_flag(from);
  return job;
}

Napi::Value RequantiseValues::result(Napi::Env env, const QuantResult& from) {
  Napi::Object result = Napi::Object::New(env);
  const auto number = [env](double value) { return Napi::Number::New(env, value); };
  result.Set("bytesRead", number(static_cast<double>(from.bytes_read)));
  result.Set("bytesWritten", number(static_cast<double>(from.bytes_written)));
  result.Set("readSeconds", number(from.read_seconds));
  result.Set("computeSeconds", number(from.compute_seconds));
  result.Set("writeSeconds", number(from.write_seconds));
  using Figures = QuantFigures;
  result.Set("crc", column<Napi::Uint32Array>(env, from.figures, [](const Figures& f) { return f.crc; }));
  result.Set("scaleCrc", column<Napi::Uint32Array>(env, from.figures, [](const Figures& f) { return f.scale_crc; }));
  result.Set("amax", column<Napi::Float64Array>(env, from.figures, [](const Figures& f) { return f.amax; }));
  result.Set("error", column<Napi::Float64Array>(env, from.figures, [](const Figures& f) { return f.error; }));
  result.Set("change", column<Napi::Float64Array>(env, from.figures, [](const Figures& f) { return f.change; }));
  result.Set("saturated", column<Napi::Float64Array>(env, from.figures, [](const Figures& f) { return static_cast<double>(f.saturated); }));
  result.Set("identical", column<Napi::Uint8Array>(env, from.figures, [](const Figures& f) { return static_cast<std::uint8_t>(f.identical); }));
  Napi::Array nonfinite = Napi::Array::New(env, from.nonfinite.size());
  std::uint32_t index = 0;
  for (const auto& [where, count] : from.nonfinite) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("strip", number(static_cast<double>(where.first)));
    entry.Set("member", number(static_cast<double>(where.second)));
    entry.Set("nan", number(static_cast<double>(count.nan)));
    entry.Set("inf", number(static_cast<double>(count.inf)));
    nonfinite.Set(index++, entry);
  }
  result.Set("nonfinite", nonfinite);
  return result;
}

}  // namespace ckpt
